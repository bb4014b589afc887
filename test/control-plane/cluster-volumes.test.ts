/**
 * What keeps the data of a RestateCluster, against a real API server and its controllers: volumes that grow while their pods run
 * (the StatefulSet is removed without them and made again; the services are killed at every point of that), version changes
 * that are refused, a deletion that is held, and `restate.dev/reconcile: disabled` on each of the three kinds.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startApiProxy, type ApiProxy, type Fault } from "../harness/api-proxy.ts";
import {
  applyCluster,
  dropCluster,
  MINIMAL,
  playedNodes,
  untilReady,
  untilReason,
  type ClusterSpec,
} from "../harness/clusters.ts";
import { sharedControlPlane, testRunDir } from "../harness/kubernetes.ts";
import { Objects, type KubeObject } from "../harness/objects.ts";
import { startTestOperator, type TestOperator } from "../harness/operator.ts";
import { until } from "../harness/until.ts";

const START_TIMEOUT_MS = 1_500_000;
const GIB = 1_073_741_824;
const QUIET_MS = 3_000;

let objects: Objects;
let proxy: ApiProxy;
let operator: TestOperator;

beforeAll(async () => {
  const cluster = await sharedControlPlane();
  objects = new Objects(cluster);
  proxy = await startApiProxy(cluster);
  operator = await startTestOperator({
    cluster,
    dir: join(testRunDir(), "cluster-volumes"),
    servicesApiUrl: proxy.url,
  });
}, START_TIMEOUT_MS);

afterEach(() => proxy.setFaults(() => undefined));

afterAll(async () => {
  await operator.stop();
  await proxy.close();
  await objects.close();
});

type Claim = KubeObject & {
  readonly spec: {
    readonly volumeAttributesClassName?: string;
    readonly resources: { readonly requests: { readonly storage: string } };
  };
  readonly status: { readonly phase: string; readonly capacity?: { readonly storage: string } };
};
type StatefulSet = KubeObject & {
  readonly spec: {
    readonly volumeClaimTemplates: readonly Pick<Claim, "spec">[];
    readonly template: { readonly spec: { readonly containers: readonly { image: string }[] } };
  };
};

const statefulSetOf = async (name: string) =>
  (await objects.get("StatefulSet", "restate", name)) as StatefulSet | undefined;
const claimsOf = async (name: string) =>
  (await objects.list("PersistentVolumeClaim", name)) as Claim[];
const uidsOf = (all: readonly KubeObject[]) =>
  all.map(({ metadata }) => `${metadata.name} ${metadata.uid}`);
const reconciliationOf = (object: KubeObject | undefined) =>
  (object?.["status"] as { reconciliation?: string } | undefined)?.reconciliation;

/** The services die before a request arrives, or after it took effect and before they know. */
const dyingBefore = (kill: () => Promise<void>): Fault => ({ before: kill, lose: "before" });
const dyingAfter = (kill: () => Promise<void>): Fault => ({ after: kill, lose: "after" });
const image = (tag: string) => ({
  ...MINIMAL,
  compute: { image: `restatedev/restate:${tag}` },
});

