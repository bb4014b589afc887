/**
 * Work that an older version does not finish in time, on a real Restate: each value of `drain.onMaxAge` does what it says to
 * invocations in every status, to none but those of the older version, and says in status how far it is. What cannot be moved
 * goes back, and is never ended. Every handler of the operator is replayed at every step: dealing with an invocation takes many
 * steps, and must survive each of them.
 */
import * as restate from "@restatedev/restate-sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DeploymentStage, STAGE_TIMEOUT_MS } from "../harness/deployment-stage.ts";
import {
  applyDeployment,
  eventsOf,
  untilDeployed,
  untilPhase,
  untilStatus,
  urlOfVersion,
  type DeploymentStatus,
  type Key,
  type VersionEntry,
} from "../harness/deployments.ts";
import type { Image } from "../harness/pods.ts";
import { until } from "../harness/until.ts";
import type { Work, WorkKind } from "../harness/work.ts";

let stage: DeploymentStage;

beforeAll(async () => {
  stage = await DeploymentStage.start({ name: "deployment-remedies", alwaysReplay: true });
}, STAGE_TIMEOUT_MS);

afterAll(() => stage.stop());

type Remedied = VersionEntry & {
  readonly remedy?: {
    readonly action: string;
    readonly at: string;
    readonly done?: number;
    readonly remaining?: number;
    readonly message?: string;
  };
};

/** Every kind of work that has begun, so that it keeps its version. */
const BEGUN = ["suspended", "backingOff", "paused", "running"] as const;

const keyOf = (name: string): Key => ({ namespace: stage.namespace, name });
const within = (onMaxAge: string, maxAgeSeconds = 1) =>
  stage.byUrl({ drain: { maxAgeSeconds, onMaxAge } });

async function release(
  name: string,
  { image, services, onMaxAge }: { image: string; services: Image; onMaxAge: string },
): Promise<string> {
  await stage.world.addImage(image, services);
  await applyDeployment(stage.objects, keyOf(name), { image, restate: within(onMaxAge) });
  const status = await untilDeployed(stage.objects, keyOf(name));
  return status.versions!.find(({ phase }) => phase === "Latest")!.name;
}

/** Two versions of one service, the older one with work of these kinds. */
async function supersede(
  name: string,
  { service, onMaxAge, kinds }: { service: string; onMaxAge: string; kinds: readonly WorkKind[] },
): Promise<{ first: string; second: string; work: Map<WorkKind, Work> }> {
  const { worker } = stage;
  const first = await release(name, {
    image: `${name}:1`,
    services: worker.services(service, "v1"),
    onMaxAge,
  });
  const work = new Map<WorkKind, Work>();
  for (const kind of kinds) work.set(kind, await worker.start(kind, service));
  const second = await release(name, {
    image: `${name}:2`,
    services: worker.services(service, "v2"),
    onMaxAge,
  });
  return { first, second, work };
}

const entryOf = (status: DeploymentStatus, version: string) =>
  status.versions?.find(({ name }) => name === version);

const drainingOf = ({ conditions }: DeploymentStatus) =>
  conditions?.find(({ type }) => type === "Draining");

/** Resolves with the entry of a version once it is as asked for. */
async function untilEntry(
  name: string,
  version: string,
  expected: { readonly what: string; readonly is: (entry: Remedied) => boolean },
): Promise<{ entry: Remedied; status: DeploymentStatus }> {
  const status = await untilStatus(stage.objects, keyOf(name), {
    what: expected.what,
    is: (each) => {
      const entry = entryOf(each, version);
      return entry !== undefined && expected.is(entry);
    },
    timeoutMs: 90_000,
  });
  return { entry: entryOf(status, version)!, status };
}

const invocation = async (id: string) => {
  const [row] = await stage.world.admin.query<{ status: string; failure?: string | null }>(
    `SELECT status, completion_failure AS failure FROM sys_invocation WHERE id = '${id}'`,
  );
  return row;
};

const failureOf = async ({ id }: Work) => (await invocation(id))?.failure ?? "";

