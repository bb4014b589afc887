/**
 * Writes to the ReplicaSet of a version, and to no other object that has its name by now.
 *
 * What is set is set by server-side apply, under the field managers of the contract (section 1), so that its ownership can
 * move from one operator to the next. What is taken off is taken off by a merge patch: whoever else has set it too, it goes.
 */
import type { RestateDeployment } from "../../../crds/restate-deployment.ts";
import type { KubeClient } from "../../kube/client.ts";
import { KubeError } from "../../kube/errors.ts";
import type { ANNOTATIONS_MANAGER } from "../../kube/field-managers.ts";
import { refTo } from "../../kube/kinds.ts";
import type { ActionResult } from "../../reconciler/resource-kind.ts";
import type { VersionTarget } from "../api.ts";

/** Where versions are patched. */
export interface Site {
  readonly kube: KubeClient;
  readonly deployment: RestateDeployment;
}

/** Field managers of what is set on a version that exists. */
type VersionFieldOwner =
  | typeof ANNOTATIONS_MANAGER
  | "restate-operator/propagate-replicas"
  | "restate-operator/scale-down"
  | "restate-operator/scale-restore"
  | "restate-operator/deployment-id"
  | "restate-operator/remove-version-at";

/** What one field manager has to say about a version: all of it, for what it said before and no longer says goes. */
export interface VersionFields {
  readonly manager: VersionFieldOwner;
  readonly spec?: { readonly replicas: number };
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Sets fields of a version's ReplicaSet, if it still is the one that was seen. */
export async function setOnVersion(
  { kube, deployment }: Site,
  { version, uid }: VersionTarget,
  { manager, spec, ...metadata }: VersionFields,
): Promise<ActionResult> {
  const { namespace } = deployment.metadata;
  const manifest = {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: { name: version, namespace, uid, ...metadata },
    ...(spec === undefined ? {} : { spec }),
  };
  try {
    await kube.apply(manifest, manager);
    return { kind: "done" };
  } catch (error) {
    // gone, or another one: an apply with a uid makes nothing
    if (error instanceof KubeError && error.status === 409) return { kind: "superseded" };
    throw error;
  }
}

/** Patches metadata of a version's ReplicaSet, if it still is the one that was seen. `null` takes off. */
export async function patchVersion(
  { kube, deployment }: Site,
  { version, uid }: VersionTarget,
  metadata: Partial<Record<"labels" | "annotations", Readonly<Record<string, string | null>>>>,
): Promise<ActionResult> {
  const ref = refTo("ReplicaSet", version, deployment.metadata.namespace);
  const patched = await kube.patch(ref, { body: { metadata: { ...metadata, uid } } });
  return { kind: patched === undefined ? "superseded" : "done" };
}

/** Sets annotations of a version's ReplicaSet that are the operator's own business, or takes annotations off (`null`). */
export function annotateVersion(
  site: Site,
  target: VersionTarget,
  annotations: Readonly<Record<string, string | null>>,
): Promise<ActionResult> {
  return patchVersion(site, target, { annotations });
}
