/**
 * Versions that turn round on their way out, and versions that never get in: work that begins between "drained" and the
 * removal, up to the very moment of the last look; a version superseded before its pods were ready; pods that never become so.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { AdminTap } from "../harness/admin-tap.ts";
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
  type DeploymentStatus,
  type Key,
  type VersionEntry,
} from "../harness/deployments.ts";
import type { Work } from "../harness/work.ts";

let stage: DeploymentStage;
let tap: AdminTap;

/** Pods that no node takes. */
const NOWHERE = { nodeSelector: { "example.com/nowhere": "true" } };
const DELAY_SECONDS = 15;

beforeAll(async () => {
  stage = await DeploymentStage.start({ name: "deployment-turns" });
  tap = await AdminTap.start(stage.world.adminUrl);
}, STAGE_TIMEOUT_MS);

afterEach(() => {
  stage.world.adminByUrl("answers");
});

afterAll(async () => {
  await stage.stop();
  await tap.stop();
});

const keyOf = (name: string): Key => ({ namespace: stage.namespace, name });

/** Releases a version of the services `<service>`; resolves when it is the latest. */
async function release(
  name: string,
  version: string,
  restate: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const { world, worker, objects } = stage;
  const image = `${name}:${version}`;
  await world.addImage(image, worker.services(`Turns${name}`, version));
  await applyDeployment(objects, keyOf(name), { image, restate: stage.byUrl(restate) });
  const { versions } = await untilDeployed(objects, keyOf(name));
  return versions!.find(({ phase }) => phase === "Latest")!.name;
}

async function versionNow(name: string, version: string): Promise<VersionEntry | undefined> {
  const status = statusOf(await stage.objects.get("RestateDeployment", name, stage.namespace));
  return status?.versions?.find((each) => each.name === version);
}

async function removalMark(version: string): Promise<string | undefined> {
  const set = await stage.objects.get("ReplicaSet", version, stage.namespace);
  return set?.metadata.annotations?.["restate.dev/remove-version-at"];
}

test("V5: work that begins while the removal is scheduled turns the version round", async () => {
  const restate = { drainDelaySeconds: DELAY_SECONDS };
  const first = await release("round", "v1", restate);
  const work = await stage.worker.start("suspended", "Turnsround");
  expect(await work.finish()).toBe("v1");
  const second = await release("round", "v2", restate);
  const { removeAt } = await untilPhase(stage.objects, keyOf("round"), {
    name: first,
    phase: "Drained",
  });
  expect(await removalMark(first)).toBe(removeAt);

  const again = await work.startAgain();
  const draining = await untilPhase(stage.objects, keyOf("round"), {
    name: first,
    phase: "Draining",
  });
  expect(draining).toMatchObject({ replicas: 1, invocations: { pinned: 1, unpinned: 0 } });
  expect(draining.removeAt).toBeUndefined();
  expect(await removalMark(first)).toBeUndefined();
  await sleep(Math.max(Date.parse(removeAt!) + 5_000 - Date.now(), 0));
  expect(await versionNow("round", first)).toMatchObject({ phase: "Draining", readyReplicas: 1 });
  expect(await again.finish()).toBe("v1");
  await untilPhase(stage.objects, keyOf("round"), { name: first, phase: "Retained" });
  expect(await stage.registered("round")).toEqual([urlOfVersion(keyOf("round"), second)]);
});

test("V3: work that begins at the moment of the last look stops the removal", async () => {
  stage.world.proxy.route(new URL(stage.world.adminUrl).host, { port: tap.port });
  const first = await release("look", "v1");
  const work = await stage.worker.start("suspended", "Turnslook");
  await work.finish();
  const looked = Promise.withResolvers<Work>();
  let asked = 0;
  const deletions: string[] = [];
  tap.before = async ({ method, path, body }) => {
    if (method === "DELETE") deletions.push(path);
    if (!body.includes("LIMIT 1")) return;
    asked += 1;
    if (asked === 1) looked.resolve(await work.startAgain());
  };
  await release("look", "v2");
  const again = await looked.promise;
  const entry = await untilPhase(stage.objects, keyOf("look"), { name: first, phase: "Draining" });
  expect(entry).toMatchObject({ replicas: 1, readyReplicas: 1, invocations: { pinned: 1 } });
  expect(deletions).toEqual([]);
  expect(await again.finish()).toBe("v1");
  await untilPhase(stage.objects, keyOf("look"), { name: first, phase: "Retained" });
  expect(deletions).toHaveLength(1);
});

