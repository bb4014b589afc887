/**
 * Asks and makes the gates of new versions. The answer of a gate is noted on the version once it is yes; a no is asked again,
 * and said in the condition meanwhile.
 */
import { request, type Dispatcher } from "undici";
import { KubeError } from "../../kube/errors.ts";
import type { ActionResult } from "../../reconciler/resource-kind.ts";
import type { VersionTarget } from "../api.ts";
import { buildGateJob } from "../build/gate-job.ts";
import { GATE_PASSED_ANNOTATION } from "../build/metadata.ts";
import type { ObservedDeployment, ObserveContext } from "../observe/observe.ts";
import { GATE_RETRY_MS } from "../plan/plan-gate.ts";
import { refusedTarget } from "../observe/refused-target.ts";
import { deploymentViewOf } from "../plan/view.ts";
import { tell } from "./events.ts";
import { annotateVersion } from "./patch-version.ts";

const TIMEOUT_SECONDS = 10;
const MESSAGE_MAX_CHARS = 200;

const SUPERSEDED: ActionResult = { kind: "superseded" };

/** Asks the gate of kind `http` about the current version. */
export async function askGate(
  context: ObserveContext,
  { deployment, current }: ObservedDeployment,
  target: VersionTarget,
): Promise<ActionResult> {
  const http = deployment.spec.restate.rollout?.gate?.http;
  if (http === undefined || current.url.kind === "refused") return SUPERSEDED;
  const refused = refusedTarget(http.url, context.config.targets);
  if (refused !== undefined) {
    return closed(
      `spec.restate.rollout.gate.http.url: the operator does not connect there: ${refused}`,
    );
  }
  const problem = await problemOf(http.url, {
    dispatcher: context.admins.dispatcher,
    timeoutMs: (http.timeoutSeconds ?? TIMEOUT_SECONDS) * 1000,
    headers: { "restate-version": target.version, "restate-version-url": current.url.url },
  });
  if (problem !== undefined) return closed(`GET ${http.url} ${problem}`);
  await annotateVersion({ kube: context.kube, deployment }, target, {
    [GATE_PASSED_ANNOTATION]: "true",
  });
  const message = `${target.version}: GET ${http.url} succeeded`;
  await tell(context.kube, deployment, { type: "Normal", reason: "GatePassed", message });
  return { kind: "done" };
}

async function problemOf(
  url: string,
  asked: {
    readonly dispatcher: Dispatcher;
    readonly timeoutMs: number;
    readonly headers: Readonly<Record<string, string>>;
  },
): Promise<string | undefined> {
  const { dispatcher, timeoutMs, headers } = asked;
  try {
    const answer = await request(url, {
      dispatcher,
      headers,
      signal: AbortSignal.timeout(timeoutMs),
    });
    await answer.body.dump();
    const { statusCode } = answer;
    return statusCode >= 200 && statusCode <= 299 ? undefined : `was answered ${statusCode}`;
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return `got no answer: ${said.replaceAll(/[^\x20-\x7E]+/g, " ").slice(0, MESSAGE_MAX_CHARS)}`;
  }
}

/** Makes the Job that decides about the current version. One of its name that is there already is looked at next time. */
export async function applyGateJob(
  { kube }: ObserveContext,
  { deployment, current }: ObservedDeployment,
  { version, uid }: VersionTarget,
): Promise<ActionResult> {
  if (current.url.kind === "refused" || version !== current.name) return SUPERSEDED;
  const manifest = buildGateJob(deploymentViewOf(deployment), {
    version: { name: version, hash: current.hash },
    replicaSetUid: uid,
    url: current.url.url,
  });
  if (manifest === undefined) return SUPERSEDED;
  try {
    await kube.create(manifest);
    return { kind: "done" };
  } catch (error) {
    if (error instanceof KubeError && error.status === 409) return { kind: "done" };
    if (!(error instanceof KubeError) || error.retryable) throw error;
    return closed(`spec.restate.rollout.gate.job: ${error.message}`);
  }
}

function closed(message: string): ActionResult {
  return {
    kind: "waiting",
    outcome: { kind: "waiting", reason: "GateNotPassed", message, requeueAfterMs: GATE_RETRY_MS },
  };
}
