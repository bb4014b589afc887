/**
 * From a changed object to the reconcilers that must look again. Pure: an object and nothing else decides.
 *
 * O1 A child belongs to its controller owner where that is one of the three kinds.
 * O2 Otherwise its labels say so: what a StatefulSet or ReplicaSet owns, volume claims, and children whose owner reference
 *    somebody removed. Labels of a cluster's child count only inside that cluster's namespace, because the selector also
 *    matches what others install under the name "restate".
 * O3 A reconciler's own status write and its finalizer are no change.
 */
import { RECONCILER_OF, RESTATE_GROUP } from "./kinds.ts";
import type { ReconcilerName, ResourceKind } from "./kinds.ts";
import type { WatchedMetadata, WatchedObject } from "./objects.ts";

/** `<reconciler>/<key>`: whom to wake. The reconciler's name has no slash, the key may. */
export type WakeKey = `${ReconcilerName}/${string}`;

/** What a RestateDeployment refers to, as `<kind>/<name>`. */
export type Reference = `RestateCluster/${string}` | `RestateCloudEnvironment/${string}`;

const INSTANCE_LABEL = "app.kubernetes.io/instance";
const OWNED_BY_LABEL = "restate.dev/owned-by";
const DEPLOYMENT_ANNOTATION = "restate.dev/deployment";
const TUNNEL_PREFIX = "tunnel-";

/** The reconciler of the resource called `name`; a namespace counts only for the namespaced kind. */
export function wakeKeyOf(
  kind: ResourceKind,
  object: { readonly name: string; readonly namespace?: string | undefined },
): WakeKey {
  const reconciler = RECONCILER_OF[kind];
  return kind === "RestateDeployment"
    ? `${reconciler}/${object.namespace ?? ""}/${object.name}`
    : `${reconciler}/${object.name}`;
}

/** The reconciler that a child answers to (O1, O2); undefined when nothing says whose it is. */
export function ownerOfChild(of: ResourceKind, child: WatchedMetadata): WakeKey | undefined {
  const controller = child.ownerReferences?.find((owner) => owner.controller === true);
  if (controller?.apiVersion.startsWith(`${RESTATE_GROUP}/`) && isResourceKind(controller.kind)) {
    return wakeKeyOf(controller.kind, { name: controller.name, namespace: child.namespace });
  }
  const name = ownerNameByLabels(of, child);
  return name === undefined ? undefined : wakeKeyOf(of, { name, namespace: child.namespace });
}

function isResourceKind(kind: string): kind is ResourceKind {
  return Object.hasOwn(RECONCILER_OF, kind);
}

function ownerNameByLabels(of: ResourceKind, child: WatchedMetadata): string | undefined {
  const instance = child.labels?.[INSTANCE_LABEL];
  if (of === "RestateDeployment") {
    return child.labels?.[OWNED_BY_LABEL] ?? child.annotations?.[DEPLOYMENT_ANNOTATION];
  }
  if (of === "RestateCluster") {
    return instance === (child.namespace ?? child.name) ? instance : undefined;
  }
  return instance?.startsWith(TUNNEL_PREFIX) ? instance.slice(TUNNEL_PREFIX.length) : undefined;
}

/** The parts of a resource whose change is somebody's intent (O3), as text to compare. */
export function relevantParts(object: WatchedObject): string {
  const { uid, generation, deletionTimestamp, labels, annotations } = object.metadata;
  return JSON.stringify([
    uid,
    generation,
    deletionTimestamp !== undefined,
    sorted(labels),
    sorted(annotations),
  ]);
}

/**
 * The parts of a resource that RestateDeployments which refer to it depend on, as text to compare; undefined for
 * RestateDeployments, to which nothing refers. Of a cluster: which one it is, whether it is ready, who may use it. Of an
 * environment: any edit.
 */
export function partsForDependents(kind: ResourceKind, object: WatchedObject): string | undefined {
  if (kind === "RestateDeployment") return undefined;
  if (kind === "RestateCloudEnvironment") return relevantParts(object);
  const { uid, deletionTimestamp } = object.metadata;
  const ready = object.status?.conditions?.find((condition) => condition.type === "Ready");
  const allowed = object.spec?.allowedNamespaces;
  return JSON.stringify([uid, deletionTimestamp !== undefined, ready?.status, allowed]);
}

/** What a RestateDeployment refers to; undefined when it registers by service or URL. */
export function referenceOf(kind: ResourceKind, object: WatchedObject): Reference | undefined {
  if (kind !== "RestateDeployment") return undefined;
  const register = object.spec?.restate?.register;
  if (register?.cluster !== undefined) return `RestateCluster/${register.cluster}`;
  if (register?.cloud !== undefined) return `RestateCloudEnvironment/${register.cloud}`;
  return undefined;
}

function sorted(map: Readonly<Record<string, string>> | undefined): readonly [string, string][] {
  return Object.entries(map ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
}
