/** Gives the pods of a cluster an IAM role, by way of EKS Pod Identity: AWS Controllers for Kubernetes carry it out. */
import type { ClusterView } from "../api.ts";
import type { PodIdentityRequest } from "./cloud-request.ts";
import { childMetadata } from "./metadata.ts";

export function buildPodIdentityAssociation(
  cluster: ClusterView,
  { clusterName, roleArn }: PodIdentityRequest,
) {
  return {
    apiVersion: "eks.services.k8s.aws/v1alpha1",
    kind: "PodIdentityAssociation",
    metadata: childMetadata(cluster, { name: "restate" }),
    spec: {
      clusterName,
      namespace: cluster.name,
      roleARN: roleArn,
      serviceAccount: "restate",
    },
  };
}
