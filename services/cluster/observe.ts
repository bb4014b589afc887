/**
 * What a decision about a RestateCluster needs to know, read afresh: the resource, its namespace, its children, and, where
 * provisioning waits for it, its first pod. One list per kind, all at once; projected and sorted here, at the border.
 */
import type { V1PersistentVolumeClaim, V1Pod, V1StatefulSet } from "@kubernetes/client-node";
import { RestateCluster } from "../../crds/restate-cluster.ts";
import type { ObservedObject } from "../core/children.ts";
import type { KubeClient } from "../kube/client.ts";
import { observedObjectOf, observedObjectsOf } from "../kube/observed.ts";
import type { Remembered } from "../reconciler/resource-kind.ts";
import type { ClusterConfig, ForeignKind } from "./api.ts";
import { instanceLabels } from "./build/metadata.ts";
import { SECRET_PROVIDER_VOLUME, SECURITY_GROUPS_ANNOTATION } from "./build/cloud-pod.ts";
import { STATEFUL_SET_NAME } from "./build/stateful-set.ts";
import { observeCloud, type CloudQuestion, type ObservedCloud } from "./observe-cloud.ts";

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
  readonly replicas: number;
  readonly readyReplicas: number;
  readonly updatedReplicas: number;
  /** Bytes its claim template asks for, as written there. */
  readonly storageRequest?: string;
  /** Kinds of other projects that its pods rely on; none when absent. */
  readonly reliesOn?: readonly ForeignKind[];
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
  readonly cloud?: ObservedCloud;
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
  { config, remembered }: { readonly config: ClusterConfig; readonly remembered: Remembered },
): Promise<ObservedCluster | undefined> {
  const [cluster, namespace] = await Promise.all([
    readCluster(kube, name),
    kube.get("Namespace", name),
  ]);
  if (cluster === undefined) return undefined;
  // A resource that is being deleted needs no look at its children, and nothing is in a namespace that does not exist.
  if (cluster.metadata.deletionTimestamp !== undefined)
    return { cluster, children: [], claims: [] };
  const question = {
    config,
    applied: remembered.uid === cluster.metadata.uid ? remembered.applied : {},
  };
  if (namespace === undefined) {
    return {
      cluster,
      children: [],
      claims: [],
      cloud: await observeCloud(kube, cluster, question),
    };
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
    ...(await observeNamespaced(kube, cluster, question)),
  };
}

async function observeNamespaced(
  kube: KubeClient,
  cluster: RestateCluster,
  question: CloudQuestion,
): Promise<Omit<ObservedCluster, "cluster" | "namespace">> {
  const { name } = cluster.metadata;
  const query = { namespace: name, labels: instanceLabels(name) };
  const waitsForFirstPod =
    cluster.spec.cluster?.autoProvision === true && cluster.status?.provisioned !== true;
  const [accounts, policies, configMaps, services, budgets, statefulSets, claims, firstPod, cloud] =
    await Promise.all([
      kube.listMetadata({ kind: "ServiceAccount", ...query }),
      question.config.manageNetworkPolicies
        ? kube.listMetadata({ kind: "NetworkPolicy", ...query })
        : [],
      kube.list({ kind: "ConfigMap", ...query }),
      kube.list({ kind: "Service", ...query }),
      kube.listMetadata({ kind: "PodDisruptionBudget", ...query }),
      kube.list({ kind: "StatefulSet", ...query }),
      kube.list({ kind: "PersistentVolumeClaim", ...query }),
      waitsForFirstPod ? kube.get("Pod", FIRST_POD_NAME, name) : undefined,
      observeCloud(kube, cluster, question),
    ]);
  const statefulSet = statefulSets.find((live) => live.metadata?.name === STATEFUL_SET_NAME);
  return {
    children: [
      ...observedObjectsOf("ServiceAccount", accounts),
      ...observedObjectsOf("NetworkPolicy", policies),
      ...observedObjectsOf("ConfigMap", configMaps),
      ...observedObjectsOf("Service", services),
      ...observedObjectsOf("PodDisruptionBudget", budgets),
      ...observedObjectsOf("StatefulSet", statefulSets),
    ],
    ...(statefulSet === undefined ? {} : { statefulSet: observedStatefulSetOf(statefulSet) }),
    cloud,
    claims: claims.map(observedClaimOf).toSorted((a, b) => a.ordinal - b.ordinal),
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
    replicas: status?.replicas ?? 0,
    readyReplicas: status?.readyReplicas ?? 0,
    updatedReplicas: status?.updatedReplicas ?? 0,
    ...(storageRequest === undefined ? {} : { storageRequest }),
    reliesOn: reliedOnBy(live),
  };
}

function reliedOnBy({ spec }: V1StatefulSet): ForeignKind[] {
  const { metadata, spec: pod } = spec?.template ?? {};
  const hasGroups = metadata?.annotations?.[SECURITY_GROUPS_ANNOTATION] !== undefined;
  const hasKey = (pod?.volumes ?? []).some(({ name }) => name === SECRET_PROVIDER_VOLUME);
  return [
    ...(hasGroups ? (["SecurityGroupPolicy"] as const) : []),
    ...(hasKey ? (["SecretProviderClass"] as const) : []),
  ];
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
