/** The namespace of a cluster, which is named like it. */
import type { V1Namespace } from "@kubernetes/client-node";
import type { Manifest } from "../../core/manifest.ts";
import type { ClusterView } from "../api.ts";
import { childMetadata } from "./metadata.ts";

export function buildNamespace(cluster: ClusterView): Manifest<V1Namespace> {
  return {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: childMetadata(cluster, { name: cluster.name, namespaced: false }),
  };
}
