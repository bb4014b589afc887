/**
 * Which lists and events become wakes: the memory of resources (M1-M4 in watcher/resources.ts) and of children (C1-C6 in
 * watcher/children.ts). Each row is a sequence and the whole list of wakes that follows from it.
 */
import { describe, expect, test } from "vitest";
import { ChildSink } from "../../watcher/children.ts";
import type { ListCause, Sink } from "../../watcher/follow.ts";
import { RESOURCES, childKinds } from "../../watcher/kinds.ts";
import type { WakeKey } from "../../watcher/owners.ts";
import { WatchedObject } from "../../watcher/objects.ts";
import { ResourceMemory, ResourceSink } from "../../watcher/resources.ts";

const statefulSets = childKinds("op").find(({ name }) => name === "cluster/statefulsets")!;

function aCluster(name: string, over: { generation?: number; uid?: string; ready?: string } = {}) {
  return WatchedObject.parse({
    metadata: { name, uid: over.uid ?? "u", generation: over.generation ?? 1 },
    status: { conditions: [{ type: "Ready", status: over.ready ?? "False" }] },
  });
}

function aDeployment(name: string, cluster: string) {
  return WatchedObject.parse({
    metadata: { name, namespace: "ns", uid: "u", generation: 1 },
    spec: { restate: { register: { cluster } } },
  });
}

function aSet(cluster: string, resourceVersion: string, instance = cluster) {
  const labels = { "app.kubernetes.io/instance": instance };
  return WatchedObject.parse({
    metadata: { name: "restate", namespace: cluster, resourceVersion, labels },
  });
}

function writtenBy(set: WatchedObject, ...managers: string[]): WatchedObject {
  const managedFields = managers.map((manager) => ({ manager, fieldsV1: {} }));
  return WatchedObject.parse({ ...set, metadata: { ...set.metadata, managedFields } });
}

function list(sink: Sink, ...objects: WatchedObject[]): void {
  listFor("resync", sink, objects);
}

function listFor(cause: ListCause, sink: Sink, objects: readonly WatchedObject[]): void {
  sink.listBegan(cause);
  for (const object of objects) sink.observed(object);
  sink.listEnded();
}

function resources() {
  const memory = new ResourceMemory();
  const wakes: string[] = [];
  const wakeNow = (key: string, why: string): number => wakes.push(`${key}: ${why}`);
  const clusters = new ResourceSink({ kind: RESOURCES.RestateCluster, memory, wakeNow });
  const deployments = new ResourceSink({ kind: RESOURCES.RestateDeployment, memory, wakeNow });
  const taken = (): string[] => wakes.splice(0);
  return { clusters, deployments, memory, taken };
}

