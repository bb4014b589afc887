/**
 * Gated rollouts: a new version is brought up and waits for its gate while the version before serves. And what a Deployment's
 * own fields do here: paused, progressDeadlineSeconds.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DeploymentStage, STAGE_TIMEOUT_MS } from "../harness/deployment-stage.ts";
import {
  applyDeployment,
  readyOf,
  untilDeployed,
  untilPhase,
  untilReason,
  untilStatus,
  type Key,
} from "../harness/deployments.ts";
import type { Objects } from "../harness/objects.ts";
import type { PodWorld } from "../harness/pods.ts";
import { until } from "../harness/until.ts";

const NAMESPACE = "rollouts";

let stage: DeploymentStage;
let objects: Objects;
let world: PodWorld;
/** The check of gates of kind `http`: answers as it is told, and notes whom it was asked about. */
let check: Server;
let checkUrl: string;
let checkAnswers = 503;
const asked: { version: unknown; url: unknown }[] = [];

beforeAll(async () => {
  check = createServer((incoming, response) => {
    const { "restate-version": version, "restate-version-url": url } = incoming.headers;
    asked.push({ version, url });
    response.writeHead(checkAnswers).end();
  });
  await new Promise<void>((resolve) => {
    check.listen(0, "127.0.0.1", resolve);
  });
  checkUrl = `http://127.0.0.1:${(check.address() as AddressInfo).port}/ready`;
  stage = await DeploymentStage.start({
    name: "deployment-rollout",
    namespaces: [NAMESPACE],
    urls: [checkUrl],
  });
  ({ objects, world } = stage);
  const { host, port } = new URL(checkUrl);
  world.proxy.route(host, { port: Number(port) });
}, STAGE_TIMEOUT_MS);

afterAll(async () => {
  await stage.stop();
  check.close();
});

const gated = (gate?: object) =>
  stage.byUrl({
    drainDelaySeconds: 1,
    rollout: { strategy: "gated", ...(gate === undefined ? {} : { gate }) },
  });

const key = (name: string): Key => ({ namespace: NAMESPACE, name });

/** A first version that serves, and what is asked for next. */
async function served(name: string): Promise<string> {
  for (const version of ["1", "2", "3"]) {
    await world.addImage(`${name}:${version}`, [world.greeter(`${name}-service`, `v${version}`)]);
  }
  const restate = stage.byUrl({ drainDelaySeconds: 1 });
  await applyDeployment(objects, key(name), { image: `${name}:1`, restate });
  return (await untilDeployed(objects, key(name))).versions![0]!.name;
}

const greet = (name: string) => world.call(`${name}-service/greet`, "x");

test("manual: waits, is promoted by an annotation, and a rollback does not wait", async () => {
  const first = await served("manual");
  await applyDeployment(objects, key("manual"), { image: "manual:2", restate: gated() });
  const condition = await untilReason(objects, key("manual"), "AwaitingPromotion");
  const status = await untilStatus(objects, key("manual"), {
    what: "the second version waits",
    is: ({ versions }) => versions?.[0]?.phase === "Gated",
  });
  const second = status.versions![0]!.name;
  expect(condition.message).toContain(`restate.dev/promote=${second}`);
  expect(status.versions![1]).toMatchObject({ name: first, phase: "Latest" });
  expect(await greet("manual")).toBe("hello from v1");
  expect((await world.admin.deployments()).map(({ uri }) => uri)).not.toContain(
    `http://${second}.${NAMESPACE}.svc.cluster.local:9080/`,
  );
  await stage.operator.idle();
  const remembered = await stage.operator.describe("DeploymentReconciler", `${NAMESPACE}/manual`);
  expect(remembered).toMatchObject({ last: { outcome: { reason: "AwaitingPromotion" } } });

  await applyDeployment(objects, key("manual"), {
    image: "manual:2",
    restate: gated(),
    annotations: { "restate.dev/promote": second },
  });
  await untilDeployed(objects, key("manual"));
  expect(await greet("manual")).toBe("hello from v2");
  const service = await objects.get("Service", second, NAMESPACE);
  expect(service?.metadata.annotations).not.toHaveProperty("restate.dev/promote");

  await applyDeployment(objects, key("manual"), { image: "manual:1", restate: gated() });
  await untilDeployed(objects, key("manual"));
  expect(await greet("manual")).toBe("hello from v1");
});

test("http: asked until it says yes", async () => {
  const first = await served("http");
  const restate = gated({ http: { url: checkUrl } });
  await applyDeployment(objects, key("http"), { image: "http:2", restate });
  const condition = await untilStatus(objects, key("http"), {
    what: "the answer of the gate is said",
    is: (status) => readyOf(status)?.message.includes("was answered 503") === true,
  });
  expect(readyOf(condition)?.reason).toBe("GateNotPassed");
  expect(await greet("http")).toBe("hello from v1");
  const second = condition.versions!.find(({ name }) => name !== first)!.name;
  expect(asked[0]).toEqual({
    version: second,
    url: `http://${second}.${NAMESPACE}.svc.cluster.local:9080/`,
  });
  checkAnswers = 204;
  await untilDeployed(objects, key("http"));
  expect(await greet("http")).toBe("hello from v2");
});

