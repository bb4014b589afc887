/**
 * Taking over a cluster must change none of its objects: what we build is held against the objects of a real cluster as its
 * users have them today (test/fixtures/observed), field by field. A field too many, too few or different here is a rolling
 * restart of every cluster of every user.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { RestateCluster } from "../../crds/restate-cluster.ts";
import { titleOf } from "../../services/core/resource.ts";
import { refOf } from "../../services/core/children.ts";
import type { AnyManifest } from "../../services/core/manifest.ts";
import { CONFIG, manifestsOf } from "./cluster-samples.ts";

const OBSERVED = parseAllDocuments(
  readFileSync(new URL("../fixtures/observed/cluster-minimal.yaml", import.meta.url), "utf8"),
).map((document) => document.toJS() as AnyManifest);

const SAME_AS_PORT = Symbol("the port itself");

/** What the API server fills in, by path; `*` stands for any index. A different value there would be somebody's decision. */
const DEFAULTS: Readonly<Record<string, unknown>> = {
  "Namespace.metadata.labels.kubernetes.io/metadata.name": "c01-minimal",
  "Namespace.spec.finalizers.0": "kubernetes",
  "Service.spec.internalTrafficPolicy": "Cluster",
  "Service.spec.ipFamilies.0": "IPv4",
  "Service.spec.ipFamilyPolicy": "SingleStack",
  "Service.spec.sessionAffinity": "None",
  "Service.spec.type": "ClusterIP",
  "Service.spec.clusterIPs.0": "None",
  "Service.spec.ports.*.protocol": "TCP",
  "Service.spec.ports.*.targetPort": SAME_AS_PORT,
  "StatefulSet.spec.persistentVolumeClaimRetentionPolicy.whenDeleted": "Retain",
  "StatefulSet.spec.persistentVolumeClaimRetentionPolicy.whenScaled": "Retain",
  "StatefulSet.spec.revisionHistoryLimit": 10,
  "StatefulSet.spec.updateStrategy.rollingUpdate.partition": 0,
  "StatefulSet.spec.updateStrategy.type": "RollingUpdate",
  "StatefulSet.spec.template.spec.dnsPolicy": "ClusterFirst",
  "StatefulSet.spec.template.spec.restartPolicy": "Always",
  "StatefulSet.spec.template.spec.schedulerName": "default-scheduler",
  // The deprecated name of serviceAccountName, kept in step by the API server.
  "StatefulSet.spec.template.spec.serviceAccount": "restate",
  "StatefulSet.spec.template.spec.volumes.*.configMap.defaultMode": 420,
  "StatefulSet.spec.template.spec.containers.*.imagePullPolicy": "IfNotPresent",
  "StatefulSet.spec.template.spec.containers.*.terminationMessagePath": "/dev/termination-log",
  "StatefulSet.spec.template.spec.containers.*.terminationMessagePolicy": "File",
  "StatefulSet.spec.template.spec.containers.*.ports.*.protocol": "TCP",
  "StatefulSet.spec.template.spec.containers.*.env.*.valueFrom.fieldRef.apiVersion": "v1",
  "StatefulSet.spec.template.spec.containers.*.readinessProbe.failureThreshold": 3,
  "StatefulSet.spec.template.spec.containers.*.readinessProbe.httpGet.scheme": "HTTP",
  "StatefulSet.spec.template.spec.containers.*.readinessProbe.periodSeconds": 10,
  "StatefulSet.spec.template.spec.containers.*.readinessProbe.successThreshold": 1,
  "StatefulSet.spec.template.spec.containers.*.readinessProbe.timeoutSeconds": 1,
  "StatefulSet.spec.volumeClaimTemplates.*.spec.volumeMode": "Filesystem",
  "StatefulSet.spec.volumeClaimTemplates.*.status.phase": "Pending",
};

/** Differences that are meant, each with its reason. */
const MEANT: readonly string[] = [
  // The operator before this one copied the resource's own kubectl annotation to the pods, so that every `kubectl apply`
  // of the resource rolled the cluster. We do not (contract, section 2).
  "StatefulSet.spec.template.metadata.annotations.kubectl.kubernetes.io/last-applied-configuration",
];

type Leaves = Map<string, unknown>;

