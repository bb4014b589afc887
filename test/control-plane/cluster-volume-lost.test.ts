/**
 * The operator's Restate loses its volume: memory, timers and queued wakes are gone. That is a delay and at most one write
 * per child; nothing is deleted, and nothing is left over.
 */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  applyCluster,
  maskedState,
  MINIMAL,
  dropCluster,
  untilReady,
} from "../harness/clusters.ts";
import { sharedControlPlane, testRunDir } from "../harness/kubernetes.ts";
import { writesAbout } from "../harness/lives.ts";
import { Objects } from "../harness/objects.ts";
import { startTestOperator, type TestOperator } from "../harness/operator.ts";
import { until } from "../harness/until.ts";

const START_TIMEOUT_MS = 1_500_000;
/** Namespace, ServiceAccount, ConfigMap, two Services, PodDisruptionBudget, StatefulSet and seven NetworkPolicies. */
const CHILDREN = 14;
const CHANGED = { ...MINIMAL, compute: { image: "restatedev/restate:1.7.13" } };

let operator: TestOperator;
let objects: Objects;

beforeAll(async () => {
  const cluster = await sharedControlPlane();
  objects = new Objects(cluster);
  operator = await startTestOperator({ cluster, dir: join(testRunDir(), "cluster-volume-lost") });
}, START_TIMEOUT_MS);

afterAll(async () => {
  await operator.stop();
  await objects.close();
});

test("settled, changed and deleted meanwhile: each converges, and nothing is removed", async () => {
  for (const name of ["settled", "changed", "deleted"]) {
    await applyCluster(objects, name);
    await untilReady(objects, name);
  }
  await operator.idle();
  const before = await maskedState(objects, "settled");
  const mark = await operator.mark();

  await operator.kill("restate");
  await applyCluster(objects, "changed", { spec: CHANGED });
  await objects.remove("RestateCluster", "deleted");
  await operator.wipeRestate();
  expect(await operator.admin.deployments()).toEqual([]);
  await operator.registered();

  // a resource that nobody touched is woken as well: its timers are gone
  await until("settled is looked after again", async () => {
    const { timers } = await operator.describe("ClusterReconciler", "settled");
    return (timers as { resync?: string } | undefined)?.resync !== undefined;
  });
  await untilReady(objects, "changed");
  await until("deleted is gone", async () => !(await objects.get("RestateCluster", "deleted")));
  await operator.untilForgotten("deleted");
  await operator.idle();
  const records = await operator.requestsSince(mark);
  expect(records.filter(({ verb }) => verb.startsWith("delete"))).toEqual([]);
  expect(await maskedState(objects, "settled")).toEqual(before);
  // every child once, and not the resource itself
  const written = writesAbout(records, "settled");
  expect(written.map(({ verb, code }) => `${verb} ${code}`)).toEqual(
    Array.from({ length: CHILDREN }, () => "patch 200"),
  );
  const settled = await operator.mark();
  await operator.wake("ClusterReconciler", "settled");
  await operator.wake("ClusterReconciler", "changed");
  await operator.idle();
  expect(await operator.writesSince(settled)).toEqual([]);

  for (const name of ["settled", "changed"]) {
    await dropCluster(objects, name);
    await operator.untilForgotten(name);
  }
});
