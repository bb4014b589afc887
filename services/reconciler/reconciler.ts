/**
 * The reconciler: four sentences, the same for every kind. Plan; apply; write the status; arm the next look.
 *
 * R1 Every effect is a step of its own, idempotent and bounded: a key that is busy for ever would block its own fix.
 * R2 A plan is only carried out on the resource, uid and generation, it was made for.
 * R3 A failure is written to the resource, retried later by a timer of its own, and shown as a failed invocation; the
 *    key is free meanwhile. One that trying again might have cured (an API server that was away for some seconds) is
 *    written only when it comes twice in a row: it says nothing about the resource.
 * R4 What a wake says is never believed: it names a cause for people to read, and everything is read afresh.
 * R5 `wake` and `resync` carry constant idempotency keys and keep nothing, so bursts collapse and nothing is lost
 *    (measured; see ARCHITECTURE). They are never sent with a delay (`wake`) or from themselves (`resync`).
 * R6 A periodic look that finds nothing to do leaves no row behind: what history keeps is what was done.
 */
import {
  CancelledError,
  RestatePromise,
  TerminalError,
  handlers,
  object,
  type ObjectContext,
  type ObjectSharedContext,
} from "@restatedev/restate-sdk";
import { backoffMs } from "../core/backoff.ts";
import { timestampOf } from "../core/conditions.ts";
import { PLAN_MAX_BYTES, type AnyAction, type Plan } from "../core/plan.ts";
import type { ResourceIdentity } from "../core/resource.ts";
import { KubeError } from "../kube/errors.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { Cause, ReconcilerHandlers, RetryRequest, Self } from "./api.ts";
import { readMemory, withApplied, writeMemory, type LastReconcile, type Memory } from "./memory.ts";
import { NOTHING_KEPT, OBJECT_OPTIONS } from "./object-options.ts";
import type { ActionResult, Attempt, ResourceKind } from "./resource-kind.ts";
import { armResync, armRetry, disarmRetry, forgetTimers } from "./timers.ts";
import type { Turns } from "./turns.ts";

/** How long a person can read a reconcile after it ended. */
const RECONCILE_KEPT = { journalRetention: { hours: 24 }, idempotencyRetention: 0 } as const;

/** Bounds of one step: about three attempts in three seconds, then the reconcile fails and its key is free (R1). */
const STEP = {
  maxRetryAttempts: 3,
  maxRetryDuration: { seconds: 3 },
  initialRetryInterval: 200,
  retryIntervalFactor: 3,
} as const;

const OPTIONS = {
  ...OBJECT_OPTIONS,
  asTerminalError: (error: unknown) =>
    error instanceof KubeError && !error.retryable
      ? new TerminalError(error.message, { errorCode: error.status })
      : undefined,
} as const;

/** The virtual object that reconciles one kind of resource, keyed by resource name. */
export function defineReconciler<Action extends AnyAction, Status, Reason extends string, Report>(
  kind: ResourceKind<Action, Status, Reason, Report>,
  { telemetry, turns }: { readonly telemetry: Telemetry; readonly turns: Turns },
) {
  const self: Self = (ctx) =>
    ctx.objectSendClient<ReconcilerHandlers>({ name: kind.service }, ctx.key);
  const run: Reconcile<Action, Status, Reason, Report> = { kind, telemetry, self };
  return object({
    name: kind.service,
    description: `Reconciles ${kind.kind} resources`,
    options: OPTIONS,
    handlers: {
      wake: handlers.object.exclusive(NOTHING_KEPT, async (ctx: ObjectContext, cause: Cause) => {
        self(ctx).reconcile({ why: whyOf(cause) });
      }),
      reconcile: handlers.object.exclusive(
        { ...RECONCILE_KEPT, ingressPrivate: true },
        async (ctx: ObjectContext, _cause: Cause) => {
          const endTurn = await turns.take(ctx.request().attemptCompletedSignal);
          try {
            return await reconcile(run, ctx);
          } finally {
            endTurn();
          }
        },
      ),
      resync: handlers.object.exclusive(
        { ...NOTHING_KEPT, ingressPrivate: true },
        async (ctx: ObjectContext) => {
          self(ctx).look();
        },
      ),
      look: handlers.object.exclusive(
        { ...NOTHING_KEPT, ingressPrivate: true },
        (ctx: ObjectContext) => look(run, ctx),
      ),
      retry: handlers.object.exclusive(
        { ...NOTHING_KEPT, ingressPrivate: true },
        async (ctx: ObjectContext, request: RetryRequest) => {
          const memory = await readMemory(ctx);
          if (memory.timers.retry?.n !== request.n) return;
          const { retry: _, ...timers } = memory.timers;
          writeMemory(ctx, { ...memory, timers });
          self(ctx).reconcile({ why: request.why });
        },
      ),
      describe: handlers.object.shared({ ...NOTHING_KEPT }, (ctx: ObjectSharedContext) =>
        readMemory(ctx),
      ),
    },
  });
}

