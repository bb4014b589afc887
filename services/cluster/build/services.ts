/**
 * The two Services of a cluster: `restate` for its clients, and the headless `restate-cluster`, by which nodes find each
 * other before they are ready.
 */
import type { V1Service } from "@kubernetes/client-node";
import type { Manifest } from "../../core/manifest.ts";
import type { ClusterView } from "../api.ts";
import { childMetadata, formedAnnotation, instanceLabels } from "./metadata.ts";

export const HEADLESS_SERVICE_NAME = "restate-cluster";

const APP_PROTOCOL = "kubernetes.io/h2c";

export function buildService(cluster: ClusterView): Manifest<V1Service> {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: childMetadata(cluster, {
      name: "restate",
      annotations: cluster.spec.security?.serviceAnnotations,
    }),
    spec: {
      selector: instanceLabels(cluster.name),
      ports: [
        { name: "ingress", appProtocol: APP_PROTOCOL, port: 8080 },
        { name: "admin", appProtocol: APP_PROTOCOL, port: 9070 },
        { name: "metrics", appProtocol: APP_PROTOCOL, port: 5122 },
      ],
    },
  };
}

export function buildHeadlessService(cluster: ClusterView): Manifest<V1Service> {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: childMetadata(cluster, {
      name: HEADLESS_SERVICE_NAME,
      annotations: formedAnnotation(cluster),
    }),
    spec: {
      clusterIP: "None",
      publishNotReadyAddresses: true,
      selector: instanceLabels(cluster.name),
      ports: [{ name: "node", appProtocol: APP_PROTOCOL, port: 5122 }],
    },
  };
}
