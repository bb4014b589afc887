/**
 * RestateDeployments and what stands beside them: namesakes in other namespaces, services and Services of others, taken names, and
 * the objects that an earlier operator left.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { versionHash, versionName } from "../../services/deployment/plan/version-hash.ts";
import { applyCluster, untilReady } from "../harness/clusters.ts";
import { DeploymentStage, STAGE_TIMEOUT_MS } from "../harness/deployment-stage.ts";
import {
  applyDeployment,
  eventsOf,
  readyOf,
  untilDeployed,
  untilPhase,
  untilReason,
  urlOfVersion,
  type DeploymentStatus,
  type Key,
} from "../harness/deployments.ts";
import type { AppliedManifest, KubeObject } from "../harness/objects.ts";
import { until } from "../harness/until.ts";

const OTHER = "deployment-neighbours-2";
const OBSERVED = join(import.meta.dirname, "../fixtures/observed/deployment.yaml");

let stage: DeploymentStage;

beforeAll(async () => {
  stage = await DeploymentStage.start({
    name: "deployment-neighbours",
    namespaces: ["deployment-neighbours", OTHER, "rd"],
  });
}, STAGE_TIMEOUT_MS);

afterAll(() => stage.stop());

const keyOf = (name: string, namespace = stage.namespace): Key => ({ namespace, name });

/** Releases a version that serves `service`. */
async function release(
  key: Key,
  {
    service,
    version = "v1",
    ...more
  }: { service: string; version?: string; [field: string]: unknown },
): Promise<void> {
  const image = `${key.namespace}-${key.name}:${version}`;
  await stage.world.addImage(image, stage.worker.services(service, version));
  await applyDeployment(stage.objects, key, { image, restate: stage.byUrl(more) });
}

const latestOf = ({ versions }: DeploymentStatus): string =>
  versions!.find(({ phase }) => phase === "Latest")!.name;

test("namesakes in two namespaces, on one Restate, do not touch each other", async () => {
  const [one, two] = [keyOf("twin"), keyOf("twin", OTHER)];
  await release(one, { service: "TwinOne" });
  await release(two, { service: "TwinTwo" });
  const first = latestOf(await untilDeployed(stage.objects, one));
  const second = latestOf(await untilDeployed(stage.objects, two));
  const work = await stage.worker.start("suspended", "TwinTwo");
  await release(one, { service: "TwinOne", version: "v2" });
  await untilPhase(stage.objects, one, { name: first, phase: "Retained" });
  await stage.remove("twin");
  await stage.untilGone("twin");
  expect(await stage.registered("twin")).toEqual([]);
  expect(await stage.registered("twin", OTHER)).toEqual([urlOfVersion(two, second)]);
  expect(readyOf(await untilDeployed(stage.objects, two))?.reason).toBe("Deployed");
  expect(await stage.objects.get("Service", "twin", OTHER)).toBeDefined();
  expect(await work.finish()).toBe("v1");
});

test("a service that another RestateDeployment serves is not taken from it", async () => {
  const [holder, taker] = [keyOf("holder"), keyOf("taker")];
  await release(holder, { service: "Shared" });
  await untilDeployed(stage.objects, holder);
  await release(taker, { service: "Shared", version: "v2" });
  const { message } = await untilReason(stage.objects, taker, "ForeignDeployment");
  expect(message).toMatch(/^service Shared(Queue)? is served by deployment dp_/);
  expect(await stage.registered("taker")).toEqual([]);
  expect(await stage.world.call("Shared/runningUnbegun", "x")).toBe("v1");
  await stage.remove("taker");
  await stage.untilGone("taker", stage.namespace, 20_000);
  expect(readyOf(await untilDeployed(stage.objects, holder))?.reason).toBe("Deployed");
});