interface Reconcile<Action extends AnyAction, Status, Reason extends string, Report> {
  readonly kind: ResourceKind<Action, Status, Reason, Report>;
  readonly telemetry: Telemetry;
  readonly self: (
    ctx: ObjectContext,
  ) => ReturnType<typeof ctx.objectSendClient<ReconcilerHandlers>>;
}

async function reconcile<Action extends AnyAction, Status, Reason extends string, Report>(
  run: Reconcile<Action, Status, Reason, Report>,
  ctx: ObjectContext,
): Promise<LastReconcile> {
  const memory = await readMemory(ctx);
  const attempt = run.kind.attempt(ctx.key);
  const progress: { action: Action | undefined } = { action: undefined };
  const startedAt = performance.now();
  try {
    const plan = await planStep(run, ctx, { attempt, memory });
    const last = await applyAll({ run, ctx, attempt, memory, progress }, plan);
    await armNext(run, ctx, { memory, last, plan });
    run.telemetry.reconciled(run.kind.kind, (performance.now() - startedAt) / 1000);
    return last;
  } catch (error) {
    if (!(error instanceof TerminalError) || error instanceof CancelledError) throw error;
    run.telemetry.reconcileFailed(
      run.kind.kind,
      ctx.key,
      run.kind.reasonOfFailure(progress.action),
    );
    throw await failed(run, ctx, { attempt, memory, action: progress.action, error });
  }
}

/** The periodic look (R6): plans, and asks for a reconcile only if that would do something. */
async function look<Action extends AnyAction, Status, Reason extends string, Report>(
  run: Reconcile<Action, Status, Reason, Report>,
  ctx: ObjectContext,
): Promise<void> {
  const memory = await readMemory(ctx);
  try {
    const plan = await planStep(run, ctx, { attempt: run.kind.attempt(ctx.key), memory });
    if (plan.outcome.kind === "applied" && isQuiet(plan)) {
      await armResync(ctx, memory, run.self);
      writeMemory(ctx, memory);
      return;
    }
  } catch (error) {
    if (!(error instanceof TerminalError) || error instanceof CancelledError) throw error;
  }
  run.self(ctx).reconcile({ why: "periodic resync found something to do" });
}

const isQuiet = (plan: Plan<AnyAction, unknown>): boolean =>
  plan.actions.length === 0 && plan.status === undefined && (plan.events ?? []).length === 0;

async function planStep<Action extends AnyAction, Status, Reason extends string, Report>(
  run: Reconcile<Action, Status, Reason, Report>,
  ctx: ObjectContext,
  work: { readonly attempt: Attempt<Action, Status, Reason, Report>; readonly memory: Memory },
): Promise<Plan<Action, Status>> {
  const { attempt, memory } = work;
  const remembered = { uid: memory.uid, applied: memory.applied };
  const reports = await reportsOf(run, ctx, memory);
  const plan = await ctx.run(
    "plan",
    async () => {
      const decided = await attempt.plan(remembered, reports);
      const bytes = JSON.stringify(decided).length;
      if (bytes > PLAN_MAX_BYTES) {
        throw new TerminalError(
          `the plan has ${bytes} bytes, at most ${PLAN_MAX_BYTES} may be journaled`,
        );
      }
      return decided;
    },
    STEP,
  );
  if (plan.for !== undefined && plan.for.uid !== memory.uid) {
    memory.uid = plan.for.uid;
    memory.applied = {};
  }
  return plan;
}

