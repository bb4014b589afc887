/**
 * The status of a RestateDeployment, whole, from what was observed and what is going to be done. Computed here and nowhere
 * else; written only when it differs from what is there.
 */
import type { RestateDeployment } from "../../../crds/restate-deployment.ts";
import { conditionOf, type Condition, type ConditionClaim } from "../../core/conditions.ts";
import { canonicalJson } from "../../core/digest.ts";
import type { Outcome } from "../../core/outcome.ts";
import type { EventClaim } from "../../core/plan.ts";
import { reconciliationOf } from "../../core/reconciliation.ts";
import type {
  DeletionStatus,
  DeploymentReason,
  DeploymentStatus,
  ObservedVersion,
  ReadyClaim,
  VersionStatus,
} from "../api.ts";
import { POD_TEMPLATE_HASH_LABEL } from "../build/metadata.ts";
import { isOverdue } from "./plan-remedy.ts";
import { count } from "./version-standing.ts";

/** What a status is made of. */
export interface StatusClaim {
  readonly ready: ReadyClaim;
  readonly outcome: Outcome<DeploymentReason>;
  /** `status.versions`. */
  readonly versions: readonly VersionStatus[];
  /** The version that the spec asks for, once it exists. */
  readonly current: ObservedVersion | undefined;
  /** The name of the current version is taken: another is made next time. */
  readonly collided: boolean;
  /** Name of the version that serves, where that was decided. */
  readonly latest?: string;
  /** Why the current version is not getting on. */
  readonly overdue?: string | undefined;
  readonly deletion?: DeletionStatus;
}

const ADMIN_REASONS: ReadonlySet<DeploymentReason> = new Set([
  "AdminCallFailed",
  "AdminCallRejected",
]);

/** Tells that Restate did not answer or refused a call, once for as long as the condition Ready has that reason. */
export function adminEvents(
  { status }: Pick<RestateDeployment, "status">,
  { reason, message }: { readonly reason: DeploymentReason; readonly message: string },
): EventClaim[] {
  const said = status?.conditions?.find(({ type }) => type === "Ready")?.reason;
  return ADMIN_REASONS.has(reason) && said !== reason ? [{ type: "Warning", reason, message }] : [];
}

/** The whole status to write, or `undefined` when it is there already. */
export function statusOf(
  deployment: RestateDeployment,
  claim: StatusClaim,
  nowMs: number,
): DeploymentStatus | undefined {
  const { metadata, spec, status: before } = deployment;
  const { current, versions, deletion } = claim;
  const collisions = (before?.collisionCount ?? 0) + (claim.collided ? 1 : 0);
  const deploymentId = versions.find(({ name }) => name === current?.name)?.deploymentId;
  const selector = current === undefined ? before?.labelSelector : selectorOf(deployment, current);
  const replicas = current?.statusReplicas ?? 0;
  const available = current?.availableReplicas ?? 0;
  const status: DeploymentStatus = {
    ...before,
    replicas,
    desiredReplicas: current?.specReplicas ?? spec.replicas,
    readyReplicas: current?.readyReplicas ?? 0,
    availableReplicas: available,
    unavailableReplicas: Math.max(replicas - available, 0),
    observedGeneration: metadata.generation,
    collisionCount: collisions === 0 ? (before?.collisionCount ?? undefined) : collisions,
    labelSelector: selector ?? undefined,
    deploymentId: deploymentId ?? undefined,
    latest: versions.some(({ phase }) => phase === "Latest") ? claim.latest : undefined,
    draining: drainingOf(versions).length,
    inFlight: unfinishedOf(drainingOf(versions)),
    versions: [...versions],
    conditions: conditionsOf(deployment, claim, nowMs),
    reconciliation: reconciliationOf(deployment, claim.ready.status),
    ...(deletion === undefined ? {} : { deletion }),
  };
  return isThere(status, before) ? undefined : status;
}

/** A status as a merge patch of the one that is there: what is not in it any more is removed. */
export function statusPatch(
  before: Readonly<Record<string, unknown>> | null | undefined,
  status: DeploymentStatus,
): Readonly<Record<string, unknown>> {
  const removed = Object.keys(before ?? {}).map((member) => [member, null] as const);
  const present = Object.entries(status).filter(([, value]) => value !== undefined);
  return Object.fromEntries([...removed, ...present]);
}