describe("resources", () => {
  test("M1: everything is sent once at the start, and what appears later", () => {
    const { clusters, taken } = resources();
    list(clusters, aCluster("a"), aCluster("b"));
    clusters.observed(aCluster("c"));
    expect(taken()).toEqual([
      "ClusterReconciler/a: listed at start",
      "ClusterReconciler/b: listed at start",
      "ClusterReconciler/c: RestateCluster created",
    ]);
  });

  test("M2: an echo is not sent, an edit is, a re-created object is", () => {
    const { clusters, taken } = resources();
    list(clusters, aCluster("a"));
    taken();
    clusters.observed(aCluster("a"));
    expect(taken()).toEqual([]);
    clusters.observed(aCluster("a", { generation: 2 }));
    clusters.observed(aCluster("a", { generation: 2, uid: "u2" }));
    expect(taken()).toEqual([
      "ClusterReconciler/a: RestateCluster changed",
      "ClusterReconciler/a: RestateCluster changed",
    ]);
  });

  test("M2, M3: a later list sends only what changed or is gone", () => {
    const { clusters, deployments, taken } = resources();
    list(deployments, aDeployment("d", "x"));
    list(clusters, aCluster("a"), aCluster("b"), aCluster("c"));
    taken();
    list(clusters, aCluster("a"), aCluster("b", { generation: 2 }));
    expect(taken()).toEqual([
      "ClusterReconciler/b: RestateCluster changed",
      "ClusterReconciler/c: RestateCluster gone",
    ]);
  });

  test("M3: a list that broke off in the middle takes nothing away", () => {
    const { clusters, taken } = resources();
    list(clusters, aCluster("a"), aCluster("b"));
    taken();
    clusters.listBegan("resync");
    clusters.observed(aCluster("b"));
    expect(taken()).toEqual([]);
    list(clusters, aCluster("a"));
    expect(taken()).toEqual(["ClusterReconciler/b: RestateCluster gone"]);
  });

  test("M3: deleted, and created again under the same name", () => {
    const { clusters, taken } = resources();
    list(clusters, aCluster("a"));
    taken();
    clusters.removed(aCluster("a"));
    clusters.observed(aCluster("a"));
    expect(taken()).toEqual([
      "ClusterReconciler/a: RestateCluster gone",
      "ClusterReconciler/a: RestateCluster created",
    ]);
  });

  test("M4: a cluster that becomes ready, not ready, is created or gone wakes what refers to it", () => {
    const { clusters, deployments, taken } = resources();
    list(clusters, aCluster("a"), aCluster("z"));
    list(deployments, aDeployment("d1", "a"), aDeployment("d2", "a"), aDeployment("d3", "b"));
    taken();
    clusters.observed(aCluster("a", { ready: "True" }));
    expect(taken()).toEqual([
      "DeploymentReconciler/ns/d1: RestateCluster a changed",
      "DeploymentReconciler/ns/d2: RestateCluster a changed",
    ]);
    clusters.observed(aCluster("b"));
    clusters.removed(aCluster("a"));
    expect(taken()).toEqual([
      "ClusterReconciler/b: RestateCluster created",
      "DeploymentReconciler/ns/d3: RestateCluster b changed",
      "ClusterReconciler/a: RestateCluster gone",
      "DeploymentReconciler/ns/d1: RestateCluster a gone",
      "DeploymentReconciler/ns/d2: RestateCluster a gone",
    ]);
  });

  test("M4: a reference that moved or went does not count any more", () => {
    const { clusters, deployments, memory, taken } = resources();
    list(clusters, aCluster("a"), aCluster("b"));
    list(deployments, aDeployment("d1", "a"), aDeployment("d2", "a"));
    deployments.observed(aDeployment("d1", "b"));
    deployments.removed(aDeployment("d2", "a"));
    taken();
    clusters.observed(aCluster("a", { ready: "True" }));
    clusters.observed(aCluster("b", { ready: "True" }));
    expect(taken()).toEqual(["DeploymentReconciler/ns/d1: RestateCluster b changed"]);
    expect(memory.referrersOf("RestateCluster/a")).toEqual([]);
  });
});

describe("resources after a gap", () => {
  test("M5: everything is sent, and what refers to it, also to what is not there", () => {
    const { clusters, deployments, taken } = resources();
    list(clusters, aCluster("a"), aCluster("b"));
    list(deployments, aDeployment("d1", "a"), aDeployment("d2", "never"));
    taken();
    listFor("gap", clusters, [aCluster("a")]);
    expect(taken()).toEqual([
      "ClusterReconciler/a: RestateCluster listed after a gap",
      "ClusterReconciler/b: RestateCluster gone",
      "DeploymentReconciler/ns/d1: RestateCluster listed after a gap",
      "DeploymentReconciler/ns/d2: RestateCluster listed after a gap",
    ]);
    list(clusters, aCluster("a"));
    expect(taken()).toEqual([]);
  });

  test("M5: a list after a gap that breaks off leaves the gap to the next one", () => {
    const { clusters, taken } = resources();
    list(clusters, aCluster("a"));
    taken();
    clusters.listBegan("gap");
    list(clusters, aCluster("a"));
    expect(taken()).toEqual(["ClusterReconciler/a: RestateCluster listed after a gap"]);
  });
});

function children(options: { released: boolean; existing: WakeKey[] }) {
  const wakes: string[] = [];
  const sink = new ChildSink({
    kind: statefulSets,
    wakeAfterBurst: (key, why) => wakes.push(`${key}: ${why}`),
    ownersReleased: () => options.released,
    owners: () => options.existing,
  });
  return { sink, options, taken: (): string[] => wakes.splice(0) };
}

