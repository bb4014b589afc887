/**
 * What a decision about a RestateCluster needs to know, read afresh: the resource, its namespace, its children, and, where
 * provisioning waits for it, its first pod. One list per kind, all at once; projected and sorted here, at the border.
 */
import type {
  V1PersistentVolumeClaim,
  V1PersistentVolumeClaimSpec,
  V1Pod,
  V1StatefulSet,
} from "@kubernetes/client-node";
import { RestateCluster } from "../../../crds/restate-cluster.ts";
import type { ObservedObject } from "../../core/children.ts";
import type { ObjectRef } from "../../core/resource.ts";
import type { KubeClient } from "../../kube/client.ts";
import { observedObjectOf, observedObjectsOf } from "../../kube/observed.ts";
import { bytesOf } from "../../kube/quantity.ts";
import { refTo } from "../../kube/kinds.ts";
import type { Remembered } from "../../reconciler/resource-kind.ts";
import type { ClusterConfig, ForeignKind } from "../api.ts";
import { instanceLabels } from "../build/metadata.ts";
import { SECRET_PROVIDER_VOLUME, SECURITY_GROUPS_ANNOTATION } from "../build/cloud-part.ts";
import { STATEFUL_SET_NAME } from "../build/stateful-set.ts";
import { formedBy, settingsOf } from "../plan/settings.ts";
import { observeRunningImages } from "./observe-images.ts";
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
  /** Pods it is to have. */
  readonly wantedReplicas?: number;
  readonly replicas: number;
  readonly readyReplicas: number;
  readonly updatedReplicas: number;
  /** Bytes its claim template asks for. */
  readonly storageBytes?: number;
  /** Classes its claim template asks for. */
  readonly storageClassName?: string;
  readonly volumeAttributesClassName?: string;
  /** Kinds of other projects that its pods rely on; none when absent. */
  readonly reliesOn?: readonly ForeignKind[];
}

export interface ObservedClaim {
  readonly name: string;
  readonly ref: ObjectRef;
  readonly uid: string;
  /** Ordinal of the pod it belongs to. */
  readonly ordinal: number;
  readonly phase: string;
  /** Bytes it asks for. */
  readonly storageBytes?: number;
  readonly volumeAttributesClassName?: string;
  readonly deleting: boolean;
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
  /** Images of the Restate that runs; looked at only when another image is asked for than the StatefulSet has. */
  readonly runningImages?: readonly string[];
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
  const [accounts, policies, configMaps, services, budgets, statefulSet, claims, cloud] =
    await Promise.all([
      kube.listMetadata({ kind: "ServiceAccount", ...query }),
      question.config.manageNetworkPolicies
        ? kube.listMetadata({ kind: "NetworkPolicy", ...query })
        : [],
      kube.list({ kind: "ConfigMap", ...query }),
      kube.list({ kind: "Service", ...query }),
      kube.listMetadata({ kind: "PodDisruptionBudget", ...query }),
      // By name: it has to be seen whatever somebody did to its labels, because it may have to be replaced.
      kube.get("StatefulSet", STATEFUL_SET_NAME, name),
      kube.list({ kind: "PersistentVolumeClaim", ...query }),
      observeCloud(kube, cluster, question),
    ]);
  const runningImages = await observeRunningImages(kube, cluster, statefulSet);
  const observed = {
    children: [
      ...observedObjectsOf("ServiceAccount", accounts),
      ...observedObjectsOf("NetworkPolicy", policies),
      ...observedObjectsOf("ConfigMap", configMaps),
      ...observedObjectsOf("Service", services),
      ...observedObjectsOf("PodDisruptionBudget", budgets),
      ...observedObjectsOf("StatefulSet", statefulSet === undefined ? [] : [statefulSet]),
    ],
    ...(statefulSet === undefined ? {} : { statefulSet: observedStatefulSetOf(statefulSet) }),
    cloud,
    claims: claims.map(observedClaimOf).toSorted((a, b) => a.ordinal - b.ordinal),
    ...(runningImages === undefined ? {} : { runningImages }),
  };
  const { provisions } = settingsOf(cluster.spec, formedBy({ cluster, ...observed }));
  if (!provisions || cluster.status?.provisioned === true) return observed;
  const firstPod = await kube.get("Pod", FIRST_POD_NAME, name);
  return {
    ...observed,
    ...(firstPod === undefined ? {} : { firstPod: observedFirstPodOf(firstPod) }),
  };
}

function observedStatefulSetOf(live: V1StatefulSet): ObservedStatefulSet {
  const { status } = live;
  const claim = live.spec?.volumeClaimTemplates?.[0]?.spec;
  return {
    generation: live.metadata?.generation ?? 0,
    ...(status?.observedGeneration === undefined
      ? {}
      : { observedGeneration: status.observedGeneration }),
    ...(live.spec?.replicas === undefined ? {} : { wantedReplicas: live.spec.replicas }),
    replicas: status?.replicas ?? 0,
    readyReplicas: status?.readyReplicas ?? 0,
    updatedReplicas: status?.updatedReplicas ?? 0,
    ...(claim?.storageClassName === undefined ? {} : { storageClassName: claim.storageClassName }),
    ...storageOf(claim),
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

/** What a claim, or a template of one, asks for. */
function storageOf(
  spec: V1PersistentVolumeClaimSpec | undefined,
): Pick<ObservedClaim, "storageBytes" | "volumeAttributesClassName"> {
  const storageBytes = bytesOf(spec?.resources?.requests?.["storage"]);
  const { volumeAttributesClassName } = spec ?? {};
  return {
    ...(storageBytes === undefined ? {} : { storageBytes }),
    ...(volumeAttributesClassName === undefined ? {} : { volumeAttributesClassName }),
  };
}

/** A claim, projected to what decides. */
export function observedClaimOf(live: V1PersistentVolumeClaim): ObservedClaim {
  const { name = "", namespace, uid = "", deletionTimestamp } = live.metadata ?? {};
  return {
    name,
    ref: refTo("PersistentVolumeClaim", name, namespace),
    uid,
    ordinal: Number(name.slice(name.lastIndexOf("-") + 1)),
    phase: live.status?.phase ?? "Pending",
    ...storageOf(live.spec),
    deleting: deletionTimestamp !== undefined,
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
