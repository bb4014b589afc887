/**
 * When a resource is looked at again without an event.
 *
 * T1 One periodic timer per resource: `resync` is always sent with the same idempotency key, so a second one cannot be
 *    armed while one is out. T2 At most one short timer: arming another cancels the one before, and a number tells a
 *    late one from the newest. T3 `forgetTimers` cancels both, so a deleted resource leaves none behind.
 */
import { InvocationIdParser, rpc, type ObjectContext } from "@restatedev/restate-sdk";
import { jitteredMs } from "../core/backoff.ts";
import type { Memory } from "./memory.ts";
import type { Self } from "./api.ts";

/** How long a healthy resource is left alone (contract, section 2). */
const RESYNC_MS = 5 * 60_000;

/** Arms the periodic timer if it is not armed (T1). */
export async function armResync(ctx: ObjectContext, memory: Memory, self: Self): Promise<void> {
  const delay = jitteredMs(RESYNC_MS, ctx.rand.random());
  const timer = self(ctx).resync(
    rpc.sendOpts({ delay, idempotencyKey: "resync", name: "arm resync" }),
  );
  memory.timers = { ...memory.timers, resync: await timer.invocationId };
}

/** Arms the short timer, unless one is out that fires soon enough (T2). */
export async function armRetry(
  ctx: ObjectContext,
  memory: Memory,
  retry: {
    readonly self: Self;
    readonly delayMs: number;
    readonly nowMs: number;
    readonly why: string;
  },
): Promise<void> {
  const { self, delayMs, nowMs, why } = retry;
  const armed = memory.timers.retry;
  const dueAtMs = nowMs + delayMs;
  if (armed !== undefined && armed.dueAtMs > nowMs && armed.dueAtMs <= dueAtMs) return;
  disarmRetry(ctx, memory);
  const n = (memory.timers.lastN ?? 0) + 1;
  const timer = self(ctx).retry(
    { n, why },
    rpc.sendOpts({ delay: delayMs, name: `arm retry ${n} in ${Math.round(delayMs / 1000)} s` }),
  );
  memory.timers = {
    ...memory.timers,
    lastN: n,
    retry: { n, dueAtMs, invocationId: await timer.invocationId },
  };
}

/** Cancels the short timer, if one is out. */
export function disarmRetry(ctx: ObjectContext, memory: Memory): void {
  const { retry, ...others } = memory.timers;
  if (retry === undefined) return;
  ctx.cancel(InvocationIdParser.fromString(retry.invocationId));
  memory.timers = others;
}

/** Cancels every timer: the resource is gone (T3). */
export function forgetTimers(ctx: ObjectContext, memory: Memory): void {
  disarmRetry(ctx, memory);
  if (memory.timers.resync !== undefined) {
    ctx.cancel(InvocationIdParser.fromString(memory.timers.resync));
  }
  memory.timers = {};
}
