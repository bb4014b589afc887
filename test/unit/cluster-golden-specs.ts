/**
 * Specifications of RestateClusters, each with one thing set beside the smallest one, and some with many. What each makes of
 * the manifests is in test/fixtures/golden/clusters.yaml; unit tests hold what is built against it, and a control-plane test
 * has a real API server accept both.
 */
import type { RestateCluster } from "../../crds/restate-cluster.ts";
import { refOf } from "../../services/core/children.ts";
import { titleOf } from "../../services/core/resource.ts";
import { aCluster, manifestsOf } from "./cluster-samples.ts";

type Json = Readonly<Record<string, unknown>>;

export interface GoldenSpec {
  readonly metadata?: Pick<RestateCluster["metadata"], "labels" | "annotations">;
  readonly compute?: Json;
  readonly storage?: Json;
  readonly security?: Json;
  /** Members of the spec outside those above. */
  readonly spec?: Json;
}

const compute = (fields: Json): GoldenSpec => ({ compute: fields });
const security = (fields: Json): GoldenSpec => ({ security: fields });
const peers = (networkPeers: Json): GoldenSpec => security({ networkPeers });

const PEER = { podSelector: { matchLabels: { app: "client" } } };
const SIDECAR = { name: "proxy", image: "proxy:1" };
const signingKey = { version: "v1", secret: { secretName: "signing", key: "key.pem" } };
const CA = { secretName: "company-ca", key: "ca.crt" };

const ALL_OF_COMPUTE: Json = {
  replicas: 3,
  imagePullPolicy: "Always",
  imagePullSecrets: [{ name: "pull" }],
  command: ["/usr/local/bin/restate-server"],
  args: ["--node-id=1"],
  env: [
    { name: "RUST_BACKTRACE", value: "full" },
    { name: "TOKEN", valueFrom: { secretKeyRef: { name: "token", key: "token" } } },
  ],
  labels: { team: "blue" },
  annotations: { "prometheus.io/scrape": "true" },
  resources: { requests: { cpu: "500m", memory: "1Gi" }, limits: { memory: "2Gi" } },
  lifecycle: { preStop: { exec: { command: ["sleep", "5"] } } },
  terminationGracePeriodSeconds: 120,
  sidecars: [{ ...SIDECAR, volumeMounts: [{ name: "shared", mountPath: "/shared" }] }],
  extraVolumes: [{ name: "shared", emptyDir: {} }],
  extraVolumeMounts: [{ name: "shared", mountPath: "/shared" }],
  dnsPolicy: "None",
  dnsConfig: { nameservers: ["10.0.0.10"], searches: ["example.org"] },
  nodeSelector: { disk: "fast" },
  affinity: {
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        {
          topologyKey: "kubernetes.io/hostname",
          labelSelector: { matchLabels: { "app.kubernetes.io/name": "restate" } },
        },
      ],
    },
  },
  tolerations: [{ key: "dedicated", operator: "Equal", value: "restate", effect: "NoSchedule" }],
  topologySpreadConstraints: [
    { maxSkew: 1, topologyKey: "topology.kubernetes.io/zone", whenUnsatisfiable: "ScheduleAnyway" },
  ],
  priorityClassName: "system-cluster-critical",
};

const ALL_OF_SECURITY: Json = {
  serviceAccountAnnotations: { "example.org/role": "restate" },
  serviceAnnotations: { "example.org/balancer": "internal" },
  allowOperatorAccessToAdmin: false,
  networkPeers: { ingress: [PEER], admin: [PEER], node: [PEER] },
  networkEgressRules: [{ to: [{ ipBlock: { cidr: "10.1.0.0/16" } }], ports: [{ port: 443 }] }],
  requestSigningPrivateKey: signingKey,
  trustedCaCerts: [CA, { secretName: "other-ca", key: "tls.crt" }],
};

