/** Who must look again when an object changes, as tables over whole objects (O1, O2, O3 in watcher/owners.ts). */
import { describe, expect, test } from "vitest";
import type { ResourceKind } from "../../watcher/kinds.ts";
import { WatchedObject } from "../../watcher/objects.ts";
import {
  ownerOfChild,
  partsForDependents,
  referenceOf,
  relevantParts,
  wakeKeyOf,
} from "../../watcher/owners.ts";

interface ChildCase {
  readonly name: string;
  readonly of: ResourceKind;
  readonly metadata: object;
  readonly expected: string | undefined;
}

const controller = (kind: string, name: string, apiVersion = "restate.dev/v1") => ({
  ownerReferences: [{ apiVersion, kind, name, uid: "u", controller: true }],
});
const ofInstance = (instance: string) => ({
  labels: { "app.kubernetes.io/name": "restate", "app.kubernetes.io/instance": instance },
});

const CHILDREN: readonly ChildCase[] = [
  {
    name: "O1: a cluster's StatefulSet by its controller owner",
    of: "RestateCluster",
    metadata: { name: "restate", namespace: "c1", ...controller("RestateCluster", "c1") },
    expected: "ClusterReconciler/c1",
  },
  {
    name: "O1: a cluster's namespace",
    of: "RestateCluster",
    metadata: { name: "c1", ...controller("RestateCluster", "c1"), ...ofInstance("c1") },
    expected: "ClusterReconciler/c1",
  },
  {
    name: "O1: a ReplicaSet by its controller owner and its own namespace",
    of: "RestateDeployment",
    metadata: {
      name: "greeter-x",
      namespace: "shop",
      ...controller("RestateDeployment", "greeter", "restate.dev/v1beta1"),
    },
    expected: "DeploymentReconciler/shop/greeter",
  },
  {
    name: "O1: a tunnel by its controller owner",
    of: "RestateCloudEnvironment",
    metadata: {
      name: "tunnel-prod",
      namespace: "restate-operator",
      ...controller("RestateCloudEnvironment", "prod", "restate.dev/v1beta1"),
    },
    expected: "CloudEnvironmentReconciler/prod",
  },
  {
    name: "O1: the controller's kind counts, not the watch through which the object came",
    of: "RestateCluster",
    metadata: {
      name: "s",
      namespace: "ns",
      ...controller("RestateDeployment", "d", "restate.dev/v1beta1"),
      ...ofInstance("ns"),
    },
    expected: "DeploymentReconciler/ns/d",
  },
  {
    name: "O1: an owner that is not the controller does not count",
    of: "RestateCluster",
    metadata: {
      name: "x",
      namespace: "c1",
      ownerReferences: [{ apiVersion: "restate.dev/v1", kind: "RestateCluster", name: "c9" }],
      ...ofInstance("c1"),
    },
    expected: "ClusterReconciler/c1",
  },
  {
    name: "O1: a kind of the same name in another group does not count",
    of: "RestateCluster",
    metadata: { name: "x", namespace: "c1", ...controller("RestateCluster", "c9", "evil.dev/v1") },
    expected: undefined,
  },
  {
    name: "O1: a kind called like a method of every object does not count",
    of: "RestateCluster",
    metadata: { name: "x", namespace: "c1", ...controller("toString", "c9") },
    expected: undefined,
  },
  {
    name: "O2: a volume claim by its labels",
    of: "RestateCluster",
    metadata: { name: "storage-restate-0", namespace: "c1", ...ofInstance("c1") },
    expected: "ClusterReconciler/c1",
  },
  {
    name: "O2: a pod whose controller is the StatefulSet, by its labels",
    of: "RestateCluster",
    metadata: {
      name: "restate-0",
      namespace: "c1",
      ...controller("StatefulSet", "restate", "apps/v1"),
      ...ofInstance("c1"),
    },
    expected: "ClusterReconciler/c1",
  },
  {
    name: "O2: somebody else's Restate: its instance is not its namespace",
    of: "RestateCluster",
    metadata: { name: "restate-0", namespace: "apps", ...ofInstance("my-release") },
    expected: undefined,
  },
  {
    name: "O2: no instance label, no owner",
    of: "RestateCluster",
    metadata: { name: "restate-0", namespace: "c1", labels: {} },
    expected: undefined,
  },
  {
    name: "O2: a version's Service, owned by the ReplicaSet, by restate.dev/owned-by",
    of: "RestateDeployment",
    metadata: {
      name: "greeter-x",
      namespace: "shop",
      ...controller("ReplicaSet", "greeter-x", "apps/v1"),
      labels: { "restate.dev/owned-by": "greeter" },
    },
    expected: "DeploymentReconciler/shop/greeter",
  },
  {
    name: "O2: a Knative Route, owned by its Configuration, by its annotation",
    of: "RestateDeployment",
    metadata: {
      name: "greeter-t",
      namespace: "shop",
      ...controller("Configuration", "greeter-t", "serving.knative.dev/v1"),
      annotations: { "restate.dev/deployment": "greeter" },
    },
    expected: "DeploymentReconciler/shop/greeter",
  },
  {
    name: "O2: managed-by alone does not say whose it is",
    of: "RestateDeployment",
    metadata: { name: "x", namespace: "shop", labels: {} },
    expected: undefined,
  },
  {
    name: "O2: a tunnel without owner reference by its instance label",
    of: "RestateCloudEnvironment",
    metadata: {
      name: "tunnel-prod",
      namespace: "op",
      labels: { "app.kubernetes.io/instance": "tunnel-prod" },
    },
    expected: "CloudEnvironmentReconciler/prod",
  },
  {
    name: "O2: an instance that is no tunnel",
    of: "RestateCloudEnvironment",
    metadata: { name: "x", namespace: "op", labels: { "app.kubernetes.io/instance": "prod" } },
    expected: undefined,
  },
];

