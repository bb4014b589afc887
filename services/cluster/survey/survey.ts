/**
 * ClusterSurvey: asks a cluster how it is, for as long as somebody is there to answer, and wakes its reconciler when the answer
 * is another one. A chain of short polls, each of which sends the next, so the cluster is asked once in an interval however
 * often it is reconciled; nothing here ever writes to Kubernetes. `restate kv get ClusterSurvey <name>` shows the last answer.
 *
 * Q1 A number tells the chain's newest poll from older ones that fire late. Q2 Two questions are never less than the short
 * interval apart, whatever is ordered meanwhile. Q3 No answer is no reading: what was read stays, and only a second silence
 * in a row is told. Q4 The reconciler is woken when the report says something new, never told what.
 */
import {
  CancelledError,
  InvocationIdParser,
  TerminalError,
  handlers,
  object,
  rpc,
  type ObjectContext,
  type ObjectSharedContext,
} from "@restatedev/restate-sdk";
import type { ReconcilerHandlers } from "../../reconciler/api.ts";
import { NOTHING_KEPT, OBJECT_OPTIONS } from "../../reconciler/object-options.ts";
import type { Assistants } from "../../reconciler/resource-kind.ts";
import type { Dial } from "../../restate/dial.ts";
import type { ClusterAction, ClusterSurvey, SurveyOrder, SurveyReport } from "../api.ts";
import { readSurvey } from "./survey-answer.ts";
import {
  UNREAD,
  delayBefore,
  readingOf,
  reordered,
  reportOf,
  saysMore,
  type SurveyReading,
} from "./survey-reading.ts";

export const CLUSTER_SURVEY = "ClusterSurvey";
const RECONCILER = "ClusterReconciler";
/** The one survey of a cluster, as its reconciler names it. */
const NAME = "survey";

const PRIVATE = { ...NOTHING_KEPT, ingressPrivate: true } as const;
/** The next poll is the retry. */
const STEP = { maxRetryAttempts: 1 } as const;

/** The state of a survey, for people and for the next poll. */
interface SurveyState extends SurveyOrder, SurveyReading {
  /** The poll that is awaited. */
  readonly next?: { readonly n: number; readonly invocationId?: string };
}

/** The handlers, as the reconciler sees them. Keys are names of RestateClusters. */
interface SurveyHandlers {
  begin(ctx: ObjectContext, order: SurveyOrder): Promise<void>;
  poll(ctx: ObjectContext, poll: { readonly n: number }): Promise<void>;
  cancel(ctx: ObjectContext): Promise<void>;
  wake(ctx: ObjectContext): Promise<void>;
  report(ctx: ObjectSharedContext): Promise<SurveyReport | null>;
}

const SURVEY = "survey";

/** The virtual object `ClusterSurvey`. */
export function defineClusterSurvey({ dial }: { readonly dial: Dial }) {
  return object({
    name: CLUSTER_SURVEY,
    description: "Asks a RestateCluster how it is",
    options: OBJECT_OPTIONS,
    handlers: {
      begin: handlers.object.exclusive(PRIVATE, async (ctx: ObjectContext, order: SurveyOrder) => {
        const before = await ctx.get<SurveyState>(SURVEY);
        const isSame = before?.uid === order.uid && before.host === order.host;
        const known = isSame ? reordered(before) : UNREAD;
        cancelPoll(ctx, before);
        await goOn(ctx, { ...known, ...nextOf(before), ...order });
      }),
      poll: handlers.object.exclusive(PRIVATE, async (ctx: ObjectContext, { n }: { n: number }) => {
        const state = await ctx.get<SurveyState>(SURVEY);
        if (state?.next?.n !== n) return; // Q1
        const nowMs = await ctx.date.now();
        const answer = await ask(ctx, dial, state);
        const read = readingOf(state, answer, nowMs);
        await goOn(ctx, { ...state, ...read });
        // Last: whoever is woken reads what has been kept by then.
        if (saysMore(state, read)) wakeReconciler(ctx);
      }),
      cancel: handlers.object.exclusive(PRIVATE, async (ctx: ObjectContext) => {
        cancelPoll(ctx, await ctx.get<SurveyState>(SURVEY));
        ctx.clearAll();
      }),
      // After an upgrade of the operator has ended a poll that was under way.
      wake: handlers.object.exclusive(NOTHING_KEPT, async (ctx: ObjectContext) => {
        const state = await ctx.get<SurveyState>(SURVEY);
        if (state === null) return;
        cancelPoll(ctx, state);
        await goOn(ctx, state);
      }),
      report: handlers.object.shared(PRIVATE, async (ctx: ObjectSharedContext) => {
        const state = await ctx.get<SurveyState>(SURVEY);
        if (state === null) return null;
        const { uid, host, asks } = state;
        return { uid, host, asks, ...reportOf(state) };
      }),
    },
  });
}

function nextOf(state: SurveyState | null): Pick<SurveyState, "next"> {
  return state?.next === undefined ? {} : { next: state.next };
}

async function ask(
  ctx: ObjectContext,
  dial: Dial,
  { host }: SurveyOrder,
): Promise<ClusterSurvey | undefined> {
  try {
    return await ctx.run("ask the cluster", () => readSurvey(dial, host), STEP);
  } catch (error) {
    if (!(error instanceof TerminalError) || error instanceof CancelledError) throw error;
    return undefined;
  }
}

/** Keeps the state, and sends the next poll where somebody is to be asked (Q2). */
async function goOn(ctx: ObjectContext, state: SurveyState): Promise<void> {
  const n = (state.next?.n ?? 0) + 1;
  if (!state.asks) {
    ctx.set<SurveyState>(SURVEY, { ...state, next: { n } });
    return;
  }
  const delay = delayBefore(state, await ctx.date.now());
  const poll = ctx
    .objectSendClient<SurveyHandlers>({ name: CLUSTER_SURVEY }, ctx.key)
    .poll({ n }, rpc.sendOpts({ delay, name: `arm poll ${n} in ${Math.round(delay / 1000)} s` }));
  const next = { n, invocationId: await poll.invocationId };
  ctx.set<SurveyState>(SURVEY, { ...state, next });
}

function cancelPoll(ctx: ObjectContext, state: SurveyState | null): void {
  const id = state?.next?.invocationId;
  if (id !== undefined) ctx.cancel(InvocationIdParser.fromString(id));
}

function wakeReconciler(ctx: ObjectContext): void {
  ctx
    .objectSendClient<ReconcilerHandlers>({ name: RECONCILER }, ctx.key)
    .wake(
      { why: "the cluster says something new about itself" },
      rpc.sendOpts({ idempotencyKey: "wake" }),
    );
}

const surveyOf = (ctx: ObjectContext) =>
  ctx.objectSendClient<SurveyHandlers>({ name: CLUSTER_SURVEY }, ctx.key);

/** The survey of a cluster, as its reconciler starts, asks and ends it. */
export const SURVEYS: Assistants<ClusterAction, SurveyReport> = {
  report(ctx) {
    const survey = ctx.objectClient<SurveyHandlers>({ name: CLUSTER_SURVEY }, ctx.key);
    return survey.report(rpc.opts({ name: "survey" }));
  },
  addressed: ({ kind }) => (kind === "survey" ? { kind: "start", name: NAME } : undefined),
  start(ctx, action) {
    if (action.kind !== "survey") return;
    surveyOf(ctx).begin(action.order, rpc.sendOpts({ name: "order survey" }));
  },
  stop(ctx) {
    surveyOf(ctx).cancel(rpc.sendOpts({ name: "end survey" }));
  },
};
