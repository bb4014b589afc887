/**
 * Every write the services make in the life of a RestateDeployment, to the API server and to the Restate it is registered
 * with: the process dies after it took effect and before its journal entry, or the answer is lost. Random kills
 * (deployment-kill-points.test.ts) meet these moments now and then; here each of them is met.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { AdminTap } from "../harness/admin-tap.ts";
import { EXPECTED_LIFE, liveDeployment, serviceOfLife } from "../harness/deployment-lives.ts";
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

/** What happens after a write; then its answer is lost. */
type Fault = () => Promise<void>;

async function killServices(): Promise<void> {
  await stage.operator.kill("services");
  void stage.operator.start("services");
}

/** One life each, all at the same time: a fault of one is one more disturbance of the other. */
const FAULTS: Readonly<Record<string, Fault>> = {
  "services-die": killServices,
  "answer-lost": async () => undefined,
};

/** What was met so far, and whether something is met for the first time. */
class FirstTimes {
  readonly met = new Set<string>();

  isFirst(what: string): boolean {
    if (this.met.has(what)) return false;
    this.met.add(what);
    return true;
  }
}

/** Faults after the first write to each object of the RestateDeployments of these names, by each method. */
function placeInKubernetes(faults: typeof FAULTS): FirstTimes {
  const times = new FirstTimes();
  const about = new RegExp(`/(${Object.keys(faults).join("|")})(?:-[0-9a-z]+)?(?:/|$)`);
  stage.apiProxy.setFaults(({ method, path, isWrite }) => {
    const fault = faults[about.exec(path)?.[1] ?? ""];
    return isWrite && fault !== undefined && times.isFirst(`${method} ${path}`)
      ? { after: fault, lose: "after" }
      : undefined;
  });
  return times;
}

/** The same after each dry run, registration and removal of one of their deployments, each pause and move of their work. */
function placeInRestate(faults: typeof FAULTS): FirstTimes {
  const times = new FirstTimes();
  const nameOf = (text: string) => Object.keys(faults).find((name) => text.includes(`//${name}-`));
  const names = new Map<string, string>();
  tap.after = async ({ method, path, body }) => {
    const [, work, change] = /^\/invocations\/(\w+)\/(\w+)/.exec(path) ?? [];
    const name = work === undefined ? (nameOf(body) ?? names.get(path)) : await nameOfWork(work);
    const fault = faults[name ?? ""];
    if (name === undefined || fault === undefined) return undefined;
    if (method === "POST") {
      for (const { id, uri } of await stage.world.admin.deployments()) {
        const owner = nameOf(uri ?? "");
        if (owner !== undefined) names.set(`/deployments/${id}?force=true`, owner);
      }
    }
    const called = change === undefined ? `${method} ${path}` : `${method} ${change}`;
    const what = body.includes('"dry_run":true') ? "dry run" : called;
    if (!times.isFirst(`${name}: ${what}`)) return undefined;
    await fault();
    return "lose";
  };
  return times;
}

/** Whose work an invocation is. */
async function nameOfWork(invocation: string): Promise<string | undefined> {
  const [row] = await stage.world.admin.query<{ service: string }>(
    `SELECT target_service_name AS service FROM sys_invocation WHERE id = '${invocation}'`,
  );
  return Object.keys(FAULTS).find((name) => row?.service === serviceOfLife(name));
}

test(
  "after each write the services die, or its answer is lost",
  async () => {
    const kubernetes = placeInKubernetes(FAULTS);
    const restate = placeInRestate(FAULTS);
    const names = Object.keys(FAULTS);
    const lives = await Promise.all(names.map((name) => liveDeployment(stage, name)));
    expect(lives).toEqual(names.map(() => EXPECTED_LIFE));
    for (const name of names) {
      expect(await stage.registered(name)).toEqual([]);
      // a dry run, a registration, a removal of each of two versions, both of which were registered twice
      const calls = [...restate.met].filter((what) => what.startsWith(`${name}:`));
      expect(calls.map((what) => what.split(" ")[1])).toEqual(
        expect.arrayContaining(["dry", "POST", "DELETE"]),
      );
      expect(calls).toEqual(
        expect.arrayContaining([`${name}: PATCH pause`, `${name}: PATCH resume`]),
      );
      // the resource and its status, two ReplicaSets made and marked, their Services, the stable Service
      const writes = [...kubernetes.met].filter((what) => what.includes(`/${name}`));
      expect(writes.length).toBeGreaterThanOrEqual(7);
    }
    await stage.operator.idle();
  },
  TEST_TIMEOUT_MS,
);
