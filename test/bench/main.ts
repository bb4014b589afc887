/**
 * `npm run bench`: what the operator costs, as one JSON document on standard output. A control plane and an operator of its
 * own, the operator under its chart's service accounts, the code as the image holds it. Progress goes to standard error.
 */
import { rm } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { startControlPlane } from "../../bootstrap/kubernetes/control-plane.ts";
import { logProgress } from "../harness/kubernetes.ts";
import { Objects } from "../harness/objects.ts";
import { startTestOperator } from "../harness/operator.ts";
import { deployments } from "./deployments.ts";
import { startInstantAdmin } from "./instant-admin.ts";
import { alone, atOnce, floor, warmUp, type Bench } from "./scenarios.ts";

const SCENARIOS = { floor, alone, "at-once": atOnce, deployments } as const;
type ScenarioName = keyof typeof SCENARIOS;

const DATA_DIR = join(import.meta.dirname, "../../.data/bench");
const DEFAULT_CLUSTERS = 100;

const DEFAULT_DEPLOYMENTS = 1_000;

type Options = {
  readonly only?: readonly ScenarioName[];
  readonly clusters: number;
  readonly deployments: number;
};

async function run({ only, ...counts }: Options): Promise<void> {
  await rm(join(DATA_DIR, "operator"), { recursive: true, force: true });
  const cluster = await startControlPlane({ dir: DATA_DIR, log: logProgress });
  const objects = new Objects(cluster);
  const admin = await startInstantAdmin();
  try {
    const operator = await startTestOperator({
      cluster,
      dir: join(DATA_DIR, "operator"),
      env: { ADMIN_URL_ALLOWED_HOSTS: new URL(admin.url).host },
    });
    try {
      const bench: Bench = { objects, operator, admin, ...counts, say: logProgress };
      await warmUp(bench);
      const results: Record<string, unknown> = {};
      for (const name of only ?? scenarioNames()) results[name] = await SCENARIOS[name](bench);
      const machine = { cpus: cpus().length, load: loadavg()[0] };
      const document = { version: packageJson.version, machine, results };
      process.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
    } finally {
      await operator.stop();
    }
  } finally {
    await admin.close();
    await objects.close();
    await cluster.stop();
    await rm(DATA_DIR, { recursive: true, force: true });
  }
}

const scenarioNames = () => Object.keys(SCENARIOS) as ScenarioName[];

function parseScenario(value: string, others: readonly ScenarioName[] = []): ScenarioName[] {
  const name = scenarioNames().find((known) => known === value);
  if (name === undefined) {
    throw new InvalidArgumentError(`there are ${scenarioNames().join(", ")}`);
  }
  return [...others, name];
}

function parseCount(value: string): number {
  const count = Number(value);
  if (!Number.isInteger(count) || count < 1)
    throw new InvalidArgumentError("a whole number above 0");
  return count;
}

await new Command("bench")
  .description("Measures the operator on a control plane whose pods are played.")
  .option("--only <scenario>", `${scenarioNames().join(", ")}; may be repeated`, parseScenario)
  .option("--clusters <n>", "how many RestateClusters at once", parseCount, DEFAULT_CLUSTERS)
  .option(
    "--deployments <n>",
    "how many RestateDeployments at once",
    parseCount,
    DEFAULT_DEPLOYMENTS,
  )
  .action((options: Options) => run(options))
  .parseAsync();
