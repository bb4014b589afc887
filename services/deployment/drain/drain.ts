/**
 * VersionDrain: watches the unfinished work of one version until there is none, for as long as that takes. It counts and
 * reports, and deals with work whose time is over where it was told to (drain-remedy.ts); what follows from a report is the
 * reconciler's to decide, and nothing here ever writes to Kubernetes.
 *
 * A chain of short polls, each of which sends the next: nothing is held between two of them, so neither an upgrade of the
 * operator nor its absence is ever in the way of a drain that takes a month. `restate kv get VersionDrain
 * <namespace>/<name>/<version>` shows where it stands.
 *
 * D1 A number tells the chain's newest poll from older ones that fire late. D2 No answer is a reading of its own, `unknown`,
 * and starts the agreement of readings anew. D3 The reconciler is told every reading, and reconciles when one says
 * something new.
 * D4 A drain that is no longer wanted ends when nothing is left that it has begun on invocations, or after a quarter of an hour.
 */
import { handlers, object, rpc, type ObjectContext } from "@restatedev/restate-sdk";
import { timestampOf } from "../../core/conditions.ts";
import {
  armPoll,
  cancelPoll,
  reportTo,
  saysMore,
  type NextPoll,
} from "../../reconciler/assistant.ts";
import { NOTHING_KEPT, OBJECT_OPTIONS } from "../../reconciler/object-options.ts";
import type { AdminPool } from "../../restate/admin-pool.ts";
import type { DrainReport } from "../api.ts";
import { UNTREATED, heldBy, isSameOrder, progressOf, type Treatment } from "../plan/plan-remedy.ts";
import {
  INVOCATION_USAGE,
  UNCOUNTED,
  VERSION_DRAIN,
  type DrainOrder,
  type UsageAnswer,
  type UsageHandlers,
} from "./drain-api.ts";
import { treat } from "./drain-remedy.ts";

const RECONCILER = "DeploymentReconciler";

/** The first polls, and every poll while counts move. Also what two readings that must agree are apart, at least (V3). */
const POLL_MS = 10_000;
/** While nothing moves, polls become rarer, up to this. */
const POLL_SLOW_MS = 60_000;
/** While invocations are being dealt with. */
const POLL_TREATING_MS = 5_000;
/** D4: longer than an attempt under way takes to end, by Restate's defaults. */
const ENDING_MS = 15 * 60_000;
/** Where all that is left is work whose time has not come. */
const POLL_SCHEDULED_MS = 5 * 60_000;
const SLOWER = 1.5;

const PRIVATE = { ...NOTHING_KEPT, ingressPrivate: true } as const;
/** How long a person can read that a drain began or ended. */
const KEPT = {
  journalRetention: { hours: 24 },
  idempotencyRetention: 0,
  ingressPrivate: true,
} as const;

/** The state of a drain, for people and for the next poll. */
export interface DrainState extends DrainOrder, Omit<DrainReport, "version" | "remedy"> {
  /** RFC 3339: since when the phase is what it is. */
  readonly since: string;
  /** RFC 3339: when the oldest unfinished invocation was created. */
  readonly oldest?: string;
  readonly polls: number;
  /** Why the phase is unknown. */
  readonly message?: string;
  /** The time of its unfinished work is over. */
  readonly due?: true;
  /** What has been done about that work. */
  readonly treatment?: Treatment;
  /** It is no longer wanted, since then. */
  readonly endingSinceMs?: number;
  /** When the first of the readings was made that agree on "nothing unfinished". */
  readonly emptySinceMs?: number;
  readonly next?: NextPoll & { readonly intervalMs: number };
}

const DRAIN = "drain";

