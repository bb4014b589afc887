/**
 * What an unsuccessful call of the admin API means: whether waiting can help, and in which words it is said. By Restate's own
 * code where there is one; a proxy on the way can answer anything.
 *
 * | answer                                          | kind    | reason            | why                                           |
 * | ----------------------------------------------- | ------- | ----------------- | --------------------------------------------- |
 * | none, 5xx, 408, 425, 429                        | waiting | AdminCallFailed   | the server's state, not the request's content |
 * | META0003, META0014                              | waiting | AdminCallFailed   | the pods cannot be reached, or not yet        |
 * | 401, 403                                        | waiting | AdminCallRejected | a token or a policy, which others put right   |
 * | 4xx without a code of Restate                   | waiting | AdminCallRejected | not Restate's own answer: a proxy's           |
 * | 404, 405 (and any other with a code of Restate) | stalled | AdminCallRejected | META0006 and the like: the user must act      |
 *
 * `stalled` takes the pods of the refused version away after a while, so it is said only where Restate itself said no.
 */

/** An unsuccessful answer; `status` 0: none at all. */
export interface AdminFailure {
  readonly status: number;
  /** For example `META0006`. */
  readonly restateCode?: string | undefined;
  /** Printable and bounded already. */
  readonly message: string;
  /** From the header `Retry-After`. */
  readonly retryAfterMs?: number | undefined;
}

export type Rejected =
  | {
      readonly kind: "stalled";
      readonly reason: "AdminCallRejected";
      readonly message: string;
    }
  | {
      readonly kind: "waiting";
      readonly reason: "AdminCallRejected" | "AdminCallFailed";
      readonly message: string;
      readonly requeueAfterMs: number;
    };

/** Codes of Restate that are about what it could not reach, not about what it was given. */
const CURABLE_CODES = new Set(["META0003", "META0014"]);
const CURABLE_STATUSES = new Set([408, 425, 429]);
const ACCESS_STATUSES = new Set([401, 403]);

/** How soon a call is tried again when the answer does not say. */
const RETRY_MS = 10_000;
/** How soon when somebody has to put access right first; the change of a Secret wakes earlier. */
const ACCESS_RETRY_MS = 60_000;
/** A server that asks for more patience than this is asked again anyway. */
const RETRY_LONGEST_MS = 5 * 60_000;

export function classifyAdminFailure(failure: AdminFailure): Rejected {
  const { status, restateCode, message } = failure;
  const answered = status >= 400 && status <= 499 && !CURABLE_STATUSES.has(status);
  if (!answered || (restateCode !== undefined && CURABLE_CODES.has(restateCode))) {
    return {
      kind: "waiting",
      reason: "AdminCallFailed",
      message,
      requeueAfterMs: retryMs(failure, RETRY_MS),
    };
  }
  if (ACCESS_STATUSES.has(status) || restateCode === undefined) {
    return {
      kind: "waiting",
      reason: "AdminCallRejected",
      message,
      requeueAfterMs: retryMs(failure, ACCESS_RETRY_MS),
    };
  }
  return { kind: "stalled", reason: "AdminCallRejected", message };
}

function retryMs({ retryAfterMs }: AdminFailure, otherwiseMs: number): number {
  if (retryAfterMs === undefined || !Number.isFinite(retryAfterMs)) return otherwiseMs;
  return Math.min(Math.max(retryAfterMs, 1_000), RETRY_LONGEST_MS);
}
