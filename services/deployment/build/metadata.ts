/**
 * What the children of a RestateDeployment have in common: labels that say whose they are, the metadata they inherit, their
 * owner (contract, sections 1 and 3).
 */
import { RESTATE_DEPLOYMENT } from "../../../crds/restate-deployment.ts";
import type { OwnerReference } from "../../core/manifest.ts";
import type { DeploymentView } from "../api.ts";

export const OWNED_BY_LABEL = "restate.dev/owned-by";
/** On the ReplicaSet and the Service of the latest version. */
export const LATEST_LABEL = "restate.dev/latest";
export const POD_TEMPLATE_HASH_LABEL = "pod-template-hash";
export const POD_TEMPLATE_ANNOTATION = "restate.dev/pod-template";
export const TUNNEL_NAME_ANNOTATION = "restate.dev/tunnel-name";
export const DEPLOYMENT_ID_ANNOTATION = "restate.dev/deployment-id";
export const REMOVE_VERSION_AT_ANNOTATION = "restate.dev/remove-version-at";
/** Admin API of the Restate that a version was registered with: it is drained there, wherever the next one registers. */
export const ADMIN_URL_ANNOTATION = "restate.dev/admin-url";
/** On a version: it has been registered once, so a rollback to it passes every gate. */
export const SERVED_ANNOTATION = "restate.dev/served";
/** On a version: a dry run of its registration succeeded. */
export const GATE_CHECKED_ANNOTATION = "restate.dev/gate-checked";
/** On a version: its gate has let it through. */
export const GATE_PASSED_ANNOTATION = "restate.dev/gate-passed";
/** On the resource, by its user: the name of a version whose gate is to open, whatever it says. */
export const PROMOTE_ANNOTATION = "restate.dev/promote";
/** On the resource, by its user: the name of a version that is given up. */
export const ABORT_ANNOTATION = "restate.dev/abort";
/** A refusal by Restate: when, for which generation, and in which words. */
export const REJECTED_ANNOTATION = "restate.dev/rejected";

/** What follows is the name of the cluster whose NetworkPolicies let a pod with this label in. */
export const ALLOW_PREFIX = "allow.restate.dev/";

/** A version as its children are built. */
export interface VersionView {
  readonly name: string;
  /** `pod-template-hash`. */
  readonly hash: string;
}

/** A version that exists, as Services lead to it: by its own ReplicaSet, whatever the resource's template is by now. */
export interface ServedVersion extends VersionView {
  /** Labels that its pods have and those of no other version. */
  readonly matchLabels: Readonly<Record<string, string>>;
  readonly targetPort: number;
}

/** Labels by which the children of one RestateDeployment are found. */
export function ownershipLabels(deployment: Pick<DeploymentView, "name">): Record<string, string> {
  return {
    "app.kubernetes.io/managed-by": "restate-operator",
    [OWNED_BY_LABEL]: deployment.name,
  };
}

export function ownerOf(deployment: DeploymentView): OwnerReference {
  return {
    apiVersion: RESTATE_DEPLOYMENT.apiVersion,
    kind: RESTATE_DEPLOYMENT.kind,
    name: deployment.name,
    uid: deployment.uid,
    controller: true,
  };
}

/** The ReplicaSet of a version as the owner of what belongs to that version alone. */
export function versionOwner(version: VersionView, uid: string): OwnerReference {
  return { apiVersion: "apps/v1", kind: "ReplicaSet", name: version.name, uid, controller: true };
}

/** The label by which the pods are let through the NetworkPolicies of the cluster they register with. */
export function allowLabel(deployment: DeploymentView): Record<string, string> {
  const { cluster } = deployment.spec.restate.register;
  return cluster === undefined ? {} : { [`${ALLOW_PREFIX}${cluster}`]: "true" };
}

/** Labels that the pods of one version have and those of no other. */
export function versionLabels(
  deployment: DeploymentView,
  version: VersionView,
): Record<string, string> {
  return {
    ...deployment.spec.selector?.matchLabels,
    [POD_TEMPLATE_HASH_LABEL]: version.hash,
  };
}
