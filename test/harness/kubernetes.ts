/**
 * The control planes that tests share: one for each test file that runs at the same time, started by the first file that asks,
 * cleared and handed on to the next one, ended with the run (kubernetes-teardown.ts). So a file has its control plane for
 * itself, and an operator in it too, which finds nothing to do but what its file asks for.
 *
 * A test that needs one for itself (to restart the API server, to play pods) calls startControlPlane with a folder of its own.
 */
import { execFile } from "node:child_process";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { isMainThread } from "node:worker_threads";
import { findCluster, type ClusterAccess } from "../../bootstrap/kubernetes/cluster.ts";
import { startControlPlane } from "../../bootstrap/kubernetes/control-plane.ts";
import { withLock } from "../../bootstrap/lock.ts";
import { isRunning } from "../../bootstrap/process-identity.ts";
import { cleanUpLeftovers, detachProcesses } from "../../bootstrap/processes.ts";

/** Folders of shared control planes in the folder of a run: this, and a number. */
const CONTROL_PLANE = "control-plane";

/** Every run of the tests keeps its clusters in a folder of its own, named after the test runner's process. */
const RUNS_DIR = join(import.meta.dirname, "..", "..", ".data", "test");

/** The folder of the run that the calling test file belongs to. */
export function testRunDir(): string {
  // a test file runs in a child process or in a thread of the test runner
  return runDirOf(isMainThread ? process.ppid : process.pid);
}

/** The folder of the run whose test runner has the given process id. */
export function runDirOf(pid: number): string {
  return join(RUNS_DIR, String(pid));
}

/** A control plane (three nodes, pods played by kwok), started now if no file at this place of the run asked before. */
export async function sharedControlPlane(): Promise<ClusterAccess> {
  const dir = join(testRunDir(), `${CONTROL_PLANE}-${process.env["VITEST_POOL_ID"] ?? "1"}`);
  return withLock(`${dir}.lock`, async () => {
    const running = await findCluster(dir);
    if (running !== undefined) {
      await clear(running);
      return running;
    }
    await removeEndedRuns();
    const cluster = await startControlPlane({ dir, log: logProgress });
    // test files are processes of their own, and the first one must not take the cluster with it
    await detachProcesses(dir);
    return cluster;
  });
}

const KINDS = ["restateclusters", "restatedeployments", "restatecloudenvironments"] as const;
const OWN_NAMESPACES = /^(?:default|kube-.*)$/;

/** Removes what the file before left: resources whose operator has ended, and every namespace but those of Kubernetes. */
async function clear(cluster: ClusterAccess): Promise<void> {
  const crds = await kubectl(cluster, ["get", "crds", "--output=name"]);
  for (const kind of KINDS.filter((each) => crds.includes(`/${each}.`))) {
    await clearKind(cluster, kind);
  }
  const namespaces = await kubectl(cluster, [
    "get",
    "namespaces",
    "--output=jsonpath={.items[*].metadata.name}",
  ]);
  const left = namespaces.split(" ").filter((name) => !OWN_NAMESPACES.test(name));
  if (left.length === 0) return;
  // Some are on their way out already, and may be gone before they are asked for.
  await kubectl(cluster, ["delete", "namespaces", ...left, "--ignore-not-found", "--timeout=120s"]);
}

async function clearKind(cluster: ClusterAccess, kind: string): Promise<void> {
  const output = await kubectl(cluster, ["get", kind, "--all-namespaces", "--output=json"]);
  const { items } = JSON.parse(output) as {
    items: { metadata: { name: string; namespace?: string } }[];
  };
  for (const { metadata } of items) {
    const { name, namespace } = metadata;
    const which = [kind, name, ...(namespace === undefined ? [] : [`--namespace=${namespace}`])];
    await kubectl(cluster, ["delete", ...which, "--wait=false", "--ignore-not-found"]);
    await kubectl(cluster, ["patch", ...which, "--type=merge", NO_FINALIZERS]).catch(notFound);
  }
}

const NO_FINALIZERS = `--patch=${JSON.stringify({ metadata: { finalizers: null } })}`;

/** Nothing was in the way of its deletion. */
function notFound(error: unknown): string {
  if (String(error).includes("NotFound")) return "";
  throw error;
}

/** Ends the shared control plane of a run and removes the run's folder. */
export async function removeRun(runDir: string): Promise<void> {
  const entries = await readdir(runDir).catch(() => []);
  for (const name of entries.filter((each) => each.startsWith(CONTROL_PLANE))) {
    await cleanUpLeftovers(join(runDir, name), { detached: true });
  }
  await rm(runDir, { recursive: true, force: true });
}

/** What a test runner that was killed left behind. */
export async function removeEndedRuns(): Promise<void> {
  await mkdir(RUNS_DIR, { recursive: true });
  for (const name of await readdir(RUNS_DIR)) {
    if (!(await isRunning(Number(name)))) await removeRun(join(RUNS_DIR, name));
  }
}

/** Progress lines among the test runner's own output. */
export function logProgress(line: string): void {
  process.stderr.write(`  ${line}\n`);
}

/** Runs kubectl as the administrator (or with another kubeconfig) and returns its standard output. */
export async function kubectl(
  cluster: Pick<ClusterAccess, "kubernetesBinary" | "kubeconfig">,
  args: readonly string[],
  input?: string,
): Promise<string> {
  const running = promisify(execFile)(
    cluster.kubernetesBinary,
    ["kubectl", `--kubeconfig=${cluster.kubeconfig}`, ...args],
    { maxBuffer: 64 * 1024 * 1024 },
  );
  running.child.stdin?.end(input ?? "");
  return (await running).stdout;
}
