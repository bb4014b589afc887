/**
 * ClusterSurvey: asks a cluster how it is, for as long as somebody is there to answer, and wakes its reconciler when the answer
 * is another one. A chain of short polls, each of which sends the next, so the cluster is asked once in an interval however
 * often it is reconciled; nothing here ever writes to Kubernetes. `restate kv get ClusterSurvey <name>` shows the last answer.
 *
 * Q1 A number tells the chain's newest poll from older ones that fire late. Q2 Two questions are never less than the short
 * interval apart, whatever is ordered meanwhile. Q3 No answer is no reading: what was read stays, and only a second silence
 * in a row is told. Q4 The reconciler is told every reading, and reconciles when one says something new.
 */
import {
  CancelledError,
  TerminalError,
  handlers,
  object,
  rpc,
  type ObjectContext,
} from "@restatedev/restate-sdk";
import { armPoll, cancelPoll, reportTo, type NextPoll } from "../../reconciler/assistant.ts";
import { NOTHING_KEPT, OBJECT_OPTIONS } from "../../reconciler/object-options.ts";
import type { Assistants } from "../../reconciler/resource-kind.ts";
import type { Dial } from "../../restate/dial.ts";
import type { ClusterSurvey, ClusterTerms, SurveyOrder, SurveyReport } from "../api.ts";
import { readSurvey } from "./survey-answer.ts";
import {
  UNREAD,
  delayBefore,
  readingOf,
  reordered,
  reportOf,
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
  readonly next?: NextPoll;
}

/** The handlers, as the reconciler sees them. Keys are names of RestateClusters. */
interface SurveyHandlers {
  begin(ctx: ObjectContext, order: SurveyOrder): Promise<void>;
  poll(ctx: ObjectContext, poll: { readonly n: number }): Promise<void>;
  cancel(ctx: ObjectContext): Promise<void>;
  wake(ctx: ObjectContext): Promise<void>;
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
        const known = isAbout(order, before) ? reordered(before) : UNREAD;
        cancelPoll(ctx, before?.next);
        await goOn(ctx, { ...known, ...nextOf(before), ...order });
      }),
      poll: handlers.object.exclusive(PRIVATE, async (ctx: ObjectContext, { n }: { n: number }) => {
        const state = await ctx.get<SurveyState>(SURVEY);
        if (state?.next?.n !== n) return; // Q1
        const nowMs = await ctx.date.now();
        const answer = await ask(ctx, dial, state);
        const read = { ...state, ...readingOf(state, answer, nowMs) };
        await goOn(ctx, read);
        report(ctx, read);
      }),
      cancel: handlers.object.exclusive(PRIVATE, async (ctx: ObjectContext) => {
        cancelPoll(ctx, (await ctx.get<SurveyState>(SURVEY))?.next);
        ctx.clearAll();
      }),
      // After an upgrade of the operator has ended a poll that was under way.
      wake: handlers.object.exclusive(NOTHING_KEPT, async (ctx: ObjectContext) => {
        const state = await ctx.get<SurveyState>(SURVEY);
        if (state === null) return;
        cancelPoll(ctx, state.next);
        await goOn(ctx, state);
      }),
    },
  });
}

/** Whether what is known is of the cluster that is to be asked. */
function isAbout<Known extends SurveyOrder>(
  { uid, host }: SurveyOrder,
  known: Known | null | undefined,
): known is Known {
  return known?.uid === uid && known.host === host;
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
  if (!state.asks) {
    ctx.set<SurveyState>(SURVEY, { ...state, next: { n: (state.next?.n ?? 0) + 1 } });
    return;
  }
  const delayMs = delayBefore(state, await ctx.date.now());
  const next = await armPoll(ctx, CLUSTER_SURVEY, { after: state.next, delayMs });
  ctx.set<SurveyState>(SURVEY, { ...state, next });
}

/** Every reading (Q4). */
function report(ctx: ObjectContext, state: SurveyState): void {
  const { uid, host, asks } = state;
  const said: SurveyReport = { uid, host, asks, ...reportOf(state) };
  const why = "the cluster says something new about itself";
  reportTo(ctx, { service: RECONCILER, key: ctx.key }, { from: NAME, report: said, why });
}

const surveyOf = (ctx: ObjectContext) =>
  ctx.objectSendClient<SurveyHandlers>({ name: CLUSTER_SURVEY }, ctx.key);

/** The survey of a cluster, as its reconciler starts and ends it. */
export const SURVEYS: Assistants<ClusterTerms> = {
  messageOf(action) {
    if (action.kind !== "survey") return undefined;
    const { order } = action;
    return {
      to: NAME,
      send(ctx, { known }) {
        surveyOf(ctx).begin(order, rpc.sendOpts({ name: "order survey" }));
        return { ...(isAbout(order, known) ? known : {}), ...order, silent: false };
      },
    };
  },
  stop(ctx) {
    surveyOf(ctx).cancel(rpc.sendOpts({ name: "end survey" }));
  },
};
