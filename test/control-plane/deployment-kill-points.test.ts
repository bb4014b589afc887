/**
 * Kills at random moments while RestateDeployments live: the services, the watcher, the operator's Restate, and now and then the
 * API server. Whatever is lost, every life comes to its end, no call fails and no work runs on another version than the one it began on, and nothing of a
 * life is left: neither on the operator's Restate nor on the one that was registered with.
 *
 * The kill points of a run are those of its seed, which is printed. The same again:
 *     SEED=n npm run test:control-plane -- deployment-kill-points
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Cluster } from "../../bootstrap/kubernetes/cluster.ts";
import { startControlPlane } from "../../bootstrap/kubernetes/control-plane.ts";
import { EXPECTED_LIFE, liveDeployment } from "../harness/deployment-lives.ts";
import { DeploymentStage, STAGE_TIMEOUT_MS } from "../harness/deployment-stage.ts";
import { logProgress, testRunDir } from "../harness/kubernetes.ts";
import type { Part } from "../harness/operator.ts";
import { seededRandom } from "../simulation/watcher-clock.ts";

const KILL_POINTS = 30;
/** One in so many restarts the API server, which takes seconds. */
const API_SERVER_EVERY = 12;
const LANES = 3;
/** Half of them hit the services, where most of the work is. */
const TARGETS: readonly Part[] = [
  "services",
  "services",
  "services",
  "restate",
  "restate",
  "watcher",
];
const TEST_TIMEOUT_MS = 900_000;

let cluster: Cluster;
let stage: DeploymentStage;

beforeAll(async () => {
  const name = "deployment-kill-points";
  cluster = await startControlPlane({
    dir: join(testRunDir(), `${name}-cluster`),
    log: logProgress,
  });
  stage = await DeploymentStage.start({ name, cluster });
}, STAGE_TIMEOUT_MS);

afterAll(async () => {
  await stage.stop();
  await cluster.stop();
});

test(
  `${KILL_POINTS} random kills`,
  async () => {
    const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 1e9));
    logProgress(`SEED=${seed} npm run test:control-plane -- deployment-kill-points`);
    const { operator } = stage;
    const random = seededRandom(seed);
    const counts: Partial<Record<Part | "api server", number>> = {};
    const lives = Promise.all(
      Array.from({ length: LANES }, (_, lane) => liveDeployment(stage, `lane-${lane}`)),
    );
    let failed = false;
    lives.catch(() => {
      failed = true;
    });
    // `failed` is set when a life rejects, above.
    // oxlint-disable-next-line eslint/no-unmodified-loop-condition
    for (let kills = 0; kills < KILL_POINTS && !failed; kills += 1) {
      await sleep(random() * 4_000);
      if (kills % API_SERVER_EVERY === API_SERVER_EVERY - 1) {
        counts["api server"] = (counts["api server"] ?? 0) + 1;
        await cluster.restartApiServer();
        continue;
      }
      const target = TARGETS[Math.floor(random() * TARGETS.length)]!;
      counts[target] = (counts[target] ?? 0) + 1;
      await operator.kill(target);
      await sleep(random() * 300);
      await operator.start(target);
    }
    const lastFaultAtMs = performance.now();
    expect(await lives).toEqual(Array.from({ length: LANES }, () => EXPECTED_LIFE));
    logProgress(
      `seed ${seed}: ${JSON.stringify(counts)}; ended ${Math.round(performance.now() - lastFaultAtMs)} ms after the last kill`,
    );
    expect(await stage.world.admin.deployments()).toEqual([]);
    const failedInvocations = await stage.world.admin.query(
      "SELECT id, completion_failure FROM sys_invocation WHERE completion_failure IS NOT NULL",
    );
    expect(failedInvocations).toEqual([]);
    await operator.idle();
    for (const part of ["services", "restate"] as const) {
      expect(await operator.logOf(part), part).not.toMatch(/RT0016|unhandled/i);
    }
  },
  TEST_TIMEOUT_MS,
);