/** What the assistants say, all of them asked at once. */
async function reportsOf<Action extends AnyAction, Status, Reason extends string, Report>(
  { kind }: Reconcile<Action, Status, Reason, Report>,
  ctx: ObjectContext,
  { assistants: names = [] }: Memory,
): Promise<Report[]> {
  const { assistants } = kind;
  if (assistants === undefined) return [];
  // Restate's own `all`: the SDK takes one await at a time (measured: two fail the attempt, which then is repeated).
  const reports = await RestatePromise.all(names.map((name) => assistants.report(ctx, name)));
  return reports.flatMap((report) => report ?? []);
}

interface Work<Action extends AnyAction, Status, Reason extends string, Report> {
  readonly run: Reconcile<Action, Status, Reason, Report>;
  readonly ctx: ObjectContext;
  readonly attempt: Attempt<Action, Status, Reason, Report>;
  readonly memory: Memory;
  readonly progress: { action: Action | undefined };
}

/** Carries out a plan: every action, then the events, then the one status write. */
async function applyAll<Action extends AnyAction, Status, Reason extends string, Report>(
  work: Work<Action, Status, Reason, Report>,
  plan: Plan<Action, Status>,
): Promise<LastReconcile> {
  const { run, ctx, attempt, memory, progress } = work;
  const ended = (outcome: LastReconcile["outcome"]): LastReconcile => ({
    outcome,
    ...(plan.for === undefined ? {} : { generation: plan.for.generation }),
    at: timestampOf(plan.observedAtMs),
  });
  const planned = plan.for;
  if (planned === undefined) return ended(plan.outcome);
  for (const action of plan.actions) {
    progress.action = action;
    if (sendToAssistant(run, ctx, { memory, action })) continue;
    const step = run.kind.stepOf(action);
    const result = await ctx.run(
      step,
      async () => {
        const done = await attempt.apply(action, planned);
        if (done.kind === "done" || done.kind === "advanced") {
          run.telemetry.log.info(
            { kind: run.kind.kind, name: ctx.key, step, because: action.because },
            "applied",
          );
        }
        return done;
      },
      STEP,
    );
    if (result.kind === "superseded") return ended(result);
    if (result.kind === "waiting") {
      const { outcome } = result;
      const write = attempt.writeWaiting?.bind(attempt, outcome, plan.status, planned);
      const said = write === undefined ? result : await say(work, plan, { planned, write });
      return ended(said.kind === "superseded" ? said : outcome);
    }
    memory.applied = withApplied(memory.applied, result.applied ?? {});
    if (result.kind === "advanced") return ended({ kind: "superseded" });
  }
  progress.action = undefined;
  const { status } = plan;
  const write = status === undefined ? undefined : () => attempt.writeStatus(status, planned);
  const said = await say(work, plan, { planned, write });
  return ended(said.kind === "superseded" ? said : plan.outcome);
}

/** The events, and then the status: with it written, nobody would know that they are still to be told. */
async function say<Action extends AnyAction, Status, Reason extends string, Report>(
  { ctx, attempt }: Work<Action, Status, Reason, Report>,
  { events = [] }: Pick<Plan<Action, Status>, "events">,
  {
    planned,
    write,
  }: { planned: ResourceIdentity; write: (() => Promise<ActionResult>) | undefined },
): Promise<ActionResult> {
  for (const event of events) {
    await ctx.run(`emit event ${event.reason}`, () => attempt.emit(event, planned), STEP);
  }
  return write === undefined ? { kind: "done" } : ctx.run("write status", write, STEP);
}

/** Carries out an action that is a message, durably: it is sent once, however often this is replayed. */
function sendToAssistant<Action extends AnyAction, Status, Reason extends string, Report>(
  { kind, telemetry }: Reconcile<Action, Status, Reason, Report>,
  ctx: ObjectContext,
  { memory, action }: { readonly memory: Memory; readonly action: Action },
): boolean {
  const { assistants } = kind;
  const addressed = assistants?.addressed(action);
  if (assistants === undefined || addressed === undefined) return false;
  const others = (memory.assistants ?? []).filter((name) => name !== addressed.name);
  if (addressed.kind === "start") {
    assistants.start(ctx, action);
    memory.assistants = [...others, addressed.name];
  } else {
    assistants.stop(ctx, addressed.name);
    memory.assistants = others;
  }
  const { because } = action;
  telemetry.log.info(
    { kind: kind.kind, name: ctx.key, step: kind.stepOf(action), because },
    "sent",
  );
  return true;
}