/** By name: the field that is set, and what about it. */
export const GOLDEN_SPECS: Readonly<Record<string, GoldenSpec>> = {
  minimal: {},
  "labels and annotations of the resource": {
    metadata: { labels: { team: "blue" }, annotations: { note: "hello" } },
  },
  clusterName: { spec: { clusterName: "theirs" } },
  config: { spec: { config: 'roles = ["worker", "admin"]\n' } },
  "cluster.autoProvision": {
    spec: { config: "auto-provision = false\n", cluster: { autoProvision: true } },
  },
  "storage.storageClassName": { storage: { storageClassName: "fast" } },
  "storage.volumeAttributesClassName": { storage: { volumeAttributesClassName: "gold" } },
  "storage.storageRequestBytes": { storage: { storageRequestBytes: 1e15 } },
  "compute.replicas": compute({ replicas: 3 }),
  "compute.replicas: none": compute({ replicas: 0 }),
  "compute.image": compute({ image: "images.example.org/restate@sha256:0123" }),
  "compute.imagePullPolicy": compute({ imagePullPolicy: "Always" }),
  "compute.imagePullSecrets": compute({ imagePullSecrets: [{ name: "a" }, { name: "b" }] }),
  "compute.command": compute({ command: ["sh", "-c", "exec restate-server $0"] }),
  "compute.args": compute({ args: ["--log-filter", "debug"] }),
  "compute.env: more": compute({
    env: [
      { name: "PLAIN", value: "1" },
      { name: "EMPTY", value: "" },
      { name: "SECRET", valueFrom: { secretKeyRef: { name: "s", key: "k", optional: true } } },
      { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
    ],
  }),
  "compute.env: in the place of a default": compute({
    env: [{ name: "RESTATE_NODE_NAME", value: "node-$(POD_NAME)" }],
  }),
  "compute.labels": compute({
    labels: { team: "blue", "app.kubernetes.io/name": "not-restate" },
  }),
  "compute.annotations": compute({ annotations: { "prometheus.io/scrape": "true" } }),
  "compute.annotations: below the resource's": {
    metadata: { annotations: { note: "resource" } },
    compute: { annotations: { note: "pods", more: "pods" } },
  },
  "compute.resources": compute({
    resources: { requests: { cpu: "0.5", memory: "1024Mi" }, limits: { memory: "2Gi" } },
  }),
  "compute.lifecycle": compute({
    lifecycle: {
      preStop: { httpGet: { path: "/stop", port: 9070 } },
      postStart: { exec: { command: ["true"] } },
    },
  }),
  "compute.lifecycle: sleep": compute({ lifecycle: { preStop: { sleep: { seconds: 5 } } } }),
  "compute.terminationGracePeriodSeconds": compute({ terminationGracePeriodSeconds: 300 }),
  "compute.terminationGracePeriodSeconds: none": compute({ terminationGracePeriodSeconds: 0 }),
  "compute.sidecars": compute({ sidecars: [SIDECAR, { name: "second", image: "second:1" }] }),
  "compute.sidecars: whatever their restartPolicy": compute({
    sidecars: [
      {
        ...SIDECAR,
        restartPolicy: "OnFailure",
        ports: [
          { name: "proxy", containerPort: 1 },
          { containerPort: 1, protocol: "UDP" },
        ],
        startupProbe: { httpGet: { path: "/", port: "proxy" } },
        securityContext: { runAsUser: 2000, capabilities: { drop: ["ALL"] } },
        volumeMounts: [{ name: "config", mountPath: "/config", readOnly: true }],
      },
    ],
  }),
  "compute.extraVolumes": compute({
    extraVolumes: [
      { name: "scratch", emptyDir: { sizeLimit: "1Gi", medium: "Memory" } },
      { name: "settings", configMap: { name: "settings" } },
      {
        name: "identity",
        projected: { sources: [{ serviceAccountToken: { audience: "x", path: "token" } }] },
      },
      {
        name: "cache",
        ephemeral: {
          volumeClaimTemplate: {
            spec: {
              accessModes: ["ReadWriteOnce"],
              resources: { requests: { storage: "1Gi" } },
            },
          },
        },
      },
    ],
  }),
  "compute.extraVolumeMounts": compute({
    extraVolumes: [{ name: "scratch", emptyDir: {} }],
    extraVolumeMounts: [
      { name: "scratch", mountPath: "/scratch" },
      { name: "scratch", mountPath: "/more", subPath: "more", readOnly: true },
      { name: "config", mountPath: "/etc/restate" },
    ],
  }),
  "compute.dnsPolicy": compute({ dnsPolicy: "ClusterFirstWithHostNet" }),
  "compute.dnsConfig": compute({ dnsConfig: { options: [{ name: "ndots", value: "2" }] } }),
  "compute.nodeSelector": compute({ nodeSelector: { disk: "fast", zone: "a" } }),
  "compute.affinity": compute({ affinity: ALL_OF_COMPUTE["affinity"] }),
  "compute.tolerations": compute({
    tolerations: [{ operator: "Exists" }, { key: "k", effect: "NoExecute", tolerationSeconds: 5 }],
  }),
  "compute.topologySpreadConstraints": compute({
    topologySpreadConstraints: ALL_OF_COMPUTE["topologySpreadConstraints"],
  }),
  "compute.priorityClassName": compute({ priorityClassName: "system-node-critical" }),
  "all of compute": compute(ALL_OF_COMPUTE),
  "security.serviceAccountAnnotations": security({ serviceAccountAnnotations: { role: "r" } }),
  "security.serviceAnnotations": security({ serviceAnnotations: { balancer: "b" } }),
  "security.disableNetworkPolicies": security({ disableNetworkPolicies: true }),
  "security.allowOperatorAccessToAdmin": security({ allowOperatorAccessToAdmin: false }),
  "security.networkPeers: everybody": peers({ ingress: [], admin: [], node: [] }),
  "security.networkPeers: some": peers({ ingress: [PEER], admin: [PEER], node: [PEER] }),
  "security.networkPeers: metrics, the old name of node": peers({ metrics: [PEER] }),
  "security.networkEgressRules": security({
    networkEgressRules: [
      {},
      { to: [PEER], ports: [{ port: "https" }, { port: 1000, endPort: 2000, protocol: "UDP" }] },
    ],
  }),
  "security.requestSigningPrivateKey: from a Secret": security({
    requestSigningPrivateKey: signingKey,
  }),
  "security.trustedCaCerts": security({ trustedCaCerts: [CA] }),
  "security.trustedCaCerts: several, of one Secret": security({
    trustedCaCerts: [CA, { ...CA, key: "other.crt" }],
  }),
  "all of security": security(ALL_OF_SECURITY),
  everything: {
    metadata: { labels: { team: "red" }, annotations: { note: "resource" } },
    compute: ALL_OF_COMPUTE,
    security: ALL_OF_SECURITY,
    spec: { clusterName: "theirs", config: "auto-provision = false\n" },
  },
};

/** The spec of a RestateCluster as its user writes it. */
export function specOf(golden: GoldenSpec) {
  return {
    compute: { image: "restatedev/restate:1.7.12", ...golden.compute },
    storage: { storageRequestBytes: 2_147_483_648, ...golden.storage },
    ...(golden.security === undefined ? {} : { security: golden.security }),
    ...golden.spec,
  };
}

/** The RestateCluster as the operator reads it. */
export function goldenCluster(golden: GoldenSpec, name = "c"): RestateCluster {
  const { metadata = {} } = golden;
  return aCluster({ name, metadata, spec: specOf(golden) });
}

/** By object and path; null: not there. */
export type Changes = Record<string, Record<string, unknown> | null>;

type Leaves = ReadonlyMap<string, unknown>;

/** Values by path. Empty objects and lists are values. */
function leavesOf(value: unknown, path = ""): [string, unknown][] {
  if (value === null || typeof value !== "object") return [[path, value]];
  const members = Object.entries(value);
  if (members.length === 0) return [[path, value]];
  return members.flatMap(([member, inner]) =>
    leavesOf(inner, path === "" ? member : `${path}.${member}`),
  );
}

function leavesByObject(golden: GoldenSpec): Map<string, Leaves> {
  return new Map(
    manifestsOf(goldenCluster(golden)).map((manifest) => [
      titleOf(refOf(manifest)),
      new Map(leavesOf(JSON.parse(JSON.stringify(manifest)))),
    ]),
  );
}

/** What a specification changes, against the smallest one. */
export function changesOf(golden: GoldenSpec): Changes {
  const before = leavesByObject({});
  const after = leavesByObject(golden);
  const gone = [...before.keys()].filter((title) => !after.has(title));
  const changed = [...after].map(([title, now]): [string, Record<string, unknown>] => [
    title,
    differences(before.get(title) ?? new Map(), now),
  ]);
  return Object.fromEntries([
    ...gone.map((title) => [title, null] as const),
    ...changed.filter(([, paths]) => Object.keys(paths).length > 0),
  ]);
}

function differences(old: Leaves, now: Leaves): Record<string, unknown> {
  const paths = [...new Set([...old.keys(), ...now.keys()])].toSorted();
  const isFilled = (path: string) => paths.some((deeper) => deeper.startsWith(`${path}.`));
  return Object.fromEntries(
    paths
      .filter((path) => JSON.stringify(old.get(path)) !== JSON.stringify(now.get(path)))
      .filter((path) => now.has(path) || !isFilled(path))
      .map((path) => [path, now.get(path) ?? null]),
  );
}
