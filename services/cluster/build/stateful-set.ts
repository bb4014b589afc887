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
import type { ClusterConfig, ClusterView, ForeignKind } from "../api.ts";
import { configMapName } from "./config-map.ts";
import { childMetadata, formedAnnotation, instanceLabels } from "./metadata.ts";
import type { PodPart } from "./pod-part.ts";
import { buildPodParts } from "./pod-parts.ts";
import { HEADLESS_SERVICE_NAME } from "./services.ts";

export const STATEFUL_SET_NAME = "restate";
const TERMINATION_GRACE_SECONDS = 60;
/** A rolling update that begins at this ordinal replaces no pod. */
const NO_ORDINAL = 2_147_483_647;

/** `inPods`: the kinds of other projects that pods may rely on; what needs another one is left out. */
export function buildStatefulSet(
  cluster: ClusterView,
  config: ClusterConfig,
  inPods: readonly ForeignKind[],
): Manifest<V1StatefulSet> {
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
      serviceName: HEADLESS_SERVICE_NAME,
      selector: { matchLabels: instanceLabels(cluster.name) },
      template: buildPodTemplate(cluster, buildPodParts(cluster, config, inPods)),
      volumeClaimTemplates: [buildStorageClaim(cluster)],
    },
  };
}

/** Nodes asked for. */
export function replicasOf(cluster: Pick<ClusterView, "spec">): number {
  return cluster.spec.compute.replicas ?? 1;
}

function buildPodTemplate(
  cluster: ClusterView,
  parts: readonly PodPart[],
): Manifest<V1PodTemplateSpec> {
  const { compute } = cluster.spec;
  const initContainers = parts.flatMap((part) => part.initContainers ?? []);
  return {
    metadata: {
      labels: { ...compute.labels, ...cluster.labels, ...instanceLabels(cluster.name) },
      annotations: merged(
        compute.annotations,
        cluster.annotations,
        ...parts.map(({ annotations }) => annotations),
      ),
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
      initContainers: initContainers.length === 0 ? undefined : initContainers,
      containers: [buildRestateContainer(cluster, parts)],
      volumes: [
        { name: "tmp", emptyDir: {} },
        { name: "config", configMap: { name: configMapName(cluster.spec.config ?? "") } },
        ...parts.flatMap(({ volumes }) => volumes ?? []),
      ],
    },
  };
}

/** One map of several, the later over the earlier. */
function merged(
  ...maps: readonly (Readonly<Record<string, string>> | undefined)[]
): Record<string, string> {
  return Object.fromEntries(maps.flatMap((map) => Object.entries(map ?? {})));
}

function buildRestateContainer(
  cluster: ClusterView,
  parts: readonly PodPart[],
): Manifest<V1Container> {
  const { compute } = cluster.spec;
  return {
    name: "restate",
    image: compute.image,
    imagePullPolicy: compute.imagePullPolicy ?? undefined,
    command: compute.command ?? undefined,
    args: compute.args ?? undefined,
    env: [...buildEnv(cluster), ...parts.flatMap(({ env }) => env ?? [])],
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
      ...parts.flatMap(({ mounts }) => mounts ?? []),
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
