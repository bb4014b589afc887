/**
 * Fields of RestateDeployment that this release does not carry out. They are refused whole, with their names, instead of
 * being ignored: a deployment that does not do what it says is worse than one that says it does not.
 */
import type { RestateDeploymentSpec } from "../../../crds/restate-deployment.ts";

/** Names of the fields in use that are not served, sorted. */
export function notServedFields({ deploymentMode, restate }: RestateDeploymentSpec): string[] {
  return [
    ...(deploymentMode === "knative" ? ["spec.deploymentMode: knative"] : []),
    ...(restate.register.cloud === undefined ? [] : ["spec.restate.register.cloud"]),
  ];
}
