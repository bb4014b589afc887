/** DeploymentReconciler: RestateDeployments are observed; this release does not manage their versions yet. */
import type { KubeClient } from "../kube/client.ts";
import { observingKind } from "../reconciler/observing-kind.ts";

/** RestateDeployment as the reconciler takes it. */
export const deploymentKind = ({ kube }: { readonly kube: KubeClient }) =>
  observingKind(kube, {
    service: "DeploymentReconciler",
    kind: "RestateDeployment",
    message:
      "this release of the operator does not create, register or drain versions of a RestateDeployment yet",
    requiredStatus: { replicas: 0 },
  });
