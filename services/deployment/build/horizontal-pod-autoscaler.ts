/**
 * The HorizontalPodAutoscaler of an older version that still has work (V6). The user's spec is passed on as it is, but for
 * its target, and for at least one pod: unfinished work needs somebody to finish it.
 */
import type { V2HorizontalPodAutoscaler } from "@kubernetes/client-node";
import type { Manifest } from "../../core/manifest.ts";
import type { DeploymentView } from "../api.ts";
import { ownerOf, ownershipLabels, type VersionView } from "./metadata.ts";

/** `undefined` where `spec.autoscaling` is absent. */
export function buildHpa(
  deployment: DeploymentView,
  version: Pick<VersionView, "name">,
): Manifest<V2HorizontalPodAutoscaler> | undefined {
  const { autoscaling } = deployment.spec;
  if (autoscaling === undefined) return undefined;
  const { minReplicas } = autoscaling;
  const spec = {
    ...autoscaling,
    minReplicas: typeof minReplicas === "number" ? Math.max(minReplicas, 1) : 1,
    scaleTargetRef: { apiVersion: "apps/v1", kind: "ReplicaSet", name: version.name },
  };
  return {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: {
      name: version.name,
      namespace: deployment.namespace,
      labels: { ...deployment.labels, ...ownershipLabels(deployment) },
      annotations: deployment.annotations,
      ownerReferences: [ownerOf(deployment)],
    },
    // A free-form field of the resource: the API server validates it, and its refusal stops nothing else.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    spec: spec as never,
  };
}
