/**
 * What is done about unfinished invocations of an older version whose time is over (`spec.restate.drain.onMaxAge`): for each
 * one that is being dealt with, the next call to Restate, and when it is done with. A pure function of where Restate has it
 * now, so that a call that was lost, repeated or overtaken makes no difference.
 *
 * R1 Only invocations that have begun on the version are touched, and only those of services that a newer version has.
 * R2 An invocation that was moved counts as the version's until it is seen that the code it was moved to takes its journal; one
 *    that this code does not take goes back. R3 What was paused by the operator is resumed, also where the order is withdrawn.
 * R4 An invocation is cancelled once: a second time would interrupt what undoes its work.
 *
 * What Restate 1.7.12 takes, as measured (202: it does so later):
 *
 * | invocation is           | pause | resume on another deployment | cancel                       | kill |
 * | ----------------------- | ----- | ---------------------------- | ---------------------------- | ---- |
 * | running                 | 202   | 409                          | 202, ends at its next await  | 200  |
 * | backing off             | 202   | 409                          | 202, ends if it gets so far  | 200  |
 * | suspended               | 200   | 200                          | 202, ends                    | 200  |
 * | paused                  | 200   | 200, pinned or not           | 202, but only once resumed   | 200  |
 * | scheduled, queued       | 409   | 425                          | 200, and it is gone          | 200  |
 * | completed / unknown     | 409   | 409 / 404                    | 409 / 404                    | 409  |
 *
 * One that is running pauses when its attempt ends: when it suspends, or when the service's abort timeout is over. One that is
 * backing off pauses at once, one that is suspended stays so. `deployment=latest` resumes on the same deployment, with 200,
 * where nobody else has the service. A journal that does not fit fails with RT0016 in the first attempt, and is retried and then
 * paused as any failure is; paused and resumed on the deployment it came from, it goes on as before.
 */
import { timestampOf } from "../../core/conditions.ts";
import type { EventClaim } from "../../core/plan.ts";
import type {
  DrainReport,
  RemedyAction,
  RemedyOrder,
  RemedyProgress,
  VersionStatus,
} from "../api.ts";
import { count } from "./version-standing.ts";

/** Where an invocation is, as its Restate says. */
export interface InvocationView {
  readonly id: string;
  readonly status: string;
  /** Deployment it has begun on: none where it would begin anew. */
  readonly begunOn?: string;
  /** Deployment to which new invocations of its service go. */
  readonly latest?: string;
  /** Code of its last failure. */
  readonly failureCode?: string;
}

/** An invocation that is being dealt with. */
export interface Underway {
  readonly id: string;
  /** What Restate was asked for last; `move` and `return`: to resume it elsewhere. */
  readonly asked?: "pause" | "move" | "return" | "cancel" | "kill";
  /** When that was: a count that is older knows nothing of it. */
  readonly askedAtMs?: number;
  /** The deployment that it came back from. */
  readonly from?: string;
  /** Resumed after it was cancelled, because a paused one does not notice. */
  readonly resumed?: true;
}

/** An invocation that cannot be moved. */
export interface Unmovable {
  readonly id: string;
  /** The deployment that does not take its journal. */
  readonly on: string;
}

/** Unfinished work that is being dealt with. */
export interface Treatment {
  /** Invocations that were moved or have ended. */
  readonly done: number;
  readonly underway: readonly Underway[];
  readonly unmovable: readonly Unmovable[];
  /** Unfinished invocations of services that no newer version has. */
  readonly kept: number;
  /** What went wrong last. */
  readonly failure?: string;
}

export const UNTREATED: Treatment = { done: 0, underway: [], unmovable: [], kept: 0 };

/** With as many that cannot be moved, no more are tried: moving and putting back is no good for anyone. */
export const UNMOVABLE_MAX = 100;
/** A pause that has not happened after this long is asked for again. */
const ASK_AGAIN_MS = 60_000;
/** Journal mismatch: the code does not do what the journal has. */
const JOURNAL_MISMATCH = "RT0016";
/** A failure of the handler itself: the journal was taken, or the code would not have got so far. */
const HANDLER_FAILED = "RT0007";
/** Ids in one sentence. */
const NAMED_MAX = 5;

/** A call about one invocation; `deployment`: where to resume it, `latest` or an id; absent: where it is. */
export interface RemedyCall {
  readonly id: string;
  readonly verb: "pause" | "resume" | "cancel" | "kill";
  readonly deployment?: string;
}

