/**
 * What a cluster's pods carry of what it asks of its cloud: annotations that roll them when it changes, and the volume with
 * the signing key of a secret provider.
 */
import type { ClusterConfig, ClusterView, ForeignKind } from "../api.ts";
import { cloudRequestOf } from "./cloud-request.ts";
import type { PodPart } from "./pod-part.ts";
import { keyFrom, type NamedVolume } from "./signing-key.ts";
import { SECRET_PROVIDER_CLASS_NAME } from "./secret-provider-class.ts";

export const SECURITY_GROUPS_ANNOTATION = "restate.dev/aws-security-groups";
export const SECRET_PROVIDER_VOLUME = "request-signing-private-key-secret-provider";

/** `inPods`: the kinds of other projects that pods may rely on; what needs another one is left out. */
export function buildCloudPart(
  cluster: ClusterView,
  config: ClusterConfig,
  inPods: readonly ForeignKind[],
): PodPart {
  const request = cloudRequestOf(cluster, config);
  const { podIdentity, securityGroups, workloadIdentity, secretProvider } = request;
  const groups = inPods.includes("SecurityGroupPolicy") ? securityGroups : undefined;
  const key = inPods.includes("SecretProviderClass") ? secretProvider : undefined;
  return {
    annotations: {
      ...(podIdentity && {
        "restate.dev/aws-pod-identity-association-cluster": podIdentity.clusterName,
        "restate.dev/aws-pod-identity-association-role-arn": podIdentity.roleArn,
      }),
      ...(groups && { [SECURITY_GROUPS_ANNOTATION]: groups.join(",") }),
      ...(workloadIdentity && { "restate.dev/gcp-service-account": workloadIdentity.email }),
    },
    ...(key === undefined ? {} : keyFrom(SIGNING_KEY_VOLUME, key.path)),
  };
}

const SIGNING_KEY_VOLUME: NamedVolume = {
  name: SECRET_PROVIDER_VOLUME,
  csi: {
    driver: "secrets-store.csi.k8s.io",
    readOnly: true,
    volumeAttributes: { secretProviderClass: SECRET_PROVIDER_CLASS_NAME },
  },
};