describe("volumes", () => {
  const name = "growing";
  let gib = 2;
  const spec = (over: Partial<ClusterSpec> = {}, storage: object = {}): ClusterSpec => ({
    ...playedNodes(2),
    ...over,
    storage: { storageRequestBytes: gib * GIB, ...storage },
  });

  /** Resolves when the StatefulSet and every bound claim have the size, and the volumes as well. */
  async function untilGrown(): Promise<void> {
    const bytes = String(gib * GIB);
    await until(`${name} has volumes of ${gib} GiB`, async () => {
      const [template] = (await statefulSetOf(name))?.spec.volumeClaimTemplates ?? [];
      expect(template?.spec.resources.requests.storage).toBe(bytes);
      for (const { spec: asked, status } of await claimsOf(name)) {
        const has = status.phase === "Bound" ? status.capacity?.storage : bytes;
        expect([asked.resources.requests.storage, has]).toEqual([bytes, bytes]);
      }
      return true;
    });
  }

  const pods = async () => uidsOf(await objects.list("Pod", name));
  const volumes = async () => uidsOf(await claimsOf(name));

  beforeAll(async () => {
    await applyCluster(objects, name, { spec: spec() });
    await untilReady(objects, name);
    await operator.idle();
  });

  afterAll(() => dropCluster(objects, name));

  test("grow and change their class, the pods stay, and then it is quiet", async () => {
    const before = { pods: await pods(), volumes: await volumes(), set: await statefulSetOf(name) };
    const mark = await operator.mark();
    gib += 1;
    await applyCluster(objects, name, { spec: spec({}, { volumeAttributesClassName: "fast" }) });
    await untilGrown();
    await untilReady(objects, name);
    await operator.idle();
    expect(await pods()).toEqual(before.pods);
    expect(await volumes()).toEqual(before.volumes);
    const after = await statefulSetOf(name);
    expect(after?.metadata.uid).not.toBe(before.set?.metadata.uid);
    for (const claim of await claimsOf(name)) {
      expect(claim.spec.volumeAttributesClassName).toBe("fast");
      expect(claim.status.phase).toBe("Bound");
    }
    const writes = (await operator.writesSince(mark)).filter((line) => !line.includes("/status"));
    expect(writes).toEqual([
      `delete statefulsets ${name}/restate → 200`,
      `patch statefulsets ${name}/restate → 201`,
      `patch persistentvolumeclaims ${name}/storage-restate-0 → 200`,
      `patch persistentvolumeclaims ${name}/storage-restate-1 → 200`,
    ]);
    const quiet = await operator.mark();
    await operator.wake("ClusterReconciler", name);
    await sleep(QUIET_MS);
    expect(await operator.writesSince(quiet)).toEqual([]);
  });

  const set = /\/statefulsets\/restate$/;
  const claim = /\/persistentvolumeclaims\/storage-restate-0$/;
  test.each([
    { point: "before the StatefulSet is removed", method: "DELETE", path: set, fault: dyingBefore },
    { point: "once it is removed", method: "DELETE", path: set, fault: dyingAfter },
    { point: "before it is made again", method: "PATCH", path: set, fault: dyingBefore },
    { point: "once it is made again", method: "PATCH", path: set, fault: dyingAfter },
    { point: "before a claim grows", method: "PATCH", path: claim, fault: dyingBefore },
    { point: "once a claim grows", method: "PATCH", path: claim, fault: dyingAfter },
  ])("the services die $point: no pod restarts, no volume is lost", async (row) => {
    const was = { pods: await pods(), volumes: await volumes() };
    let kills = 0;
    proxy.setFaults(({ method, path }) => {
      if (kills > 0 || method !== row.method || !path.includes(`/${name}/`)) return undefined;
      if (!row.path.test(path)) return undefined;
      kills += 1;
      return row.fault(async () => {
        await operator.kill("services");
        void operator.start("services");
      });
    });
    gib += 1;
    await applyCluster(objects, name, { spec: spec({}, { volumeAttributesClassName: "fast" }) });
    await untilGrown();
    await untilReady(objects, name);
    await operator.idle();
    expect(kills).toBe(1);
    expect({ pods: await pods(), volumes: await volumes() }).toEqual(was);
  });

  test("grow, and nodes are added, where no pod gets a place any more", async () => {
    const compute = { ...MINIMAL.compute, nodeSelector: { nowhere: "yes" } };
    await applyCluster(objects, name, { spec: spec({ compute: { ...compute, replicas: 2 } }) });
    await untilReason(objects, name, "StatefulSetPodNotReady");
    await until("a pod has no place", async () =>
      (await objects.list("Pod", name)).some(
        ({ metadata, status }) =>
          metadata.deletionTimestamp === undefined &&
          (status as { phase?: string }).phase === "Pending",
      ),
    );
    await operator.idle();
    const was = await pods();
    gib += 1;
    await applyCluster(objects, name, { spec: spec({ compute: { ...compute, replicas: 3 } }) });
    await untilGrown();
    const [, , third] = await until("there are three pods", async () => {
      const all = await pods();
      return all.length === 3 && all;
    });
    expect(await pods()).toEqual([...was, third]);
  });

  test("do not shrink", async () => {
    gib -= 1;
    await expect(applyCluster(objects, name, { spec: spec() })).rejects.toThrow(
      /storageRequestBytes must not shrink/,
    );
    gib += 1;
  });
});

