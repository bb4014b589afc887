/**
 * RestateDeployments on a real API server and a real Restate: versions are made, registered, drained and taken away, and
 * nothing that has begun is ever cut off.
 */
import { setTimeout as sleep } from "node:timers/promises";
import * as restate from "@restatedev/restate-sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DeploymentStage, STAGE_TIMEOUT_MS } from "../harness/deployment-stage.ts";
import {
  applyDeployment,
  readyOf,
  untilDeployed,
  untilPhase,
  untilReason,
  untilStatus,
} from "../harness/deployments.ts";
import type { Objects } from "../harness/objects.ts";
import type { PodWorld } from "../harness/pods.ts";
import { until } from "../harness/until.ts";

let stage: DeploymentStage;
let objects: Objects;
let world: PodWorld;
const NAMESPACE = "deployments";

beforeAll(async () => {
  stage = await DeploymentStage.start({ name: "deployment", namespaces: [NAMESPACE] });
  ({ objects, world } = stage);
}, STAGE_TIMEOUT_MS);

afterAll(() => stage.stop());

const byUrl = (more: Record<string, unknown> = {}) =>
  stage.byUrl({ drainDelaySeconds: 1, ...more });

describe("the life of a deployment", () => {
  const key = { namespace: NAMESPACE, name: "life" };
  let first: string;
  let second: string;
  let held: { answer: Promise<unknown> };

  test("its version is made, registered, and serves", async () => {
    await world.addImage("life:1", [world.greeter("Life", "v1")]);
    await world.addImage("life:2", [world.greeter("Life", "v2")]);
    await applyDeployment(objects, key, { image: "life:1", restate: byUrl() });
    const status = await untilDeployed(objects, key);
    first = status.versions![0]!.name;
    expect(status).toMatchObject({
      replicas: 1,
      readyReplicas: 1,
      availableReplicas: 1,
      versions: [{ name: first, phase: "Latest", replicas: 1, readyReplicas: 1 }],
    });
    expect(await world.call("Life/greet", "x")).toBe("hello from v1");
    const stable = await objects.get("Service", "life", NAMESPACE);
    expect(stable?.["spec"]).toMatchObject({
      selector: { app: "life", "pod-template-hash": first.slice("life-".length) },
    });
  });

  test("the next version takes over, and the first one stays while it has work", async () => {
    held = await world.hold("Life", "one");
    await applyDeployment(objects, key, { image: "life:2", restate: byUrl() });
    const status = await untilDeployed(objects, key);
    second = status.versions![0]!.name;
    expect(second).not.toBe(first);
    expect(await world.call("Life/greet", "x")).toBe("hello from v2");
    const draining = await untilStatus(objects, key, {
      what: "the first version's work is counted",
      is: ({ versions }) => versions?.[1]?.invocations?.pinned === 1,
    });
    expect(draining.versions![1]).toMatchObject({ name: first, phase: "Draining", replicas: 1 });
    const drain = await stage.operator.admin.query<{ value: string }>(
      `SELECT value_utf8 AS value FROM state WHERE service_name = 'VersionDrain'
       AND service_key = '${NAMESPACE}/life/${first}'`,
    );
    expect(JSON.parse(drain[0]!.value)).toMatchObject({ phase: "draining", activePinned: 1 });
  });

  test("without work the first version is deregistered, loses its pods, and is kept for a rollback", async () => {
    await world.letGo("one");
    expect(await held.answer).toBe("one ends on v1");
    const retained = await untilPhase(objects, key, { name: first, phase: "Retained" });
    expect(retained).toMatchObject({ replicas: 0 });
    const deployments = await world.admin.deployments();
    expect(deployments.map(({ uri }) => uri)).toEqual([
      `http://${second}.${NAMESPACE}.svc.cluster.local:9080/`,
    ]);
  });

  test("settled: nothing is written", async () => {
    await stage.operator.idle();
    const mark = await stage.operator.mark();
    await stage.operator.wake("DeploymentReconciler", `${NAMESPACE}/life`);
    await sleep(15_000);
    await stage.operator.idle();
    expect(await stage.operator.writesSince(mark)).toEqual([]);
  });

  test("a rollback registers the first version again and drains the second", async () => {
    await applyDeployment(objects, key, { image: "life:1", restate: byUrl() });
    const status = await untilDeployed(objects, key);
    expect(status.versions!.find(({ phase }) => phase === "Latest")?.name).toBe(first);
    expect(await world.call("Life/greet", "x")).toBe("hello from v1");
    await untilPhase(objects, key, { name: second, phase: "Retained" });
  });

  test("deleted: what is registered is taken back, and nothing is left", async () => {
    await objects.remove("RestateDeployment", "life", NAMESPACE);
    await until(
      "it is gone",
      async () => (await objects.get("RestateDeployment", "life", NAMESPACE)) === undefined,
      { timeoutMs: 60_000 },
    );
    expect(await world.admin.deployments()).toEqual([]);
    await until("nothing is left on the operator's Restate", async () => {
      const left = await stage.operator.admin.query<{ service_name: string; service_key: string }>(
        `SELECT service_name, service_key FROM state WHERE service_key LIKE '${NAMESPACE}/life%'`,
      );
      if (left.length > 0) throw new Error(JSON.stringify(left));
      return true;
    });
  });
});

describe("a version that Restate refuses", () => {
  const key = { namespace: NAMESPACE, name: "refused" };

  test("gives its pods back, while the version before serves; allowBreaking lets it in", async () => {
    await world.addImage("refused:1", [world.greeter("Typed", "v1")]);
    await world.addImage("refused:2", [
      restate.object({ name: "Typed", handlers: { greet: async () => "hello from an object" } }),
    ]);
    await applyDeployment(objects, key, { image: "refused:1", restate: byUrl() });
    const before = await untilDeployed(objects, key);
    const first = before.versions![0]!.name;
    await applyDeployment(objects, key, { image: "refused:2", restate: byUrl() });
    const condition = await untilReason(objects, key, "AdminCallRejected");
    expect(condition.message).toMatch(/META0006/);
    const status = await untilStatus(objects, key, {
      what: "the refused version has no pods",
      is: ({ versions }) =>
        versions?.some(({ phase, replicas }) => phase === "Rejected" && replicas === 0) === true,
    });
    expect(status.versions!.find(({ name }) => name === first)?.phase).toBe("Latest");
    expect(await world.call("Typed/greet", "x")).toBe("hello from v1");
    const stalled = status.conditions?.find(({ type }) => type === "Stalled");
    expect(stalled?.status).toBe("True");

    await applyDeployment(objects, key, {
      image: "refused:2",
      restate: byUrl({ allowBreaking: "always" }),
    });
    expect(readyOf(await untilDeployed(objects, key))?.reason).toBe("Deployed");
    expect(await world.call("Typed/key/greet", "x")).toBe("hello from an object");
  });
});