/** Every value of an object by its path; empty objects and lists, and what is absent, have none. */
function leavesOf(value: unknown, at: string, leaves: Leaves = new Map()): Leaves {
  if (value === undefined || value === null) return leaves;
  if (typeof value !== "object") return leaves.set(at, value);
  for (const [member, inner] of Object.entries(value)) leavesOf(inner, `${at}.${member}`, leaves);
  return leaves;
}

const general = (path: string): string => path.replaceAll(/\.\d+(?=\.)/g, ".*");

function defaultOf(path: string, leaves: Leaves): unknown {
  const value = DEFAULTS[general(path)] ?? DEFAULTS[path];
  return value === SAME_AS_PORT ? leaves.get(path.replace(/targetPort$/, "port")) : value;
}

/** In what two objects differ: paths of what only one has, or has otherwise. */
function differences(ours: AnyManifest, theirs: AnyManifest): string[] {
  const kind = String(theirs.kind);
  const built = leavesOf(JSON.parse(JSON.stringify(ours)), kind);
  const observed = leavesOf(theirs, kind);
  return [
    ...[...built].flatMap(([path, value]) =>
      observed.get(path) === value
        ? []
        : [`${path} is ${String(observed.get(path))}, not ${String(value)}`],
    ),
    ...[...observed].flatMap(([path, value]) =>
      built.has(path) || MEANT.includes(path) || defaultOf(path, observed) === value
        ? []
        : [`${path} (${String(value)}) is not set`],
    ),
  ];
}

const children = OBSERVED.filter(({ kind }) => kind !== "RestateCluster");
const resource = OBSERVED.find(({ kind }) => kind === "RestateCluster");
const cluster = RestateCluster.parse({
  ...resource,
  metadata: {
    ...resource?.metadata,
    uid: "<uid>",
    resourceVersion: "1",
    generation: 1,
    creationTimestamp: "2026-01-01T00:00:00Z",
    annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}" },
  },
});
const built = manifestsOf(cluster, { config: CONFIG });
const titleOfManifest = (manifest: AnyManifest): string => titleOf(refOf(manifest));

const lists = (manifest: AnyManifest | undefined) => {
  const { spec } = JSON.parse(JSON.stringify(manifest)) as {
    spec: {
      template: {
        spec: {
          containers: Record<string, { name?: string; mountPath?: string }[]>[];
          volumes: { name: string }[];
        };
      };
    };
  };
  const [container] = spec.template.spec.containers;
  return {
    env: container?.["env"]?.map(({ name }) => name),
    ports: container?.["ports"]?.map(({ name }) => name),
    mounts: container?.["volumeMounts"]?.map(({ mountPath }) => mountPath),
    volumes: spec.template.spec.volumes.map(({ name }) => name),
  };
};

const set = ({ kind }: AnyManifest) => kind === "StatefulSet";

describe("a minimal cluster", () => {
  test("the same objects, no more and no fewer", () => {
    expect(built.map(titleOfManifest).toSorted()).toEqual(children.map(titleOfManifest).toSorted());
  });

  test.each(children.map((live) => [titleOfManifest(live), live] as const))(
    "%s has the very fields of the live one",
    (title, live) => {
      const manifest = built.find((candidate) => titleOfManifest(candidate) === title)!;
      expect(differences(manifest, live)).toEqual([]);
    },
  );

  test("every default and every meant difference is really there", () => {
    const paths = new Set(
      children
        .flatMap((live) => [...leavesOf(live, String(live.kind)).keys()])
        .flatMap((path) => [path, general(path)]),
    );
    expect([...Object.keys(DEFAULTS), ...MEANT].filter((path) => !paths.has(path))).toEqual([]);
  });

  test("a difference is seen: one more field, one less, another value", () => {
    const [live] = children.filter(({ kind }) => kind === "PodDisruptionBudget");
    const labels = live?.metadata?.labels;
    const other = {
      ...live,
      metadata: { ...live?.metadata, labels: { "app.kubernetes.io/name": "other", more: "1" } },
    };
    expect(labels).toBeDefined();
    expect(differences(other, live!)).toEqual([
      "PodDisruptionBudget.metadata.labels.app.kubernetes.io/name is restate, not other",
      "PodDisruptionBudget.metadata.labels.more is undefined, not 1",
      "PodDisruptionBudget.metadata.labels.app.kubernetes.io/instance (c01-minimal) is not set",
    ]);
  });

  test("order where order counts: environment, ports, mounts, volumes", () => {
    expect(lists(built.find(set))).toEqual(lists(children.find(set)));
  });
});
