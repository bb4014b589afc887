/** RestateClusters and the world around them, as tables of tests and the simulation write them down. */
import { RestateCluster, type RestateClusterSpec } from "../../crds/restate-cluster.ts";
import {
  fingerprintOf,
  keyOf,
  refOf,
  type AppliedObjects,
  type ObservedObject,
} from "../../services/core/children.ts";
import { digestOf } from "../../services/core/digest.ts";
import type { AnyManifest } from "../../services/core/manifest.ts";
import type { ClusterBuilding, ClusterConfig, SurveyReport } from "../../services/cluster/api.ts";
import { buildChildren } from "../../services/cluster/build/children.ts";
import type { ObservedClaim, ObservedCluster } from "../../services/cluster/observe/observe.ts";
import { clusterViewOf } from "../../services/cluster/plan/plan.ts";
import type { ClusterQuestion } from "../../services/cluster/plan/question.ts";

export const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5);
export const NOW = "2026-01-02T03:04:05Z";
/** When the condition of `RECONCILED` turned. */
export const BEFORE = "2026-01-01T00:00:00Z";

export const CONFIG: ClusterConfig = {
  operatorNamespace: "op",
  operatorLabel: { name: "app.kubernetes.io/name", value: "restate-operator" },
  clusterDns: "cluster.local",
  manageNetworkPolicies: true,
  manageSecretProviderClasses: true,
  gcpWorkloadIdentity: false,
  canaryImage: "alpine:3.21",
  allowHostAccess: false,
};

/** Status of a cluster of so many nodes that is as it should be. */
export function reconciledOf(replicas: number) {
  const done = { reason: "Reconciled", message: "Restate Cluster reconciled successfully" };
  const ready = { status: "True", reason: "PodsReady", message: "pods are ready" };
  const none = { status: "False", reason: "NoPodReady", message: "no pod is ready" };
  const lastTransitionTime = BEFORE;
  return {
    observedGeneration: 1,
    reconciliation: "Reconciling" as const,
    conditions: [
      { type: "Ready", status: "True", ...done, lastTransitionTime },
      { type: "Progressing", status: "False", ...done, lastTransitionTime },
      { type: "Stalled", status: "False", reason: "NotStalled", message: "", lastTransitionTime },
      { type: "Available", ...(replicas === 0 ? none : ready), lastTransitionTime },
    ],
    replicas,
    readyReplicas: replicas,
  };
}
export const RECONCILED = reconciledOf(1);

/** What a survey says that has not read anything. */
export const UNREAD_REPORT: SurveyReport = {
  uid: "uid-c",
  host: "restate.c.svc.cluster.local",
  asks: true,
  silent: false,
};

interface ClusterSample {
  readonly name?: string;
  readonly metadata?: Partial<RestateCluster["metadata"]>;
  readonly compute?: Partial<RestateClusterSpec["compute"]>;
  readonly spec?: Partial<RestateClusterSpec>;
  readonly status?: RestateCluster["status"];
}

/** A RestateCluster as read: one node, reconciled, with its finalizer. */
export function aCluster(sample: ClusterSample = {}): RestateCluster {
  return RestateCluster.parse({
    apiVersion: "restate.dev/v1",
    kind: "RestateCluster",
    metadata: {
      name: sample.name ?? "c",
      uid: "uid-c",
      resourceVersion: "10",
      generation: 1,
      creationTimestamp: BEFORE,
      finalizers: ["clusters.restate.dev"],
      ...sample.metadata,
    },
    spec: {
      compute: { image: "restatedev/restate:1.7.12", ...sample.compute },
      storage: { storageRequestBytes: 2_147_483_648 },
      ...sample.spec,
    },
    status: "status" in sample ? sample.status : reconciledOf(sample.compute?.replicas ?? 1),
  });
}

/** The manifests of a cluster's children. */
export function manifestsOf(
  cluster: RestateCluster,
  options: {
    readonly ownsNamespace?: boolean;
    readonly config?: ClusterConfig;
    readonly building?: ClusterBuilding;
  } = {},
): AnyManifest[] {
  return buildChildren(clusterViewOf({ cluster }, options.building), options.config ?? CONFIG, {
    ownsNamespace: options.ownsNamespace ?? true,
  });
}

const WITHOUT_GENERATION = ["Namespace", "ServiceAccount", "ConfigMap", "Service"];
const WITH_CONTENT = ["ConfigMap", "Service"];

/** The live object that an applied manifest is seen as. */
export function liveOf(manifest: AnyManifest, over: Partial<ObservedObject> = {}): ObservedObject {
  const ref = refOf(manifest);
  const { data, spec } = manifest as { data?: unknown; spec?: unknown };
  return {
    ref,
    uid: `uid-${ref.kind}-${ref.name}`,
    ...(WITHOUT_GENERATION.includes(ref.kind) ? {} : { generation: 1 }),
    ...(WITH_CONTENT.includes(ref.kind) ? { content: digestOf([data, spec]) } : {}),
    labels: manifest.metadata?.labels as Record<string, string>,
    annotations: manifest.metadata?.annotations as Record<string, string>,
    controllerUid: "uid-c",
    deleting: false,
    ...over,
  };
}

/** What is remembered when the manifests have been applied and came to these live objects. */
export function appliedOf(manifests: readonly AnyManifest[]): AppliedObjects {
  return Object.fromEntries(
    manifests.map((manifest) => [
      keyOf(refOf(manifest)),
      { manifest: digestOf(manifest), live: fingerprintOf(liveOf(manifest), manifest) },
    ]),
  );
}

/** The bound claim of one pod of cluster `c`, as observed. */
export function aClaim(ordinal: number, over: Partial<ObservedClaim> = {}): ObservedClaim {
  const name = `storage-restate-${ordinal}`;
  return {
    name,
    ref: { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace: "c", name },
    uid: `uid-${name}`,
    ordinal,
    phase: "Bound",
    storageBytes: 2_147_483_648,
    deleting: false,
    ...over,
  };
}

/** Everything about a cluster whose every child is there, applied, rolled out and ready. */
export function settledQuestion(
  cluster: RestateCluster,
  over: {
    readonly observed?: Partial<ObservedCluster>;
    readonly applied?: AppliedObjects;
    readonly config?: ClusterConfig;
  } = {},
): ClusterQuestion {
  const manifests = manifestsOf(cluster, over.config === undefined ? {} : { config: over.config });
  const [namespace, ...children] = manifests.map((manifest) => liveOf(manifest));
  const replicas = cluster.spec.compute.replicas ?? 1;
  return {
    observed: {
      cluster,
      namespace: { object: namespace!, terminating: false, ofPredecessor: false },
      children,
      statefulSet: {
        generation: 1,
        observedGeneration: 1,
        replicas,
        readyReplicas: replicas,
        updatedReplicas: replicas,
        storageBytes: 2_147_483_648,
      },
      claims: Array.from({ length: replicas }, (_, ordinal) => aClaim(ordinal)),
      ...over.observed,
    },
    applied: over.applied ?? appliedOf(manifests),
    config: over.config ?? CONFIG,
    nowMs: NOW_MS,
    report: UNREAD_REPORT,
  };
}
