/** Lets the ServiceAccount of a cluster act as a Google service account: Config Connector carries it out. */
import type { ClusterView } from "../api.ts";
import { childMetadata } from "./metadata.ts";

export function buildIamPolicyMember(
  cluster: ClusterView,
  { email, project }: { readonly email: string; readonly project: string },
) {
  return {
    apiVersion: "iam.cnrm.cloud.google.com/v1beta1",
    kind: "IAMPolicyMember",
    metadata: childMetadata(cluster, {
      name: "restate-workload-identity",
      annotations: { "cnrm.cloud.google.com/project-id": project },
    }),
    spec: {
      member: `serviceAccount:${project}.svc.id.goog[${cluster.name}/restate]`,
      role: "roles/iam.workloadIdentityUser",
      resourceRef: {
        kind: "IAMServiceAccount",
        external: `projects/${project}/serviceAccounts/${email}`,
      },
    },
  };
}
