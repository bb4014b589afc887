/**
 * The life of a RestateDeployment with every step of every handler replayed: the same end, no journal that does not match, and
 * nothing left.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { EXPECTED_LIFE, liveDeployment } from "../harness/deployment-lives.ts";
import { DeploymentStage, STAGE_TIMEOUT_MS } from "../harness/deployment-stage.ts";

let stage: DeploymentStage;

beforeAll(async () => {
  stage = await DeploymentStage.start({ name: "deployment-replay", alwaysReplay: true });
}, STAGE_TIMEOUT_MS);

afterAll(() => stage.stop());

test("a whole life, and a second one beside it", async () => {
  const lives = await Promise.all([
    liveDeployment(stage, "replayed"),
    liveDeployment(stage, "replayed-too"),
  ]);
  expect(lives).toEqual([EXPECTED_LIFE, EXPECTED_LIFE]);
  await stage.operator.idle();
  expect(await stage.world.admin.deployments()).toEqual([]);
  for (const part of ["services", "restate"] as const) {
    expect(await stage.operator.logOf(part), part).not.toMatch(/RT0016|awaitNext|unhandled/i);
  }
});
