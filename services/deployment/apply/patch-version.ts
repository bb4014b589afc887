/** Writes to the ReplicaSet of a version, and to no other object that has its name by now. */
import type { RestateDeployment } from "../../../crds/restate-deployment.ts";
import type { KubeClient } from "../../kube/client.ts";
import { refTo } from "../../kube/kinds.ts";
import type { ActionResult } from "../../reconciler/resource-kind.ts";
import type { VersionTarget } from "../api.ts";

/** Where versions are patched. */
export interface Site {
  readonly kube: KubeClient;
  readonly deployment: RestateDeployment;
}

/** Patches a version's ReplicaSet, if it still is the one that was seen. */
export async function patchVersion(
  { kube, deployment }: Site,
  { version, uid }: VersionTarget,
  body: { readonly spec?: object; readonly metadata?: object },
): Promise<ActionResult> {
  const ref = refTo("ReplicaSet", version, deployment.metadata.namespace);
  const patched = await kube.patch(ref, { body: { ...body, metadata: { ...body.metadata, uid } } });
  return { kind: patched === undefined ? "superseded" : "done" };
}

/** Sets annotations of a version's ReplicaSet, or takes them off (`null`). */
export function annotateVersion(
  site: Site,
  target: VersionTarget,
  annotations: Readonly<Record<string, string | null>>,
): Promise<ActionResult> {
  return patchVersion(site, target, { metadata: { annotations } });
}