describe.concurrent("alert", () => {
  test("says that the drain takes too long, once, and touches nothing", async () => {
    const { first, work } = await supersede("alerted", {
      service: "Alerted",
      onMaxAge: "alert",
      kinds: ["suspended"],
    });
    const { entry, status } = await untilEntry("alerted", first, {
      what: "it is overdue",
      is: ({ remedy }) => remedy?.remaining === 1,
    });
    expect(entry).toMatchObject({ phase: "Draining", replicas: 1, readyReplicas: 1 });
    expect(entry.remedy).toEqual({
      action: "alert",
      at: new Date(Date.parse(entry.since) + 1_000).toISOString().replace(".000", ""),
      done: 0,
      remaining: 1,
    });
    expect(drainingOf(status)).toMatchObject({
      status: "True",
      reason: "DrainOverdue",
      message: `1 older version with 1 unfinished invocation; ${first} longer than spec.restate.drain.maxAgeSeconds: onMaxAge alert`,
    });
    expect(await work.get("suspended")!.finish()).toBe("v1");
    await untilPhase(stage.objects, keyOf("alerted"), { name: first, phase: "Retained" });
    expect(await eventsOf(stage.objects, keyOf("alerted"), "DrainOverdue")).toEqual([
      `${first} has not finished its invocations within spec.restate.drain.maxAgeSeconds; onMaxAge is alert`,
    ]);
  });
});

describe.concurrent("kill", () => {
  test("ends what has begun on the older version, in every status, and nothing else", async () => {
    const { first, second, work } = await supersede("killed", {
      service: "Killed",
      onMaxAge: "kill",
      kinds: [...BEGUN, "runningUnbegun", "scheduled", "suspendedUnbegun"],
    });
    const later = await stage.worker.start("suspended", "Killed");
    await untilPhase(stage.objects, keyOf("killed"), { name: first, phase: "Retained" });
    for (const kind of [...BEGUN, "runningUnbegun"] as const) {
      expect({ kind, failure: await failureOf(work.get(kind)!) }).toEqual({
        kind,
        failure: "[409] killed",
      });
    }
    expect(await stage.registered("killed")).toEqual([urlOfVersion(keyOf("killed"), second)]);
    expect((await invocation(work.get("scheduled")!.id))?.status).toBe("scheduled");
    expect(await later.finish()).toBe("v2");
    expect(await work.get("suspendedUnbegun")!.finish()).toBe("v2");
  });
});

describe.concurrent("cancel", () => {
  const undone: string[] = [];
  const booking = (version: string) => [
    restate.service({
      name: "Booking",
      handlers: {
        book: restate.handlers.handler(
          { inactivityTimeout: 100 },
          async (ctx: restate.Context, what: string) => {
            await ctx.run("book", () => version);
            try {
              await ctx.awakeable<void>().promise;
            } catch (error) {
              await ctx.run("undo", () => {
                undone.push(`${what} on ${version}`);
              });
              throw error;
            }
          },
        ),
        refuse: restate.handlers.handler(
          { inactivityTimeout: 100 },
          async (ctx: restate.Context) => {
            await ctx.run("begin", () => version);
            await ctx
              .awakeable<void>()
              .promise.catch(() => ctx.awakeable<void>().promise.catch(() => undefined));
          },
        ),
      },
    }),
  ];

  test("has the code of each end it, once, and waits for one that does not end", async () => {
    const first = await release("cancelled", {
      image: "cancelled:1",
      services: booking("v1"),
      onMaxAge: "cancel",
    });
    await stage.world.call("Booking/book/send", "a");
    await stage.world.call("Booking/book/send", "b");
    const sent = (await stage.world.call("Booking/refuse/send", "c")) as { invocationId: string };
    await until("all have begun", async () => {
      const rows = await stage.world.admin.query(
        `SELECT id FROM sys_invocation WHERE target_service_name = 'Booking' AND status = 'suspended'`,
      );
      return rows.length === 3;
    });
    await release("cancelled", {
      image: "cancelled:2",
      services: booking("v2"),
      onMaxAge: "cancel",
    });
    const { entry, status } = await untilEntry("cancelled", first, {
      what: "all but one have ended",
      is: ({ remedy, invocations }) => remedy?.done === 2 && invocations?.pinned === 1,
    });
    expect(undone.toSorted()).toEqual(["a on v1", "b on v1"]);
    expect(entry).toMatchObject({
      phase: "Draining",
      replicas: 1,
      remedy: {
        action: "cancel",
        done: 2,
        remaining: 1,
        message: "1 invocation cancelled and not ended yet",
      },
    });
    expect(drainingOf(status)?.message).toContain("onMaxAge cancel, 2 dealt with");
    expect((await invocation(sent.invocationId))?.status).not.toBe("completed");

    // Another order reaches the drain that is under way.
    await applyDeployment(stage.objects, keyOf("cancelled"), {
      image: "cancelled:2",
      restate: within("kill"),
    });
    await untilPhase(stage.objects, keyOf("cancelled"), { name: first, phase: "Retained" });
    expect((await invocation(sent.invocationId))?.failure).toBe("[409] killed");
  });
});

