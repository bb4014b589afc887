/**
 * The operator is upgraded while reconciles are under way, and the pods of the old build are gone at once: nothing waits for
 * code that is no more, no journal is replayed by other code, and the old build is forgotten.
 */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { applyCluster, dropCluster, untilReady } from "../harness/clusters.ts";
import { sharedControlPlane, testRunDir } from "../harness/kubernetes.ts";
import { lifecycleCounts } from "../harness/lives.ts";
import { Objects } from "../harness/objects.ts";
import { SERVICES, startTestOperator, type TestOperator } from "../harness/operator.ts";
import { until } from "../harness/until.ts";

const START_TIMEOUT_MS = 1_500_000;
const NAMES = Array.from({ length: 8 }, (_, index) => `upgraded-${index}`);

let operator: TestOperator;
let objects: Objects;

beforeAll(async () => {
  const cluster = await sharedControlPlane();
  objects = new Objects(cluster);
  operator = await startTestOperator({ cluster, dir: join(testRunDir(), "cluster-upgrade") });
}, START_TIMEOUT_MS);

afterAll(async () => {
  await operator.stop();
  await objects.close();
});

/** Reconciles that have begun and not ended on a deployment. */
const underWayOn = (deployment: string) =>
  operator.admin.query(
    `SELECT id FROM sys_invocation WHERE target_handler_name = 'reconcile'
     AND status <> 'completed' AND pinned_deployment_id = '${deployment}'`,
  );

const deploymentIds = async () => (await operator.admin.deployments()).map(({ id }) => id);

test("what is under way is taken up by the new build, and the old one is forgotten", async () => {
  const [old = ""] = await deploymentIds();
  const mark = await operator.mark();
  await Promise.all(NAMES.map((name) => applyCluster(objects, name)));
  await until(
    "reconciles are under way",
    async () => (await underWayOn(old)).length >= NAMES.length / 2,
    { intervalMs: 10 },
  );
  await operator.kill("services");
  expect(await underWayOn(old)).not.toEqual([]);
  await operator.replaceBuild();
  await operator.start("services");
  for (const name of NAMES) await untilReady(objects, name);

  await until("only the new build is known", async () => (await deploymentIds()).length === 1);
  expect(await deploymentIds()).not.toContain(old);
  const latest = await Promise.all(
    SERVICES.map((service) => operator.admin.latestDeploymentOf(service)),
  );
  expect(new Set(latest)).toEqual(new Set(await deploymentIds()));
  await operator.idle();
  for (const part of ["services", "restate"] as const) {
    expect(await operator.logOf(part), part).not.toMatch(/RT0016|unhandled/i);
  }
  // each object was made once, and none was taken away again
  const records = await operator.requestsSince(mark);
  for (const name of NAMES) {
    expect(new Set(Object.values(lifecycleCounts(records, name)))).toEqual(new Set([1]));
    expect(
      Object.keys(lifecycleCounts(records, name)).filter((key) => key.startsWith("delete")),
    ).toEqual([]);
  }
  await Promise.all(NAMES.map((name) => dropCluster(objects, name)));
  for (const name of NAMES) await operator.untilForgotten(name);
});
