/**
 * Deletion ends: with work under way in each policy, with a Restate that is down or hangs, with a namespace or a RestateCluster
 * that goes. What is waited for is in the status, what is abandoned in an event, and nothing of it is left.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { applyCluster, dropCluster, untilReady } from "../harness/clusters.ts";
import { DeploymentStage, STAGE_TIMEOUT_MS } from "../harness/deployment-stage.ts";
import {
  applyDeployment,
  eventsOf,
  untilDeployed,
  untilReason,
  untilStatus,
  type DeploymentStatus,
  type Key,
} from "../harness/deployments.ts";
import { until } from "../harness/until.ts";

const GOING = "deployment-going";

let stage: DeploymentStage;

beforeAll(async () => {
  stage = await DeploymentStage.start({
    name: "deployment-deletion",
    namespaces: ["deployment-deletion", GOING],
  });
}, STAGE_TIMEOUT_MS);

afterEach(() => {
  stage.world.adminByUrl("answers");
});

afterAll(() => stage.stop());

const keyOf = (name: string): Key => ({ namespace: stage.namespace, name });
const serviceOf = (name: string) => `Deleted${name.replaceAll("-", "")}`;

type Version = { readonly name: string; readonly deploymentId: string };

/** Creates a RestateDeployment, or changes what it says about its deletion; resolves with its only version. */
async function deploy(
  name: string,
  restate: Readonly<Record<string, unknown>> = {},
  namespace = stage.namespace,
): Promise<Version> {
  const { world, worker, objects } = stage;
  await world.addImage(`${name}:1`, worker.services(serviceOf(name), "v1"));
  const key = { namespace, name };
  await applyDeployment(objects, key, { image: `${name}:1`, restate: stage.byUrl(restate) });
  const { versions } = await untilDeployed(objects, key);
  return versions![0] as Version;
}

function untilDeletion(
  name: string,
  phase: string,
  is: (deletion: NonNullable<DeploymentStatus["deletion"]>) => boolean = () => true,
): Promise<DeploymentStatus> {
  return untilStatus(stage.objects, keyOf(name), {
    what: `its deletion is ${phase}`,
    is: ({ deletion }) => deletion?.["phase"] === phase && is(deletion),
  });
}

const isCounted = (deletion: Readonly<Record<string, unknown>>) =>
  deletion["totalPendingInvocations"] !== 0;

describe("with work", () => {
  test("policy drain: it waits, says for what, and ends with the work", async () => {
    const version = await deploy("drain");
    const begun = await stage.worker.start("suspended", serviceOf("drain"));
    const scheduled = await stage.worker.start("scheduled", serviceOf("drain"));
    await stage.remove("drain");
    const { deletion } = await untilDeletion("drain", "Draining", isCounted);
    expect(deletion).toEqual({
      policy: "drain",
      phase: "Draining",
      startedAt: expect.any(String),
      deadline: expect.any(String),
      onTimeout: "hold",
      message: "waiting for 2 unfinished invocations of 1 version",
      totalPendingInvocations: 2,
      pendingInvocations: [
        { version: version.name, deploymentId: version.deploymentId, pinned: 1, unpinned: 1 },
      ],
    });
    const { startedAt, deadline } = deletion as { startedAt: string; deadline: string };
    expect(Date.parse(deadline) - Date.parse(startedAt)).toBe(3_600_000);
    await scheduled.finish();
    expect(await begun.finish()).toBe("v1");
    await stage.untilGone("drain");
    expect(await stage.registered("drain")).toEqual([]);
    expect(await eventsOf(stage.objects, keyOf("drain"), "ForcedDeletion")).toEqual([]);
  });

  test("the timeout passes: held, and overdue; until its user says force", async () => {
    const version = await deploy("overdue", { drain: { timeoutSeconds: 2 } });
    const work = await stage.worker.start("suspended", serviceOf("overdue"));
    await stage.remove("overdue");
    const { deletion } = await untilDeletion("overdue", "Overdue", isCounted);
    expect(deletion).toMatchObject({ policy: "drain", onTimeout: "hold" });
    expect(await stage.registered("overdue")).toHaveLength(1);

    await applyDeployment(stage.objects, keyOf("overdue"), {
      image: "overdue:1",
      restate: stage.byUrl({ drain: { timeoutSeconds: 2, onTimeout: "force" } }),
    });
    await stage.untilGone("overdue");
    expect(await stage.registered("overdue")).toEqual([]);
    expect(await eventsOf(stage.objects, keyOf("overdue"), "ForcedDeletion")).toEqual([
      `Deleting overdue without waiting for ${version.name} (${version.deploymentId}, 1 unfinished): the timeout is over and drain.onTimeout is force`,
    ]);
    expect(work.id).toMatch(/^inv_/);
  });

  test("policy force: at once, and what was abandoned is named", async () => {
    const version = await deploy("force", { deletePolicy: "force" });
    await stage.worker.start("suspended", serviceOf("force"));
    const startedAt = performance.now();
    await stage.remove("force");
    await stage.untilGone("force");
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    expect(await stage.registered("force")).toEqual([]);
    const [event] = await eventsOf(stage.objects, keyOf("force"), "ForcedDeletion");
    expect(event).toContain(`${version.name} (${version.deploymentId}`);
    expect(event).toContain("deletePolicy is force");
  });
});

