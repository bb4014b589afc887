/**
 * The life of one RestateDeployment, as a script: a version, work on it, the next version, the end of the work, a rollback,
 * work that is moved on to the next version, a deletion with work. Meanwhile its service is called all the time. Nobody who
 * calls may notice what happens to the operator.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { DeploymentStage } from "./deployment-stage.ts";
import { applyDeployment, readyOf, untilStatus, type DeploymentStatus } from "./deployments.ts";
import { until } from "./until.ts";

/** Long enough for a step during which things are killed again and again. */
const STEP_TIMEOUT_MS = 240_000;
const CALL_INTERVAL_MS = 300;

export type DeploymentLife = {
  /** What each piece of work ended on, in the order of the script. */
  readonly ended: readonly unknown[];
  /** Versions by phase before the deletion, newest first; `deletion` while it waited. */
  readonly phases: readonly string[];
  readonly deletion: unknown;
  /** Different answers to the calls, sorted; every call was answered. */
  readonly answers: readonly string[];
};

export const EXPECTED_LIFE: DeploymentLife = {
  ended: ["v1", "v2", "v2"],
  phases: ["Latest", "Retained"],
  deletion: { phase: "Draining", pending: 1 },
  answers: ["v1", "v2"],
};

/** The service of a life of this name. */
export function serviceOfLife(name: string): string {
  return `Life${name.replaceAll("-", "")}`;
}

/** Lives one life to its end; rejects when any step of it fails. */
export async function liveDeployment(
  stage: DeploymentStage,
  name: string,
): Promise<DeploymentLife> {
  const { worker, world, objects } = stage;
  const service = serviceOfLife(name);
  const key = { namespace: stage.namespace, name };
  const ended: unknown[] = [];
  const change = async (version: string, more: object = {}): Promise<string> => {
    const restate = stage.byUrl({ ...more });
    await retried(`apply ${name}`, () =>
      applyDeployment(objects, key, { image: `${name}:${version}`, restate }),
    );
    const status = await untilStatus(objects, key, {
      what: `${version} is Ready`,
      is: (each) => readyOf(each)?.status === "True",
      timeoutMs: STEP_TIMEOUT_MS,
    });
    return status.versions!.find(({ phase }) => phase === "Latest")!.name;
  };
  const retained = (version: string): Promise<DeploymentStatus> =>
    untilStatus(objects, key, {
      what: `${version} is Retained`,
      is: ({ versions }) =>
        versions?.some((each) => each.name === version && each.phase === "Retained") === true,
      timeoutMs: STEP_TIMEOUT_MS,
    });

  for (const version of ["v1", "v2"]) {
    await world.addImage(`${name}:${version}`, worker.services(service, version));
  }
  const first = await change("v1");
  const calls = callAllTheTime(() => world.call(`${service}/runningUnbegun`, "now"));
  const one = await worker.start("suspended", service);
  const second = await change("v2");
  const two = await worker.start("suspended", service);
  ended.push(await one.finish());
  await retained(first);
  await change("v1");
  ended.push(await two.finish());
  await retained(second);
  // Paused by the operator, and resumed on the next version: two calls to Restate.
  const three = await worker.start("backingOff", service);
  await change("v2", { drain: { maxAgeSeconds: 1, onMaxAge: "pauseAndMove" } });
  const { versions } = await retained(first);
  const answers = await calls.stop();
  await retried(`remove ${name}`, () => stage.remove(name));
  const { deletion } = await untilStatus(objects, key, {
    what: "its deletion waits for the work",
    is: (each) => each.deletion?.["totalPendingInvocations"] === 1,
    timeoutMs: STEP_TIMEOUT_MS,
  });
  ended.push(await three.finish());
  await stage.untilGone(name, stage.namespace, STEP_TIMEOUT_MS);
  return {
    ended,
    phases: versions!.map(({ phase }) => phase),
    deletion: { phase: deletion?.["phase"], pending: deletion?.["totalPendingInvocations"] },
    answers,
  };
}

/** What a user does when the API server is away: the same again. */
async function retried(what: string, call: () => Promise<unknown>): Promise<void> {
  await until(what, async () => {
    await call();
    return true;
  });
}

function callAllTheTime(call: () => Promise<unknown>): { stop(): Promise<string[]> } {
  const answers = new Set<string>();
  const stopping = new AbortController();
  const calling = (async () => {
    while (!stopping.signal.aborted) {
      answers.add(String(await call().catch(String)));
      await sleep(CALL_INTERVAL_MS);
    }
  })();
  return {
    stop: async () => {
      stopping.abort();
      await calling;
      return [...answers].toSorted((a, b) => (a < b ? -1 : 1));
    },
  };
}
