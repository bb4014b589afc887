/** What drains and the count that they share send each other. */
import type { ObjectContext } from "@restatedev/restate-sdk";
import type { DrainReport, RemedyOrder } from "../api.ts";

export const VERSION_DRAIN = "VersionDrain";
export const INVOCATION_USAGE = "InvocationUsage";

/** What is to be watched. */
export interface DrainOrder {
  readonly deploymentId: string;
  /** Admin API of the Restate that has the deployment. */
  readonly adminUrl: string;
  /** What is to happen to work that is not finished in time. */
  readonly remedy?: RemedyOrder;
}

/** What a drain says before it has read anything. */
export const UNCOUNTED = {
  phase: "unknown",
  activePinned: 0,
  activeUnpinned: 0,
  latestFor: 0,
  confirmed: false,
} as const satisfies Partial<DrainReport>;

/** Unfinished work of one deployment. */
export interface DeploymentUsage {
  /** Invocations that have begun on it. */
  readonly pinned: number;
  /** Invocations that would begin on it. */
  readonly unpinned: number;
  /** Those of them whose time has not come. */
  readonly scheduled: number;
  /** Services whose new invocations are sent to it. */
  readonly routed: number;
  /** When its oldest unfinished invocation was created. RFC 3339. */
  readonly oldest?: string;
}

export interface UsageQuestion {
  /** Key of the drain that asks, and number of its poll. */
  readonly drain: string;
  readonly n: number;
  /** Id of the deployment that is asked about. */
  readonly deploymentId: string;
}

export type UsageAnswer =
  | { readonly kind: "counted"; readonly atMs: number; readonly usage: DeploymentUsage }
  /** Restate did not answer. */
  | { readonly kind: "unknown"; readonly atMs: number; readonly message: string };

/** The handlers of a drain. Keys are `<namespace>/<name>/<version>`. */
export interface DrainHandlers {
  begin(ctx: ObjectContext, order: DrainOrder): Promise<void>;
  poll(ctx: ObjectContext, poll: { readonly n: number }): Promise<void>;
  counted(
    ctx: ObjectContext,
    counted: { readonly n: number; readonly answer: UsageAnswer },
  ): Promise<void>;
  cancel(ctx: ObjectContext): Promise<void>;
  wake(ctx: ObjectContext): Promise<void>;
}

/** The handlers of the count. Keys are URLs of admin APIs. */
export interface UsageHandlers {
  count(ctx: ObjectContext, question: UsageQuestion): Promise<void>;
  expire(ctx: ObjectContext): Promise<void>;
}