test("job: a Job that completes lets the version through, told where it is", async () => {
  await served("job");
  const container = { name: "check", image: "check:1" };
  const gate = { job: { template: { spec: { containers: [container] } } } };
  await applyDeployment(objects, key("job"), { image: "job:2", restate: gated(gate) });
  const status = await untilDeployed(objects, key("job"));
  const second = status.versions![0]!.name;
  expect(await greet("job")).toBe("hello from v2");
  const job = await objects.get("Job", second, NAMESPACE);
  expect(job?.["spec"]).toMatchObject({
    backoffLimit: 0,
    template: {
      spec: {
        restartPolicy: "Never",
        containers: [
          {
            ...container,
            env: [
              { name: "RESTATE_VERSION", value: second },
              {
                name: "RESTATE_VERSION_URL",
                value: `http://${second}.${NAMESPACE}.svc.cluster.local:9080/`,
              },
            ],
          },
        ],
      },
    },
  });
});

test("abort: the version is given up, and the one before serves on", async () => {
  const first = await served("abort");
  await applyDeployment(objects, key("abort"), { image: "abort:2", restate: gated() });
  await untilReason(objects, key("abort"), "AwaitingPromotion");
  const waiting = await untilStatus(objects, key("abort"), {
    what: "the second version waits",
    is: ({ versions }) => versions?.some(({ phase }) => phase === "Gated") === true,
  });
  const second = waiting.versions!.find(({ phase }) => phase === "Gated")!.name;
  await applyDeployment(objects, key("abort"), {
    image: "abort:2",
    restate: gated(),
    annotations: { "restate.dev/abort": second },
  });
  await untilReason(objects, key("abort"), "Aborted");
  const status = await untilStatus(objects, key("abort"), {
    what: "its pods are gone",
    is: ({ versions }) => versions?.find(({ name }) => name === second)?.replicas === 0,
  });
  expect(status.versions!.find(({ name }) => name === first)?.phase).toBe("Latest");
  expect(await greet("abort")).toBe("hello from v1");
});

test("a version that stays in one phase for too long is Stalled; the one before serves on", async () => {
  await served("slow");
  await applyDeployment(objects, key("slow"), {
    image: "slow:2",
    restate: gated(),
    spec: { progressDeadlineSeconds: 2 },
  });
  const status = await untilStatus(objects, key("slow"), {
    what: "Stalled",
    is: ({ conditions }) =>
      conditions?.find(({ type }) => type === "Stalled")?.reason === "ProgressDeadlineExceeded",
  });
  expect(status.conditions).toMatchObject([
    { type: "Ready", status: "False", reason: "AwaitingPromotion" },
    { type: "Progressing", status: "False", reason: "ProgressDeadlineExceeded" },
    { type: "Stalled", status: "True", reason: "ProgressDeadlineExceeded" },
    { type: "Draining", status: "False" },
  ]);
  expect(await greet("slow")).toBe("hello from v1");
});

test("paused: no new version, but scaling; then the version that was asked for meanwhile", async () => {
  const first = await served("paused");
  const restate = stage.byUrl({ drainDelaySeconds: 1 });
  await applyDeployment(objects, key("paused"), {
    image: "paused:2",
    restate,
    spec: { paused: true },
  });
  await untilReason(objects, key("paused"), "DeploymentPaused");
  await sleep(1_000);
  const sets = await objects.list("ReplicaSet", NAMESPACE);
  const names = sets.map(({ metadata }) => metadata.name);
  expect(names.filter((name) => name.startsWith("paused-"))).toEqual([first]);
  await applyDeployment(objects, key("paused"), { image: "paused:2", restate });
  await untilDeployed(objects, key("paused"));
  expect(await greet("paused")).toBe("hello from v2");
  await untilPhase(objects, key("paused"), { name: first, phase: "Retained" });
});

test("settled: nothing is written while versions wait", async () => {
  await until("everything has come to rest", async () => {
    await stage.operator.idle();
    const mark = await stage.operator.mark();
    await sleep(3_000);
    return (await stage.operator.writesSince(mark)).length === 0;
  });
  const mark = await stage.operator.mark();
  for (const name of ["manual", "http", "job", "abort", "slow", "paused"]) {
    await stage.operator.wake("DeploymentReconciler", `${NAMESPACE}/${name}`);
  }
  await sleep(5_000);
  await stage.operator.idle();
  expect(await stage.operator.writesSince(mark)).toEqual([]);
});
