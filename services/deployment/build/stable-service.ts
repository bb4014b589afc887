/**
 * The Service `<resource>`: one name that always leads to the latest version, for people and probes (Restate itself uses the
 * Services of the versions). It selects by `pod-template-hash`, which the pods have anyway: a label of its own on the pods
 * would have to be in the template, where it could not move from one version to the next.
 */
import type { V1Service } from "@kubernetes/client-node";
import type { Manifest } from "../../core/manifest.ts";
import type { DeploymentView } from "../api.ts";
import { ownerOf, ownershipLabels, type ServedVersion } from "./metadata.ts";
import { servicePort } from "./service.ts";

/** @param latest the version Restate sends new invocations to; before there is one, the version that is to become it */
export function buildStableService(
  deployment: DeploymentView,
  latest: ServedVersion,
): Manifest<V1Service> {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: deployment.name,
      namespace: deployment.namespace,
      labels: { ...deployment.labels, ...ownershipLabels(deployment) },
      annotations: deployment.annotations,
      ownerReferences: [ownerOf(deployment)],
    },
    spec: {
      selector: latest.matchLabels,
      ports: [servicePort(latest)],
    },
  };
}
