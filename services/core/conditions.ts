/**
 * Conditions as the Kubernetes API conventions have them: `lastTransitionTime` moves only when `status` does.
 */

/** One entry of `status.conditions`. */
export interface Condition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly message: string;
  /** RFC 3339, seconds. */
  readonly lastTransitionTime: string;
}

/** A condition as read from the API server, where everything but type and status may be absent or null. */
export interface ObservedCondition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string | null | undefined;
  readonly message?: string | null | undefined;
  readonly lastTransitionTime?: string | null | undefined;
}

/** What is to be said now, before it is known whether that is a transition. */
export type ConditionClaim = Omit<Condition, "lastTransitionTime">;

/** The condition to write for a claim: the observed one's transition time where its status is unchanged, else now. */
export function conditionOf(
  claim: ConditionClaim,
  observed: readonly ObservedCondition[],
  nowMs: number,
): Condition {
  const before = observed.find((condition) => condition.type === claim.type);
  const unchanged = before?.status === claim.status && before.lastTransitionTime;
  return { ...claim, lastTransitionTime: unchanged ? unchanged : timestampOf(nowMs) };
}

/** An instant as Kubernetes writes it: RFC 3339 in UTC, whole seconds. */
export function timestampOf(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19)}Z`;
}
