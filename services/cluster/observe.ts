/**
 * What a decision about a RestateCluster needs to know, read afresh: the resource, its namespace, its children, and, where
 * provisioning waits for it, its first pod. One list per kind, all at once; projected and sorted here, at the border.
 */
import type { V1PersistentVolumeClaim, V1Pod, V1StatefulSet } from "@kubernetes/client-node";
import { RestateCluster } from "../../crds/restate-cluster.ts";
import type { ObservedObject } from "../core/children.ts";
import type { KubeClient } from "../kube/client.ts";
import { observedObjectOf, observedObjectsOf } from "../kube/observed.ts";
import { instanceLabels } from "./build/metadata.ts";
import { STATEFUL_SET_NAME } from "./build/stateful-set.ts";
import { formedOf, settingsOf } from "./settings.ts";

/** Name of the pod that is asked to provision the cluster. */
export const FIRST_POD_NAME = "restate-0";

export interface ObservedNamespace {
  readonly object: ObservedObject;
  readonly terminating: boolean;
  /** It is controlled by a RestateCluster of this name that is no more: garbage collection is going to remove it. */
  readonly ofPredecessor: boolean;
}

export interface ObservedStatefulSet {
  readonly generation: number;
  /** `undefined` until its controller has looked at it. */
  readonly observedGeneration?: number;
  /** Pods it is to have. */
  readonly wantedReplicas?: number;
  readonly replicas: number;
  readonly readyReplicas: number;
  readonly updatedReplicas: number;
  /** Bytes its claim template asks for, as written there. */
  readonly storageRequest?: string;
}

export interface ObservedClaim {
  readonly name: string;
  /** Ordinal of the pod it belongs to. */
  readonly ordinal: number;
  readonly phase: string;
}

export interface ObservedFirstPod {
  readonly running: boolean;
  /** When its Restate container started. */
  readonly startedAtMs?: number;
}

export interface ObservedCluster {
  readonly cluster: RestateCluster;
  readonly namespace?: ObservedNamespace;
  readonly children: readonly ObservedObject[];
  readonly statefulSet?: ObservedStatefulSet;
  readonly claims: readonly ObservedClaim[];
  /** Looked at only while the cluster waits to be provisioned. */
  readonly firstPod?: ObservedFirstPod;
}

/** The resource itself, or `undefined` when there is none. */
export async function readCluster(
  kube: KubeClient,
  name: string,
): Promise<RestateCluster | undefined> {
  const live = await kube.get("RestateCluster", name);
  return live === undefined ? undefined : RestateCluster.parse(live);
}

/** Everything about one cluster. `undefined` when the resource does not exist. */
export async function observeCluster(
  kube: KubeClient,
  name: string,
): Promise<ObservedCluster | undefined> {
  const [cluster, namespace] = await Promise.all([
    readCluster(kube, name),
    kube.get("Namespace", name),
  ]);
  if (cluster === undefined) return undefined;
  // Nothing can be in a namespace that does not exist, and a resource that is being deleted needs no look at its children.
  if (namespace === undefined || cluster.metadata.deletionTimestamp !== undefined) {
    return { cluster, children: [], claims: [] };
  }
  return {
    cluster,
    namespace: {
      object: observedObjectOf("Namespace", namespace),
      terminating: namespace.status?.phase === "Terminating",
      ofPredecessor: (namespace.metadata?.ownerReferences ?? []).some(
        (owner) =>
          owner.controller === true &&
          owner.kind === cluster.kind &&
          owner.name === name &&
          owner.uid !== cluster.metadata.uid,
      ),
    },
    ...(await observeNamespaced(kube, cluster)),
  };
}

async function observeNamespaced(
  kube: KubeClient,
  cluster: RestateCluster,
): Promise<Omit<ObservedCluster, "cluster" | "namespace">> {
  const { name } = cluster.metadata;
  const query = { namespace: name, labels: instanceLabels(name) };
  const [accounts, policies, configMaps, services, budgets, statefulSets, claims] =
    await Promise.all([
      kube.listMetadata({ kind: "ServiceAccount", ...query }),
      kube.listMetadata({ kind: "NetworkPolicy", ...query }),
      kube.list({ kind: "ConfigMap", ...query }),
      kube.list({ kind: "Service", ...query }),
      kube.listMetadata({ kind: "PodDisruptionBudget", ...query }),
      kube.list({ kind: "StatefulSet", ...query }),
      kube.list({ kind: "PersistentVolumeClaim", ...query }),
    ]);
  const statefulSet = statefulSets.find((live) => live.metadata?.name === STATEFUL_SET_NAME);
  const observed = {
    children: [
      ...observedObjectsOf("ServiceAccount", accounts),
      ...observedObjectsOf("NetworkPolicy", policies),
      ...observedObjectsOf("ConfigMap", configMaps),
      ...observedObjectsOf("Service", services),
      ...observedObjectsOf("PodDisruptionBudget", budgets),
      ...observedObjectsOf("StatefulSet", statefulSets),
    ],
    ...(statefulSet === undefined ? {} : { statefulSet: observedStatefulSetOf(statefulSet) }),
    claims: claims.map(observedClaimOf).toSorted((a, b) => a.ordinal - b.ordinal),
  };
  const formed = formedOf({ cluster, ...observed });
  const { provisions } = settingsOf(cluster.spec, formed === undefined ? {} : { formed });
  if (!provisions || cluster.status?.provisioned === true) return observed;
  const firstPod = await kube.get("Pod", FIRST_POD_NAME, name);
  return {
    ...observed,
    ...(firstPod === undefined ? {} : { firstPod: observedFirstPodOf(firstPod) }),
  };
}

function observedStatefulSetOf(live: V1StatefulSet): ObservedStatefulSet {
  const { status } = live;
  const storageRequest =
    live.spec?.volumeClaimTemplates?.[0]?.spec?.resources?.requests?.["storage"];
  return {
    generation: live.metadata?.generation ?? 0,
    ...(status?.observedGeneration === undefined
      ? {}
      : { observedGeneration: status.observedGeneration }),
    ...(live.spec?.replicas === undefined ? {} : { wantedReplicas: live.spec.replicas }),
    replicas: status?.replicas ?? 0,
    readyReplicas: status?.readyReplicas ?? 0,
    updatedReplicas: status?.updatedReplicas ?? 0,
    ...(storageRequest === undefined ? {} : { storageRequest }),
  };
}

function observedClaimOf(live: V1PersistentVolumeClaim): ObservedClaim {
  const name = live.metadata?.name ?? "";
  return {
    name,
    ordinal: Number(name.slice(name.lastIndexOf("-") + 1)),
    phase: live.status?.phase ?? "Pending",
  };
}

function observedFirstPodOf(live: V1Pod): ObservedFirstPod {
  const restate = live.status?.containerStatuses?.find(({ name }) => name === "restate");
  const startedAt = restate?.state?.running?.startedAt;
  return {
    running: live.status?.phase === "Running" && live.metadata?.deletionTimestamp === undefined,
    ...(startedAt === undefined ? {} : { startedAtMs: new Date(startedAt).getTime() }),
  };
}
