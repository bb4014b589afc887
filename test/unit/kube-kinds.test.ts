/** URLs of objects and collections, references, and live objects as they are projected at the border. */
import { describe, expect, test } from "vitest";
import { Discovery } from "../../services/kube/discovery.ts";
import { collectionPath, objectPath, refTo } from "../../services/kube/kinds.ts";
import { observedObjectOf, observedObjectsOf } from "../../services/kube/observed.ts";

test.each([
  ["Namespace", "c", undefined, "/api/v1/namespaces/c"],
  ["ConfigMap", "a", "ns", "/api/v1/namespaces/ns/configmaps/a"],
  ["StatefulSet", "a", "ns", "/apis/apps/v1/namespaces/ns/statefulsets/a"],
  ["NetworkPolicy", "a", "ns", "/apis/networking.k8s.io/v1/namespaces/ns/networkpolicies/a"],
  ["PodDisruptionBudget", "a", "ns", "/apis/policy/v1/namespaces/ns/poddisruptionbudgets/a"],
  ["RestateCluster", "a", undefined, "/apis/restate.dev/v1/restateclusters/a"],
  ["RestateDeployment", "a", "ns", "/apis/restate.dev/v1beta1/namespaces/ns/restatedeployments/a"],
  [
    "RestateCloudEnvironment",
    "a",
    undefined,
    "/apis/restate.dev/v1beta1/restatecloudenvironments/a",
  ],
  ["ConfigMap", "../../x?y", "n/s", "/api/v1/namespaces/n%2Fs/configmaps/..%2F..%2Fx%3Fy"],
])("%s %s in %s is at %s", (...[kind, name, namespace, path]) => {
  expect(objectPath(refTo(kind, name, namespace))).toBe(path);
});

test.each([
  ["Pod", "ns", "/api/v1/namespaces/ns/pods"],
  ["Pod", undefined, "/api/v1/pods"],
  ["Namespace", "ns", "/api/v1/namespaces"],
  ["StatefulSet", undefined, "/apis/apps/v1/statefulsets"],
])("%s of %s are at %s", (kind, namespace, path) => {
  expect(collectionPath(kind, namespace)).toBe(path);
});

describe("what would address another object is refused", () => {
  test.each<[string, () => unknown, string]>([
    [
      "an unknown kind",
      () => refTo("Secret", "a"),
      "Secret is not a kind this operator reads or writes",
    ],
    [
      "a name of every object",
      () => collectionPath("toString"),
      "toString is not a kind this operator reads or writes",
    ],
    [
      "no namespace",
      () => objectPath(refTo("ConfigMap", "a")),
      "ConfigMap a: the namespace is missing",
    ],
    [
      "a namespace too much",
      () => objectPath(refTo("Namespace", "a", "ns")),
      "Namespace a: the namespace is too much",
    ],
    [
      "another version",
      () =>
        objectPath({ apiVersion: "apps/v1beta1", kind: "StatefulSet", namespace: "ns", name: "a" }),
      "StatefulSet is served as apps/v1, not as apps/v1beta1",
    ],
  ])("%s", (_, run, message) => {
    expect(run).toThrow(message);
  });
});

const metadata = { name: "a", namespace: "ns", uid: "u" };

const contentOf = (kind: string, live: object) =>
  observedObjectOf(kind, { metadata, ...live }).content;

