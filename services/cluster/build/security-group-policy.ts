/** Gives the pods of a cluster EC2 security groups of their own: Amazon's VPC resource controller carries it out. */
import type { ClusterView } from "../api.ts";
import { childMetadata, instanceLabels } from "./metadata.ts";

export function buildSecurityGroupPolicy(cluster: ClusterView, groupIds: readonly string[]) {
  return {
    apiVersion: "vpcresources.k8s.aws/v1beta1",
    kind: "SecurityGroupPolicy",
    metadata: childMetadata(cluster, { name: "restate" }),
    spec: {
      podSelector: { matchLabels: instanceLabels(cluster.name) },
      securityGroups: { groupIds },
    },
  };
}
