/**
 * `npm start`: the main job on a fresh machine, on real parts. A Kubernetes with one real node, the operator's images, the
 * operator's chart installed with helm, a three-node Restate cluster that becomes Ready because a RestateCluster was applied,
 * and a RestateDeployment that is rolled out and back on it. There is no second way of running: a user's cluster gets the
 * same charts and the same images.
 */
import { readFile, mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Command } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { buildExampleImage } from "../images/example.ts";
import { buildOperatorImage } from "../images/operator.ts";
import { buildRestateImage } from "../images/restate.ts";
import type { Image } from "../images/dockerfile.ts";
import { buildKubernetes } from "../kubernetes/build.ts";
import { startNode, type NodeCluster } from "../kubernetes/node.ts";
import { chooseKubeconfig } from "../kubeconfig.ts";
import { NAMESPACE, installOperator, toolsFor, type Tools } from "./kubernetes-tools.ts";
import { howToFollow, nextSteps, type Reached } from "./next-steps.ts";
import { progressLines, type Say } from "./progress.ts";
import { showRollout } from "./rollout.ts";
import { waitForPods } from "./wait-for-pods.ts";
import { waitForReady } from "./wait-for-ready.ts";

const EXAMPLE = "restate-example";
const EXAMPLE_FILE = join(import.meta.dirname, "example-cluster.yaml");
const RESTATE_VERSION = "1.7.12";
const READY_TIMEOUT_MS = 5 * 60_000;

interface Options {
  readonly once?: true;
  readonly context?: string;
  readonly data: string;
}

async function run(options: Options): Promise<void> {
  const say = progressLines();
  const dir = resolve(options.data);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const stopped = signalled();
  if (options.context !== undefined) {
    await inUsersCluster({ ...options, context: options.context, dir }, say);
    return;
  }
  const startedAtMs = Date.now();
  const images = buildImages();
  // Its failure is told when the images are needed.
  images.catch(() => undefined);
  // Also when a signal comes during the start: what was begun is finished, then stopped.
  const cluster = await startNode({ dir: join(dir, "kubernetes"), log: say });
  try {
    await Promise.race([inSandbox({ cluster, images, startedAtMs }, say), stopped]);
    if (options.once !== true) {
      say("Ctrl-C stops everything");
      await stopped;
    }
  } finally {
    say("stopping");
    await cluster.stop();
    say("stopped: no process, mount or namespace is left");
  }
}

/** The images of the chart and the example, from the sources as they are now. */
function buildImages(): Promise<readonly Image[]> {
  return Promise.all([
    buildRestateImage({ version: RESTATE_VERSION }),
    buildOperatorImage(),
    buildExampleImage({ version: "v1" }),
    buildExampleImage({ version: "v2" }),
  ]);
}

async function inSandbox(
  {
    cluster,
    images,
    startedAtMs,
  }: {
    readonly cluster: NodeCluster;
    readonly images: Promise<readonly Image[]>;
    readonly startedAtMs: number;
  },
  say: Say,
): Promise<void> {
  say("building images (operator, restate, greeter)");
  await importAll(cluster, await images, say);
  const tools = toolsFor(cluster);
  await bringUp(tools, startedAtMs, say);
  const reached = await reach(cluster);
  say(howToFollow(reached));
  await showRollout({ tools, ingressUrl: reached.exampleIngressUrl, say });
  say(nextSteps(reached));
}

async function importAll(cluster: NodeCluster, images: readonly Image[], say: Say): Promise<void> {
  for (const { name, archive } of images) {
    say(`importing ${name}`);
    await cluster.importImage(archive);
  }
}

/** Installs the operator, applies the example, and waits for it. `sinceMs`: nothing in the cluster runs for longer. */
async function bringUp(tools: Tools, sinceMs: number, say: Say): Promise<void> {
  say("helm install restate-operator");
  await installOperator(tools);
  say(`kubectl apply RestateCluster ${EXAMPLE}`);
  await tools.kubectl(["apply", "--filename=-"], await readFile(EXAMPLE_FILE, "utf8"));
  const example = { kind: "RestateCluster", name: EXAMPLE } as const;
  const wait = { sinceMs, say, timeoutMs: READY_TIMEOUT_MS };
  await waitForReady(tools, example, wait);
  await waitForPods(tools, EXAMPLE, wait);
  const pods = ["get", "pods", `--namespace=${EXAMPLE}`, "--output=wide"];
  say(`RestateCluster ${EXAMPLE} is Ready\n\n${await tools.kubectl(pods)}`);
}

/** Ports on loopback for what a person wants to look at. */
async function reach(cluster: NodeCluster): Promise<Reached> {
  const at = async (service: string, port: number) =>
    `http://127.0.0.1:${await cluster.forward({ host: service, port })}`;
  const bootstrap = `restate-operator-bootstrap.${NAMESPACE}`;
  const example = `restate.${EXAMPLE}`;
  return {
    dataDir: cluster.dir,
    kubeconfig: cluster.kubeconfig,
    example: EXAMPLE,
    bootstrapAdminUrl: await at(bootstrap, 9070),
    bootstrapIngressUrl: await at(bootstrap, 8080),
    exampleAdminUrl: await at(example, 9070),
    exampleIngressUrl: await at(example, 8080),
  };
}

/** A cluster the user has: nothing of it is started or stopped, and it must be able to pull the images. */
async function inUsersCluster(
  options: { readonly context: string; readonly dir: string },
  say: Say,
): Promise<void> {
  const kubeconfig = await chooseKubeconfig(options);
  const { kubernetes } = await buildKubernetes(say);
  say(
    `using context ${options.context}; its nodes must be able to pull the images the chart names`,
  );
  await bringUp(toolsFor({ kubernetesBinary: kubernetes, kubeconfig, dir: options.dir }), 0, say);
}

function signalled(): Promise<undefined> {
  return new Promise((stop) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const)
      process.once(signal, () => stop(undefined));
  });
}

const command = new Command("npm start --")
  .description(
    "Runs the operator, a three-node Restate cluster and a service on a real Kubernetes, on this machine.",
  )
  .version(packageJson.version)
  .option("--once", "stop everything when there is nothing more to show")
  .option("--context <name>", "install into this context of your kubeconfig instead")
  .option("--data <dir>", "folder for the Kubernetes cluster's data", ".data/sandbox")
  .action(run);

try {
  await command.parseAsync();
} catch (error) {
  process.stderr.write(`npm start: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
