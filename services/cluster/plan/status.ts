/**
 * The status of a RestateCluster, whole, from what was observed and what is going to be done. Computed here and nowhere
 * else; written only when it differs from what is there.
 */
import type { RestateCluster } from "../../../crds/restate-cluster.ts";
import { conditionOf } from "../../core/conditions.ts";
import { canonicalJson } from "../../core/digest.ts";
import { reconciliationOf } from "../../core/reconciliation.ts";
import type { ClusterStatus, SurveyedNode } from "../api.ts";
import { CONDITION_TYPES, claimsOf, type ReadyClaim, type Seen } from "./conditions.ts";

export type { ReadyClaim } from "./conditions.ts";

const OURS: readonly string[] = CONDITION_TYPES;

/**
 * The whole status to write, or `undefined` when it is there already. What was not looked at (the StatefulSet, the cluster
 * itself) stays as it was last seen.
 */
export function statusOf(
  cluster: RestateCluster,
  claim: ReadyClaim,
  now: Seen & { readonly nowMs: number; readonly provisioned?: true },
): ClusterStatus | undefined {
  const before = cluster.status ?? {};
  const conditions = before.conditions ?? [];
  const claims = claimsOf(cluster, claim, now);
  const claimed = new Set(claims.map(({ type }) => type));
  const kept = (type: string) => conditions.filter((condition) => condition.type === type);
  const provisioned = now.provisioned ?? before.provisioned ?? undefined;
  const nodes = now.report?.survey?.nodes;
  const version = nodes === undefined ? undefined : versionOf(nodes);
  const status: ClusterStatus = {
    ...before,
    observedGeneration: cluster.metadata.generation,
    conditions: [
      ...conditions.filter(({ type }) => !OURS.includes(type)),
      ...claims.map((each) => conditionOf(each, conditions, now.nowMs)),
      ...OURS.filter((type) => !claimed.has(type)).flatMap(kept),
    ],
    ...(now.statefulSet === undefined
      ? {}
      : {
          replicas: now.statefulSet.replicas,
          readyReplicas: now.statefulSet.readyReplicas,
        }),
    ...(provisioned === undefined ? {} : { provisioned }),
    reconciliation: reconciliationOf(cluster, claim.status),
    ...(nodes === undefined
      ? {}
      : { nodes: nodes.map((node) => ({ ...node, roles: [...node.roles] })) }),
    ...(version === undefined ? {} : { version }),
  };
  return canonicalJson(status) === canonicalJson(before) ? undefined : status;
}

/** The oldest version that a living node runs: what the cluster as a whole can do. */
function versionOf(nodes: readonly SurveyedNode[]): string | undefined {
  return nodes
    .flatMap(({ alive, version }) => (alive && version !== undefined ? [version] : []))
    .toSorted(compareVersions)[0];
}

/** By their numbers: 1.10.0 is newer than 1.9.3. What follows a hyphen is not looked at. */
function compareVersions(one: string, other: string): number {
  const [a, b] = [numbersOf(one), numbersOf(other)];
  const at = a.findIndex((number, index) => number !== b[index]);
  return at === -1 ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
}

function numbersOf(version: string): number[] {
  return (version.split("-", 1)[0] ?? "").split(".").map(Number);
}