describe.concurrent("pauseAndMove", () => {
  test("what the newer code takes ends there, whatever its status was", async () => {
    const kinds = ["suspended", "backingOff", "paused"] as const;
    const { first, second, work } = await supersede("moved", {
      service: "Moved",
      onMaxAge: "pauseAndMove",
      kinds,
    });
    await untilPhase(stage.objects, keyOf("moved"), { name: first, phase: "Retained" });
    expect(await stage.registered("moved")).toEqual([urlOfVersion(keyOf("moved"), second)]);
    for (const kind of kinds) {
      expect({ kind, ended: await work.get(kind)!.finish() }).toEqual({ kind, ended: "v2" });
    }
    expect(await eventsOf(stage.objects, keyOf("moved"), "DrainOverdue")).toEqual([
      `${first} has not finished its invocations within spec.restate.drain.maxAgeSeconds; onMaxAge is pauseAndMove`,
    ]);
  });

  test("an attempt under way is waited for, and what it paused goes on when the order is withdrawn", async () => {
    const { first, work } = await supersede("waiting", {
      service: "Waiting",
      onMaxAge: "pauseAndMove",
      kinds: ["running", "backingOff"],
    });
    const { entry } = await untilEntry("waiting", first, {
      what: "one of two is moved",
      is: ({ remedy, invocations }) => remedy?.done === 1 && invocations?.pinned === 1,
    });
    expect(entry.remedy).toMatchObject({
      remaining: 1,
      message: "1 invocation asked to pause, which comes with the end of an attempt",
    });
    await applyDeployment(stage.objects, keyOf("waiting"), {
      image: "waiting:2",
      restate: stage.byUrl(),
    });
    await untilEntry("waiting", first, {
      what: "nothing is to be done any more",
      is: ({ remedy, phase }) => remedy === undefined && phase === "Draining",
    });
    expect(await work.get("running")!.finish()).toBe("v1");
    expect(await work.get("backingOff")!.finish()).toBe("v2");
    await untilPhase(stage.objects, keyOf("waiting"), { name: first, phase: "Retained" });
  });

  test("what the newer code does not take goes back to its version, is named, and ends there", async () => {
    const { worker, world } = stage;
    const other = restate.service({
      name: "Stuck",
      handlers: {
        suspended: restate.handlers.handler(
          { inactivityTimeout: 100 },
          async (ctx: restate.Context) => {
            await ctx.sleep(1);
            await ctx.awakeable<void>().promise;
            return "v2";
          },
        ),
      },
    });
    const first = await release("stuck", {
      image: "stuck:1",
      services: worker.services("Stuck", "v1"),
      onMaxAge: "pauseAndMove",
    });
    const work = await worker.start("suspended", "Stuck");
    const [queue] = worker.services("Stuck", "v2").slice(1);
    const second = await release("stuck", {
      image: "stuck:2",
      services: [other, queue!],
      onMaxAge: "pauseAndMove",
    });
    const { entry } = await untilEntry("stuck", first, {
      what: "it has come back",
      is: ({ remedy }) => remedy?.message?.includes("cannot be moved") === true,
    });
    const latest = (await untilDeployed(stage.objects, keyOf("stuck"))).versions!.find(
      ({ name }) => name === second,
    );
    expect(entry).toMatchObject({
      phase: "Draining",
      replicas: 1,
      readyReplicas: 1,
      invocations: { pinned: 1, unpinned: 0 },
      remedy: {
        action: "pauseAndMove",
        done: 0,
        remaining: 1,
        message: `${work.id} cannot be moved: ${latest?.deploymentId} does not take the journal`,
      },
    });
    await until("it waits as before", async () => {
      const row = await invocation(work.id);
      return row?.status === "suspended";
    });
    expect(await world.admin.deployments()).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ uri: urlOfVersion(keyOf("stuck"), first) }),
      ]),
    );
    expect(await work.finish()).toBe("v1");
    await untilPhase(stage.objects, keyOf("stuck"), { name: first, phase: "Retained" });
  });
});

