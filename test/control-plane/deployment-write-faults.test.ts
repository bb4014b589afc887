/**
 * Every write the services make in the life of a RestateDeployment, to the API server and to the Restate it is registered
 * with: the process dies after it took effect and before its journal entry, or the answer is lost. Random kills
 * (deployment-kill-points.test.ts) meet these moments now and then; here each of them is met.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { AdminTap } from "../harness/admin-tap.ts";
import { EXPECTED_LIFE, liveDeployment } from "../harness/deployment-lives.ts";
import { DeploymentStage, STAGE_TIMEOUT_MS } from "../harness/deployment-stage.ts";

const TEST_TIMEOUT_MS = 600_000;

let stage: DeploymentStage;
let tap: AdminTap;

beforeAll(async () => {
  stage = await DeploymentStage.start({ name: "deployment-write-faults", proxied: true });
  tap = await AdminTap.start(stage.world.adminUrl);
  stage.world.proxy.route(new URL(stage.world.adminUrl).host, { port: tap.port });
}, STAGE_TIMEOUT_MS);

afterEach(() => {
  stage.apiProxy.setFaults(() => undefined);
  tap.after = async () => undefined;
});

afterAll(async () => {
  await stage.stop();
  await tap.stop();
});

/** Whether something is met for the first time, and what was. */
class FirstTimes {
  readonly met = new Set<string>();

  isFirst(what: string): boolean {
    if (this.met.has(what)) return false;
    this.met.add(what);
    return true;
  }
}

/**
 * A fault after the first write to each object of a RestateDeployment, by each method, and after the first call of each kind
 * that changes its Restate (a dry run is a kind of its own).
 */
function afterEachWrite(name: string, fault: () => Promise<void>) {
  const kubernetes = new FirstTimes();
  const restate = new FirstTimes();
  const isAbout = new RegExp(`/${name}(?:-[0-9a-z]+)?(?:/|$)`);
  stage.apiProxy.setFaults(({ method, path, isWrite }) =>
    isWrite && isAbout.test(path) && kubernetes.isFirst(`${method} ${path}`)
      ? { after: fault, lose: "after" }
      : undefined,
  );
  tap.after = async ({ method, path, body }) => {
    const changes = method === "DELETE" || (method === "POST" && path === "/deployments");
    const isDryRun = body.includes('"dry_run":true');
    if (!changes || !restate.isFirst(isDryRun ? `dry run ${path}` : `${method} ${path}`)) {
      return undefined;
    }
    await fault();
    return "lose";
  };
  return { kubernetes: kubernetes.met, restate: restate.met };
}

async function killServices(): Promise<void> {
  await stage.operator.kill("services");
  void stage.operator.start("services");
}

test.each<[string, string, () => Promise<void>]>([
  ["the services die after it, before they could note it", "died", killServices],
  ["the answer is lost", "lost", async () => undefined],
])(
  "after each write, %s",
  async (_, name, fault) => {
    const met = afterEachWrite(name, fault);
    expect(await liveDeployment(stage, name)).toEqual(EXPECTED_LIFE);
    // the resource, its status, two ReplicaSets (made, marked, scaled) and their Services, the stable Service
    expect([...met.kubernetes].length).toBeGreaterThanOrEqual(7);
    // a dry run, a registration, two deployments removed
    expect([...met.restate].length).toBeGreaterThanOrEqual(3);
    expect(await stage.registered(name)).toEqual([]);
    await stage.operator.idle();
    const states = new Set((await stage.operator.unfinished()).map(({ status }) => status));
    expect([...states].filter((status) => status !== "scheduled")).toEqual([]);
  },
  TEST_TIMEOUT_MS,
);
