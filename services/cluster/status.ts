/**
 * The status of a RestateCluster, whole, from what was observed and what is going to be done. Computed here and nowhere
 * else; written only when it differs from what is there.
 */
import type { RestateCluster } from "../../crds/restate-cluster.ts";
import { conditionOf, type ConditionClaim } from "../core/conditions.ts";
import { canonicalJson } from "../core/digest.ts";
import { reconciliationOf } from "../core/reconciliation.ts";
import type { ClusterReason, ClusterStatus } from "./api.ts";

/** What the condition Ready is to say. */
export interface ReadyClaim {
  readonly status: ConditionClaim["status"];
  readonly reason: ClusterReason;
  readonly message: string;
}

/** The whole status to write, or `undefined` when it is there already. */
export function statusOf(
  cluster: RestateCluster,
  claim: ReadyClaim,
  now: { readonly nowMs: number; readonly provisioned?: true },
): ClusterStatus | undefined {
  const before = cluster.status ?? {};
  const conditions = before.conditions ?? [];
  const ready = conditionOf({ type: "Ready", ...claim }, conditions, now.nowMs);
  const provisioned = now.provisioned ?? before.provisioned ?? undefined;
  const status: ClusterStatus = {
    ...before,
    observedGeneration: cluster.metadata.generation,
    conditions: [...conditions.filter(({ type }) => type !== "Ready"), ready],
    ...(provisioned === undefined ? {} : { provisioned }),
    reconciliation: reconciliationOf(cluster, claim.status),
  };
  return canonicalJson(status) === canonicalJson(before) ? undefined : status;
}
