/**
 * InvocationUsage: the unfinished invocations of one Restate, counted for all its deployments with one query, however many
 * drains ask: every query scans all invocations (measured), so asking per deployment would cost a busy Restate dearly.
 *
 * One virtual object per admin API. It is exclusive, so questions that come together wait for one count and share it; the
 * answer is a message to the drain. No answer of Restate is an answer of its own, never "nothing unfinished" (V2).
 */
import {
  CancelledError,
  TerminalError,
  handlers,
  object,
  rpc,
  type ObjectContext,
} from "@restatedev/restate-sdk";
import { NOTHING_KEPT, OBJECT_OPTIONS } from "../../reconciler/object-options.ts";
import type { RestateAdmin } from "../../restate/admin.ts";
import type { AdminPool } from "../../restate/admin-pool.ts";
import {
  INVOCATION_USAGE,
  VERSION_DRAIN,
  type DeploymentUsage,
  type DrainHandlers,
  type UsageAnswer,
  type UsageHandlers,
  type UsageQuestion,
} from "./drain-api.ts";

/** A count this young is shared. */
const SHARED_MS = 10_000;
/** After no answer, the next question waits this long, so that a Restate in trouble is not asked more than a healthy one. */
const SILENT_MS = 10_000;
/** A count that is no longer shared is forgotten, so that nothing is left of a Restate that nobody asks about. */
const FORGET_MS = SHARED_MS + 5_000;

const PRIVATE = { ...NOTHING_KEPT, ingressPrivate: true } as const;
const STEP = { maxRetryAttempts: 2, maxRetryDuration: { seconds: 2 } } as const;

/** Nothing unfinished, nothing routed. */
const UNUSED: DeploymentUsage = { pinned: 0, unpinned: 0, scheduled: 0, routed: 0 };

type Counted =
  | {
      readonly kind: "counted";
      readonly atMs: number;
      /** Of every deployment that has work or is routed to. */
      readonly deployments: Readonly<Record<string, DeploymentUsage>>;
    }
  | Extract<UsageAnswer, { kind: "unknown" }>;

const STATE = "counted";

/** The virtual object `InvocationUsage`. */
export function defineInvocationUsage({ admins }: { readonly admins: AdminPool }) {
  return object({
    name: INVOCATION_USAGE,
    description: "Counts the unfinished invocations of a Restate, once for all who ask",
    options: OBJECT_OPTIONS,
    handlers: {
      count: handlers.object.exclusive(
        PRIVATE,
        async (ctx: ObjectContext, { drain, n, deploymentId }: UsageQuestion) => {
          const answer = answerOf(await sharedCount(ctx, admins), deploymentId);
          ctx
            .objectSendClient<DrainHandlers>({ name: VERSION_DRAIN }, drain)
            .counted({ n, answer }, rpc.sendOpts({ name: "answer" }));
        },
      ),
      expire: handlers.object.exclusive(PRIVATE, async (ctx: ObjectContext) => {
        ctx.clearAll();
      }),
    },
  });
}

function answerOf(counted: Counted, deploymentId: string): UsageAnswer {
  if (counted.kind === "unknown") return counted;
  const { kind, atMs, deployments } = counted;
  return { kind, atMs, usage: deployments[deploymentId] ?? UNUSED };
}

async function sharedCount(ctx: ObjectContext, admins: AdminPool): Promise<Counted> {
  const known = await ctx.get<Counted>(STATE);
  const nowMs = await ctx.date.now();
  const usableMs = known?.kind === "unknown" ? SILENT_MS : SHARED_MS;
  if (known !== null && nowMs - known.atMs < usableMs) return known;
  const counted = await count(ctx, admins, nowMs);
  ctx.set<Counted>(STATE, counted);
  ctx
    .objectSendClient<UsageHandlers>({ name: INVOCATION_USAGE }, ctx.key)
    .expire(rpc.sendOpts({ delay: FORGET_MS, idempotencyKey: "expire", name: "arm expiry" }));
  return counted;
}