/** The virtual object `VersionDrain`. */
export function defineVersionDrain({ admins }: { readonly admins: AdminPool }) {
  return object({
    name: VERSION_DRAIN,
    description: "Watches a version of a RestateDeployment until it has no unfinished invocations",
    options: OBJECT_OPTIONS,
    handlers: {
      begin: handlers.object.exclusive(KEPT, async (ctx: ObjectContext, order: DrainOrder) => {
        const before = await ctx.get<DrainState>(DRAIN);
        const nowMs = await ctx.date.now();
        // Told to start over: what was read of this very deployment stays until there is a newer reading.
        const known = before?.deploymentId === order.deploymentId ? before : undefined;
        const drain = ordered(known ?? unread(order, nowMs), order);
        cancelPoll(ctx, before?.next);
        await sendPoll(ctx, drain, 0);
      }),
      poll: handlers.object.exclusive(PRIVATE, async (ctx: ObjectContext, { n }: { n: number }) => {
        const drain = await ctx.get<DrainState>(DRAIN);
        if (drain?.next?.n !== n) return; // D1
        const { adminUrl, deploymentId } = drain;
        ctx
          .objectSendClient<UsageHandlers>({ name: INVOCATION_USAGE }, adminUrl)
          .count({ drain: ctx.key, n, deploymentId }, rpc.sendOpts({ name: "ask for the count" }));
      }),
      counted: handlers.object.exclusive(
        PRIVATE,
        async (ctx: ObjectContext, { n, answer }: { n: number; answer: UsageAnswer }) => {
          const drain = await ctx.get<DrainState>(DRAIN);
          if (drain?.next?.n !== n) return; // D1
          const keep = (changed: DrainState) => ctx.set<DrainState>(DRAIN, changed);
          const treated = await treat(ctx, { admins, drain, answer, keep });
          if (drain.endingSinceMs !== undefined && hasEnded(treated, answer)) {
            ctx.clearAll();
            return;
          }
          const read = readingOf(treated, answer);
          await sendPoll(ctx, read, intervalAfter(drain, read));
          report(ctx, read);
        },
      ),
      cancel: handlers.object.exclusive(KEPT, async (ctx: ObjectContext) => {
        const drain = await ctx.get<DrainState>(DRAIN);
        cancelPoll(ctx, drain?.next);
        if (drain === null || (drain.treatment?.underway.length ?? 0) === 0) {
          ctx.clearAll();
          return;
        }
        const { remedy: _, ...ending } = drain;
        await sendPoll(ctx, { ...ending, endingSinceMs: await ctx.date.now() }, 0);
      }),
      // After an upgrade of the operator has ended a poll that was under way.
      wake: handlers.object.exclusive(NOTHING_KEPT, async (ctx: ObjectContext) => {
        const drain = await ctx.get<DrainState>(DRAIN);
        if (drain === null) return;
        cancelPoll(ctx, drain.next);
        await sendPoll(ctx, drain, 0);
      }),
    },
  });
}

function unread(order: DrainOrder, nowMs: number): DrainState {
  return { ...order, ...UNCOUNTED, since: timestampOf(nowMs), atMs: nowMs, polls: 0 };
}

/** A drain that goes on by an order. What another kind of remedy has done does not count for this one. */
export function ordered(drain: DrainState, order: DrainOrder): DrainState {
  const { remedy, due, treatment, endingSinceMs: _, ...others } = drain;
  const underway = treatment?.underway ?? [];
  const same = remedy?.action === order.remedy?.action;
  const begun = underway.length === 0 ? undefined : { ...UNTREATED, underway };
  const goesOn = same ? treatment : begun;
  return {
    ...others,
    ...(due === true && isSameOrder(remedy, order.remedy) ? { due } : {}),
    ...(goesOn === undefined ? {} : { treatment: goesOn }),
    ...order,
  };
}

/** D4 */
function hasEnded({ treatment, endingSinceMs = 0 }: DrainState, { atMs }: UsageAnswer): boolean {
  return (treatment?.underway.length ?? 0) === 0 || atMs - endingSinceMs > ENDING_MS;
}

