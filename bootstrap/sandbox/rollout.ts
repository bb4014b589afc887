/**
 * The second half of `npm start`: a RestateDeployment, a slow invocation on its first version, a second version, and what the
 * operator does about it: the first version is kept until it has finished what it began, and then it goes. Each step says
 * what a person would type to do it, and what to see it.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { request } from "undici";
import { z } from "zod";
import type { Tools } from "./kubernetes-tools.ts";
import { seeIt } from "./next-steps.ts";
import type { Say } from "./progress.ts";
import { waitForReady } from "./wait-for-ready.ts";

/** Name and namespace of the example's RestateDeployment. */
export const GREETER = "greeter";
const EXAMPLE_FILE = join(import.meta.dirname, "example-deployment.yaml");
const RESOURCE = { kind: "RestateDeployment", name: GREETER, namespace: GREETER } as const;
const READY_TIMEOUT_MS = 3 * 60_000;
const POLL_MS = 1_000;
const CALL_TIMEOUT_MS = 30_000;
const SLOW = { name: "Grace", steps: 6, stepMs: 5_000 } as const;

/** An entry of `status.versions`, as far as it is shown. */
const Version = z.object({
  name: z.string(),
  phase: z.string(),
  replicas: z.number(),
  reason: z.string().nullish(),
  invocations: z.object({ pinned: z.number(), unpinned: z.number() }).nullish(),
});
export type ShownVersion = Readonly<z.infer<typeof Version>>;
const Deployment = z.object({
  status: z.object({ versions: z.array(Version).nullish() }).nullish(),
});

export interface Rollout {
  readonly tools: Tools;
  /** Ingress of the Restate cluster that the services are registered with. */
  readonly ingressUrl: string;
  readonly say: Say;
}

const GET = `kubectl -n ${GREETER} get`;

/** The whole story, with the commands that show each step. Throws with what was awaited when something does not come. */
export async function showRollout(rollout: Rollout): Promise<void> {
  const { tools, say } = rollout;
  say(`kubectl apply --filename=bootstrap/sandbox/example-deployment.yaml`);
  await tools.kubectl(["apply", "--filename=-"], await readFile(EXAMPLE_FILE, "utf8"));
  await waitForReady(tools, RESOURCE, { say, timeoutMs: READY_TIMEOUT_MS });
  // not the newest by age where an earlier start has rolled back
  const first = await latestOf(tools);
  say(`Greeter/greet answers: ${await greet(rollout)}`);
  say(
    seeIt(
      `${GET} restatedeployments,replicasets,services,pods`,
      "restate invocations list --service DeploymentReconciler --all",
      "RESTATE_ADMIN_URL=$EXAMPLE restate services list",
    ),
  );

  say(`a slow invocation begins on ${first}: ${SLOW.steps} steps of ${SLOW.stepMs / 1000} s`);
  const slow = await startSlowly(rollout);
  say(seeIt(`RESTATE_ADMIN_URL=$EXAMPLE restate invocations describe ${slow}`));
  await setImage(rollout, "restate-greeter:v2");
  await waitForReady(tools, RESOURCE, { say, timeoutMs: READY_TIMEOUT_MS });
  say(`Greeter/greet answers: ${await greet(rollout)}`);
  await untilPhase(rollout, first, "Draining");
  say(
    seeIt(
      `${GET} restatedeployment ${GREETER}`,
      `${GET} restatedeployment ${GREETER} --output=yaml    # status.versions: phase, counts, reason of each`,
      `restate kv get VersionDrain ${GREETER}/${GREETER}/${first}`,
    ),
  );
  say(`the slow invocation answers: ${await answerOf(rollout, slow)}`);
  await untilPhase(rollout, first, "Retained");
  say(
    seeIt(
      `${GET} replicasets,pods`,
      `${GET} events --field-selector=reason=VersionDeregistered`,
      "RESTATE_ADMIN_URL=$EXAMPLE restate deployments list",
    ),
  );

  say("and back again");
  await setImage(rollout, "restate-greeter:v1");
  await waitForReady(tools, RESOURCE, { say, timeoutMs: READY_TIMEOUT_MS });
  say(`Greeter/greet answers: ${await greet(rollout)}`);
  say(
    seeIt(
      `${GET} restatedeployments,replicasets    # ${first} is back, under its old name`,
      `restate kv get DeploymentReconciler ${GREETER}/${GREETER}`,
    ),
  );
}