async function count(ctx: ObjectContext, admins: AdminPool, nowMs: number): Promise<Counted> {
  try {
    return await ctx.run(
      "count unfinished invocations",
      async () => {
        const deployments = await readUsage(admins.of(ctx.key));
        // The moment before the query: what began during it may not be in it.
        return { kind: "counted" as const, atMs: nowMs, deployments };
      },
      STEP,
    );
  } catch (error) {
    if (!(error instanceof TerminalError) || error instanceof CancelledError) throw error;
    return { kind: "unknown", atMs: nowMs, message: error.message };
  }
}

/** Where an invocation stands: on the deployment it has begun on, or else on the one it would begin on. */
export const BEGUN_ON = `coalesce(i.pinned_deployment_id,
  CASE WHEN i.status = 'running' THEN i.last_attempt_deployment_id END)`;

const USAGE_QUERY = `SELECT ${BEGUN_ON} AS begun_on, s.deployment_id AS latest, count(*) AS invocations,
    count(*) FILTER (WHERE i.status = 'scheduled') AS scheduled, min(i.created_at) AS oldest
  FROM sys_invocation i LEFT JOIN sys_service s ON s.name = i.target_service_name
  WHERE i.status <> 'completed' GROUP BY 1, 2`;
const ROUTED_QUERY = `SELECT deployment_id AS id, count(*) AS services FROM sys_service GROUP BY 1`;

interface UsageRow {
  readonly begun_on?: string | null;
  readonly latest?: string | null;
  readonly invocations: number;
  readonly scheduled: number;
  readonly oldest?: string | null;
}

/** Every deployment that has unfinished work or that services are routed to. Throws `AdminError`. */
export async function readUsage(admin: RestateAdmin): Promise<Record<string, DeploymentUsage>> {
  const [rows, routed] = await Promise.all([
    admin.query<UsageRow>(USAGE_QUERY),
    admin.query<{ id: string; services: number }>(ROUTED_QUERY),
  ]);
  const usage = new Map<string, DeploymentUsage>();
  const add = (id: string, more: Partial<DeploymentUsage>) => {
    const before = usage.get(id) ?? UNUSED;
    const oldest = [before.oldest, more.oldest].filter((at) => at !== undefined).toSorted()[0];
    usage.set(id, {
      pinned: before.pinned + (more.pinned ?? 0),
      unpinned: before.unpinned + (more.unpinned ?? 0),
      scheduled: before.scheduled + (more.scheduled ?? 0),
      routed: before.routed + (more.routed ?? 0),
      ...(oldest === undefined ? {} : { oldest }),
    });
  };
  for (const { begun_on: begunOn, latest, invocations, scheduled, oldest } of rows) {
    const id = begunOn ?? latest;
    // Neither begun nor routed anywhere: nobody has the service any more, and no version can help it.
    if (id == null) continue;
    const counts = begunOn == null ? { unpinned: invocations } : { pinned: invocations };
    add(id, { ...counts, scheduled, ...(oldest == null ? {} : { oldest }) });
  }
  for (const { id, services } of routed) add(id, { routed: services });
  return Object.fromEntries(usage);
}

/**
 * The last look before something is taken away (V3): whether a deployment has unfinished work, or a service routed to it.
 *
 * @throws AdminError when Restate does not answer.
 */
export async function isUsed(
  admin: RestateAdmin,
  deploymentId: string,
  counts: { readonly routed: boolean },
): Promise<boolean> {
  const id = quoted(deploymentId);
  const unfinished = await admin.query(
    `SELECT 1 AS found FROM sys_invocation i LEFT JOIN sys_service s ON s.name = i.target_service_name
      WHERE i.status <> 'completed' AND coalesce(${BEGUN_ON}, s.deployment_id) = ${id} LIMIT 1`,
  );
  if (unfinished.length > 0 || !counts.routed) return unfinished.length > 0;
  const routed = await admin.query(
    `SELECT 1 AS found FROM sys_service WHERE deployment_id = ${id} LIMIT 1`,
  );
  return routed.length > 0;
}

/** A text as SQL has it. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
