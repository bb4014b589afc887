/**
 * The durable part of what a drain does about work whose time is over: which invocations it takes on is kept before any of them
 * is touched, so that one that was paused or moved is never forgotten, whatever happens to this process. Counting and
 * reporting go on beside it, in drain.ts.
 */
import { CancelledError, TerminalError, type ObjectContext } from "@restatedev/restate-sdk";
import type { AdminPool } from "../../restate/admin-pool.ts";
import type { RemedyOrder } from "../api.ts";
import { UNTREATED, type Treatment } from "../plan/plan-remedy.ts";
import { count } from "../plan/version-standing.ts";
import { pickInvocations, treatInvocations } from "./remedy.ts";
import type { UsageAnswer } from "./drain-api.ts";

const STEP = { maxRetryAttempts: 2, maxRetryDuration: { seconds: 2 } } as const;

/** What a drain knows that matters here. */
interface Treatable {
  readonly deploymentId: string;
  readonly adminUrl: string;
  readonly remedy?: RemedyOrder;
  /** The time of its unfinished work is over. */
  readonly due?: true;
  readonly treatment?: Treatment;
}

/**
 * The drain after what can be done now. `keep` keeps a drain, for whoever goes on with it. Where Restate does not answer,
 * nothing is done and nothing is forgotten.
 */
export async function treat<Drain extends Treatable>(
  ctx: ObjectContext,
  given: {
    readonly admins: AdminPool;
    readonly drain: Drain;
    readonly answer: UsageAnswer;
    readonly keep: (drain: Drain) => void;
  },
): Promise<Drain> {
  const { admins, answer, keep } = given;
  if (answer.kind === "unknown") return given.drain;
  const { remedy, treatment: before, deploymentId, adminUrl } = given.drain;
  const due = remedy !== undefined && (await ctx.date.now()) >= remedy.atMs;
  const drain: Drain = due ? { ...given.drain, due: true } : given.drain;
  const action = due && remedy.action !== "alert" ? remedy.action : undefined;
  let treatment = before;
  if (action !== undefined) {
    const picked = await pick(ctx, given, treatment ?? UNTREATED);
    treatment = picked.treatment;
    if (picked.failed) return { ...drain, treatment };
    keep({ ...drain, treatment });
  }
  if (treatment === undefined || treatment.underway.length === 0) {
    return treatment === undefined ? drain : { ...drain, treatment };
  }
  const begun = treatment;
  const name = `${action ?? "leave"} ${count(begun.underway.length, "invocation")}`;
  const question = { action, deploymentId, countedAtMs: answer.atMs };
  const treated = await step(ctx, name, () =>
    treatInvocations(admins.of(adminUrl), begun, question),
  );
  return {
    ...drain,
    treatment: typeof treated === "string" ? { ...begun, failure: treated } : treated,
  };
}

/** Takes on what has begun on the deployment, as far as there is room. */
async function pick(
  ctx: ObjectContext,
  {
    admins,
    drain: { adminUrl, deploymentId },
    answer,
  }: { readonly admins: AdminPool; readonly drain: Treatable; readonly answer: UsageAnswer },
  before: Treatment,
): Promise<{ readonly treatment: Treatment; readonly failed: boolean }> {
  const { failure: _, ...treatment } = before;
  if (answer.kind === "counted" && answer.usage.pinned === 0 && treatment.kept === 0) {
    return { treatment: { ...treatment, unmovable: [] }, failed: false };
  }
  const picked = await step(ctx, "pick invocations", () =>
    pickInvocations(admins.of(adminUrl), deploymentId, treatment),
  );
  if (typeof picked === "string") {
    return { treatment: { ...treatment, failure: picked }, failed: true };
  }
  const { ids, kept, unmovable } = picked;
  const underway = [...treatment.underway, ...ids.map((id) => ({ id }))];
  return { treatment: { ...treatment, underway, kept, unmovable }, failed: false };
}

/** The result of a step, or, as a text, why there is none. */
async function step<Result extends object>(
  ctx: ObjectContext,
  name: string,
  run: () => Promise<Result>,
): Promise<Result | string> {
  try {
    return await ctx.run(name, run, STEP);
  } catch (error) {
    if (!(error instanceof TerminalError) || error instanceof CancelledError) throw error;
    return error.message;
  }
}
