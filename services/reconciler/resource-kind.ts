/**
 * What a kind of resource brings to the reconciler: how to decide (`plan`), how to carry out one decision (`apply`), how to
 * say what came of it, and which other objects work for it. Everything durable (steps, state, timers, failures) is the
 * reconciler's, once for all kinds.
 */
import type { ObjectContext } from "@restatedev/restate-sdk";
import type { AppliedObject, AppliedObjects } from "../core/children.ts";
import type { Waiting } from "../core/outcome.ts";
import type { AnyAction, EventClaim, Plan } from "../core/plan.ts";
import type { ResourceIdentity } from "../core/resource.ts";
import type { Kind } from "../kube/kinds.ts";

/** The types in which a kind is spoken of. */
export interface Terms {
  readonly action: AnyAction;
  readonly status: unknown;
  /** Of its conditions, and of what failed. */
  readonly reason: string;
  /** Of its assistants. */
  readonly report: unknown;
}

export type PlanOf<T extends Terms> = Plan<T["action"], T["status"]>;

/** What earlier reconciles of a resource left to the next one. */
export interface Remembered {
  /** uid of the resource it belongs to: what is remembered of another one is forgotten. */
  readonly uid: string | undefined;
  readonly applied: AppliedObjects;
}

/** What came of one action. */
export type ActionResult =
  /** Done; `applied` holds what to remember (`null`: to forget) of each child touched. */
  | { readonly kind: "done"; readonly applied?: Readonly<Record<string, AppliedObject | null>> }
  /** Done, and with it the rest of the plan is void: it is made anew, from what is there now. */
  | {
      readonly kind: "advanced";
      readonly applied?: Readonly<Record<string, AppliedObject | null>>;
    }
  /** The resource is another one by now, or has another generation: the plan is void. */
  | { readonly kind: "superseded" }
  /** Not possible yet, as is to be expected; the rest of the plan waits with it. */
  | { readonly kind: "waiting"; readonly outcome: Waiting };

/** Why a reconcile failed, in the vocabulary of the kind's conditions. */
export interface Failure<Reason extends string> {
  readonly reason: Reason;
  readonly message: string;
}

/**
 * One attempt at one reconcile: lives as long as a process works on it, and may keep what it has just read. Each method
 * is called inside a step of its own, so each is idempotent, and none relies on another having run in this process.
 */
export interface Attempt<T extends Terms> {
  /** `reports`: the last of each assistant, where the kind has any. */
  plan(remembered: Remembered, reports: readonly T["report"][]): Promise<PlanOf<T>>;
  apply(action: T["action"], planned: ResourceIdentity): Promise<ActionResult>;
  /** Writes the status if it differs from what is there. */
  writeStatus(status: T["status"], planned: ResourceIdentity): Promise<ActionResult>;
  /**
   * Says that an action has to wait, in the planned status (or the present one where none is planned). A kind without it says
   * nothing until the next plan.
   */
  writeWaiting?(
    waiting: Waiting,
    status: T["status"] | undefined,
    planned: ResourceIdentity,
  ): Promise<ActionResult>;
  emit(event: EventClaim, planned: ResourceIdentity): Promise<void>;
  /** Says in the resource's conditions and in an event that a reconcile failed; writes nothing when that is said already. */
  writeFailure(failure: Failure<T["reason"]>): Promise<void>;
}

/**
 * Virtual objects that work for a resource beside its reconciler, for longer than a reconcile may take: one per name, reporting
 * whatever they read (`assistant.ts`), and gone with the resource.
 */
export interface Assistants<T extends Terms> {
  /** The message that an action is; `undefined`: the action is a step of its own. */
  messageOf(action: T["action"]): Message<T["report"]> | undefined;
  /** Ends an assistant and all it remembers. */
  stop(ctx: ObjectContext, name: string): void;
}

/** A message that starts an assistant, or has it start over, or ends it. */
export interface Message<Report> {
  /** The assistant's name. */
  readonly to: string;
  /**
   * Sends it, and answers what is known until the assistant reports: what it was told to do, and of `known`, its last report,
   * what is still of use. `undefined`: there is no such assistant any more.
   */
  send(
    ctx: ObjectContext,
    before: { readonly known: Report | undefined; readonly nowMs: number },
  ): Report | undefined;
}

export interface ResourceKind<T extends Terms> {
  /** Name of the Restate service: `ClusterReconciler`. */
  readonly service: string;
  /** Kubernetes kind: `RestateCluster`. */
  readonly kind: Kind;
  readonly assistants?: Assistants<T>;
  attempt(key: string): Attempt<T>;
  /** Name of an action's step: lower-case verb, kind, name; the same in every release. */
  stepOf(action: T["action"]): string;
  /** Condition reason when this action fails; `undefined`: when planning or writing the status does. */
  reasonOfFailure(action: T["action"] | undefined): T["reason"];
}