describe("without work", () => {
  test("a version that was never registered holds nothing", async () => {
    await applyDeployment(stage.objects, keyOf("never"), {
      image: "never:1",
      restate: stage.byUrl({ drainDelaySeconds: 3600 }),
      spec: {
        template: {
          metadata: { labels: { app: "never" } },
          spec: {
            containers: [{ name: "service", image: "never:1" }],
            nodeSelector: { "example.com/nowhere": "true" },
          },
        },
      },
    });
    await untilReason(stage.objects, keyOf("never"), "ReplicaSetPodNotReady");
    await stage.remove("never");
    await stage.untilGone("never", stage.namespace, 10_000);
  });

  test("where nothing ever ran, no drain delay is waited for", async () => {
    await deploy("idle", { drainDelaySeconds: 3600 });
    await stage.remove("idle");
    await stage.untilGone("idle");
    expect(await stage.registered("idle")).toEqual([]);
    expect(await stage.objects.list("ReplicaSet", stage.namespace)).not.toContainEqual(
      expect.objectContaining({ metadata: expect.objectContaining({ labels: { app: "idle" } }) }),
    );
  });
});

describe.for(["is down", "hangs"] as const)("Restate %s", (how) => {
  const suffix = how === "hangs" ? "hangs" : "down";
  const [held, forced, atOnce] = [`held-${suffix}`, `forced-${suffix}`, `at-once-${suffix}`];
  let left: Version;
  let leftAtOnce: Version;

  beforeAll(async () => {
    await deploy(held, { drain: { timeoutSeconds: 1 } });
    left = await deploy(forced, { drain: { timeoutSeconds: 1, onUnreachable: "force" } });
    leftAtOnce = await deploy(atOnce, { deletePolicy: "force" });
    stage.world.adminByUrl(how);
    for (const name of [held, forced, atOnce]) await stage.remove(name);
  });

  test("policy force: at once, and what is left behind is named", async () => {
    stage.world.adminByUrl(how);
    await stage.untilGone(atOnce);
    const { name, deploymentId } = leftAtOnce;
    expect(await eventsOf(stage.objects, keyOf(atOnce), "ForcedDeletion")).toEqual([
      `Deleting ${atOnce} without waiting for ${name} (${deploymentId}, not counted): deletePolicy is force`,
    ]);
    await stage.world.admin.removeDeployment(deploymentId);
  });

  test("onUnreachable force: let go at the deadline, and what is left behind is named", async () => {
    stage.world.adminByUrl(how);
    await stage.untilGone(forced, stage.namespace, 120_000);
    expect(await eventsOf(stage.objects, keyOf(forced), "ForcedDeletion")).toEqual([
      `Deleting ${forced} without waiting for ${left.name} (${left.deploymentId}, not counted): the timeout is over and drain.onUnreachable is force`,
    ]);
    expect(await stage.registered(forced)).toHaveLength(1);
    await stage.world.admin.removeDeployment(left.deploymentId);
  });

  test("onUnreachable hold: nothing is given up, and it ends when Restate is back", async () => {
    stage.world.adminByUrl(how);
    const { deletion } = await untilDeletion(held, "Overdue");
    expect(deletion?.["message"]).toBe("waiting for Restate to answer about 1 version");
    stage.world.adminByUrl("answers");
    await stage.untilGone(held, stage.namespace, 120_000);
    expect(await stage.registered(held)).toEqual([]);
  });
});

test("the RestateCluster is gone: nothing is waited for", async () => {
  const { objects, world, worker } = stage;
  await applyCluster(objects, "deletion-cluster");
  await untilReady(objects, "deletion-cluster");
  world.adminOfCluster("deletion-cluster", "answers");
  await world.addImage("by-cluster:1", worker.services("DeletedByCluster", "v1"));
  const restate = { register: { cluster: "deletion-cluster" } };
  await applyDeployment(objects, keyOf("by-cluster"), { image: "by-cluster:1", restate });
  await untilDeployed(objects, keyOf("by-cluster"));
  await worker.start("suspended", "DeletedByCluster");
  await dropCluster(objects, "deletion-cluster");
  world.adminOfCluster("deletion-cluster", "is down");
  await stage.remove("by-cluster");
  await stage.untilGone("by-cluster", stage.namespace, 20_000);
  const [event] = await eventsOf(objects, keyOf("by-cluster"), "DeleteRequested");
  expect(event).toBe("Deleting by-cluster");
});

test("the namespace is deleted: with work, and with a Restate that does not answer, nothing blocks it", async () => {
  await deploy("working", {}, GOING);
  await deploy("resting", {}, GOING);
  await stage.worker.start("suspended", serviceOf("working"));
  stage.world.adminByUrl("is down");
  await stage.objects.remove("Namespace", GOING);
  await stage.untilGone("working", GOING);
  await stage.untilGone("resting", GOING);
  await until("the namespace is gone", async () => {
    const namespace = await stage.objects.get("Namespace", GOING);
    return namespace === undefined;
  });
  const reconciles = await stage.operator.admin.query<{ key: string; failure?: string | null }>(
    `SELECT target_service_key AS key, completion_failure AS failure FROM sys_invocation
     WHERE starts_with(target_service_key, '${GOING}/') AND completion_failure IS NOT NULL`,
  );
  expect(reconciles).toEqual([]);
});