describe("guards", () => {
  const name = "guarded";
  const runs = async () => (await statefulSetOf(name))?.spec.template.spec.containers[0]?.image;

  test("a skipped minor version is refused until it is allowed", async () => {
    await applyCluster(objects, name);
    await untilReady(objects, name);
    await applyCluster(objects, name, { spec: image("1.9.0") });
    const { message } = await untilReason(objects, name, "VersionChangeRefused");
    expect(message).toContain('restate.dev/allow-version-change: "1.9.0"');
    expect(await runs()).toBe("restatedev/restate:1.7.12");
    await applyCluster(objects, name, {
      spec: image("1.9.0"),
      annotations: { "restate.dev/allow-version-change": "1.9.0" },
    });
    await untilReady(objects, name);
    expect(await runs()).toBe("restatedev/restate:1.9.0");
    await applyCluster(objects, name, { spec: image("1.8.0") });
    await untilReason(objects, name, "VersionChangeRefused");
    await applyCluster(objects, name, { spec: image("1.9.0") });
    await untilReady(objects, name);
  });

  test("a deletion is held while the annotation is there, and carried out without it", async () => {
    await objects.patch(
      "RestateCluster",
      { name },
      { metadata: { annotations: { "restate.dev/deletion-protection": "enabled" } } },
    );
    await objects.remove("RestateCluster", name);
    const { message } = await untilReason(objects, name, "DeletionProtected");
    expect(message).toContain("restate.dev/deletion-protection: enabled");
    await operator.idle();
    expect((await statefulSetOf(name))?.metadata.deletionTimestamp).toBeUndefined();
    await objects.patch(
      "RestateCluster",
      { name },
      { metadata: { annotations: { "restate.dev/deletion-protection": null } } },
    );
    await until("it is gone", async () => !(await objects.get("RestateCluster", name)));
    await operator.untilForgotten(name);
  });
});

describe("restate.dev/reconcile: disabled", () => {
  const annotations = { "restate.dev/reconcile": "disabled" };
  const name = "paused";
  const KINDS = [
    {
      kind: "RestateCluster",
      apiVersion: "restate.dev/v1",
      spec: { ...MINIMAL, compute: { ...MINIMAL.compute, nodeSelector: { nowhere: "yes" } } },
    },
    {
      kind: "RestateCloudEnvironment",
      apiVersion: "restate.dev/v1beta1",
      spec: {
        environmentId: "env_201jy31ax2z2eep66znas5rkhfm",
        region: "eu",
        signingPublicKey: "publickeyv1_w7YHemBctH5Ck2nQRQ47iBBqhNHy4FV7t2Usbye2A6f",
        authentication: { secret: { name: "token", key: "token" } },
      },
    },
  ] as const;

  test.each(KINDS)("$kind: nothing is made, and it says so; then it resumes", async (row) => {
    const { kind, apiVersion, spec } = row;
    const mark = await operator.mark();
    await objects.apply(kind, { apiVersion, metadata: { name, annotations }, spec });
    await until("it says that it is disabled", async () => {
      return reconciliationOf(await objects.get(kind, name)) === "Disabled";
    });
    await operator.idle();
    expect(await operator.writesSince(mark)).toEqual([
      expect.stringMatching(new RegExp(`^patch ${kind.toLowerCase()}s/status ${name} `)),
    ]);
    await objects.apply(kind, { apiVersion, metadata: { name }, spec });
    await until("it is resuming", async () => {
      return reconciliationOf(await objects.get(kind, name)) === "ResumingReconciliation";
    });
    await objects.remove(kind, name);
    await until("it is gone", async () => !(await objects.get(kind, name)));
  });

  test("RestateDeployment: nothing is made, and it says so; its deletion is not stopped", async () => {
    const namespace = "default";
    const mark = await operator.mark();
    await objects.apply("RestateDeployment", {
      apiVersion: "restate.dev/v1beta1",
      metadata: { name, namespace, annotations },
      spec: {
        restate: { register: { url: "http://nowhere.example:9070" } },
        selector: { matchLabels: { app: name } },
        template: {
          metadata: { labels: { app: name } },
          spec: { containers: [{ name: "s", image: "svc:1" }] },
        },
      },
    });
    await until("it says that it is disabled", async () => {
      const live = await objects.get("RestateDeployment", name, namespace);
      return reconciliationOf(live) === "Disabled";
    });
    await operator.idle();
    const writes = await operator.writesSince(mark);
    expect(writes).toEqual([expect.stringContaining(`restatedeployments/status ${namespace}/`)]);
    await objects.remove("RestateDeployment", name, namespace);
    await until(
      "it is gone",
      async () => !(await objects.get("RestateDeployment", name, namespace)),
    );
  });
});
