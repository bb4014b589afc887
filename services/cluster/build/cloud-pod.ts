/**
 * What a cluster's pods carry of what it asks of its cloud: annotations that roll them when it changes, and the volume with
 * the signing key of a secret provider.
 */
import type { V1EnvVar, V1Volume, V1VolumeMount } from "@kubernetes/client-node";
import type { Manifest } from "../../core/manifest.ts";
import type { ClusterConfig, ClusterView, ForeignKind } from "../api.ts";
import { cloudRequestOf } from "./cloud-request.ts";
import { SECRET_PROVIDER_CLASS_NAME } from "./secret-provider-class.ts";

export const SECURITY_GROUPS_ANNOTATION = "restate.dev/aws-security-groups";
export const SECRET_PROVIDER_VOLUME = "request-signing-private-key-secret-provider";
const SIGNING_KEY_DIR = "/signing-key";

/** What is added to the pod template. */
export interface CloudPod {
  readonly annotations: Readonly<Record<string, string>>;
  readonly volumes: readonly Manifest<V1Volume>[];
  readonly volumeMounts: readonly Manifest<V1VolumeMount>[];
  readonly env: readonly Manifest<V1EnvVar>[];
}

/** `inPods`: the kinds of other projects that pods may rely on; what needs another one is left out. */
export function buildCloudPod(
  cluster: ClusterView,
  config: ClusterConfig,
  inPods: readonly ForeignKind[],
): CloudPod {
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
    volumes: key === undefined ? [] : [SIGNING_KEY_VOLUME],
    volumeMounts:
      key === undefined
        ? []
        : [{ name: SECRET_PROVIDER_VOLUME, mountPath: SIGNING_KEY_DIR, readOnly: true }],
    env:
      key === undefined
        ? []
        : [
            {
              name: "RESTATE_WORKER__INVOKER__REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE",
              value: `${SIGNING_KEY_DIR}/${key.path}`,
            },
          ],
  };
}

const SIGNING_KEY_VOLUME: Manifest<V1Volume> = {
  name: SECRET_PROVIDER_VOLUME,
  csi: {
    driver: "secrets-store.csi.k8s.io",
    readOnly: true,
    volumeAttributes: { secretProviderClass: SECRET_PROVIDER_CLASS_NAME },
  },
};