/** What is next for one invocation. */
export interface RemedyStep {
  readonly call?: RemedyCall;
  /** What it is next: under way, or done with in one way or another. `left`: none of the operator's business any more. */
  readonly next: Underway | Unmovable | "done" | "left";
}

export interface RemedyQuestion {
  /** `undefined`: the order was withdrawn, and what has begun is brought to an end (R3). */
  readonly action: Exclude<RemedyAction, "alert"> | undefined;
  /** The version's deployment. */
  readonly deploymentId: string;
  /** When the newest count of unfinished invocations was made. */
  readonly countedAtMs: number;
  readonly nowMs: number;
}

/** The next step for one invocation; `seen` is `undefined` where Restate has no such invocation. */
export function planInvocation(
  question: RemedyQuestion,
  entry: Underway,
  seen: InvocationView | undefined,
): RemedyStep {
  if (seen === undefined || seen.status === "completed") return { next: "done" };
  const { deploymentId } = question;
  if (seen.begunOn !== undefined && seen.begunOn !== deploymentId) {
    return planElsewhere(question, entry, seen);
  }
  if (entry.asked === "return") return planReturned(question, entry, seen);
  // R1: its service has come back to this version meanwhile, or is nobody's any more.
  if (seen.latest === undefined || seen.latest === deploymentId) return planLeave(entry, seen);
  switch (question.action) {
    case "kill":
      return ask(question, entry, { asked: "kill", verb: "kill" });
    case "cancel":
      return planCancel(question, entry, seen);
    case "pauseAndMove":
      return planMove(question, entry, seen);
    default:
      return planLeave(entry, seen);
  }
}

/** On another deployment: there by us, it is watched (R2); there by others, it is done with. */
function planElsewhere(
  question: RemedyQuestion,
  entry: Underway,
  seen: InvocationView,
): RemedyStep {
  if (entry.asked !== "move" && entry.asked !== "return") return { next: "done" };
  const { status, failureCode, begunOn } = seen;
  const refused = failureCode === JOURNAL_MISMATCH && status !== "suspended";
  if (refused || entry.asked === "return") {
    const back = { ...entry, ...(begunOn === undefined ? {} : { from: begunOn }) };
    const asked = "return";
    return isResting(seen)
      ? ask(question, back, { asked, verb: "resume", deployment: question.deploymentId })
      : ask(question, back, { asked, verb: "pause" });
  }
  const taken =
    status === "suspended" || failureCode === undefined || failureCode === HANDLER_FAILED;
  return taken && isCountedSince(question, entry) ? { next: "done" } : { next: entry };
}

/** Back where it came from: named as one that cannot be moved, once it is counted there again. */
function planReturned(question: RemedyQuestion, entry: Underway, seen: InvocationView): RemedyStep {
  if (seen.status === "paused") {
    return ask(question, entry, { asked: "return", verb: "resume" });
  }
  const unmovable: Unmovable = { id: entry.id, on: entry.from ?? "" };
  return { next: isCountedSince(question, entry) ? unmovable : entry };
}

/** R4 */
function planCancel(question: RemedyQuestion, entry: Underway, seen: InvocationView): RemedyStep {
  const { id } = entry;
  if (entry.asked !== "cancel") return ask(question, entry, { asked: "cancel", verb: "cancel" });
  if (seen.status !== "paused" || entry.resumed === true) return { next: entry };
  return { call: { id, verb: "resume" }, next: { ...entry, resumed: true } };
}

function planMove(question: RemedyQuestion, entry: Underway, seen: InvocationView): RemedyStep {
  if (isResting(seen)) {
    return ask(question, entry, { asked: "move", verb: "resume", deployment: "latest" });
  }
  const asked = entry.asked === "pause" && question.nowMs - (entry.askedAtMs ?? 0) < ASK_AGAIN_MS;
  return asked ? { next: entry } : ask(question, entry, { asked: "pause", verb: "pause" });
}

/** R3: one that was asked to pause does so sooner or later. */
function planLeave(entry: Underway, seen: InvocationView): RemedyStep {
  if (entry.asked !== "pause" || seen.status === "suspended") return { next: "left" };
  if (seen.status !== "paused") return { next: entry };
  return { call: { id: entry.id, verb: "resume" }, next: "left" };
}