test("a service routed back by hand is routed to the latest version again, and no work is lost", async () => {
  const first = await release("routed", "v1", { drainDelaySeconds: 3600 });
  await release("routed", "v2", { drainDelaySeconds: 3600 });
  await untilPhase(stage.objects, keyOf("routed"), { name: first, phase: "Drained" });
  await stage.world.admin.registerDeployment({
    uri: urlOfVersion(keyOf("routed"), first),
    force: true,
  });
  const work = await stage.worker.start("suspended", "Turnsrouted");
  await stage.operator.wake("DeploymentReconciler", `${stage.namespace}/routed`);
  const entry = await untilStatus(stage.objects, keyOf("routed"), {
    what: "the first version's work is counted, and the second is the latest",
    is: (status) =>
      readyOf(status)?.status === "True" &&
      status.versions!.find(({ name }) => name === first)?.invocations?.pinned === 1,
  });
  expect(entry.versions!.find(({ name }) => name === first)).toMatchObject({ phase: "Draining" });
  expect(await removalMark(first)).toBeUndefined();
  expect(await stage.world.call("Turnsrouted/runningUnbegun", "x")).toBe("v2");
  const { name, deploymentId } = entry.versions!.find(({ phase }) => phase === "Latest")!;
  expect(await eventsOf(stage.objects, keyOf("routed"), "Promoted")).toEqual([
    `${name} as ${deploymentId}: it is registered, but Restate sends new invocations to another version`,
  ]);
  expect(await work.finish()).toBe("v1");
});

test("V8: a version superseded before its pods were ready goes at once, and the first serves meanwhile", async () => {
  const restate = stage.byUrl({ drainDelaySeconds: 3600 });
  const key = keyOf("superseded");
  const first = await release("superseded", "v1", { drainDelaySeconds: 3600 });
  await applyDeployment(stage.objects, key, {
    image: "superseded:v2",
    restate,
    spec: { template: template("superseded", "superseded:v2", NOWHERE) },
  });
  await untilReason(stage.objects, key, "ReplicaSetPodNotReady");
  const names = (await statusNow(key)).versions!;
  const second = names.find(({ name }) => name !== first)!.name;
  expect(names).toMatchObject([
    { name: second, phase: "Pending", replicas: 1, readyReplicas: 0 },
    { name: first, phase: "Latest", replicas: 1, readyReplicas: 1 },
  ]);
  expect(await stage.world.call("Turnssuperseded/runningUnbegun", "x")).toBe("v1");
  const stable = await stage.objects.get("Service", "superseded", stage.namespace);
  expect(stable?.["spec"]).toMatchObject({
    selector: { "pod-template-hash": first.slice("superseded-".length) },
  });

  const third = await release("superseded", "v3", { drainDelaySeconds: 3600 });
  await untilPhase(stage.objects, key, { name: second, phase: "Retained" });
  expect(await versionNow("superseded", first)).toMatchObject({ phase: "Drained", replicas: 1 });
  expect(await stage.registered("superseded")).toEqual(
    [urlOfVersion(key, first), urlOfVersion(key, third)].toSorted(),
  );
});

test("while the pods of a new version never become ready, drained ones are cleaned up, and the latest serves", async () => {
  const key = keyOf("unready");
  const first = await release("unready", "v1");
  const work = await stage.worker.start("suspended", "Turnsunready");
  const second = await release("unready", "v2");
  await applyDeployment(stage.objects, key, {
    image: "unready:v3",
    restate: stage.byUrl(),
    spec: { template: template("unready", "unready:v3", NOWHERE) },
  });
  await untilReason(stage.objects, key, "ReplicaSetPodNotReady");
  expect(await work.finish()).toBe("v1");
  await untilPhase(stage.objects, key, { name: first, phase: "Retained" });
  expect(await versionNow("unready", second)).toMatchObject({ phase: "Latest", replicas: 1 });
  expect(await stage.world.call("Turnsunready/runningUnbegun", "x")).toBe("v2");
  expect(await stage.registered("unready")).toEqual([urlOfVersion(key, second)]);
  expect(readyOf(await statusNow(key))?.reason).toBe("ReplicaSetPodNotReady");
});

async function statusNow({ namespace, name }: Key): Promise<DeploymentStatus> {
  return statusOf(await stage.objects.get("RestateDeployment", name, namespace))!;
}

function template(name: string, image: string, spec: object) {
  return {
    metadata: { labels: { app: name } },
    spec: { containers: [{ name: "service", image }], ...spec },
  };
}
