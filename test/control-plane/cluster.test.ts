/**
 * The whole loop on a real API server and a real Restate: what a RestateCluster becomes, how it changes, what is repaired,
 * that nothing is written when there is nothing to do, and that nothing is left when it is deleted.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import {
  applyCluster,
  childrenOf,
  maskedState,
  MINIMAL,
  playedNodes,
  removeCluster,
  untilReady,
  type ClusterSpec,
} from "../harness/clusters.ts";
import { auditPosition, type AuditPosition } from "../harness/audit.ts";
import { RELEASE } from "../harness/charts.ts";
import { sharedControlPlane, testRunDir } from "../harness/kubernetes.ts";
import { Objects, type KubeObject, type ObjectKind } from "../harness/objects.ts";
import { IDENTITIES, startTestOperator, type TestOperator } from "../harness/operator.ts";
import { until } from "../harness/until.ts";

const START_TIMEOUT_MS = 1_500_000;
const SETTLED_MS = 60_000;

let operator: TestOperator;
let objects: Objects;
/** Where the audit log was before this operator began. */
let begun: AuditPosition;

beforeAll(async () => {
  const cluster = await sharedControlPlane();
  objects = new Objects(cluster);
  begun = await auditPosition(cluster.auditLog);
  operator = await startTestOperator({ cluster, dir: join(testRunDir(), "cluster") });
}, START_TIMEOUT_MS);

afterAll(async () => {
  await operator.stop();
  await objects.close();
});

/** Objects of the reference by `Kind name`, with what we do differently, and why. */
async function referenceState(): Promise<Record<string, unknown>> {
  const file = join(import.meta.dirname, "../fixtures/observed/cluster-minimal.yaml");
  const text = (await readFile(file, "utf8"))
    // the namespace of the operator that was observed
    .replaceAll("kubernetes.io/metadata.name: op\n", `kubernetes.io/metadata.name: ${RELEASE}\n`);
  const documents = parseAllDocuments(text)
    .map((document) => document.toJS() as KubeObject | null)
    .filter((object) => object !== null);
  const set = documents.find(({ kind }) => kind === "StatefulSet");
  const template = (set!["spec"] as { template: { metadata: { annotations?: object } } }).template;
  // contract, section 2: it made every `kubectl apply` of the RestateCluster roll the pods
  delete template.metadata.annotations;
  const resource = documents.find(({ kind }) => kind === "RestateCluster") as unknown as {
    status: { conditions: object[]; [member: string]: unknown };
  };
  // contract, section 7: newer than the operator that was observed
  const [ready] = resource.status.conditions;
  const more = [
    { ...ready, type: "Progressing", status: "False" },
    { type: "Stalled", status: "False", reason: "NotStalled", message: "" },
    { type: "Available", status: "True", reason: "PodsReady", message: "pods are ready" },
  ].map((condition) => ({ ...condition, lastTransitionTime: "<time>" }));
  resource.status = {
    reconciliation: "Reconciling",
    replicas: 1,
    readyReplicas: 1,
    conditions: [...resource.status.conditions, ...more],
  };
  return Object.fromEntries(
    documents.map((object) => [`${object.kind} ${object.metadata.name}`, object]),
  );
}

describe("a minimal cluster", () => {
  const name = "c01-minimal";
  let cluster: KubeObject;

  beforeAll(async () => {
    await applyCluster(objects, name);
    cluster = await untilReady(objects, name);
    await operator.idle();
  });

  test("its objects equal the reference, field by field", async () => {
    expect(await maskedState(objects, name)).toEqual(await referenceState());
  });

  test("the operator's fields belong to its field manager, on every object", async () => {
    for (const object of await childrenOf(objects, cluster)) {
      const managers = (object.metadata.managedFields ?? []).map(({ manager }) => manager);
      expect(managers, `${object.kind} ${object.metadata.name}`).toContain("restate-operator");
    }
  });

  test("nothing is written in a settled minute, woken or not", async () => {
    const mark = await operator.mark();
    for (let wakes = 0; wakes < 3; wakes += 1) {
      await operator.wake("ClusterReconciler", name);
      await sleep(SETTLED_MS / 3);
    }
    expect(await operator.writesSince(mark)).toEqual([]);
    // the wakes were answered, by looking
    const reads = await operator.requestsSince(mark);
    expect(reads.filter(({ resource }) => resource === "statefulsets").length).toBeGreaterThan(2);
  });

  test("the only invocations that are left are the timers of the next look and of the next survey", async () => {
    const left = (await operator.idle()).filter(({ key }) => key === name);
    expect(left).toMatchObject([
      { service: "ClusterReconciler", handler: "resync" },
      { service: "ClusterSurvey", handler: "poll" },
    ]);
  });

  test("deleted: no object of it is left, and nothing on the operator's Restate", async () => {
    await removeCluster(objects, name);
    await operator.untilForgotten(name);
  });

  test("created again under its name, it starts afresh", async () => {
    await applyCluster(objects, name);
    const again = await untilReady(objects, name);
    expect(again.metadata.uid).not.toBe(cluster.metadata.uid);
    await operator.idle();
    expect(await maskedState(objects, name)).toEqual(await referenceState());
    await removeCluster(objects, name);
  });
});

