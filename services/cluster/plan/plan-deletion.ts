/**
 * The end of a RestateCluster (P1 of plan.ts). It gets nothing but its finalizer taken off: its children go with it by their
 * owner references. While the annotation `restate.dev/deletion-protection: enabled` is on it, not even that.
 */
import { RESTATE_CLUSTER, type RestateCluster } from "../../../crds/restate-cluster.ts";
import {
  DELETION_PROTECTED,
  DELETION_PROTECTION_ANNOTATION,
  isDeletionProtected,
} from "../../core/deletion-protection.ts";
import type { Outcome } from "../../core/outcome.ts";
import type { Plan } from "../../core/plan.ts";
import type { ClusterAction, ClusterReason, ClusterStatus } from "../api.ts";
import { statusOf } from "./status.ts";

type DeletionPlan = Pick<Plan<ClusterAction, ClusterStatus>, "actions" | "events" | "status"> & {
  readonly outcome: Outcome<ClusterReason>;
};

export function planDeletion(cluster: RestateCluster, nowMs: number): DeletionPlan {
  const { name, finalizers = [] } = cluster.metadata;
  if (!finalizers.includes(RESTATE_CLUSTER.finalizer)) {
    return { actions: [], outcome: { kind: "gone" } };
  }
  if (isDeletionProtected(cluster.metadata)) return planHeld(cluster, nowMs);
  const because = "the resource is being deleted and its children follow it";
  return {
    actions: [{ kind: "removeFinalizer", because }],
    events: [{ type: "Normal", reason: "DeleteRequested", message: `Deleting ${name}` }],
    outcome: { kind: "gone" },
  };
}

/** Said once, and kept: nothing of the cluster is touched until the annotation goes. */
function planHeld(cluster: RestateCluster, nowMs: number): DeletionPlan {
  const reason = "DeletionProtected";
  const message = `the deletion is held by the annotation ${DELETION_PROTECTION_ANNOTATION}: ${DELETION_PROTECTED}; the cluster runs on as it is, and goes as soon as the annotation does`;
  const status = statusOf(cluster, { status: "False", reason, message }, { nowMs });
  return {
    actions: [],
    ...(status === undefined ? {} : { status, events: [{ type: "Warning", reason, message }] }),
    outcome: { kind: "stalled", reason, message },
  };
}
