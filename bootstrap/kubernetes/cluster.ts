/**
 * What both modes have in common for whoever uses a cluster: its handle, and how it is found again from its data folder.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { cleanUpLeftovers, runningProcesses } from "../processes.ts";
import { auditLogFile, type Site } from "./components.ts";
import { componentKubeconfig, writeKubeconfig, type User } from "./credentials.ts";

/** What a user of a running cluster needs to know. Everything in it is reachable from this machine, over loopback. */
const ClusterAccess = z
  .object({
    mode: z.enum(["control-plane", "node"]),
    /** Data folder. */
    dir: z.string(),
    /** Administrator's kubeconfig file. */
    kubeconfig: z.string(),
    /** `https://127.0.0.1:<port>` */
    server: z.string(),
    /** PEM of the authority that signed the server's certificate. */
    certificate: z.string(),
    /** Bearer token of the user `admin`, group system:masters. */
    adminToken: z.string(),
    /** One JSON line per request; test/harness/audit.ts reads it. */
    auditLog: z.string(),
    /** The multi-call binary: `kubernetesBinary kubectl …`. */
    kubernetesBinary: z.string(),
  })
  .readonly();
export type ClusterAccess = z.infer<typeof ClusterAccess>;

export type Cluster = ClusterAccess & {
  /** Ends the API server and starts it again on the same port; resolves when it is ready. */
  restartApiServer(): Promise<void>;
  /** Ends everything that was started. The data folder stays: the next start finds the same objects. */
  stop(): Promise<void>;
};

/** Under which URLs the API server is reached, and by whom. */
export type Reach = {
  readonly mode: ClusterAccess["mode"];
  /** From this machine. */
  readonly server: string;
  /** From where the cluster's own processes run. */
  readonly serverInside: string;
  readonly components: readonly User[];
};

/** Writes the kubeconfigs of a cluster and what `findCluster` returns later. */
export async function writeAccess(site: Site, reach: Reach): Promise<ClusterAccess> {
  const { dir, credentials } = site;
  for (const user of reach.components) {
    const file = componentKubeconfig(dir, user);
    await writeKubeconfig(dir, { user, server: reach.serverInside, file });
  }
  const kubeconfig = join(dir, "kubeconfig");
  await writeKubeconfig(dir, { user: "admin", server: reach.server, file: kubeconfig });
  const access: ClusterAccess = {
    mode: reach.mode,
    dir,
    kubeconfig,
    server: reach.server,
    certificate: credentials.certificate,
    adminToken: credentials.adminToken,
    auditLog: auditLogFile(dir),
    kubernetesBinary: site.binaries.kubernetes,
  };
  await writeFile(accessFile(dir), JSON.stringify(access), { mode: 0o600 });
  return access;
}

/** The cluster that runs on a data folder, whoever started it; undefined if none does. */
export async function findCluster(dir: string): Promise<ClusterAccess | undefined> {
  const running = await runningProcesses(dir);
  if (!running.some(({ name }) => name === "kube-apiserver")) return undefined;
  const text = await readFile(accessFile(dir), "utf8").catch(() => undefined);
  return text === undefined ? undefined : ClusterAccess.parse(JSON.parse(text));
}

/**
 * Makes a data folder ready for a start: nothing of an earlier one is left running.
 *
 * @throws Error when a cluster that somebody else started is running there.
 */
export async function claimDataDir(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await cleanUpLeftovers(dir);
  const [running] = await runningProcesses(dir);
  if (running === undefined) return;
  const owner =
    running.starter === null ? "npm run kubernetes -- up" : `process ${running.starter.pid}`;
  throw new Error(
    `${dir} is in use: ${running.name} (process ${running.pid}) was started by ${owner}; stop that first or choose another folder`,
  );
}

function accessFile(dir: string): string {
  return join(dir, "cluster.json");
}
