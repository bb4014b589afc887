/**
 * The whole loop on a real API server and a real Restate: what a RestateCluster becomes, how it changes, what is repaired,
 * refused and left alone, and that nothing is written when there is nothing to do.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseAllDocuments } from "yaml";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  applyCluster,
  childrenOf,
  masked,
  maskedState,
  MINIMAL,
  readyOf,
  removeCluster,
  untilGone,
  untilReady,
  untilReason,
} from "../harness/clusters.ts";
import { sharedControlPlane, testRunDir } from "../harness/kubernetes.ts";
import { Objects, type KubeObject, type ObjectKind } from "../harness/objects.ts";
import { startTestOperator, type TestOperator } from "../harness/operator.ts";
import { until } from "../harness/until.ts";

/** In everything secret that these tests write into a RestateCluster. */
const MARKER = "canary-7f3a91";
const START_TIMEOUT_MS = 1_500_000;

let operator: TestOperator;
let objects: Objects;

beforeAll(async () => {
  const cluster = await sharedControlPlane();
  objects = new Objects(cluster);
  operator = await startTestOperator({ cluster, dir: join(testRunDir(), "cluster-operator") });
}, START_TIMEOUT_MS);

afterAll(async () => {
  await operator.stop();
  await objects.close();
});

describe("a minimal cluster", () => {
  const name = "c01-minimal";

  test("created, it becomes Ready", async () => {
    const mark = await operator.mark();
    await applyCluster(objects, name);
    await untilReady(objects, name);
    await operator.idle();
    console.log(await operator.writesSince(mark), (await operator.requestsSince(mark)).length);
  });
  test("state", async () => {
    console.log(JSON.stringify(await maskedState(objects, name)));
    console.log(await operator.unfinished());
    await removeCluster(objects, name);
    await operator.idle();
    console.log(await operator.remainsOf("ClusterReconciler", name));
  });
});
