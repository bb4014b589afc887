/**
 * A Restate server of this machine, from the binary in its npm package: the bootstrap of `npm run operator`, and the server
 * that tests and benchmarks run. It reads the very configuration that the chart mounts; the environment overrides only
 * what a place decides: addresses, data folder, key.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseEnv } from "node:util";
import { RestateAdmin } from "../../services/restate/admin.ts";
import { choosePorts } from "../kubernetes/ports.ts";
import { startProcess, type RunningProcess } from "../processes.ts";
import { generateIdentityKey } from "./identity.ts";
import { waitForRestate } from "./wait.ts";

/** The configuration of the bootstrap, wherever it runs. */
export const CONFIGURATION_FILE = fileURLToPath(
  new URL("../../charts/restate-operator-helm/files/bootstrap.toml", import.meta.url),
);

/** What no configuration file can carry, wherever the bootstrap runs. */
const ENVIRONMENT_FILE = fileURLToPath(
  new URL("../../charts/restate-operator-helm/files/bootstrap.env", import.meta.url),
);

async function readEnvironment(): Promise<Readonly<Record<string, string | undefined>>> {
  return parseEnv(await readFile(ENVIRONMENT_FILE, "utf8"));
}

/** The native binary behind an npm package of Restate's: `restate-server`, `restate` or `restatectl`. */
export function nativeBinary(name: "restate-server" | "restate" | "restatectl"): string {
  const require = createRequire(import.meta.url);
  const platform = `@restatedev/${name}-${process.platform}-${process.arch}`;
  try {
    return join(dirname(require.resolve(`${platform}/package.json`)), "bin", name);
  } catch {
    throw new Error(
      `${name} is not available for ${process.platform}-${process.arch} (npm package ${platform})`,
    );
  }
}

export interface RestateServerOptions {
  /** Data folder; what is in it is kept over restarts. */
  readonly dir: string;
  /** Part of process, node and port names. */
  readonly name: string;
  /** Configuration file; default: the bootstrap's. */
  readonly configurationFile?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface RestateServer {
  readonly process: RunningProcess;
  readonly ingressUrl: string;
  readonly adminUrl: string;
  /** Private key with which it signs its requests. */
  readonly identityKeyFile: string;
  stop(): Promise<void>;
}

/** Starts a server on loopback and waits until it answers queries. */
export async function startRestateServer(options: RestateServerOptions): Promise<RestateServer> {
  const { dir, name } = options;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const identityKeyFile = join(dir, `${name}-identity.pem`);
  await writeFile(identityKeyFile, generateIdentityKey(), { mode: 0o600, flag: "wx" }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    },
  );
  const port = await choosePorts(dir, [`${name}-ingress`, `${name}-admin`, `${name}-node`]);
  const at = (part: "ingress" | "admin" | "node") => `127.0.0.1:${port(`${name}-${part}`)}`;
  const server = await startProcess({
    name,
    command: nativeBinary("restate-server"),
    args: ["--config-file", options.configurationFile ?? CONFIGURATION_FILE, "--no-logo"],
    dir,
    logFile: join(dir, "log", `${name}.log`),
    env: {
      RESTATE_BASE_DIR: join(dir, name),
      RESTATE_LISTEN_MODE: "tcp",
      RESTATE_BIND_ADDRESS: at("node"),
      RESTATE_ADVERTISED_ADDRESS: `http://${at("node")}/`,
      RESTATE_INGRESS__BIND_ADDRESS: at("ingress"),
      RESTATE_ADMIN__BIND_ADDRESS: at("admin"),
      RESTATE_WORKER__INVOKER__REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE: identityKeyFile,
      ...(await readEnvironment()),
      ...options.env,
    },
  });
  const adminUrl = `http://${at("admin")}`;
  await untilAnswering(server, adminUrl);
  return {
    process: server,
    ingressUrl: `http://${at("ingress")}`,
    adminUrl,
    identityKeyFile,
    stop: () => server.stop(),
  };
}

async function untilAnswering(server: RunningProcess, adminUrl: string): Promise<void> {
  const admin = new RestateAdmin({ url: adminUrl });
  const giveUp = new AbortController();
  const ended = server.exited.then(({ code, signal }) => {
    throw new Error(
      `${server.name} ended (${signal ?? `exit code ${code}`}); see ${server.logFile}`,
    );
  });
  try {
    await Promise.race([waitForRestate(admin, { signal: giveUp.signal }), ended]);
  } finally {
    giveUp.abort();
    await admin.close();
  }
}
