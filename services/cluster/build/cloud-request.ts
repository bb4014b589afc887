/**
 * What a cluster asks of its cloud, as far as this operator is set up to do it: the one place where the specification and
 * the operator's settings meet. Whether the kinds that takes are installed is another question.
 */
import type { ClusterConfig, ClusterView, ForeignKind } from "../api.ts";

/** Annotation by which GKE knows the Google service account of a ServiceAccount. */
const GCP_ACCOUNT_ANNOTATION = "iam.gke.io/gcp-service-account";
const GCP_ACCOUNT = /^[^@]+@([^@]+)\.iam\.gserviceaccount\.com$/;

export interface PodIdentityRequest {
  /** Name of the Kubernetes cluster at EKS. */
  readonly clusterName: string;
  readonly roleArn: string;
}

export interface WorkloadIdentityRequest {
  /** The Google service account. */
  readonly email: string;
  /** Its project; absent where the address does not tell. */
  readonly project?: string;
}

export interface SecretProviderRequest {
  readonly provider?: string;
  readonly parameters?: Readonly<Record<string, string>>;
  /** Path of the key's file below the mounted volume. */
  readonly path: string;
}

export interface CloudRequest {
  readonly podIdentity?: PodIdentityRequest;
  readonly securityGroups?: readonly string[];
  readonly workloadIdentity?: WorkloadIdentityRequest;
  readonly secretProvider?: SecretProviderRequest;
}

export type CloudView = Pick<ClusterView, "spec">;

export function cloudRequestOf({ spec }: CloudView, config: ClusterConfig): CloudRequest {
  const { security } = spec;
  const roleArn = security?.awsPodIdentityAssociationRoleArn ?? undefined;
  const clusterName = config.awsPodIdentityAssociationCluster;
  const groups = security?.awsPodSecurityGroups ?? [];
  const email = security?.serviceAccountAnnotations?.[GCP_ACCOUNT_ANNOTATION];
  const provided = security?.requestSigningPrivateKey?.secretProvider ?? undefined;
  return {
    ...(roleArn === undefined || clusterName === undefined
      ? {}
      : { podIdentity: { clusterName, roleArn } }),
    ...(groups.length === 0 ? {} : { securityGroups: groups }),
    ...(email === undefined || !config.gcpWorkloadIdentity
      ? {}
      : { workloadIdentity: workloadIdentityOf(email) }),
    ...(provided === undefined || !config.manageSecretProviderClasses
      ? {}
      : {
          secretProvider: {
            ...(provided.provider == null ? {} : { provider: provided.provider }),
            ...(provided.parameters == null ? {} : { parameters: provided.parameters }),
            path: provided.path,
          },
        }),
  };
}

function workloadIdentityOf(email: string): WorkloadIdentityRequest {
  const project = GCP_ACCOUNT.exec(email)?.[1];
  return { email, ...(project === undefined ? {} : { project }) };
}

/** Kinds of other projects that this operator is set up to write; what is off is neither looked at nor removed. */
export function managedForeignKinds(config: ClusterConfig): ForeignKind[] {
  return [
    ...(config.awsPodIdentityAssociationCluster === undefined
      ? []
      : (["PodIdentityAssociation"] as const)),
    "SecurityGroupPolicy",
    ...(config.gcpWorkloadIdentity ? (["IAMPolicyMember"] as const) : []),
    ...(config.manageSecretProviderClasses ? (["SecretProviderClass"] as const) : []),
  ];
}

/** Which kind each request takes. */
export function isAskedFor(kind: ForeignKind, request: CloudRequest): boolean {
  return request[REQUESTS[kind]] !== undefined;
}

const REQUESTS: Readonly<Record<ForeignKind, keyof CloudRequest>> = {
  PodIdentityAssociation: "podIdentity",
  SecurityGroupPolicy: "securityGroups",
  IAMPolicyMember: "workloadIdentity",
  SecretProviderClass: "secretProvider",
};
