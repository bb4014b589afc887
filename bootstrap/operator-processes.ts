/**
 * The operator as processes of this machine: its Restate, the services, the watcher, against any Kubernetes cluster. What
 * `npm run operator` runs in the foreground, and what control-plane tests and benchmarks start and kill piece by piece.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { choosePorts } from "./kubernetes/ports.ts";
import { startProcess, type RunningProcess } from "./processes.ts";
import { startRestateServer, type RestateServer } from "./restate/server.ts";

export interface OperatorOptions {
  /** Data folder: Restate's data, logs, ports. */
  readonly dir: string;
  /** Credentials of the services; of the watcher too unless it has its own. */
  readonly kubeconfig: string;
  readonly watcherKubeconfig?: string;
  /** Variables of the contract (section 6) and others, for services and watcher. */
  readonly env?: Readonly<Record<string, string>>;
  readonly restateEnv?: Readonly<Record<string, string>>;
  /** Files to run instead of this checkout's sources: bundles, or the sources of another build. */
  readonly entries?: { readonly services: string; readonly watcher: string };
}

export interface Operator {
  readonly services: RunningProcess;
  readonly watcher: RunningProcess;
  readonly restate: RestateServer;
  /** URLs of the services' and the watcher's probes and metrics. */
  readonly servicesHealthUrl: string;
  readonly watcherHealthUrl: string;
  stop(): Promise<void>;
}

/** Parts of the operator that can be started again one by one on the same data folder. */
export interface OperatorParts {
  startRestate(): Promise<RestateServer>;
  startServices(restate: RestateServer): Promise<RunningProcess>;
  startWatcher(restate: RestateServer): Promise<RunningProcess>;
  readonly servicesHealthUrl: string;
  readonly watcherHealthUrl: string;
}

/** As in the chart. */
const WATCHER_FLAGS = ["--max-semi-space-size=2"];

const entry = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** Chooses ports and says how each part is started; starts nothing. */
export async function operatorParts(options: OperatorOptions): Promise<OperatorParts> {
  const { dir, kubeconfig } = options;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const port = await choosePorts(dir, ["services", "services-health", "watcher-health"]);
  const entries = options.entries ?? {
    services: entry("services/main.ts"),
    watcher: entry("watcher/main.ts"),
  };
  const common = { BIND_ADDRESS: "127.0.0.1", ...options.env };
  const node = (name: string, args: readonly string[], env: Readonly<Record<string, string>>) =>
    startProcess({
      name,
      command: process.execPath,
      args,
      dir,
      logFile: join(dir, "log", `${name}.log`),
      env: { ...common, ...env },
    });
  return {
    startRestate: () =>
      startRestateServer({
        dir,
        name: "restate",
        ...(options.restateEnv === undefined ? {} : { env: options.restateEnv }),
      }),
    startServices: (restate) =>
      node("services", [entries.services], {
        KUBECONFIG: kubeconfig,
        BOOTSTRAP_INGRESS_URL: restate.ingressUrl,
        BOOTSTRAP_ADMIN_URL: restate.adminUrl,
        SERVICES_URL: `http://127.0.0.1:${port("services")}`,
        SERVICES_PORT: String(port("services")),
        HEALTH_PORT: String(port("services-health")),
        REQUEST_IDENTITY_KEY_FILE: restate.identityKeyFile,
      }),
    startWatcher: (restate) =>
      node("watcher", [...WATCHER_FLAGS, entries.watcher], {
        KUBECONFIG: options.watcherKubeconfig ?? kubeconfig,
        BOOTSTRAP_INGRESS_URL: restate.ingressUrl,
        HEALTH_PORT: String(port("watcher-health")),
      }),
    servicesHealthUrl: `http://127.0.0.1:${port("services-health")}`,
    watcherHealthUrl: `http://127.0.0.1:${port("watcher-health")}`,
  };
}

/** Starts all parts. When one cannot be started, the others are stopped. */
export async function startOperator(options: OperatorOptions): Promise<Operator> {
  const parts = await operatorParts(options);
  const restate = await parts.startRestate();
  const started: RunningProcess[] = [];
  const stop = async () => {
    await Promise.all(started.map((process) => process.stop()));
    await restate.stop();
  };
  try {
    const services = await parts.startServices(restate);
    started.push(services);
    const watcher = await parts.startWatcher(restate);
    started.push(watcher);
    const { servicesHealthUrl, watcherHealthUrl } = parts;
    return { services, watcher, restate, servicesHealthUrl, watcherHealthUrl, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
