/**
 * The virtual object behind every resource of a kind: who may ask it for what. What a reconcile does is in `reconcile.ts`.
 *
 * R4 What a wake says is never believed: it names a cause for people to read, and everything is read afresh.
 * R5 `wake` and `resync` carry constant idempotency keys and keep nothing, so bursts collapse and nothing is lost
 *    (measured; see ARCHITECTURE). They are never sent with a delay (`wake`) or from themselves (`resync`).
 */
import {
  TerminalError,
  handlers,
  object,
  rpc,
  type ObjectContext,
  type ObjectSharedContext,
} from "@restatedev/restate-sdk";
import { KubeError } from "../kube/errors.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { AssistantReport, Cause, ReconcilerHandlers, RetryRequest, Self } from "./api.ts";
import { saysMore } from "./assistant.ts";
import { readMemory, writeMemory } from "./memory.ts";
import { NOTHING_KEPT, OBJECT_OPTIONS } from "./object-options.ts";
import { look, reconcile, type Reconcile } from "./reconcile.ts";
import type { ResourceKind, Terms } from "./resource-kind.ts";
import type { Turns } from "./turns.ts";

/** How long a person can read a reconcile after it ended. */
const RECONCILE_KEPT = { journalRetention: { hours: 24 }, idempotencyRetention: 0 } as const;
/** Of what the object and its assistants send to it. */
const PRIVATE = { ...NOTHING_KEPT, ingressPrivate: true } as const;

const OPTIONS = {
  ...OBJECT_OPTIONS,
  asTerminalError: (error: unknown) =>
    error instanceof KubeError && !error.mayPass
      ? new TerminalError(error.message, { errorCode: error.status })
      : undefined,
} as const;

/** The virtual object that reconciles one kind of resource, keyed by resource name. */
export function defineReconciler<T extends Terms>(
  kind: ResourceKind<T>,
  { telemetry, turns }: { readonly telemetry: Telemetry; readonly turns: Turns },
) {
  const self: Self = (ctx) =>
    ctx.objectSendClient<ReconcilerHandlers>({ name: kind.service }, ctx.key);
  const run: Reconcile<T> = { kind, telemetry, self };
  return object({
    name: kind.service,
    description: `Reconciles ${kind.kind} resources`,
    options: OPTIONS,
    handlers: {
      wake: handlers.object.exclusive(NOTHING_KEPT, async (ctx: ObjectContext, cause: Cause) => {
        self(ctx).reconcile({ why: whyOf(cause) });
      }),
      report: handlers.object.exclusive(PRIVATE, (ctx: ObjectContext, said: AssistantReport) =>
        hear(ctx, said, self),
      ),
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
      resync: handlers.object.exclusive(PRIVATE, async (ctx: ObjectContext) => {
        self(ctx).look();
      }),
      look: handlers.object.exclusive(PRIVATE, (ctx: ObjectContext) => look(run, ctx)),
      retry: handlers.object.exclusive(
        PRIVATE,
        async (ctx: ObjectContext, request: RetryRequest) => {
          const memory = await readMemory(ctx);
          if (memory.timers.retry?.n !== request.n) return;
          const { retry: _, ...timers } = memory.timers;
          writeMemory(ctx, { ...memory, timers });
          self(ctx).reconcile({ why: request.why });
        },
      ),
      describe: handlers.object.shared(NOTHING_KEPT, (ctx: ObjectSharedContext) => readMemory(ctx)),
    },
  });
}

/** Keeps what an assistant says; what is new in it is a cause to reconcile. */
async function hear(
  ctx: ObjectContext,
  { from, report, why }: AssistantReport,
  self: Self,
): Promise<void> {
  const memory = await readMemory(ctx);
  const before = memory.assistants?.[from];
  // Stopped by now, or of a resource that is gone.
  if (before === undefined) return;
  writeMemory(ctx, { ...memory, assistants: { ...memory.assistants, [from]: report } });
  if (saysMore(before, report)) {
    self(ctx).wake({ why }, rpc.sendOpts({ idempotencyKey: "wake" }));
  }
}

/** The cause of a wake, from the outside: bounded, printable, and only ever shown. */
function whyOf(cause: unknown): string {
  const why: unknown =
    typeof cause === "object" && cause !== null && "why" in cause ? cause.why : undefined;
  return typeof why === "string" ? why.replaceAll(/[^\x20-\x7E]+/g, " ").slice(0, 200) : "wake";
}
