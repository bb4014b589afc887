/** The identity of a cluster's pods. Its annotations are how clouds hand out roles. */
import type { V1ServiceAccount } from "@kubernetes/client-node";
import type { Manifest } from "../../core/manifest.ts";
import type { ClusterView } from "../api.ts";
import { childMetadata } from "./metadata.ts";

export function buildServiceAccount(cluster: ClusterView): Manifest<V1ServiceAccount> {
  return {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: childMetadata(cluster, {
      name: "restate",
      annotations: cluster.spec.security?.serviceAccountAnnotations,
    }),
  };
}