describe("the owner of a child", () => {
  test.each(CHILDREN)("$name", ({ of, metadata, expected }) => {
    expect(ownerOfChild(of, WatchedObject.parse({ metadata }).metadata)).toBe(expected);
  });
});

const BASE = {
  metadata: {
    name: "c1",
    uid: "u1",
    generation: 3,
    resourceVersion: "10",
    labels: { a: "1", b: "2" },
    annotations: { note: "x" },
  },
  spec: { restate: { register: { cluster: "main" } } },
  status: { conditions: [{ type: "Ready", status: "True" }] },
};
type Base = typeof BASE;

const RELEVANT: readonly { name: string; changed: object; sent: boolean }[] = [
  { name: "nothing", changed: BASE, sent: false },
  { name: "resourceVersion", changed: meta({ resourceVersion: "11" }), sent: false },
  { name: "order of labels", changed: meta({ labels: { b: "2", a: "1" } }), sent: false },
  { name: "our finalizer", changed: meta({ finalizers: ["clusters.restate.dev"] }), sent: false },
  {
    name: "managedFields",
    changed: meta({ managedFields: [{ manager: "kubectl" }] }),
    sent: false,
  },
  { name: "status", changed: { ...BASE, status: { conditions: [] } }, sent: false },
  { name: "generation", changed: meta({ generation: 4 }), sent: true },
  { name: "uid", changed: meta({ uid: "u2" }), sent: true },
  { name: "a label", changed: meta({ labels: { a: "1", b: "3" } }), sent: true },
  { name: "a label that goes", changed: meta({ labels: { a: "1" } }), sent: true },
  { name: "an annotation", changed: meta({ annotations: { note: "y" } }), sent: true },
  { name: "deletion", changed: meta({ deletionTimestamp: "2026-01-01T00:00:00Z" }), sent: true },
];

function meta(over: object): object {
  return { ...BASE, metadata: { ...BASE.metadata, ...over } };
}

describe("O3: what is somebody's intent", () => {
  test.each(RELEVANT)("$name → $sent", ({ changed, sent }) => {
    const before = relevantParts(WatchedObject.parse(BASE));
    expect(relevantParts(WatchedObject.parse(changed)) !== before).toBe(sent);
  });
});

const DEPENDENTS: readonly { name: string; kind: ResourceKind; over: object; sent: boolean }[] = [
  {
    name: "status beside Ready",
    kind: "RestateCluster",
    over: status("True", "More"),
    sent: false,
  },
  { name: "Ready flips", kind: "RestateCluster", over: status("False"), sent: true },
  { name: "Ready unknown", kind: "RestateCluster", over: status("Unknown"), sent: true },
  { name: "Ready goes", kind: "RestateCluster", over: { status: { conditions: [] } }, sent: true },
  { name: "no status", kind: "RestateCluster", over: { status: undefined }, sent: true },
  { name: "an edit", kind: "RestateCluster", over: meta({ generation: 4 }), sent: false },
  {
    name: "who may use it",
    kind: "RestateCluster",
    over: { spec: { allowedNamespaces: { matchLabels: { team: "a" } } } },
    sent: true,
  },
  {
    name: "it is being deleted",
    kind: "RestateCluster",
    over: meta({ deletionTimestamp: "2026-01-01T00:00:00Z" }),
    sent: true,
  },
  { name: "an edit", kind: "RestateCloudEnvironment", over: meta({ generation: 4 }), sent: true },
  { name: "its status", kind: "RestateCloudEnvironment", over: status("False"), sent: false },
];

function status(ready: string, more?: string): Pick<Base, "status"> {
  const conditions = [{ type: "Ready", status: ready }];
  if (more !== undefined) conditions.push({ type: more, status: "True" });
  return { status: { conditions } };
}

describe("what RestateDeployments see of what they refer to", () => {
  test.each(DEPENDENTS)("$kind: $name → $sent", ({ kind, over, sent }) => {
    const before = partsForDependents(kind, WatchedObject.parse(BASE));
    expect(partsForDependents(kind, WatchedObject.parse({ ...BASE, ...over })) !== before).toBe(
      sent,
    );
  });

  test("nothing refers to a RestateDeployment", () => {
    expect(partsForDependents("RestateDeployment", WatchedObject.parse(BASE))).toBeUndefined();
  });
});

const register = (value: unknown) => ({ ...BASE, spec: { restate: { register: value } } });

describe("references and keys", () => {
  test.each([
    [{ cluster: "main" }, "RestateCluster/main"],
    [{ cloud: "prod" }, "RestateCloudEnvironment/prod"],
    [{ url: "http://restate:9070" }, undefined],
    [{ service: { name: "restate", namespace: "x" } }, undefined],
    [{ cluster: null, url: "http://restate:9070" }, undefined],
    [{ cluster: 7 }, undefined],
    ["odd", undefined],
    [undefined, undefined],
  ])("register %j → %s", (value, expected) => {
    expect(referenceOf("RestateDeployment", WatchedObject.parse(register(value)))).toBe(expected);
  });

  test("only RestateDeployments refer", () => {
    expect(referenceOf("RestateCluster", WatchedObject.parse(BASE))).toBeUndefined();
  });

  test.each([
    ["RestateCluster", "ClusterReconciler/a"],
    ["RestateDeployment", "DeploymentReconciler/ns/a"],
    ["RestateCloudEnvironment", "CloudEnvironmentReconciler/a"],
  ] as const)("%s → %s", (kind, expected) => {
    const namespace = kind === "RestateDeployment" ? "ns" : undefined;
    expect(wakeKeyOf(kind, { name: "a", namespace })).toBe(expected);
  });
});
