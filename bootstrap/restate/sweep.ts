/**
 * After a new build is registered: ends what can no longer go on, and forgets the builds before.
 *
 * An invocation pinned to another build of ours may never find it again (its pods are gone) or would replay with other code;
 * one that is paused waits for a person and blocks its key. Their key is woken and both are killed: reconciles are
 * level-triggered, so the next one starts from the world as it is and nothing is lost.
 */
import type { RestateAdmin } from "../../services/restate/admin.ts";

export interface SweepTarget {
  readonly admin: RestateAdmin;
  /** Id of the deployment that stays. */
  readonly deploymentId: string;
  /** Our services: nothing else on this Restate is touched. */
  readonly services: readonly string[];
  /** Services with a handler `wake`. */
  readonly wakeable: readonly string[];
  readonly wake: (service: string, key: string) => Promise<void>;
}

export interface Swept {
  readonly killed: number;
  /** Older deployments that were removed. */
  readonly forgotten: number;
  /** Older deployments that something is still pinned to: sweep again. */
  readonly remaining: number;
}

interface Stuck {
  readonly id: string;
  readonly service: string;
  readonly key: string | null;
}

/** Wakes the keys of what is stuck, kills it, forgets older deployments that nothing is pinned to. Can be repeated. */
export async function sweep(target: SweepTarget): Promise<Swept> {
  const { admin, wakeable, wake } = target;
  const stuck = await admin.query<Stuck>(stuckQuery(target));
  const keys = new Map(
    stuck.flatMap(({ service, key }) =>
      key !== null && wakeable.includes(service) ? [[`${service}/${key}`, { service, key }]] : [],
    ),
  );
  // Queued behind what is stuck before that is killed: whoever dies in between sweeps again, and no wake is lost.
  for (const { service, key } of keys.values()) await wake(service, key);
  for (const { id } of stuck) await admin.killInvocation(id);
  return { killed: stuck.length, ...(await forgetOlder(target)) };
}

function stuckQuery({ deploymentId, services }: SweepTarget): string {
  return `SELECT id, target_service_name AS service, target_service_key AS key FROM sys_invocation
    WHERE target_service_name IN (${quoted(services)}) AND status <> 'completed'
      AND (status = 'paused' OR pinned_deployment_id <> ${quoted([deploymentId])})`;
}

async function forgetOlder({
  admin,
  deploymentId,
  services,
}: SweepTarget): Promise<Omit<Swept, "killed">> {
  const ours = new Set(services);
  const older = (await admin.deployments()).filter(
    (deployment) =>
      deployment.id !== deploymentId &&
      deployment.services.length > 0 &&
      deployment.services.every(({ name }) => ours.has(name)),
  );
  if (older.length === 0) return { forgotten: 0, remaining: 0 };
  const pinned = await admin.query<{ id: string }>(
    `SELECT DISTINCT pinned_deployment_id AS id FROM sys_invocation
      WHERE status <> 'completed' AND pinned_deployment_id IN (${quoted(older.map(({ id }) => id))})`,
  );
  const busy = new Set(pinned.map(({ id }) => id));
  const idle = older.filter(({ id }) => !busy.has(id));
  for (const { id } of idle) await admin.removeDeployment(id);
  return { forgotten: idle.length, remaining: older.length - idle.length };
}

/** A list of SQL strings. Names and ids are ours or Restate's own; a quote in one would be a mistake, not data. */
function quoted(values: readonly string[]): string {
  return values.map((value) => `'${value.replaceAll("'", "''")}'`).join(", ");
}
