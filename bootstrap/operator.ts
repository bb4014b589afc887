/**
 * `npm run operator`: the operator in the foreground, against any cluster, under the identity of a kubeconfig. A developer's
 * quick loop; what a cluster gets for good is the Helm chart.
 */
import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import { Command } from "commander";
import packageJson from "../package.json" with { type: "json" };
import { callerEnvironment } from "./config.ts";
import { applyCrds } from "./crds.ts";
import { chooseKubeconfig } from "./kubeconfig.ts";
import { startOperator, type Operator } from "./operator-processes.ts";
import { cleanUpLeftovers, type RunningProcess } from "./processes.ts";

/** Variables that are handed on to services and watcher when set (contract, section 6, and the services' own). */
const HANDED_ON = [
  "AWS_POD_IDENTITY_ASSOCIATION_CLUSTER",
  "GCP_WORKLOAD_IDENTITY",
  "OPERATOR_NAMESPACE",
  "OPERATOR_LABEL_NAME",
  "OPERATOR_LABEL_VALUE",
  "OPERATOR_TUNNEL_CLIENT_DEFAULT_IMAGE",
  "CLUSTER_DNS",
  "CLUSTER_PROXY",
  "CANARY_IMAGE",
  "ALLOW_HOST_ACCESS",
  "MANAGE_NETWORK_POLICIES",
  "MANAGE_SECRET_PROVIDER_CLASSES",
  "LOG_LEVEL",
];

interface Options {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly data: string;
  readonly crds?: true;
}

const say = (line: string) => process.stdout.write(`${line}\n`);

async function run(options: Options): Promise<void> {
  const dir = resolve(options.data);
  await cleanUpLeftovers(dir);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const kubeconfig = await chooseKubeconfig({ ...options, dir });
  if (options.crds === true) say(`applied ${(await applyCrds(kubeconfig)).join(", ")}`);
  const operator = await startOperator({ dir, kubeconfig, env: handedOn() });
  tellWhereItIs(operator, dir);
  const ended = await Promise.race([signalled(), endOfOne(operator)]);
  say(ended === undefined ? "stopping" : `${ended.name} ended; see ${ended.logFile}`);
  await operator.stop();
  if (ended !== undefined) process.exitCode = 1;
}

function handedOn(): Record<string, string> {
  return Object.fromEntries(
    HANDED_ON.flatMap((name) => {
      const value = callerEnvironment[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

function tellWhereItIs(
  { restate, servicesHealthUrl, watcherHealthUrl }: Operator,
  dir: string,
): void {
  say(`The operator is running. Logs: ${dir}/log
  Restate UI        ${restate.adminUrl}/ui
  reconciles        RESTATE_ADMIN_URL=${restate.adminUrl} npx restate invocations list --all
  what it remembers RESTATE_ADMIN_URL=${restate.adminUrl} npx restate kv get ClusterReconciler <name>
  metrics           ${servicesHealthUrl}/metrics and ${watcherHealthUrl}/metrics
Ctrl-C stops it; the data folder keeps its history.`);
}

function signalled(): Promise<undefined> {
  return new Promise((stop) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const)
      process.once(signal, () => stop(undefined));
  });
}

function endOfOne({ services, watcher, restate }: Operator): Promise<RunningProcess> {
  return Promise.race(
    [services, watcher, restate.process].map(async (part) => {
      await part.exited;
      return part;
    }),
  );
}

const command = new Command("operator")
  .description("Runs the operator's processes in the foreground against a Kubernetes cluster.")
  .version(packageJson.version)
  .option(
    "--kubeconfig <file>",
    "the cluster and the identity (default: KUBECONFIG or ~/.kube/config)",
  )
  .option("--context <name>", "another context than the kubeconfig's current one")
  .option("--data <dir>", "folder for the operator's Restate and logs", ".data/operator")
  .option("--crds", "apply the CustomResourceDefinitions first")
  .addHelpText("after", `\nHanded on when set: ${HANDED_ON.join(", ")}`)
  .action(run);

try {
  await command.parseAsync();
} catch (error) {
  process.stderr.write(`operator: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