/** How soon a superseded plan is made afresh if no wake does it before. */
const SUPERSEDED_RETRY_MS = 1_000;

/** When to look again without an event, and why; `undefined`: at the next periodic look. */
function retryAfter(
  { outcome }: LastReconcile,
  { lookAgainMs }: Pick<Plan<AnyAction, unknown>, "lookAgainMs">,
): { delayMs: number; why: string } | undefined {
  switch (outcome.kind) {
    case "waiting": {
      const delayMs = Math.min(outcome.requeueAfterMs, lookAgainMs ?? Infinity);
      return { delayMs, why: `still waiting: ${outcome.reason}` };
    }
    case "superseded":
      return { delayMs: SUPERSEDED_RETRY_MS, why: "the plan was superseded" };
    default:
      return lookAgainMs === undefined
        ? undefined
        : { delayMs: lookAgainMs, why: "the next step is due" };
  }
}

async function armNext<Action extends AnyAction, Status, Reason extends string, Report>(
  run: Reconcile<Action, Status, Reason, Report>,
  ctx: ObjectContext,
  end: { memory: Memory; last: LastReconcile; plan: Plan<Action, Status> },
): Promise<void> {
  const { memory, last, plan } = end;
  const nowMs = plan.observedAtMs;
  if (last.outcome.kind === "gone") {
    for (const name of memory.assistants ?? []) run.kind.assistants?.stop(ctx, name);
    forgetTimers(ctx, memory);
    ctx.clearAll();
    return;
  }
  memory.failures = 0;
  memory.last = last;
  await armResync(ctx, memory, run.self);
  const retry = retryAfter(last, plan);
  if (retry === undefined) disarmRetry(ctx, memory);
  else await armRetry(ctx, memory, { self: run.self, nowMs, ...retry });
  writeMemory(ctx, memory);
}

/** Code of the error of a step that failed each time it was tried. What was refused has the status of the refusal. */
const EXHAUSTED = 500;

/** Says that a reconcile failed, arms the retry, and answers the error that ends the invocation (R3). */
async function failed<Action extends AnyAction, Status, Reason extends string, Report>(
  run: Reconcile<Action, Status, Reason, Report>,
  ctx: ObjectContext,
  failure: {
    attempt: Attempt<Action, Status, Reason, Report>;
    memory: Memory;
    action: Action | undefined;
    error: TerminalError;
  },
): Promise<TerminalError> {
  const { attempt, memory, action, error } = failure;
  const reason = run.kind.reasonOfFailure(action);
  const { message } = error;
  if (memory.failures > 0 || error.code !== EXHAUSTED) {
    try {
      await ctx.run("write failure", () => attempt.writeFailure({ reason, message }), STEP);
    } catch (second) {
      // Most often the same cause: what cannot be read cannot be written. The failed invocation still says why.
      if (!(second instanceof TerminalError) || second instanceof CancelledError) throw second;
    }
  }
  const nowMs = await ctx.date.now();
  memory.failures += 1;
  memory.last = { outcome: { kind: "failed", message }, at: timestampOf(nowMs) };
  const delayMs = backoffMs(memory.failures, ctx.rand.random());
  await armResync(ctx, memory, run.self);
  await armRetry(ctx, memory, {
    self: run.self,
    delayMs,
    nowMs,
    why: `retry after failure ${memory.failures}`,
  });
  writeMemory(ctx, memory);
  return new TerminalError(`${message}; retry in ${Math.round(delayMs / 1000)} s`);
}

/** The cause of a wake, from the outside: bounded, printable, and only ever shown. */
function whyOf(cause: unknown): string {
  const why: unknown =
    typeof cause === "object" && cause !== null && "why" in cause ? cause.why : undefined;
  return typeof why === "string" ? why.replaceAll(/[^\x20-\x7E]+/g, " ").slice(0, 200) : "wake";
}
