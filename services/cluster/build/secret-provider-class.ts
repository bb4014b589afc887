/** Where the Secrets Store CSI driver finds a cluster's signing key. */
import type { ClusterView } from "../api.ts";
import type { SecretProviderRequest } from "./cloud-request.ts";
import { childMetadata } from "./metadata.ts";

export const SECRET_PROVIDER_CLASS_NAME = "request-signing-key-v1";

export function buildSecretProviderClass(
  cluster: ClusterView,
  { provider, parameters }: SecretProviderRequest,
) {
  return {
    apiVersion: "secrets-store.csi.x-k8s.io/v1",
    kind: "SecretProviderClass",
    metadata: childMetadata(cluster, { name: SECRET_PROVIDER_CLASS_NAME }),
    spec: { provider, parameters },
  };
}
