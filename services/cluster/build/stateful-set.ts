/**
 * The StatefulSet of a cluster, and with it the pod template. A change of one character here rolls every cluster of every
 * user at the next upgrade: the objects seen at users (reference files under test/fixtures) pin it field by field.
 */
import type {
  V1Container,
  V1EnvVar,
  V1PersistentVolumeClaim,
  V1PodTemplateSpec,
  V1StatefulSet,
} from "@kubernetes/client-node";
import type { Manifest } from "../../core/manifest.ts";
import type { ClusterView } from "../api.ts";
import { configMapName } from "./config-map.ts";
import { childMetadata, formedAnnotation, instanceLabels } from "./metadata.ts";

export const STATEFUL_SET_NAME = "restate";
const TERMINATION_GRACE_SECONDS = 60;
/** A rolling update that begins at this ordinal replaces no pod. */
const NO_ORDINAL = 2_147_483_647;

export function buildStatefulSet(cluster: ClusterView): Manifest<V1StatefulSet> {
  return {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: childMetadata(cluster, {
      name: STATEFUL_SET_NAME,
      annotations: formedAnnotation(cluster),
    }),
    spec: {
      replicas: Math.max(replicasOf(cluster), cluster.building.frozenAt ?? 0),
      updateStrategy:
        cluster.building.frozenAt === undefined
          ? undefined
          : { type: "RollingUpdate", rollingUpdate: { partition: NO_ORDINAL } },
      podManagementPolicy: "Parallel",
      serviceName: "restate-cluster",
      selector: { matchLabels: instanceLabels(cluster.name) },
      template: buildPodTemplate(cluster),
      volumeClaimTemplates: [buildStorageClaim(cluster)],
    },
  };
}

/** Nodes asked for. */
export function replicasOf(cluster: ClusterView): number {
  return cluster.spec.compute.replicas ?? 1;
}

function buildPodTemplate(cluster: ClusterView): Manifest<V1PodTemplateSpec> {
  const { compute } = cluster.spec;
  return {
    metadata: {
      labels: { ...compute.labels, ...cluster.labels, ...instanceLabels(cluster.name) },
      annotations: { ...compute.annotations, ...cluster.annotations },
    },
    spec: {
      serviceAccountName: "restate",
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds:
        compute.terminationGracePeriodSeconds ?? TERMINATION_GRACE_SECONDS,
      securityContext: {
        runAsUser: 1000,
        runAsGroup: 3000,
        fsGroup: 2000,
        fsGroupChangePolicy: "OnRootMismatch",
        seccompProfile: { type: "RuntimeDefault" },
      },
      affinity: compute.affinity ?? undefined,
      nodeSelector: compute.nodeSelector ?? undefined,
      tolerations: compute.tolerations ?? undefined,
      topologySpreadConstraints: compute.topologySpreadConstraints ?? undefined,
      priorityClassName: compute.priorityClassName ?? undefined,
      dnsPolicy: compute.dnsPolicy ?? undefined,
      dnsConfig: compute.dnsConfig ?? undefined,
      imagePullSecrets: compute.imagePullSecrets ?? undefined,
      containers: [buildRestateContainer(cluster)],
      volumes: [
        { name: "tmp", emptyDir: {} },
        { name: "config", configMap: { name: configMapName(cluster.spec.config ?? "") } },
      ],
    },
  };
}

function buildRestateContainer(cluster: ClusterView): Manifest<V1Container> {
  const { compute } = cluster.spec;
  return {
    name: "restate",
    image: compute.image,
    imagePullPolicy: compute.imagePullPolicy ?? undefined,
    command: compute.command ?? undefined,
    args: compute.args ?? undefined,
    env: buildEnv(cluster),
    lifecycle: compute.lifecycle ?? undefined,
    ports: [
      { name: "ingress", containerPort: 8080 },
      { name: "admin", containerPort: 9070 },
      { name: "metrics", containerPort: 5122 },
    ],
    readinessProbe: { httpGet: { path: "/health", port: 9070 }, initialDelaySeconds: 30 },
    resources: compute.resources ?? undefined,
    securityContext: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false },
    volumeMounts: [
      { name: "storage", mountPath: "/restate-data" },
      { name: "tmp", mountPath: "/tmp" },
      { name: "config", mountPath: "/config", readOnly: true },
    ],
  };
}

/** The operator's variables, less those the user sets, then the user's: order and names are part of the pod template. */
function buildEnv(cluster: ClusterView): Manifest<V1EnvVar>[] {
  const own = cluster.spec.compute.env ?? [];
  const ownNames = new Set(own.map(({ name }) => name));
  const defaults: Manifest<V1EnvVar>[] = [
    fromPod("POD_NAME", "metadata.name"),
    fromPod("POD_ZONE", "metadata.labels['topology.kubernetes.io/zone']"),
    fromPod("POD_REGION", "metadata.labels['topology.kubernetes.io/region']"),
    { name: "RESTATE_LOG_FORMAT", value: "json" },
    { name: "RESTATE_CLUSTER_NAME", value: cluster.spec.clusterName ?? cluster.name },
    { name: "RESTATE_BASE_DIR", value: "/restate-data" },
    { name: "RUST_BACKTRACE", value: "1" },
    { name: "RUST_LIB_BACKTRACE", value: "0" },
    { name: "RESTATE_CONFIG", value: "/config/config.toml" },
    { name: "RESTATE_ADVERTISED_ADDRESS", value: "http://$(POD_NAME).restate-cluster:5122" },
    { name: "RESTATE_NODE_NAME", value: "$(POD_NAME)" },
    ...cluster.settings.env,
  ];
  return [...defaults.filter(({ name }) => name === undefined || !ownNames.has(name)), ...own];
}

function fromPod(name: string, fieldPath: string): Manifest<V1EnvVar> {
  return { name, valueFrom: { fieldRef: { fieldPath } } };
}

function buildStorageClaim(cluster: ClusterView): Manifest<V1PersistentVolumeClaim> {
  const { storage } = cluster.spec;
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name: "storage", labels: instanceLabels(cluster.name) },
    spec: {
      accessModes: ["ReadWriteOnce"],
      storageClassName: storage.storageClassName ?? undefined,
      volumeAttributesClassName: storage.volumeAttributesClassName ?? undefined,
      resources: { requests: { storage: String(storage.storageRequestBytes) } },
    },
  };
}