const compute = (more: Record<string, unknown>): ClusterSpec => ({
  ...playedNodes(1),
  compute: { ...MINIMAL.compute, ...more },
});

describe("a change of the specification", () => {
  const name = "changing";

  /** What the live StatefulSet says where the changes below show. */
  async function liveCompute() {
    const set = await objects.get("StatefulSet", "restate", name);
    const spec = set?.["spec"] as {
      replicas: number;
      template: {
        spec: {
          containers: { image: string; env: { name: string; value?: string }[] }[];
          volumes: { configMap?: { name: string } }[];
        };
      };
    };
    const [container] = spec.template.spec.containers;
    const configMap = spec.template.spec.volumes.find(({ configMap: found }) => found)?.configMap;
    return {
      image: container!.image,
      replicas: spec.replicas,
      greeting: container!.env.find((variable) => variable.name === "GREETING")?.value,
      configMap: configMap?.name,
    };
  }

  beforeAll(async () => {
    await applyCluster(objects, name, { spec: playedNodes(1) });
    await untilReady(objects, name);
  });

  afterAll(() => removeCluster(objects, name));

  test("image", async () => {
    await applyCluster(objects, name, { spec: compute({ image: "restatedev/restate:1.7.13" }) });
    await untilReady(objects, name);
    expect(await liveCompute()).toMatchObject({ image: "restatedev/restate:1.7.13" });
    const pod = await objects.get("Pod", "restate-0", name);
    const { containers } = pod!["spec"] as { containers: { image: string }[] };
    const [container] = containers;
    expect(container?.image).toBe("restatedev/restate:1.7.13");
  });

  test("environment", async () => {
    const env = [{ name: "GREETING", value: "hello" }];
    await applyCluster(objects, name, { spec: compute({ env }) });
    await untilReady(objects, name);
    expect(await liveCompute()).toMatchObject({ greeting: "hello" });
  });

  test("replicas: more, then fewer; Ready waits for each", async () => {
    await applyCluster(objects, name, { spec: compute({ replicas: 3 }) });
    await untilReady(objects, name);
    expect(await liveCompute()).toMatchObject({ replicas: 3, greeting: undefined });
    expect((await objects.list("Pod", name)).map((pod) => pod.metadata.name)).toEqual([
      "restate-0",
      "restate-1",
      "restate-2",
    ]);
    await applyCluster(objects, name, { spec: compute({ replicas: 1 }) });
    await untilReady(objects, name);
    expect((await objects.list("Pod", name)).map((pod) => pod.metadata.name)).toEqual([
      "restate-0",
    ]);
    // volumes hold data: none is ever deleted
    expect(await objects.list("PersistentVolumeClaim", name)).toHaveLength(3);
  });

  test("configuration: pods use the new ConfigMap, and the old one goes", async () => {
    const before = await liveCompute();
    await applyCluster(objects, name, {
      spec: { ...playedNodes(1), config: 'log-filter = "info"\n' },
    });
    await untilReady(objects, name);
    const after = await liveCompute();
    expect(after.configMap).not.toBe(before.configMap);
    await until("only the new ConfigMap is left", async () => {
      const maps = (await objects.list("ConfigMap", name)).map(({ metadata }) => metadata.name);
      return maps.filter((map) => map.startsWith("restate-config-")).join() === after.configMap;
    });
    const map = await objects.get("ConfigMap", after.configMap!, name);
    expect(map?.["data"]).toEqual({ "config.toml": 'log-filter = "info"\n' });
  });

  test("labels and annotations of the resource reach every child, and leave it again", async () => {
    const labels = { team: "blue" };
    await applyCluster(objects, name, { spec: playedNodes(1), labels, annotations: { note: "n" } });
    let cluster = await untilReady(objects, name);
    await operator.idle();
    for (const child of await childrenOf(objects, cluster)) {
      expect(child.metadata, child.kind).toMatchObject({ labels, annotations: { note: "n" } });
    }
    await applyCluster(objects, name, { spec: playedNodes(1) });
    cluster = await until("the children have lost the label", async () => {
      const seen = await untilReady(objects, name);
      const children = await childrenOf(objects, seen);
      return children.every(({ metadata }) => metadata.labels?.["team"] === undefined) && seen;
    });
    for (const child of await childrenOf(objects, cluster)) {
      expect(child.metadata.annotations?.["note"], child.kind).toBeUndefined();
    }
  });

  test("network policies go when they are disabled, and come back", async () => {
    const spec = { ...playedNodes(1), security: { disableNetworkPolicies: true } };
    await applyCluster(objects, name, { spec });
    await until(
      "they are gone",
      async () => (await objects.list("NetworkPolicy", name)).length === 0,
    );
    await applyCluster(objects, name, { spec: playedNodes(1) });
    await until(
      "they are back",
      async () => (await objects.list("NetworkPolicy", name)).length === 7,
    );
  });
});

