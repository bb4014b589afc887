/**
 * `npm run kubernetes -- …`: a cluster by itself, to look at or to develop against. It runs until `down`, also after the
 * terminal is closed. kubectl and helm are those of the same binary, with the cluster's own kubeconfig: the user's current
 * context is neither read nor changed, unless a context is named.
 */
import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { Command, Option } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { callerEnvironment } from "../config.ts";
import { detachProcesses, runningProcesses } from "../processes.ts";
import { buildKubernetes } from "./build.ts";
import { findCluster, type ClusterAccess } from "./cluster.ts";
import { startControlPlane } from "./control-plane.ts";
import { startNode } from "./node.ts";
import { stopCluster } from "./stop.ts";

const MODES = ["control-plane", "node"] as const;
type Mode = (typeof MODES)[number];

interface Options {
  readonly mode?: Mode;
  readonly data?: string;
}

interface ToolOptions extends Options {
  readonly context?: string;
}

const say = (line: string) => process.stdout.write(`${line}\n`);
const tell = (line: string) => process.stderr.write(`${line}\n`);

async function up(options: Options): Promise<void> {
  const mode = options.mode ?? "control-plane";
  const dir = dataDir(options, mode);
  const running = await findCluster(dir);
  if (running === undefined) {
    await (mode === "node" ? startNode({ dir, log: tell }) : startControlPlane({ dir, log: tell }));
    await detachProcesses(dir);
  }
  await describe(dir);
  say("end it with: npm run kubernetes -- down");
  // the started processes go on; nothing of this one may wait for them
  process.exit(0);
}

async function down(options: Options): Promise<void> {
  const dirs =
    options.data === undefined && options.mode === undefined
      ? MODES.map((mode) => dataDir(options, mode))
      : [dataDir(options, options.mode ?? "control-plane")];
  for (const dir of dirs) {
    const running = await runningProcesses(dir);
    await stopCluster(dir);
    say(running.length === 0 ? `nothing was running in ${dir}` : `stopped what ran in ${dir}`);
  }
}

async function status(options: Options): Promise<void> {
  const clusters = await runningClusters(options);
  if (clusters.length === 0) say("no cluster is running: npm run kubernetes -- up");
  for (const { dir } of clusters) await describe(dir);
}

async function describe(dir: string): Promise<void> {
  const cluster = await findCluster(dir);
  if (cluster === undefined) return;
  const processes = (await runningProcesses(dir)).map(({ name, pid }) => `${name} (${pid})`);
  say(`Kubernetes, mode ${cluster.mode}
  API server   ${cluster.server}
  kubeconfig   ${cluster.kubeconfig}
  audit log    ${cluster.auditLog}
  processes    ${processes.join(", ")}`);
}

/** Runs kubectl or helm in the foreground and takes over its exit code. */
async function runTool(tool: "kubectl" | "helm", args: readonly string[], options: ToolOptions) {
  const { binary, env, flags } = await toolTarget(tool, options);
  const child = spawn(binary, [tool, ...flags, ...args], {
    stdio: "inherit",
    env: { ...callerEnvironment, ...env },
  });
  process.exitCode = await new Promise<number>((done, fail) => {
    child.once("error", fail);
    child.once("close", (code) => done(code ?? 1));
  });
}

async function toolTarget(tool: "kubectl" | "helm", options: ToolOptions) {
  if (options.context === undefined) {
    const { kubernetesBinary, kubeconfig } = await theCluster(options);
    return { binary: kubernetesBinary, env: { KUBECONFIG: kubeconfig }, flags: [] };
  }
  const { kubernetes } = await buildKubernetes(tell);
  const flag = tool === "helm" ? "--kube-context" : "--context";
  return { binary: kubernetes, env: {}, flags: [`${flag}=${options.context}`] };
}

async function theCluster(options: Options): Promise<ClusterAccess> {
  const [cluster, another] = await runningClusters(options);
  if (cluster === undefined) throw new Error("no cluster is running: npm run kubernetes -- up");
  if (another === undefined) return cluster;
  throw new Error("both clusters are running: say which one with --mode before the arguments");
}

async function runningClusters(options: Options): Promise<ClusterAccess[]> {
  const modes = options.mode === undefined ? MODES : [options.mode];
  const dirs = new Set(modes.map((mode) => dataDir(options, mode)));
  const found = await Promise.all([...dirs].map(findCluster));
  return found.filter((cluster) => cluster !== undefined);
}

function dataDir(options: Options, mode: Mode): string {
  return resolve(options.data ?? `.data/kubernetes-${mode}`);
}

function subcommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .addOption(
      new Option(
        "--mode <mode>",
        "control-plane: pods are played; node: pods are real, needs root on Linux",
      ).choices(MODES),
    )
    .option("--data <dir>", "data folder (default: .data/kubernetes-<mode>)");
}

function toolCommand(tool: "kubectl" | "helm"): Command {
  return subcommand(tool, `run ${tool} on the running cluster; everything after it is passed on`)
    .option("--context <name>", "use this context of your own kubeconfig instead")
    .argument("[args...]")
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .action(async (args: string[], options: ToolOptions) => runTool(tool, args, options));
}

const program = new Command("npm run kubernetes --")
  .description("A Kubernetes on this machine, without Docker.")
  .version(packageJson.version)
  .enablePositionalOptions()
  .addCommand(subcommand("up", "start a cluster and leave it running").action(up))
  .addCommand(subcommand("down", "end it; its data folder stays").action(down))
  .addCommand(subcommand("status", "say what is running").action(status))
  .addCommand(toolCommand("kubectl"))
  .addCommand(toolCommand("helm"));

try {
  await program.parseAsync();
} catch (error) {
  tell(`kubernetes: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
