/** At most one node of a cluster is evicted at a time, whatever its size; none while a node has lost its data. */
import type { V1PodDisruptionBudget } from "@kubernetes/client-node";
import type { Manifest } from "../../core/manifest.ts";
import type { ClusterView } from "../api.ts";
import { childMetadata, instanceLabels } from "./metadata.ts";

export function buildPodDisruptionBudget(cluster: ClusterView): Manifest<V1PodDisruptionBudget> {
  return {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: childMetadata(cluster, { name: "restate" }),
    spec: {
      maxUnavailable: cluster.building.frozenAt === undefined ? 1 : 0,
      selector: { matchLabels: instanceLabels(cluster.name) },
    },
  };
}