test("what was registered by hand is taken over, and is not taken back from somebody who insists", async () => {
  const { objects, world } = stage;
  const key = keyOf("heir");
  // Named as a version is, but no RestateDeployment's.
  const byHand = "by-hand-64589f689";
  await world.addImage("by-hand:1", [world.greeter("Heir", "by hand")]);
  await world.addImage("heir:1", [world.greeter("Heir", "v1")]);
  await objects.apply("ReplicaSet", {
    apiVersion: "apps/v1",
    metadata: { name: byHand, namespace: key.namespace },
    spec: {
      selector: { matchLabels: { app: byHand } },
      template: {
        metadata: { labels: { app: byHand } },
        spec: { containers: [{ name: "c", image: "by-hand:1" }] },
      },
    },
  });
  const registerByHand = (force: boolean) => () =>
    world.admin.registerDeployment({ uri: urlOfVersion(key, byHand), force });
  const { id } = await until("it is registered by hand", registerByHand(false));
  expect(await world.call("Heir/greet", "x")).toBe("hello from by hand");
  await applyDeployment(objects, key, { image: "heir:1", restate: stage.byUrl() });
  await untilDeployed(objects, key);
  expect(await world.call("Heir/greet", "x")).toBe("hello from v1");

  await registerByHand(true)();
  const look = (note: string) =>
    objects.patch("RestateDeployment", key, { metadata: { annotations: { note } } });
  await look("who serves?");
  expect((await untilReason(objects, key, "ForeignDeployment")).message).toBe(
    `service Heir is served by deployment ${id}, which is not of this RestateDeployment; nothing is registered over it`,
  );
  await stage.operator.idle();
  expect(await world.call("Heir/greet", "x")).toBe("hello from by hand");
  await world.admin.removeDeployment(id);
  await look("and now?");
  await untilDeployed(objects, key);
  expect(await world.call("Heir/greet", "x")).toBe("hello from v1");
});

test("a Service of the resource's own name that is somebody else's is left alone", async () => {
  const spec = { selector: { of: "somebody" }, ports: [{ name: "p", port: 80 }] };
  const metadata = { name: "taken", namespace: stage.namespace };
  await stage.objects.apply("Service", { apiVersion: "v1", metadata, spec });
  const before = await stage.objects.get("Service", "taken", stage.namespace);
  await release(keyOf("taken"), { service: "Taken" });
  await untilDeployed(stage.objects, keyOf("taken"));
  const after = await stage.objects.get("Service", "taken", stage.namespace);
  expect(after?.metadata.resourceVersion).toBe(before?.metadata.resourceVersion);
  expect(await eventsOf(stage.objects, keyOf("taken"), "StableServiceNameTaken")).toEqual([
    "Service taken belongs to somebody else, so there is no Service that always leads to the latest version",
  ]);
  await stage.remove("taken");
  await stage.untilGone("taken");
  expect(await stage.objects.get("Service", "taken", stage.namespace)).toBeDefined();
});

test("a ReplicaSet of somebody else has the version's name: another hash is made", async () => {
  const key = keyOf("collision");
  const image = `${key.namespace}-collision:v1`;
  const template = {
    metadata: { labels: { app: "collision" } },
    spec: { containers: [{ name: "service", image }] },
  };
  const name = versionName("collision", versionHash({ template }));
  await stage.objects.apply("ReplicaSet", {
    apiVersion: "apps/v1",
    metadata: { name, namespace: key.namespace },
    spec: {
      replicas: 0,
      selector: { matchLabels: { app: "somebody" } },
      template: {
        metadata: { labels: { app: "somebody" } },
        spec: { containers: [{ name: "c", image: "c:1" }] },
      },
    },
  });
  const before = await until("its controller has seen it", async () => {
    const live = await stage.objects.get("ReplicaSet", name, key.namespace);
    const status = live?.["status"] as { observedGeneration?: number } | undefined;
    return status?.observedGeneration === undefined ? undefined : live;
  });
  await release(key, { service: "Collision" });
  const status = await untilDeployed(stage.objects, key);
  expect(status).toMatchObject({ collisionCount: 1, versions: [{ phase: "Latest" }] });
  const other = versionName("collision", versionHash({ template, collisionCount: 1 }));
  expect(latestOf(status)).toBe(other);
  const after = await stage.objects.get("ReplicaSet", name, key.namespace);
  expect(after?.metadata.resourceVersion).toBe(before.metadata.resourceVersion);
});