describe("a child that somebody else touches", () => {
  const name = "touched";

  /** Of each kind: a child, and an edit of something the operator sets. */
  const CHILDREN: readonly { kind: ObjectKind; child: string; edit: object }[] = [
    { kind: "ConfigMap", child: "restate-config-42c4b0e3", edit: { data: { "config.toml": "x" } } },
    { kind: "NetworkPolicy", child: "deny-all", edit: { spec: { policyTypes: ["Ingress"] } } },
    { kind: "PodDisruptionBudget", child: "restate", edit: { spec: { maxUnavailable: 0 } } },
    {
      kind: "Service",
      child: "restate",
      edit: { spec: { selector: { "app.kubernetes.io/name": "x" } } },
    },
    {
      kind: "Service",
      child: "restate-cluster",
      edit: { spec: { publishNotReadyAddresses: false } },
    },
    {
      kind: "ServiceAccount",
      child: "restate",
      edit: { metadata: { labels: { "app.kubernetes.io/name": "x" } } },
    },
    {
      kind: "StatefulSet",
      child: "restate",
      edit: { spec: { template: { spec: { terminationGracePeriodSeconds: 1 } } } },
    },
  ];
  let before: Record<string, object>;

  beforeAll(async () => {
    await applyCluster(objects, name);
    await untilReady(objects, name);
    await operator.idle();
    before = await maskedState(objects, name);
  });

  afterAll(() => removeCluster(objects, name));

  async function untilRepaired(): Promise<void> {
    await until("everything is as before", async () => {
      expect(await maskedState(objects, name)).toEqual(before);
      return true;
    });
    await operator.idle();
  }

  test.each(CHILDREN)("$kind $child: edited, disowned, deleted", async ({ kind, child, edit }) => {
    const which = { name: child, namespace: name };
    await objects.patch(kind, which, edit);
    await untilRepaired();
    await objects.patch(kind, which, { metadata: { ownerReferences: null } });
    await untilRepaired();
    await objects.remove(kind, child, name);
    await until(
      "it is there again",
      async () =>
        (await objects.get(kind, child, name))?.metadata.deletionTimestamp === undefined &&
        (await objects.get(kind, child, name)) !== undefined,
    );
    await untilRepaired();
  });

  test("Namespace: edited", async () => {
    const edit = { metadata: { labels: { "app.kubernetes.io/name": "x" } } };
    await objects.patch("Namespace", { name }, edit);
    await untilRepaired();
  });

  test("what others add to a child stays, and makes nobody write", async () => {
    const which = { name: "restate", namespace: name };
    const annotations = { "example.com/theirs": "kept" };
    const mark = await operator.mark();
    await objects.patch("Service", which, { metadata: { annotations } });
    await operator.wake("ClusterReconciler", name);
    await sleep(2_000);
    await operator.idle();
    expect(await operator.writesSince(mark)).toEqual([]);
    expect((await objects.get("Service", "restate", name))?.metadata).toMatchObject({
      annotations,
    });
    await objects.patch("Service", which, {
      metadata: { annotations: { "example.com/theirs": null } },
    });
  });

  test("Namespace: deleted; the cluster is made anew when it is gone", async () => {
    const old = await objects.get("Namespace", name);
    await objects.remove("Namespace", name);
    await until(
      "another namespace is there",
      async () => {
        const namespace = await objects.get("Namespace", name);
        return namespace !== undefined && namespace.metadata.uid !== old?.metadata.uid;
      },
      { timeoutMs: 60_000 },
    );
    await untilReady(objects, name);
    await untilRepaired();
  });
});

test("nothing the operator asked for was forbidden", async () => {
  const refused = [
    ...(await operator.requestsSince(begun, "services")),
    ...(await operator.requestsSince(begun, "watcher")),
  ].filter(({ code }) => code === 401 || code === 403);
  expect(refused).toEqual([]);
  expect(Object.values(IDENTITIES)).toHaveLength(2);
});