describe("live objects", () => {
  const owners = [
    { apiVersion: "v1", kind: "Other", name: "x", uid: "other" },
    {
      apiVersion: "restate.dev/v1",
      kind: "RestateCluster",
      name: "c",
      uid: "uid-c",
      controller: true,
    },
  ];
  const plain = { uid: "u", labels: {}, annotations: {}, deleting: false };

  test("everything that decides, and nothing else", () => {
    const live = {
      metadata: {
        ...metadata,
        generation: 3,
        labels: { l: "1" },
        annotations: { n: "1" },
        ownerReferences: owners,
        deletionTimestamp: new Date(0),
        resourceVersion: "9",
      },
      spec: {},
    };
    expect(observedObjectOf("StatefulSet", live)).toEqual({
      ref: { apiVersion: "apps/v1", kind: "StatefulSet", namespace: "ns", name: "a" },
      uid: "u",
      generation: 3,
      labels: { l: "1" },
      annotations: { n: "1" },
      controllerUid: "uid-c",
      deleting: true,
    });
  });

  test("an owner that is no controller is none", () => {
    const live = { metadata: { ...metadata, ownerReferences: owners.slice(0, 1) } };
    expect(observedObjectOf("ServiceAccount", live)).toEqual({
      ref: { apiVersion: "v1", kind: "ServiceAccount", namespace: "ns", name: "a" },
      ...plain,
    });
  });

  test("kinds without a generation are known by their content", () => {
    const map = contentOf("ConfigMap", { data: { a: "1" } });
    const service = contentOf("Service", { spec: { clusterIP: "None" } });
    expect(contentOf("ConfigMap", { data: { a: "1" } })).toBe(map);
    expect(contentOf("ConfigMap", { data: { a: "2" } })).not.toBe(map);
    expect(contentOf("ConfigMap", { binaryData: { a: "1" } })).not.toBe(map);
    expect(contentOf("Service", { spec: { clusterIP: "None" }, status: { x: 1 } })).toBe(service);
    expect(contentOf("Service", { spec: { clusterIP: "10.0.0.1" } })).not.toBe(service);
    expect(contentOf("StatefulSet", { spec: {} })).toBeUndefined();
  });

  test("sorted by name, whatever the wire did", () => {
    const live = ["b", "a", "c"].map((name) => ({ metadata: { ...metadata, name } }));
    expect(observedObjectsOf("Pod", live).map(({ ref }) => ref.name)).toEqual(["a", "b", "c"]);
  });
});

/** A discovery over a world that can change, and what it has asked there. */
function discovery(served: readonly string[]) {
  const asked: string[] = [];
  const world = { served, nowMs: 0, fails: false };
  const ask = async (path: string): Promise<readonly string[]> => {
    asked.push(path);
    if (world.fails) throw new Error("no answer");
    return world.served;
  };
  return { asked, world, discovery: new Discovery(ask, () => world.nowMs) };
}

describe("which kinds of other projects are installed", () => {
  const EKS = "/apis/eks.services.k8s.aws/v1alpha1";

  test("an answer counts for five seconds, whoever asks", async () => {
    const { asked, world, discovery: found } = discovery(["podidentityassociations", "clusters"]);
    const serves = () => found.serves("PodIdentityAssociation", { asked: false });
    expect(await Promise.all([serves(), serves()])).toEqual([true, true]);
    world.served = ["clusters"];
    world.nowMs = 4_999;
    expect(await serves()).toBe(true);
    expect(asked).toEqual([EKS]);
    world.nowMs = 5_000;
    expect(await serves()).toBe(false);
    expect(asked).toEqual([EKS, EKS]);
  });

  test("a no is asked again where the kind is asked for, a yes is not", async () => {
    const { asked, world, discovery: found } = discovery([]);
    const serves = (isAsked: boolean) => found.serves("PodIdentityAssociation", { asked: isAsked });
    expect([await serves(true), await serves(false), asked.length]).toEqual([false, false, 1]);
    world.served = ["podidentityassociations"];
    expect([await serves(false), await serves(true), asked.length]).toEqual([false, true, 2]);
    expect([await serves(true), asked.length]).toEqual([true, 2]);
  });

  test("a failure is nobody's answer", async () => {
    const { asked, world, discovery: found } = discovery(["secretproviderclasses"]);
    const serves = () => found.serves("SecretProviderClass", { asked: true });
    world.fails = true;
    await expect(serves()).rejects.toThrow("no answer");
    world.fails = false;
    expect(await serves()).toBe(true);
    expect(asked).toEqual(Array(2).fill("/apis/secrets-store.csi.x-k8s.io/v1"));
  });
});