function ask(
  { nowMs }: RemedyQuestion,
  entry: Underway,
  { asked, ...call }: Omit<RemedyCall, "id"> & { readonly asked: NonNullable<Underway["asked"]> },
): RemedyStep {
  return { call: { id: entry.id, ...call }, next: { ...entry, asked, askedAtMs: nowMs } };
}

/** Restate can resume it on another deployment. */
function isResting({ status }: InvocationView): boolean {
  return status === "paused" || status === "suspended";
}

function isCountedSince({ countedAtMs }: RemedyQuestion, { askedAtMs }: Underway): boolean {
  return countedAtMs > (askedAtMs ?? 0);
}

/** Invocations that are on another deployment for now, but may come back (R2). */
export function heldBy({ underway }: Treatment): number {
  return underway.filter(({ asked }) => asked === "move" || asked === "return").length;
}

/** What is in the way, as a sentence; `undefined`: nothing. */
export function hindranceOf(treatment: Treatment): string | undefined {
  const { underway, unmovable, kept, failure } = treatment;
  const asked = (what: Underway["asked"]) => underway.filter((each) => each.asked === what).length;
  const [first] = unmovable;
  const parts = [
    ...(failure === undefined ? [] : [failure]),
    ...(first === undefined
      ? []
      : [`${namesOf(unmovable)} cannot be moved: ${first.on} does not take the journal`]),
    ...(unmovable.length < UNMOVABLE_MAX ? [] : ["no more are tried"]),
    ...(asked("pause") === 0
      ? []
      : [
          `${count(asked("pause"), "invocation")} asked to pause, which comes with the end of an attempt`,
        ]),
    ...(asked("move") === 0
      ? []
      : [`${count(asked("move"), "invocation")} moved and not seen to go on there yet`]),
    ...(asked("cancel") === 0
      ? []
      : [`${count(asked("cancel"), "invocation")} cancelled and not ended yet`]),
    ...(kept === 0 ? [] : [`${count(kept, "invocation")} of services that no newer version has`]),
  ];
  return parts.length === 0 ? undefined : parts.join("; ");
}

function namesOf(invocations: readonly Unmovable[]): string {
  const names = invocations.slice(0, NAMED_MAX).map(({ id }) => id);
  const more = invocations.length - names.length;
  return more === 0 ? names.join(", ") : `${names.join(", ")} and ${more} more`;
}

/** What a drain is to do about its version, if that is not what it does already. */
export function isSameOrder(a: RemedyOrder | undefined, b: RemedyOrder | undefined): boolean {
  return a?.action === b?.action && a?.atMs === b?.atMs;
}

/** An order without what has come of it. */
export function orderOf(remedy: RemedyOrder | undefined): RemedyOrder | undefined {
  return remedy === undefined ? undefined : { action: remedy.action, atMs: remedy.atMs };
}

/** `status.versions[].remedy`. */
export function remedyStatusOf({ remedy }: DrainReport): VersionStatus["remedy"] {
  if (remedy === undefined) return undefined;
  const { action, atMs, progress } = remedy;
  return { action, at: timestampOf(atMs), ...progress };
}

/** Whether a version has unfinished work although its time is over. */
export function isOverdue({ remedy }: Pick<VersionStatus, "remedy">): boolean {
  return (remedy?.remaining ?? 0) > 0;
}

/** Told once, when the time of a version is over: also where all of its work has been dealt with by then. */
export function overdueEvents(
  before: readonly VersionStatus[],
  now: readonly VersionStatus[],
): EventClaim[] {
  const known = new Set(before.filter(wasOverdue).map(({ name }) => name));
  return now
    .filter((version) => wasOverdue(version) && !known.has(version.name))
    .map(({ name, remedy }) => {
      const message = `${name} has not finished its invocations within spec.restate.drain.maxAgeSeconds; onMaxAge is ${remedy?.action ?? "alert"}`;
      return { type: "Warning", reason: "DrainOverdue", message };
    });
}

function wasOverdue({ remedy }: VersionStatus): boolean {
  return (remedy?.remaining ?? 0) > 0 || (remedy?.done ?? 0) > 0;
}

/** What came of an order that is due. */
export function progressOf(treatment: Treatment, remaining: number): RemedyProgress {
  const message = hindranceOf(treatment);
  return { done: treatment.done, remaining, ...(message === undefined ? {} : { message }) };
}
