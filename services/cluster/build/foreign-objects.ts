/** The objects of other projects' kinds that a cluster asks for, where those kinds are installed. */
import type { AnyManifest } from "../../core/manifest.ts";
import type { ClusterConfig, ClusterView, ForeignKind } from "../api.ts";
import { cloudRequestOf } from "./cloud-request.ts";
import { buildIamPolicyMember } from "./iam-policy-member.ts";
import { buildPodIdentityAssociation } from "./pod-identity-association.ts";
import { buildSecretProviderClass } from "./secret-provider-class.ts";
import { buildSecurityGroupPolicy } from "./security-group-policy.ts";

/** Name of the one object of each kind in a cluster's namespace. */
export const FOREIGN_NAMES: Readonly<Record<ForeignKind, string>> = {
  PodIdentityAssociation: "restate",
  SecurityGroupPolicy: "restate",
  IAMPolicyMember: "restate-workload-identity",
  SecretProviderClass: "request-signing-key-v1",
};

export function buildForeignObjects(
  cluster: ClusterView,
  config: ClusterConfig,
  installed: readonly ForeignKind[],
): AnyManifest[] {
  const request = cloudRequestOf(cluster, config);
  const { podIdentity, securityGroups, workloadIdentity, secretProvider } = request;
  const project = workloadIdentity?.project;
  const objects: readonly (AnyManifest | undefined)[] = [
    podIdentity && buildPodIdentityAssociation(cluster, podIdentity),
    securityGroups && buildSecurityGroupPolicy(cluster, securityGroups),
    workloadIdentity === undefined || project === undefined
      ? undefined
      : buildIamPolicyMember(cluster, { email: workloadIdentity.email, project }),
    secretProvider && buildSecretProviderClass(cluster, secretProvider),
  ];
  return objects.flatMap((object) =>
    object !== undefined && installed.some((kind) => kind === object.kind) ? [object] : [],
  );
}
