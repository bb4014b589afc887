/**
 * The end of a cluster of either mode, from its data folder alone: whoever started it, this also works after a crash.
 */
import { resolve } from "node:path";
import { runningProcesses, stopProcess } from "../processes.ts";
import { releaseResources, runDir } from "../resources.ts";

/** Names of the processes that let others reach into a node begin with this. */
export const FORWARDER_PREFIX = "forward-";

/** On SIGTERM the API server waits for its watches to end and would hold its port for a minute. */
const API_SERVER_GRACE_MS = 2_000;
/** Controllers keep nothing that could be lost. */
const CLIENT_GRACE_MS = 1_000;

/** What writes to the API server ends before it, or fills its log with failures. */
const CLIENTS = [
  "kubelet",
  "kube-proxy",
  "kwok",
  "provisioner",
  "kube-controller-manager",
  "kube-scheduler",
];

export async function stopApiServer(dir: string): Promise<void> {
  await stopProcess(dir, "kube-apiserver", API_SERVER_GRACE_MS);
}

export async function stopClients(dir: string, names: readonly string[]): Promise<void> {
  await Promise.all(names.map((name) => stopProcess(dir, name, CLIENT_GRACE_MS)));
}

/**
 * Stops everything that runs on a data folder: processes, then containers, mounts, namespaces, cgroups and sockets. The
 * folder stays.
 */
export async function stopCluster(dir: string): Promise<void> {
  const folder = resolve(dir);
  await Promise.all(CLIENTS.map((name) => stopProcess(folder, name)));
  await stopProcess(folder, "containerd");
  await stopApiServer(folder);
  await stopProcess(folder, "etcd");
  const remaining = (await runningProcesses(folder)).map(({ name }) => name);
  for (const name of remaining.filter((each) => each.startsWith(FORWARDER_PREFIX))) {
    await stopProcess(folder, name);
  }
  await releaseResources(runDir(folder), async () => true);
}