describe("children", () => {
  test("C6: what the operator has just made is not sent, what anybody does to it is", () => {
    const { sink, taken } = children({ released: false, existing: [] });
    const own = "restate-operator";
    list(sink);
    sink.observed(writtenBy(aSet("a", "1"), own, own));
    expect(taken()).toEqual([]);
    sink.observed(writtenBy(aSet("a", "2"), own, "kube-controller-manager"));
    sink.observed(writtenBy(aSet("b", "3"), own, "kubectl"));
    sink.observed(writtenBy(aSet("c", "4")));
    sink.removed(writtenBy(aSet("a", "5"), own));
    sink.observed(writtenBy(aSet("b", "6"), own));
    expect(taken()).toEqual([
      "ClusterReconciler/a: StatefulSet restate changed",
      "ClusterReconciler/b: StatefulSet restate changed",
      "ClusterReconciler/c: StatefulSet restate changed",
      "ClusterReconciler/a: StatefulSet restate gone",
      "ClusterReconciler/b: StatefulSet restate changed",
    ]);
  });

  test("C1: every version is sent once, a version that was seen is not", () => {
    const { sink, taken } = children({ released: false, existing: [] });
    list(sink, aSet("a", "1"));
    sink.observed(aSet("a", "2"));
    sink.observed(aSet("a", "2"));
    sink.observed(aSet("a", "3"));
    expect(taken()).toEqual([
      "ClusterReconciler/a: StatefulSet restate changed",
      "ClusterReconciler/a: StatefulSet restate changed",
    ]);
  });

  test("C2: the first list is silent while the owners are still to be listed", () => {
    const { sink, taken } = children({ released: false, existing: [] });
    list(sink, aSet("a", "1"), aSet("b", "1"));
    expect(taken()).toEqual([]);
  });

  test("C2: a first list that ends after the owners' wakes all owners, also of children that went", () => {
    const owner: WakeKey = "ClusterReconciler/c";
    const { sink, options, taken } = children({ released: false, existing: [owner] });
    sink.listBegan("start");
    sink.observed(aSet("a", "1"));
    options.released = true;
    list(sink, aSet("a", "1"), aSet("b", "1"));
    expect(taken()).toEqual([
      "ClusterReconciler/c: StatefulSet children listed late",
      "ClusterReconciler/a: StatefulSet restate listed late",
      "ClusterReconciler/b: StatefulSet restate listed late",
    ]);
  });

  test("C2: after a gap every owner is sent, also one without children", () => {
    const owner: WakeKey = "ClusterReconciler/c";
    const { sink, taken } = children({ released: false, existing: [owner] });
    list(sink, aSet("a", "1"));
    listFor("gap", sink, [aSet("a", "1")]);
    expect(taken()).toEqual([
      "ClusterReconciler/c: StatefulSet children listed after a gap",
      "ClusterReconciler/a: StatefulSet restate listed after a gap",
    ]);
  });

  test("C3: gone by an event, gone from a list", () => {
    const { sink, taken } = children({ released: false, existing: [] });
    list(sink, aSet("a", "1"), aSet("b", "1"), aSet("c", "1"));
    sink.removed(aSet("a", "2"));
    list(sink, aSet("b", "1"));
    expect(taken()).toEqual([
      "ClusterReconciler/a: StatefulSet restate gone",
      "ClusterReconciler/c: StatefulSet restate gone",
    ]);
  });

  test("C4: one that loses the label that made it ours is sent to its last owner", () => {
    const { sink, taken } = children({ released: false, existing: [] });
    list(sink, aSet("a", "1"));
    sink.observed(aSet("a", "2", "other"));
    sink.removed(aSet("a", "3", "other"));
    expect(taken()).toEqual(["ClusterReconciler/a: StatefulSet restate changed"]);
  });

  test("C5: once the owners are known, children without one are sent", () => {
    const { sink, taken } = children({ released: false, existing: ["ClusterReconciler/a"] });
    list(sink, aSet("a", "1"), aSet("b", "1"));
    sink.ownersListed();
    expect(taken()).toEqual(["ClusterReconciler/b: StatefulSet restate has no owner"]);
  });
});
