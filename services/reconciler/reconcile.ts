/**
 * One reconcile, in four sentences that are the same for every kind: plan; apply; write the status; arm the next look.
 *
 * R1 Every effect is a step of its own, idempotent and bounded: a key that is busy for ever would block its own fix.
 * R2 A plan is only carried out on the resource, uid and generation, it was made for.
 * R3 A failure is written to the resource, retried later by a timer of its own, and shown as a failed invocation; the
 *    key is free meanwhile. One that trying again might cure is written only when it has lasted for a quarter of a minute:
 *    an API server that was away for some seconds says nothing about the resource.
 * R6 A periodic look that finds nothing to do leaves no row behind: what history keeps is what was done.
 */
import { CancelledError, TerminalError, type ObjectContext } from "@restatedev/restate-sdk";
import { backoffMs } from "../core/backoff.ts";
import { timestampOf } from "../core/conditions.ts";
import { PLAN_MAX_BYTES, type AnyAction, type Plan } from "../core/plan.ts";
import type { ResourceIdentity } from "../core/resource.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { Self } from "./api.ts";
import { readMemory, withApplied, writeMemory, type LastReconcile, type Memory } from "./memory.ts";
import type { ActionResult, Attempt, PlanOf, ResourceKind, Terms } from "./resource-kind.ts";
import { armResync, armRetry, disarmRetry, forgetTimers } from "./timers.ts";

/** Bounds of one step: about three attempts in three seconds, then the reconcile fails and its key is free (R1). */
const STEP = {
  maxRetryAttempts: 3,
  maxRetryDuration: { seconds: 3 },
  initialRetryInterval: 200,
  retryIntervalFactor: 3,
} as const;

/** What a reconcile needs beside its context. */
export interface Reconcile<T extends Terms> {
  readonly kind: ResourceKind<T>;
  readonly telemetry: Telemetry;
  readonly self: Self;
}

/** Answers what came of it; throws the `TerminalError` that ends the invocation when it failed (R3). */
export async function reconcile<T extends Terms>(
  run: Reconcile<T>,
  ctx: ObjectContext,
): Promise<LastReconcile> {
  const memory = await readMemory(ctx);
  const attempt = run.kind.attempt(ctx.key);
  const progress: { action: T["action"] | undefined } = { action: undefined };
  const startedAt = performance.now();
  try {
    const plan = await planStep(ctx, { attempt, memory });
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
export async function look<T extends Terms>(run: Reconcile<T>, ctx: ObjectContext): Promise<void> {
  const memory = await readMemory(ctx);
  try {
    const plan = await planStep(ctx, { attempt: run.kind.attempt(ctx.key), memory });
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

async function planStep<T extends Terms>(
  ctx: ObjectContext,
  work: { readonly attempt: Attempt<T>; readonly memory: Memory },
): Promise<PlanOf<T>> {
  const { attempt, memory } = work;
  const remembered = { uid: memory.uid, applied: memory.applied };
  const reports = Object.values(reportsOf<T["report"]>(memory));
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

/** What the assistants have reported, by their names. */
function reportsOf<Report>({ assistants = {} }: Memory): Readonly<Record<string, Report>> {
  // Of this kind's own assistants: only they are ever started.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return assistants as Readonly<Record<string, Report>>;
}

interface Work<T extends Terms> {
  readonly run: Reconcile<T>;
  readonly ctx: ObjectContext;
  readonly attempt: Attempt<T>;
  readonly memory: Memory;
  readonly progress: { action: T["action"] | undefined };
}

/** Carries out a plan: every action, then the events, then the one status write. */
async function applyAll<T extends Terms>(work: Work<T>, plan: PlanOf<T>): Promise<LastReconcile> {
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
    if (sendToAssistant(run, ctx, { memory, action, nowMs: plan.observedAtMs })) continue;
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
async function say<T extends Terms>(
  { ctx, attempt }: Work<T>,
  { events = [] }: Pick<PlanOf<T>, "events">,
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
function sendToAssistant<T extends Terms>(
  { kind, telemetry }: Reconcile<T>,
  ctx: ObjectContext,
  {
    memory,
    action,
    nowMs,
  }: { readonly memory: Memory; readonly action: T["action"]; readonly nowMs: number },
): boolean {
  const message = kind.assistants?.messageOf(action);
  if (message === undefined) return false;
  const { [message.to]: known, ...others } = reportsOf<T["report"]>(memory);
  const report = message.send(ctx, { known, nowMs });
  memory.assistants = report === undefined ? others : { ...others, [message.to]: report };
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

async function armNext<T extends Terms>(
  run: Reconcile<T>,
  ctx: ObjectContext,
  end: { memory: Memory; last: LastReconcile; plan: PlanOf<T> },
): Promise<void> {
  const { memory, last, plan } = end;
  const nowMs = plan.observedAtMs;
  if (last.outcome.kind === "gone") {
    for (const name of Object.keys(memory.assistants ?? {})) run.kind.assistants?.stop(ctx, name);
    forgetTimers(ctx, memory);
    ctx.clearAll();
    return;
  }
  delete memory.failing;
  memory.last = last;
  await armResync(ctx, memory, run.self);
  const retry = retryAfter(last, plan);
  if (retry === undefined) disarmRetry(ctx, memory);
  else await armRetry(ctx, memory, { self: run.self, nowMs, ...retry });
  writeMemory(ctx, memory);
}

/** Code of the error of a step that failed each time it was tried. What was refused has the status of the refusal. */
const EXHAUSTED = 500;
/** How long what may pass by itself is not written: an API server that restarts is away, and then refuses, for some seconds. */
const SILENT_MS = 15_000;

/** Says that a reconcile failed, arms the retry, and answers the error that ends the invocation (R3). */
async function failed<T extends Terms>(
  run: Reconcile<T>,
  ctx: ObjectContext,
  failure: {
    attempt: Attempt<T>;
    memory: Memory;
    action: T["action"] | undefined;
    error: TerminalError;
  },
): Promise<TerminalError> {
  const { attempt, memory, action, error } = failure;
  const reason = run.kind.reasonOfFailure(action);
  const { message } = error;
  const nowMs = await ctx.date.now();
  const { times, sinceMs } = memory.failing ?? { times: 0, sinceMs: nowMs };
  // What fails for a reason of its own, such as a Restate that cannot be provisioned, is about the resource.
  const mayPass = error.code === EXHAUSTED && reason === run.kind.reasonOfFailure(undefined);
  if (!mayPass || nowMs - sinceMs >= SILENT_MS) {
    try {
      await ctx.run("write failure", () => attempt.writeFailure({ reason, message }), STEP);
    } catch (second) {
      // Most often the same cause: what cannot be read cannot be written. The failed invocation still says why.
      if (!(second instanceof TerminalError) || second instanceof CancelledError) throw second;
    }
  }
  memory.failing = { times: times + 1, sinceMs };
  memory.last = { outcome: { kind: "failed", message }, at: timestampOf(nowMs) };
  const delayMs = backoffMs(times + 1, ctx.rand.random());
  await armResync(ctx, memory, run.self);
  await armRetry(ctx, memory, {
    self: run.self,
    delayMs,
    nowMs,
    why: `retry after failure ${times + 1}`,
  });
  writeMemory(ctx, memory);
  return new TerminalError(`${message}; retry in ${Math.round(delayMs / 1000)} s`);
}
