/**
 * Where a RestateDeployment registers: by the name of a RestateCluster, by a Service, by a URL; what is waited for, what
 * recovers by itself, and where the operator never connects to, whoever asks.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { applyCluster, removeCluster, untilReady } from "../harness/clusters.ts";
import { DeploymentStage, STAGE_TIMEOUT_MS } from "../harness/deployment-stage.ts";
import {
  applyDeployment,
  eventsOf,
  readyOf,
  statusOf,
  untilDeployed,
  untilPhase,
  untilReason,
  untilStatus,
  urlOfVersion,
  type Key,
} from "../harness/deployments.ts";

let stage: DeploymentStage;

beforeAll(async () => {
  stage = await DeploymentStage.start({ name: "deployment-registration" });
}, STAGE_TIMEOUT_MS);

afterEach(() => {
  stage.world.adminByUrl("answers");
});

afterAll(() => stage.stop());

const keyOf = (name: string): Key => ({ namespace: stage.namespace, name });

async function deploy(
  name: string,
  restate: Readonly<Record<string, unknown>>,
  version = "v1",
): Promise<Key> {
  const image = `${name}:${version}`;
  const service = `Registered${name.replaceAll("-", "")}`;
  await stage.world.addImage(image, [stage.world.greeter(service, version)]);
  await applyDeployment(stage.objects, keyOf(name), { image, restate });
  return keyOf(name);
}

test("by cluster: waits until the RestateCluster is Ready, and then registers with it", async () => {
  const { objects, world } = stage;
  world.adminOfCluster("registered-cluster", "answers");
  const key = await deploy("by-cluster", { register: { cluster: "registered-cluster" } });
  expect((await untilReason(objects, key, "ClusterNotReady")).message).toBe(
    "there is no RestateCluster registered-cluster",
  );
  expect(await stage.registered("by-cluster")).toEqual([]);

  await applyCluster(objects, "registered-cluster");
  await untilReady(objects, "registered-cluster");
  const status = await untilDeployed(objects, key);
  const version = status.versions![0]!.name;
  expect(await stage.registered("by-cluster")).toEqual([urlOfVersion(key, version)]);
  const set = await objects.get("ReplicaSet", version, stage.namespace);
  expect(set?.metadata.labels).toMatchObject({ "allow.restate.dev/registered-cluster": "true" });
  expect(await world.call("Registeredbycluster/greet", "x")).toBe("hello from v1");
  await stage.remove("by-cluster");
  await stage.untilGone("by-cluster");
  await removeCluster(objects, "registered-cluster");
});

test("by service: name, namespace, port and path lead to the admin API", async () => {
  const { objects, world } = stage;
  world.admins("admin.restate-of-others.svc.cluster.local:9071", "answers");
  const register = {
    service: { name: "admin", namespace: "restate-of-others", port: 9071 },
  };
  const key = await deploy("by-service", { register });
  const status = await untilDeployed(objects, key);
  expect(await stage.registered("by-service")).toEqual([
    urlOfVersion(key, status.versions![0]!.name),
  ]);
});

test("Restate is down while a version is to be registered: said, and it recovers by itself", async () => {
  const { objects, world } = stage;
  world.adminByUrl("is down");
  const key = await deploy("down", stage.byUrl());
  const { message } = await untilReason(objects, key, "AdminCallFailed");
  expect(message).toMatch(/502/);
  expect(await eventsOf(objects, key, "AdminCallFailed")).toEqual([message]);
  world.adminByUrl("answers");
  await untilDeployed(objects, key);
});

test("Restate is down while a version serves: nothing is touched, and it is said", async () => {
  const { objects, world, operator } = stage;
  const key = await deploy("silent", stage.byUrl());
  const before = await untilDeployed(objects, key);
  const work = await world.hold("Registeredsilent", "silent-work");
  world.adminByUrl("is down");
  await operator.wake("DeploymentReconciler", `${key.namespace}/${key.name}`);
  await untilReason(objects, key, "AdminCallFailed");
  await deploy("silent", stage.byUrl(), "v2");
  const status = await untilStatus(objects, key, {
    what: "the second version has its pods",
    is: ({ versions }) =>
      versions?.length === 2 && versions.every((each) => each.readyReplicas === 1),
  });
  expect(readyOf(status)?.status).toBe("False");
  await sleep(12_000);
  const later = statusOf(await objects.get("RestateDeployment", key.name, key.namespace));
  expect(later?.versions?.[1]).toMatchObject({
    name: before.versions![0]!.name,
    replicas: 1,
    readyReplicas: 1,
  });
  world.adminByUrl("answers");
  await untilDeployed(objects, key);
  await world.letGo("silent-work");
  expect(await work.answer).toBe("silent-work ends on v1");
});

test("a hanging Restate delays nobody who registers elsewhere", async () => {
  const { objects, world } = stage;
  world.admins("hanging.restate-of-others.svc.cluster.local:9070", "hangs");
  const hanging = { service: { name: "hanging", namespace: "restate-of-others" } };
  for (const name of ["hang-1", "hang-2", "hang-3"]) await deploy(name, { register: hanging });
  const startedAt = performance.now();
  await untilDeployed(objects, await deploy("prompt", stage.byUrl()));
  expect(performance.now() - startedAt).toBeLessThan(30_000);
  const { message } = await untilReason(objects, keyOf("hang-1"), "AdminCallFailed");
  expect(message).toMatch(/no answer/);
  for (const name of ["hang-1", "hang-2", "hang-3"]) await stage.remove(name);
  for (const name of ["hang-1", "hang-2", "hang-3"]) {
    await stage.untilGone(name, stage.namespace, 120_000);
  }
});

test("hosts that the operator does not connect to: the condition names field and fix, and nothing connects", async () => {
  const { objects, world } = stage;
  const connected: string[] = [];
  const trap: Server = createServer((incoming, response) => {
    connected.push(incoming.url ?? "");
    response.writeHead(200).end("{}");
  });
  await new Promise<void>((resolve) => {
    trap.listen(0, "127.0.0.1", resolve);
  });
  const { port } = trap.address() as AddressInfo;
  const refusedByCondition = [`http://127.0.0.1:${port}`, `http://localhost:${port}`];
  const refusedAtAdmission: readonly (readonly [url: string, message: string])[] = [
    [`http://2130706433:${port}`, "must write"],
    [`http://0x7f000001:${port}`, "must write"],
    ["http://169.254.169.254/latest", "must not be a link-local"],
    [
      "https://kubernetes.default.svc",
      "must not be a metadata service or the Kubernetes API server",
    ],
  ];
  try {
    for (const [index, url] of refusedByCondition.entries()) {
      const { hostname, port: number } = new URL(url);
      // Whatever the operator would connect to, would end in the trap.
      for (const authority of [hostname, `${hostname}:${number}`]) {
        world.proxy.route(authority, { port });
      }
      await deploy(`refused-${index}`, { register: { url } });
    }
    for (const [index, url] of refusedByCondition.entries()) {
      const key = keyOf(`refused-${index}`);
      const { message } = await untilReason(objects, key, "AdminCallRejected");
      const expected = /^spec\.restate\.register: the operator does not connect there: /;
      expect({ url, message }).toEqual({ url, message: expect.stringMatching(expected) });
    }
    for (const [url, message] of refusedAtAdmission) {
      const refusal = new RegExp(`422.*spec\\.restate\\.register\\.url ${message}`);
      await expect(deploy("spelled", { register: { url } })).rejects.toThrow(refusal);
    }
    const service = { name: "a/b", namespace: "c" };
    await expect(deploy("not-a-name", { register: { service } })).rejects.toThrow(/422/);
    expect(connected).toEqual([]);
  } finally {
    await new Promise((resolve) => {
      trap.close(resolve);
    });
  }
  for (const index of refusedByCondition.keys()) {
    await stage.remove(`refused-${index}`);
    await stage.untilGone(`refused-${index}`, stage.namespace, 20_000);
  }
});

test("V2: registered elsewhere from now on, a version with work is drained where it was", async () => {
  const { objects, world } = stage;
  const key = await deploy("moved", stage.byUrl());
  const first = (await untilDeployed(objects, key)).versions![0]!.name;
  await world.hold("Registeredmoved", "while it moves");

  world.admins("admin.elsewhere.svc.cluster.local:9070", "answers");
  const elsewhere = { service: { name: "admin", namespace: "elsewhere" } };
  await deploy("moved", { ...stage.byUrl(), register: elsewhere });
  const status = await untilDeployed(objects, key);
  const second = status["latest"];
  expect(second).not.toBe(first);
  expect(status["collisionCount"]).toBe(1);
  const draining = await untilStatus(objects, key, {
    what: "its work is counted",
    is: ({ versions }) => versions?.find(({ name }) => name === first)?.invocations?.pinned === 1,
  });
  expect(draining.versions!.find(({ name }) => name === first)).toMatchObject({
    phase: "Draining",
    replicas: 1,
  });
  await world.letGo("while it moves");
  await untilPhase(objects, key, { name: first, phase: "Retained" });
  expect(await stage.registered("moved")).toEqual([urlOfVersion(key, String(second))]);
});
