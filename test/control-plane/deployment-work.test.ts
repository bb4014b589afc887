/**
 * Work keeps its version: each kind of unfinished invocation, on a version that is no longer the latest. What has begun on it
 * keeps it, with pods and registered, until it has ended there; what has not begun goes on with the latest, and keeps nothing.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { DeploymentStage, STAGE_TIMEOUT_MS } from "../harness/deployment-stage.ts";
import {
  applyDeployment,
  statusOf,
  untilDeployed,
  untilPhase,
  untilStatus,
  urlOfVersion,
  type Key,
} from "../harness/deployments.ts";
import { WORK_KINDS, type Work, type WorkKind } from "../harness/work.ts";

let stage: DeploymentStage;

type Subject = { readonly kind: WorkKind; readonly key: Key; readonly service: string };
/** Kinds of which something has begun on the first version. */
const KEEPING: readonly WorkKind[] = [
  "suspended",
  "running",
  "runningUnbegun",
  "backingOff",
  "paused",
  "queued",
];
const KINDS = Object.keys(WORK_KINDS) as WorkKind[];

const first = new Map<WorkKind, string>();
const second = new Map<WorkKind, string>();
const work = new Map<WorkKind, Work>();

const subjectOf = (kind: WorkKind): Subject => ({
  kind,
  key: { namespace: stage.namespace, name: kind.toLowerCase() },
  service: `Work${kind}`,
});

beforeAll(async () => {
  stage = await DeploymentStage.start({ name: "deployment-work" });
}, STAGE_TIMEOUT_MS);

afterAll(() => stage.stop());

async function release(kind: WorkKind, version: string): Promise<string> {
  const { key, service } = subjectOf(kind);
  const image = `${key.name}:${version}`;
  await stage.world.addImage(image, stage.worker.services(service, version));
  await applyDeployment(stage.objects, key, { image, restate: stage.byUrl() });
  const status = await untilDeployed(stage.objects, key);
  return status.versions!.find(({ phase }) => phase === "Latest")!.name;
}

test("each kind of work is started on the first version, and the second takes over", async () => {
  for (const kind of KINDS) first.set(kind, await release(kind, "v1"));
  for (const kind of KINDS) work.set(kind, await stage.worker.start(kind, subjectOf(kind).service));
  for (const kind of KINDS) second.set(kind, await release(kind, "v2"));
});

test("what has begun keeps its version; what has not keeps none", async () => {
  for (const kind of KINDS.filter((each) => !KEEPING.includes(each))) {
    await untilPhase(stage.objects, subjectOf(kind).key, {
      name: first.get(kind)!,
      phase: "Retained",
    });
  }
  for (const kind of KEEPING) {
    const { key } = subjectOf(kind);
    const name = first.get(kind)!;
    const status = await untilStatus(stage.objects, key, {
      what: "the work of the first version is counted",
      is: ({ versions }) => versions?.find((each) => each.name === name)?.invocations?.pinned === 1,
    });
    expect(status.versions!.find((each) => each.name === name)).toMatchObject({
      phase: "Draining",
      replicas: 1,
      readyReplicas: 1,
      reason: "1 unfinished invocation",
    });
    expect(await stage.registered(key.name)).toContain(urlOfVersion(key, name));
  }
});

test("work that begins later begins on the latest version", async () => {
  expect(await work.get("suspendedUnbegun")!.finish()).toBe("v2");
  expect(await work.get("backingOffUnbegun")!.finish()).toBe("v2");
  await work.get("scheduled")!.finish();
});

test("each version that was kept ends its work and goes", async () => {
  for (const kind of KEEPING) {
    const { key } = subjectOf(kind);
    const status = statusOf(await stage.objects.get("RestateDeployment", key.name, key.namespace));
    // nothing has happened to it meanwhile
    expect(status?.versions?.find(({ name }) => name === first.get(kind))).toMatchObject({
      phase: "Draining",
      replicas: 1,
      readyReplicas: 1,
    });
    const ended = await work.get(kind)!.finish();
    expect({ kind, ended }).toEqual({ kind, ended: kind === "queued" ? "v2" : "v1" });
  }
  for (const kind of KEEPING) {
    const { key } = subjectOf(kind);
    const name = first.get(kind)!;
    await untilPhase(stage.objects, key, { name, phase: "Retained" });
    expect(await stage.registered(key.name)).toEqual([urlOfVersion(key, second.get(kind)!)]);
  }
});

test("a version that alone has a service is kept for it, scheduled work counted", async () => {
  const key = { namespace: stage.namespace, name: "dropped" };
  const { world, worker, objects } = stage;
  const restate = stage.byUrl();
  await world.addImage("dropped:1", [
    ...worker.services("Kept", "v1"),
    ...worker.services("Dropped", "v1"),
  ]);
  await world.addImage("dropped:2", worker.services("Kept", "v2"));
  await applyDeployment(objects, key, { image: "dropped:1", restate });
  const { versions } = await untilDeployed(objects, key);
  const name = versions![0]!.name;
  const scheduled = await worker.start("scheduled", "Dropped");
  await applyDeployment(objects, key, { image: "dropped:2", restate });
  await untilDeployed(objects, key);
  const find = (status: { versions?: typeof versions }) =>
    status.versions?.find((each) => each.name === name);
  const counted = await untilStatus(objects, key, {
    what: "the scheduled invocation is counted",
    is: (status) => find(status)?.invocations?.unpinned === 1,
  });
  expect(find(counted)).toMatchObject({
    phase: "Draining",
    replicas: 1,
    reason: "2 services routed to it",
  });
  await scheduled.finish();
  const after = await untilStatus(objects, key, {
    what: "nothing is unfinished",
    is: (status) => find(status)?.invocations?.unpinned === 0,
  });
  expect(find(after)).toMatchObject({ phase: "Draining", replicas: 1 });
});
