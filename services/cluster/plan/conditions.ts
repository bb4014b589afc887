/**
 * The conditions beside Ready: Progressing (the operator is at work on it), Stalled (somebody else must be: kstatus reads it as
 * failed) and Available (it serves). None of them says more often something new than what it is about changes.
 */
import type { RestateCluster } from "../../../crds/restate-cluster.ts";
import type { ConditionClaim } from "../../core/conditions.ts";
import type { ClusterReason, SurveyReport } from "../api.ts";
import type { ObservedStatefulSet } from "../observe/observe.ts";
import { lostNodes } from "./freeze.ts";

/** What the condition Ready is to say. */
export interface ReadyClaim {
  readonly status: ConditionClaim["status"];
  readonly reason: ClusterReason;
  readonly message: string;
}

/** What is known beside the resource. */
export interface Seen {
  /** The operator goes on by itself. */
  readonly goesOn?: boolean;
  readonly statefulSet?: ObservedStatefulSet;
  readonly report?: SurveyReport;
}

/** Types of the conditions that the operator writes, in order. */
export const CONDITION_TYPES = ["Ready", "Progressing", "Stalled", "Available"] as const;

/** All of them. Available is left as it is where pods have not been looked at. */
export function claimsOf(cluster: RestateCluster, ready: ReadyClaim, seen: Seen): ConditionClaim[] {
  const { status: _, ...why } = ready;
  const progressing = seen.goesOn === true ? "True" : "False";
  return [
    { type: "Ready", ...ready },
    { type: "Progressing", status: progressing, ...why },
    stalled(cluster, ready, seen),
    ...(seen.statefulSet === undefined ? [] : [available(seen.statefulSet, seen.report)]),
  ];
}

function stalled(cluster: RestateCluster, ready: ReadyClaim, seen: Seen): ConditionClaim {
  const type = "Stalled";
  const { status, ...why } = ready;
  const lost = lostNodes({ cluster }, seen.report);
  if (lost.length > 0) {
    const names = lost.map(({ id, name }) => `${name} (${id})`).join(", ");
    return {
      type,
      status: "True",
      reason: "StorageDataLoss",
      message: `the storage state of ${names} is data-loss: no pod is replaced, taken away or evicted until it has its data again or is taken out of the cluster`,
    };
  }
  return seen.goesOn === true || status === "True"
    ? { type, status: "False", reason: "NotStalled", message: "" }
    : { type, status: "True", ...why };
}

function available(
  { readyReplicas }: ObservedStatefulSet,
  report: SurveyReport | undefined,
): ConditionClaim {
  const type = "Available";
  if (readyReplicas === 0) {
    return { type, status: "False", reason: "NoPodReady", message: "no pod is ready" };
  }
  if (report?.survey === undefined || report.silent) {
    return { type, status: "True", reason: "PodsReady", message: "pods are ready" };
  }
  const { partitions, partitionsWithoutLeader } = report.survey;
  if (partitionsWithoutLeader > 0) {
    const message = `${partitionsWithoutLeader} of ${partitions} partitions have no leader`;
    return { type, status: "False", reason: "PartitionsWithoutLeader", message };
  }
  return partitions === 0
    ? { type, status: "False", reason: "NoPartitions", message: "there is no partition yet" }
    : { type, status: "True", reason: "Serving", message: "every partition has a leader" };
}
