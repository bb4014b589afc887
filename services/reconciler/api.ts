/**
 * The handlers every reconciler has, as its callers see them: the watcher and the sweep through the ingress, the object
 * itself and its assistants through sends.
 */
import type { ObjectContext, ObjectSharedContext } from "@restatedev/restate-sdk";
import type { LastReconcile, Memory } from "./memory.ts";

/** Why a reconcile was asked for: a few words for people, never an object. */
export interface Cause {
  readonly why: string;
}

export interface RetryRequest extends Cause {
  readonly n: number;
}

/** What an assistant has read; `why`: a few words for people. */
export interface AssistantReport extends Cause {
  /** The assistant's name, as the reconciler knows it. */
  readonly from: string;
  readonly report: unknown;
}

/** The handlers of every reconciler, as its callers see them. */
export interface ReconcilerHandlers {
  wake(ctx: ObjectContext, cause: Cause): Promise<void>;
  report(ctx: ObjectContext, said: AssistantReport): Promise<void>;
  reconcile(ctx: ObjectContext, cause: Cause): Promise<LastReconcile>;
  resync(ctx: ObjectContext): Promise<void>;
  look(ctx: ObjectContext): Promise<void>;
  retry(ctx: ObjectContext, request: RetryRequest): Promise<void>;
  describe(ctx: ObjectSharedContext): Promise<Memory>;
}

/** The object's own handlers, to be sent to itself. */
export type Self = (
  ctx: ObjectContext,
) => ReturnType<typeof ctx.objectSendClient<ReconcilerHandlers>>;
