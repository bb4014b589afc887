/**
 * What all children of a RestateCluster have in common: the labels that select them, the metadata they inherit, their
 * owner (contract, sections 1 and 2).
 */
import { RESTATE_CLUSTER } from "../../../crds/restate-cluster.ts";
import type { OwnerReference } from "../../core/manifest.ts";
import type { ClusterView } from "../api.ts";

/** On the headless Service and the StatefulSet of a cluster with generated settings: the replication it was formed with. */
export const FORMED_ANNOTATION = "restate.dev/formed-with-replication";

/** Selects everything of one cluster. These are in immutable volume claim templates and can never change. */
export function instanceLabels(clusterName: string): Record<string, string> {
  return { "app.kubernetes.io/name": "restate", "app.kubernetes.io/instance": clusterName };
}

export function ownerOf(cluster: ClusterView): OwnerReference {
  return {
    apiVersion: RESTATE_CLUSTER.apiVersion,
    kind: RESTATE_CLUSTER.kind,
    name: cluster.name,
    uid: cluster.uid,
    controller: true,
  };
}

/** The annotation by which a cluster that is formed of generated settings stays so (settings.ts, F4). */
export function formedAnnotation({ building }: ClusterView): Readonly<Record<string, string>> {
  return building.formed === undefined ? {} : { [FORMED_ANNOTATION]: String(building.formed) };
}

/** Metadata of a child: the resource's labels and annotations below the child's own. */
export function childMetadata(
  cluster: ClusterView,
  child: {
    readonly name: string;
    readonly namespaced?: false;
    readonly annotations?: Readonly<Record<string, string>> | null | undefined;
  },
) {
  return {
    name: child.name,
    namespace: child.namespaced === false ? undefined : cluster.name,
    labels: { ...cluster.labels, ...instanceLabels(cluster.name) },
    annotations: { ...cluster.annotations, ...child.annotations },
    ownerReferences: [ownerOf(cluster)],
  };
}