test("objects that an earlier operator made are taken over, with no new roll and no registration", async () => {
  const { objects, world } = stage;
  const [set, resource, service] = await readObserved();
  const key = keyOf("d02-cluster", "rd");
  await world.addImage("svc:1", [world.greeter("TakenOver", "v1")]);
  await applyCluster(objects, "c01-minimal");
  await untilReady(objects, "c01-minimal");
  world.adminOfCluster("c01-minimal", "answers");
  const disabled = { "restate.dev/reconcile": "disabled" };
  const { metadata, spec } = resource!;
  await objects.apply("RestateDeployment", {
    apiVersion: "restate.dev/v1beta1",
    metadata: {
      name: metadata.name,
      namespace: "rd",
      labels: metadata.labels ?? {},
      annotations: { ...metadata.annotations, ...disabled },
    },
    spec,
  });
  const live = await objects.get("RestateDeployment", "d02-cluster", "rd");
  await objects.apply("ReplicaSet", ownedBy(set!, live!));
  const liveSet = await objects.get("ReplicaSet", set!.metadata.name, "rd");
  await objects.apply("Service", ownedBy(service!, liveSet!));
  await until("its pods are ready", async () => {
    const { status } = (await objects.get("ReplicaSet", set!.metadata.name, "rd")) as unknown as {
      status: { readyReplicas?: number };
    };
    return status.readyReplicas === 2;
  });
  // as that operator registers: without metadata
  const { id } = await until("it is registered", () =>
    world.admin.registerDeployment({ uri: urlOfVersion(key, set!.metadata.name), force: false }),
  );
  const annotations = { "restate.dev/deployment-id": id };
  for (const kind of ["ReplicaSet", "Service"] as const) {
    await objects.patch(
      kind,
      { name: set!.metadata.name, namespace: "rd" },
      { metadata: { annotations } },
    );
  }
  const before = await snapshot(set!.metadata.name);

  await objects.patch(
    "RestateDeployment",
    { name: "d02-cluster", namespace: "rd" },
    {
      metadata: { annotations: { "restate.dev/reconcile": null } },
    },
  );
  const status = await untilDeployed(objects, key);
  expect(status).toMatchObject({
    replicas: 2,
    readyReplicas: 2,
    deploymentId: id,
    labelSelector: "app=d02,pod-template-hash=88866b5b56",
    versions: [{ name: set!.metadata.name, phase: "Latest", deploymentId: id }],
  });
  await stage.operator.idle();
  expect(await snapshot(set!.metadata.name)).toEqual(before);
  const sets = await objects.list("ReplicaSet", "rd");
  expect(sets.map((each) => each.metadata.name)).toEqual([set!.metadata.name]);
  expect(await world.call("TakenOver/greet", "x")).toBe("hello from v1");

  // It is not registered anew, so its registration still does not say whose it is: its ReplicaSet does.
  const taker = keyOf("d02-taker");
  await world.addImage("taker:1", [world.greeter("TakenOver", "taker")]);
  await applyDeployment(objects, taker, { image: "taker:1", restate: stage.byUrl() });
  expect((await untilReason(objects, taker, "ForeignDeployment")).message).toBe(
    `service TakenOver is served by deployment ${id}, which belongs to another RestateDeployment; nothing was registered`,
  );
  expect(await stage.registered("d02-taker")).toEqual([]);
});

/** What must not change: the version's template and pods, its Service's address, its deployment. */
async function snapshot(version: string): Promise<object> {
  const set = await stage.objects.get("ReplicaSet", version, "rd");
  const service = await stage.objects.get("Service", version, "rd");
  const pods = await stage.objects.list("Pod", "rd");
  const deployments = await stage.world.admin.query(
    `SELECT id, endpoint, created_at FROM sys_deployment WHERE starts_with(endpoint, 'http://d02-')`,
  );
  return {
    set: { uid: set?.metadata.uid, generation: set?.metadata.generation, spec: set?.["spec"] },
    service: { uid: service?.metadata.uid, spec: service?.["spec"] },
    pods: pods.map(({ metadata }) => metadata.uid),
    deployments,
  };
}

type Observed = KubeObject & { readonly spec: Record<string, unknown> };

async function readObserved(): Promise<Observed[]> {
  const documents = parseAllDocuments(await readFile(OBSERVED, "utf8"));
  return documents.map((document) => document.toJS() as Observed).filter((each) => each !== null);
}

/** An object of the fixture, as the child of an object that exists. */
function ownedBy({ apiVersion, metadata, spec }: Observed, owner: KubeObject): AppliedManifest {
  const { name, uid } = owner.metadata;
  const { labels = {}, annotations = {} } = metadata;
  const reference = { apiVersion: owner.apiVersion, kind: owner.kind, name, uid, controller: true };
  return {
    apiVersion,
    metadata: {
      name: metadata.name,
      namespace: "rd",
      labels,
      annotations,
      ownerReferences: [reference],
    } as AppliedManifest["metadata"],
    spec,
  };
}