describe.concurrent("a rollback", () => {
  const gate = Promise.withResolvers<void>();
  const attempts: string[] = [];
  const slow = (version: string) => [
    restate.service({
      name: "Slow",
      handlers: {
        work: restate.handlers.handler(
          { inactivityTimeout: { hours: 1 }, abortTimeout: { seconds: 15 } },
          async (ctx: restate.Context) => {
            await ctx.run("begin", () => version);
            attempts.push(version);
            await gate.promise;
            return version;
          },
        ),
      },
    }),
  ];

  test("leaves nothing paused: what was to be moved goes on where it is", async () => {
    const onMaxAge = "pauseAndMove";
    const first = await release("back", { image: "back:1", services: slow("v1"), onMaxAge });
    const ended = stage.world.call("Slow/work", null);
    await until("it has begun", () => attempts.length === 1);
    await release("back", { image: "back:2", services: slow("v2"), onMaxAge });
    await untilEntry("back", first, {
      what: "it is asked to pause",
      is: ({ remedy }) => remedy?.message?.includes("asked to pause") === true,
    });
    await applyDeployment(stage.objects, keyOf("back"), {
      image: "back:1",
      restate: within(onMaxAge),
    });
    await untilPhase(stage.objects, keyOf("back"), { name: first, phase: "Latest" });
    expect(attempts).toEqual(["v1"]);
    // Restate pauses it when the abort timeout is over, and its drain, which nobody needs any more, resumes it.
    await until("it goes on", () => attempts.length === 2, { timeoutMs: 60_000 });
    gate.resolve();
    expect(await ended).toBe("v1");
    expect(attempts).toEqual(["v1", "v1"]);
    await until("its drain has ended", async () => {
      const left = await stage.operator.admin.query(
        `SELECT service_key FROM state WHERE service_key = '${stage.namespace}/back/${first}'`,
      );
      return left.length === 0;
    });
  });
});

describe.concurrent("a service that no newer version has", () => {
  test("keeps its work: nothing of it is ended or moved", async () => {
    const { worker } = stage;
    const first = await release("dropping", {
      image: "dropping:1",
      services: [...worker.services("Staying", "v1"), ...worker.services("Leaving", "v1")],
      onMaxAge: "kill",
    });
    const staying = await worker.start("suspended", "Staying");
    const leaving = await worker.start("suspended", "Leaving");
    await release("dropping", {
      image: "dropping:2",
      services: worker.services("Staying", "v2"),
      onMaxAge: "kill",
    });
    const { entry } = await untilEntry("dropping", first, {
      what: "the other one has ended",
      is: ({ remedy, invocations }) => remedy?.done === 1 && invocations?.pinned === 1,
    });
    expect(entry.remedy).toMatchObject({
      remaining: 1,
      message: "1 invocation of services that no newer version has",
    });
    expect(await failureOf(staying)).toBe("[409] killed");
    expect(await leaving.finish()).toBe("v1");
  });
});