/**
 * A status (or the present one where there is no other) with another word on Ready: something has to wait, or failed.
 * `undefined` when that is said already.
 */
export function withReady(
  deployment: RestateDeployment,
  ready: ReadyClaim,
  { status, nowMs }: { readonly status?: DeploymentStatus | undefined; readonly nowMs: number },
): DeploymentStatus | undefined {
  const { status: before } = deployment;
  const planned = status ?? before ?? { replicas: 0 };
  const condition = conditionOf({ type: "Ready", ...ready }, before?.conditions ?? [], nowMs);
  const others = (planned.conditions ?? []).filter(({ type }) => type !== "Ready");
  const reconciliation = reconciliationOf(deployment, ready.status);
  const next = { ...planned, conditions: [condition, ...others], reconciliation };
  return isThere(next, before) ? undefined : next;
}

function isThere(status: DeploymentStatus, before: DeploymentStatus | null | undefined): boolean {
  return canonicalJson(withoutNulls(status)) === canonicalJson(withoutNulls(before ?? {}));
}

/** `Ready` first; the others say what `kubectl wait` and people look for. */
function conditionsOf(
  { status }: RestateDeployment,
  claim: StatusClaim,
  nowMs: number,
): Condition[] {
  const { ready, outcome } = claim;
  const observed = status?.conditions ?? [];
  const stalled = outcome.kind === "stalled" || claim.overdue !== undefined;
  const { message } = claim.overdue === undefined ? ready : { message: claim.overdue };
  const reason = claim.overdue === undefined ? ready.reason : "ProgressDeadlineExceeded";
  const claims: ConditionClaim[] = [
    { type: "Ready", ...ready },
    {
      type: "Progressing",
      status: ready.status === "True" || stalled ? "False" : "True",
      reason,
      message,
    },
    { type: "Stalled", status: stalled ? "True" : "False", reason, message },
    drainingClaim(claim.versions),
  ];
  return claims.map((each) => conditionOf(each, observed, nowMs));
}

function drainingOf(versions: readonly VersionStatus[]): readonly VersionStatus[] {
  return versions.filter(({ phase }) => phase === "Draining");
}

function unfinishedOf(versions: readonly VersionStatus[]): number {
  return versions.reduce(
    (sum, { invocations }) => sum + (invocations?.pinned ?? 0) + (invocations?.unpinned ?? 0),
    0,
  );
}

function drainingClaim(versions: readonly VersionStatus[]): ConditionClaim {
  const draining = drainingOf(versions);
  const unfinished = unfinishedOf(draining);
  const overdue = draining.filter(isOverdue).map(overdueNote);
  return draining.length === 0
    ? {
        type: "Draining",
        status: "False",
        reason: "NoOlderVersionWorks",
        message: "no older version has work",
      }
    : {
        type: "Draining",
        status: "True",
        reason: overdue.length === 0 ? "OlderVersionsWork" : "DrainOverdue",
        message: [
          `${count(draining.length, "older version")} with ${count(unfinished, "unfinished invocation")}`,
          ...overdue,
        ].join("; "),
      };
}

function overdueNote({ name, remedy }: VersionStatus): string {
  const done = remedy?.action === "alert" ? "" : `, ${remedy?.done ?? 0} dealt with`;
  const message = remedy?.message == null ? "" : ` (${remedy.message})`;
  return `${name} longer than spec.restate.drain.maxAgeSeconds: onMaxAge ${remedy?.action}${done}${message}`;
}

/** `key=value` pairs and conditions, as `kubectl --selector` takes them. */
function selectorOf({ spec }: RestateDeployment, { name }: ObservedVersion): string {
  const { matchLabels = {}, matchExpressions = [] } = spec.selector ?? {};
  const hash = name.slice(name.lastIndexOf("-") + 1);
  const labels = Object.entries({ ...matchLabels, [POD_TEMPLATE_HASH_LABEL]: hash })
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`);
  const expressions = matchExpressions.map(({ key, operator, values = [] }) => {
    switch (operator) {
      case "Exists":
        return key;
      case "DoesNotExist":
        return `!${key}`;
      default:
        return `${key} ${operator === "NotIn" ? "notin" : "in"} (${values.join(",")})`;
    }
  });
  return [...labels, ...expressions].join(",");
}

/** A member that is null is one that the API server does not keep. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== null && member !== undefined)
      .map(([key, member]) => [key, withoutNulls(member)]),
  );
}
