/**
 * What every assistant is made of: an object that works for a resource beside its reconciler, in a chain of short polls each of
 * which sends the next, and tells the reconciler what it has read.
 *
 * Messages only: nobody holds one of the Restate's places for running invocations while it waits for another that needs one.
 * (Reconciles that asked for reports held all 64, and the reports found none: 200 drains took minutes instead of seconds.)
 */
import { InvocationIdParser, rpc, type ObjectContext } from "@restatedev/restate-sdk";
import { canonicalJson } from "../core/digest.ts";
import type { AssistantReport, ReconcilerHandlers } from "./api.ts";

/** The poll that is awaited: its number tells it from older ones that fire late. */
export interface NextPoll {
  readonly n: number;
  /** Absent: none is sent for the time being. */
  readonly invocationId?: string;
}

interface PollHandlers {
  poll(ctx: ObjectContext, poll: { readonly n: number }): Promise<void>;
}

/** Sends the assistant's own next poll. */
export async function armPoll(
  ctx: ObjectContext,
  service: string,
  { after, delayMs }: { readonly after: NextPoll | undefined; readonly delayMs: number },
): Promise<Required<NextPoll>> {
  const n = (after?.n ?? 0) + 1;
  const name = `arm poll ${n} in ${Math.round(delayMs / 1000)} s`;
  const poll = ctx
    .objectSendClient<PollHandlers>({ name: service }, ctx.key)
    .poll({ n }, rpc.sendOpts({ delay: delayMs, name }));
  return { n, invocationId: await poll.invocationId };
}

/** Cancels a poll that is out. */
export function cancelPoll(ctx: ObjectContext, next: NextPoll | undefined): void {
  if (next?.invocationId !== undefined) {
    ctx.cancel(InvocationIdParser.fromString(next.invocationId));
  }
}

/**
 * Tells a reconciler what was read. It is told every time, because how old a reading is matters, and because a message is lost
 * when an upgrade ends the build that was to take it; it reconciles when a report says more than the one before.
 */
export function reportTo(
  ctx: ObjectContext,
  reconciler: { readonly service: string; readonly key: string },
  said: AssistantReport,
): void {
  ctx
    .objectSendClient<ReconcilerHandlers>({ name: reconciler.service }, reconciler.key)
    .report(said, rpc.sendOpts({ name: "report" }));
}

/** Whether anything could be decided otherwise by a report than by the one before: more than `atMs`, when it was read, differs. */
export function saysMore(before: unknown, now: unknown): boolean {
  return canonicalJson(timeless(before)) !== canonicalJson(timeless(now));
}

function timeless(report: unknown): unknown {
  return typeof report === "object" ? { ...report, atMs: 0 } : report;
}
