/**
 * Kills at random moments while RestateClusters are created, changed and deleted: the services, the watcher, the operator's
 * Restate, the API server. Whatever is lost, every life comes to the end that an undisturbed one comes to, with no object
 * created or deleted once too often, nothing stuck, and silence afterwards.
 *
 * The kill points of a run are those of its seed, which is printed. The same again:
 *     SEED=n npm run test:control-plane -- cluster-kill-points
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Cluster } from "../../bootstrap/kubernetes/cluster.ts";
import { startControlPlane } from "../../bootstrap/kubernetes/control-plane.ts";
import { eventsOf } from "../harness/deployments.ts";
import { lifecycleCounts, live, liveBriefly, writesAbout, type Life } from "../harness/lives.ts";
import { logProgress, testRunDir } from "../harness/kubernetes.ts";
import { Objects } from "../harness/objects.ts";
import { startTestOperator, type Part, type TestOperator } from "../harness/operator.ts";
import { applyCluster, untilReady } from "../harness/clusters.ts";
import { seededRandom } from "../simulation/watcher-clock.ts";

const KILL_POINTS = 50;
const LANES = 3;
const SETTLED_MS = 20_000;
const CONVERGED_WITHIN_MS = 30_000;
const TEST_TIMEOUT_MS = 1_200_000;

type Target = Part | "api server";

/** One in ten restarts the API server, which takes seconds; half kill the services, where most of the work is. */
const TARGETS: readonly Target[] = [
  ...(["services", "services", "services", "services", "services"] as const),
  ...(["restate", "restate", "watcher", "watcher", "api server"] as const),
];

let cluster: Cluster;
let objects: Objects;
let operator: TestOperator;

beforeAll(async () => {
  const dir = join(testRunDir(), "kill-points");
  cluster = await startControlPlane({ dir, log: logProgress });
  objects = new Objects(cluster);
  operator = await startTestOperator({ cluster, dir: join(dir, "operator") });
}, TEST_TIMEOUT_MS);

afterAll(async () => {
  await operator.stop();
  await objects.close();
  await cluster.stop();
});

/** Kills and restarts, until `KILL_POINTS` are reached; counts them by target. */
async function killAround(seed: number, isOver: () => boolean): Promise<Map<Target, number>> {
  const random = seededRandom(seed);
  const counts = new Map<Target, number>();
  for (let kills = 0; kills < KILL_POINTS && !isOver(); kills += 1) {
    await sleep(random() * 2_000);
    const target = TARGETS[Math.floor(random() * TARGETS.length)]!;
    counts.set(target, (counts.get(target) ?? 0) + 1);
    if (target === "api server") {
      await cluster.restartApiServer();
      continue;
    }
    await operator.kill(target);
    await sleep(random() * 300);
    await operator.start(target);
  }
  return counts;
}

test(
  `${KILL_POINTS} random kills`,
  async () => {
    const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 1e9));
    logProgress(`SEED=${seed} npm run test:control-plane -- cluster-kill-points`);
    await applyCluster(objects, "bystander");
    await untilReady(objects, "bystander");
    const beforeReference = await operator.mark();
    const reference = await live(objects, "reference");
    const referenceRecords = await operator.requestsSince(beforeReference);
    const referenceWrites = writesAbout(referenceRecords, "reference").length;

    const mark = await operator.mark();
    let killing = true;
    let lastFaultAtMs = Infinity;
    const lives: Life[] = [];
    const lastSteps: number[] = [];
    const lanes = Array.from({ length: LANES }, async (_, lane) => {
      // `killing` ends when the last fault has been injected, below.
      // oxlint-disable-next-line eslint/no-unmodified-loop-condition
      for (let round = 1; killing; round += 1) {
        const name = `lane-${lane}-${round}`;
        let converged = false;
        const life = await live(objects, name, () => {
          if (!killing && !converged) {
            converged = true;
            lastSteps.push(performance.now() - lastFaultAtMs);
          }
        });
        lives.push(life);
        await liveBriefly(objects, `${name}-brief`);
      }
    });
    const ended = Promise.all(lanes);
    let failed = false;
    ended.catch(() => {
      failed = true;
    });
    const counts = await killAround(seed, () => failed);
    lastFaultAtMs = performance.now();
    killing = false;
    await ended;

    logProgress(
      `seed ${seed}: ${JSON.stringify(Object.fromEntries(counts))}, ${lives.length} lives; ` +
        `converged ${Math.round(Math.max(...lastSteps))} ms after the last fault`,
    );
    const records = await operator.requestsSince(mark);
    // O1, O2
    const undisturbed = lifecycleCounts(referenceRecords, "reference");
    let unrecorded = 0;
    for (const { name, state } of lives) {
      expect({ name, state }).toEqual({ name, state: reference.state });
      const counted = lifecycleCounts(records, name);
      expect({ name, ...undisturbed, ...counted }).toEqual({ name, ...undisturbed });
      unrecorded += Object.keys(undisturbed).filter((what) => counted[what] === undefined).length;
    }
    // an API server that is killed takes the records of what it has just done with it
    expect(unrecorded).toBeLessThanOrEqual((counts.get("api server") ?? 0) * LANES);
    const writes = lives.flatMap(({ name }) => writesAbout(records, name)).length;
    logProgress(`${writes} writes, ${referenceWrites * lives.length} undisturbed`);
    expect(writes).toBeLessThanOrEqual(referenceWrites * lives.length + KILL_POINTS * LANES);
    // O7: within 30 s, and silent from then on; the bystander was never written at all
    expect(Math.max(...lastSteps)).toBeLessThan(CONVERGED_WITHIN_MS);
    const bystander = { namespace: "default", name: "bystander" };
    expect(await eventsOf(objects, bystander, "FailedReconcile")).toEqual([]);
    expect(writesAbout(records, "bystander")).toEqual([]);
    await operator.idle();
    const silence = await operator.mark();
    await operator.wake("ClusterReconciler", "bystander");
    await sleep(SETTLED_MS);
    expect(await operator.writesSince(silence)).toEqual([]);
    // O6, O12: nothing paused, no journal mismatch, nothing left of what is gone
    expect(await operator.idle()).toMatchObject([
      { service: "ClusterReconciler", key: "bystander", handler: "resync" },
      { service: "ClusterSurvey", key: "bystander", handler: "poll" },
    ]);
    for (const { name } of lives) {
      await operator.untilForgotten(name);
      await operator.untilForgotten(`${name}-brief`);
    }
    for (const part of ["services", "restate"] as const) {
      expect(await operator.logOf(part), part).not.toMatch(/RT0016|unhandled/i);
    }
  },
  TEST_TIMEOUT_MS,
);
