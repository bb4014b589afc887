/** CloudEnvironmentReconciler: RestateCloudEnvironments are observed; this release does not run tunnels yet. */
import type { KubeClient } from "../kube/client.ts";
import { observingKind } from "../reconciler/observing-kind.ts";

/** RestateCloudEnvironment as the reconciler takes it. */
export const cloudEnvironmentKind = ({ kube }: { readonly kube: KubeClient }) =>
  observingKind(kube, {
    service: "CloudEnvironmentReconciler",
    kind: "RestateCloudEnvironment",
    message:
      "this release of the operator does not run the tunnel of a RestateCloudEnvironment yet",
    requiredStatus: {},
  });
