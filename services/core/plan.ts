/**
 * A plan: what one reconcile is going to do and say, as data. It is the journaled result of the step `plan`, read by
 * people in the Restate UI; it is small, sorted and free of Secrets, and bound to the uid and generation it was made for.
 */
import type { Outcome } from "./outcome.ts";
import type { ResourceIdentity } from "./resource.ts";

/** Largest plan that may be journaled, in bytes of JSON; a larger one is a mistake in a planner. */
export const PLAN_MAX_BYTES = 64 * 1024;

/** What every action has: a verb, and the reason that becomes the log line, the event and the test's expectation. */
export interface AnyAction {
  readonly kind: string;
  readonly because: string;
}

/** A Kubernetes event to be emitted with the plan. */
export interface EventClaim {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

export interface Plan<Action extends AnyAction, Status> {
  /** Absent when the resource does not exist. */
  readonly for?: ResourceIdentity;
  readonly actions: readonly Action[];
  /** The whole status to write once every action has been carried out; absent when it is as it should be. */
  readonly status?: Status;
  readonly events?: readonly EventClaim[];
  readonly outcome: Outcome;
  /** When to look again without an event, whatever the outcome. */
  readonly lookAgainMs?: number;
  /** Milliseconds since the epoch at which the observation was made. */
  readonly observedAtMs: number;
}