/** What the drain is after an answer. */
export function readingOf(drain: DrainState, answer: UsageAnswer): DrainState {
  const { deploymentId, adminUrl, remedy, due, treatment, endingSinceMs, next } = drain;
  const { atMs } = answer;
  const reading = (phase: DrainState["phase"]) => ({
    deploymentId,
    adminUrl,
    ...(remedy === undefined ? {} : { remedy }),
    ...(due === undefined ? {} : { due }),
    ...(treatment === undefined ? {} : { treatment }),
    ...(endingSinceMs === undefined ? {} : { endingSinceMs }),
    phase,
    since: drain.phase === phase ? drain.since : timestampOf(atMs),
    atMs,
    polls: drain.polls + 1,
    ...(next === undefined ? {} : { next }),
  });
  if (answer.kind === "unknown") {
    const { activePinned, activeUnpinned, latestFor } = drain;
    const counts = { activePinned, activeUnpinned, latestFor };
    return { ...reading("unknown"), ...counts, confirmed: false, message: answer.message }; // D2
  }
  const { unpinned, routed, oldest } = answer.usage;
  const pinned = Math.max(answer.usage.pinned, heldBy(treatment ?? UNTREATED));
  const counts = { activePinned: pinned, activeUnpinned: unpinned, latestFor: routed };
  if (pinned + unpinned > 0) {
    const since = oldest === undefined ? {} : { oldest };
    return { ...reading("draining"), ...counts, confirmed: false, ...since };
  }
  // Routed to, it is not drained; but that no work is unfinished is confirmed all the same: a deletion waits for no more.
  const emptySinceMs = drain.emptySinceMs ?? atMs;
  const confirmed = atMs - emptySinceMs >= POLL_MS;
  // A count shared with others can be from before the drain began, and what began in between is not in it.
  const isOlder = drain.polls === 0 && atMs < drain.atMs;
  const phase = routed > 0 || isOlder ? "draining" : "drained";
  return { ...reading(phase), ...counts, confirmed, emptySinceMs };
}

/** When to poll next: soon while something moves or a second reading is wanted, rarer the longer nothing does. */
export function intervalAfter(before: DrainState, now: DrainState): number {
  if ((now.treatment?.underway.length ?? 0) > 0) return POLL_TREATING_MS;
  const dueMs =
    now.remedy === undefined || now.due === true
      ? Infinity
      : Math.max(now.remedy.atMs - now.atMs, POLL_TREATING_MS);
  return Math.min(dueMs, countingInterval(before, now));
}

function countingInterval(before: DrainState, now: DrainState): number {
  const toBeConfirmed = now.emptySinceMs !== undefined && !now.confirmed;
  if (before.polls === 0 || saysMore(reportOf(before), reportOf(now)) || toBeConfirmed) {
    return POLL_MS;
  }
  const onlyUnbegun = now.activeUnpinned > 0 && now.activePinned === 0;
  const longestMs = onlyUnbegun ? POLL_SCHEDULED_MS : POLL_SLOW_MS;
  return Math.min((now.next?.intervalMs ?? POLL_MS) * SLOWER, longestMs);
}

/** Sends the next poll, and keeps the state that it will find. */
async function sendPoll(ctx: ObjectContext, drain: DrainState, delayMs: number): Promise<void> {
  const poll = await armPoll(ctx, VERSION_DRAIN, { after: drain.next, delayMs });
  const next = { ...poll, intervalMs: Math.max(delayMs, POLL_MS) };
  ctx.set<DrainState>(DRAIN, { ...drain, next });
}

/** Every reading of a drain that is wanted (D3). */
function report(ctx: ObjectContext, drain: DrainState): void {
  if (drain.endingSinceMs !== undefined) return;
  const [namespace = "", name = "", version = ""] = ctx.key.split("/");
  const said: DrainReport = { version, ...reportOf(drain) };
  const why = `drain of ${version}: ${drain.phase}`;
  const reconciler = { service: RECONCILER, key: `${namespace}/${name}` };
  reportTo(ctx, reconciler, { from: version, report: said, why });
}

/** The order, and once its time is over what came of it. */
function remedyOf(drain: DrainState): DrainReport["remedy"] {
  const { remedy, due, treatment = UNTREATED, activePinned, activeUnpinned } = drain;
  if (remedy === undefined || due === undefined) return remedy;
  return { ...remedy, progress: progressOf(treatment, activePinned + activeUnpinned) };
}

/** What the reconciler is told of a drain. */
export function reportOf(drain: DrainState): Omit<DrainReport, "version"> {
  const remedy = remedyOf(drain);
  const { deploymentId, phase, activePinned, activeUnpinned, latestFor, atMs, confirmed } = drain;
  return {
    deploymentId,
    phase,
    activePinned,
    activeUnpinned,
    latestFor,
    atMs,
    confirmed,
    ...(remedy === undefined ? {} : { remedy }),
  };
}