/** What a user types to roll out another image. */
export async function setImage({ tools, say }: Rollout, image: string): Promise<void> {
  const change = { op: "replace", path: "/spec/template/spec/containers/0/image", value: image };
  const patch = JSON.stringify([change]);
  const args = ["patch", "restatedeployment", GREETER, `--namespace=${GREETER}`, "--type=json"];
  say(`kubectl ${args.join(" ")} --patch='${patch}'`);
  await tools.kubectl([...args, `--patch=${patch}`]);
}

/** `status.versions`, newest first. */
export async function versionsOf(tools: Tools): Promise<readonly ShownVersion[]> {
  const args = ["get", "restatedeployment", GREETER, `--namespace=${GREETER}`, "--output=json"];
  return Deployment.parse(JSON.parse(await tools.kubectl(args))).status?.versions ?? [];
}

/** Name of the version that Restate sends new invocations to. */
export async function latestOf(tools: Tools): Promise<string> {
  const latest = (await versionsOf(tools)).find(({ phase }) => phase === "Latest");
  if (latest === undefined) throw new Error(`RestateDeployment ${GREETER} has no latest version`);
  return latest.name;
}

/** Resolves when a version is in a phase; says how it gets there, a line per change. */
export async function untilPhase(
  { tools, say }: Rollout,
  name: string,
  phase: string,
): Promise<ShownVersion> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  let said = "";
  while (Date.now() < deadline) {
    const version = (await versionsOf(tools)).find((each) => each.name === name);
    const line = version === undefined ? `${name}: gone` : describe(version);
    if (line !== said) say(line);
    said = line;
    if (version?.phase === phase) return version;
    await sleep(POLL_MS);
  }
  throw new Error(`version ${name} is not ${phase} after ${READY_TIMEOUT_MS / 1000} s: ${said}`);
}

function describe({ name, phase, replicas, reason, invocations }: ShownVersion): string {
  const work =
    invocations == null
      ? ""
      : `, ${invocations.pinned + invocations.unpinned} unfinished invocations`;
  return `version ${name}: ${phase}, ${replicas} pods${work} (${reason})`;
}

/** Answer of the service at once. */
export async function greet({ ingressUrl }: Pick<Rollout, "ingressUrl">): Promise<string> {
  return z.string().parse(await call(`${ingressUrl}/Greeter/greet`, "Ada"));
}

/** Starts an invocation that takes half a minute; answers its id. */
export async function startSlowly({ ingressUrl }: Pick<Rollout, "ingressUrl">): Promise<string> {
  const answer = await call(`${ingressUrl}/Greeter/greetSlowly/send`, SLOW);
  return z.object({ invocationId: z.string() }).parse(answer).invocationId;
}

/** Waits for the end of an invocation and answers what it says. */
export async function answerOf(
  { ingressUrl }: Pick<Rollout, "ingressUrl">,
  invocation: string,
): Promise<string> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  const url = `${ingressUrl}/restate/invocation/${invocation}/output`;
  while (Date.now() < deadline) {
    const answer = await request(url, { signal: AbortSignal.timeout(CALL_TIMEOUT_MS) });
    const text = await answer.body.text();
    if (answer.statusCode === 200) return z.string().parse(JSON.parse(text));
    // 470: it has not ended yet
    await sleep(POLL_MS);
  }
  throw new Error(`invocation ${invocation} has not ended`);
}

async function call(url: string, body: unknown): Promise<unknown> {
  const answer = await request(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
  });
  const text = await answer.body.text();
  if (answer.statusCode > 299) throw new Error(`${url} answered ${answer.statusCode}: ${text}`);
  return JSON.parse(text);
}
