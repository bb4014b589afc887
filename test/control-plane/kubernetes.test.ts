/**
 * The control plane that every other test in this folder stands on: it is a real one, with RBAC and an audit log, it keeps
 * to itself, and nothing of it is left when it has been stopped or its starter was killed.
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  findCluster,
  type Cluster,
  type ClusterAccess,
} from "../../bootstrap/kubernetes/cluster.ts";
import { startControlPlane } from "../../bootstrap/kubernetes/control-plane.ts";
import { isPortFree } from "../../bootstrap/kubernetes/ports.ts";
import { isRunning } from "../../bootstrap/process-identity.ts";
import { runningProcesses } from "../../bootstrap/processes.ts";
import { howToFollow } from "../../bootstrap/sandbox/next-steps.ts";
import { auditPosition, isWrite, readAudit } from "../harness/audit.ts";
import { kubectl, logProgress, sharedControlPlane, testRunDir } from "../harness/kubernetes.ts";
import { until } from "../harness/until.ts";

const MAIN = join(import.meta.dirname, "../../bootstrap/kubernetes/main.ts");
const started: Cluster[] = [];

async function start(name: string, options: { playPods?: boolean } = {}): Promise<Cluster> {
  const dir = join(testRunDir(), name);
  const cluster = await startControlPlane({ dir, log: logProgress, ...options });
  started.push(cluster);
  return cluster;
}

afterEach(async () => {
  for (const cluster of started.splice(0)) await cluster.stop();
});

function portOf(cluster: { server: string }): number {
  return Number(new URL(cluster.server).port);
}

const STATEFUL_SET = (namespace: string) => `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store, namespace: ${namespace}}
spec:
  replicas: 3
  serviceName: store
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store}}
    spec:
      containers: [{name: store, image: example/store:1, volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`;

describe("the shared control plane", () => {
  let cluster: ClusterAccess;

  beforeAll(async () => {
    cluster = await sharedControlPlane();
  });

  test("a StatefulSet with volume claims becomes ready, its claims are bound and can grow", async () => {
    await kubectl(cluster, ["create", "namespace", "stateful"]);
    await kubectl(cluster, ["apply", "-f", "-"], STATEFUL_SET("stateful"));
    const rollout = ["rollout", "status", "statefulset/store", "--timeout=60s"];
    await kubectl(cluster, ["-n", "stateful", ...rollout]);
    const claims = ["-n", "stateful", "get", "pvc", "-o"];
    expect(await kubectl(cluster, [...claims, "jsonpath={.items[*].status.phase}"])).toBe(
      "Bound Bound Bound",
    );
    const patch = JSON.stringify({ spec: { resources: { requests: { storage: "2Gi" } } } });
    await kubectl(cluster, ["-n", "stateful", "patch", "pvc", "data-store-0", "-p", patch]);
    const grown = "--for=jsonpath={.status.capacity.storage}=2Gi";
    await kubectl(cluster, ["-n", "stateful", "wait", "pvc/data-store-0", grown, "--timeout=30s"]);
  });

  test("a Job completes", async () => {
    await kubectl(cluster, ["create", "namespace", "jobs"]);
    await kubectl(cluster, ["-n", "jobs", "create", "job", "once", "--image=example/once:1"]);
    const wait = ["-n", "jobs", "wait", "job/once", "--for=condition=Complete", "--timeout=60s"];
    expect(await kubectl(cluster, wait)).toContain("condition met");
  });

  test("the kubectl that npm start prints finds the cluster, wherever its data folder is", async () => {
    const url = "http://127.0.0.1:1";
    const printed = howToFollow({
      dataDir: cluster.dir,
      kubeconfig: "",
      example: "",
      bootstrapAdminUrl: url,
      bootstrapIngressUrl: url,
      exampleAdminUrl: url,
      exampleIngressUrl: url,
    });
    const [, tool] = /alias kubectl='npm run --silent kubernetes -- (.*)'/.exec(printed) ?? [];
    const args = [...tool!.split(" "), "-n", "kube-system", "get", "serviceaccounts/default"];
    const { stdout } = await promisify(execFile)(process.execPath, [MAIN, ...args]);
    expect(stdout).toContain("default");
  });

  test("RBAC: a service account without a role may do nothing, and the audit log says so", async () => {
    await kubectl(cluster, ["create", "namespace", "rbac"]);
    await kubectl(cluster, ["-n", "rbac", "create", "serviceaccount", "nobody"]);
    const token = (await kubectl(cluster, ["-n", "rbac", "create", "token", "nobody"])).trim();
    const before = await auditPosition(cluster.auditLog);
    const create = ["--kubeconfig=/dev/null", `--server=${cluster.server}`, `--token=${token}`];
    const refused = kubectl(cluster, [
      ...create,
      "--insecure-skip-tls-verify",
      "--namespace=rbac",
      "create",
      "configmap",
      "forbidden",
    ]);
    await expect(refused).rejects.toThrow(/Forbidden|forbidden/);
    const user = "system:serviceaccount:rbac:nobody";
    const records = (await readAudit(cluster.auditLog, before)).filter(
      (record) => record.user === user && isWrite(record),
    );
    expect(records).toMatchObject([
      { verb: "create", resource: "configmaps", namespace: "rbac", code: 403, subresource: "" },
    ]);
    expect(records[0]!.answeredAtMs).toBeGreaterThan(records[0]!.receivedAtMs);
  });
});

describe("a control plane of one's own", () => {
  test("two run side by side; one's API server can be restarted, and keeps its objects to itself", async () => {
    const shared = await sharedControlPlane();
    const own = await start("own");
    expect(portOf(own)).not.toBe(portOf(shared));
    await kubectl(own, ["create", "namespace", "only-here"]);
    await own.restartApiServer();
    const get = ["get", "namespace", "only-here", "-o", "name"];
    expect(await kubectl(own, get)).toBe("namespace/only-here\n");
    await expect(kubectl(shared, get)).rejects.toThrow("NotFound");
  });

  test("a pod that was made again while nobody watched is scheduled after the API server's restart", async () => {
    const own = await start("own");
    await kubectl(own, ["apply", "-f", "-"], STATEFUL_SET("default"));
    await kubectl(own, ["rollout", "status", "statefulset/store", "--timeout=60s"]);
    const uid = ["get", "pod", "store-0", "-o", "jsonpath={.metadata.uid}"];
    const before = await kubectl(own, uid);
    const scheduler = (await runningProcesses(own.dir)).find(
      ({ name }) => name === "kube-scheduler",
    );
    process.kill(scheduler!.pid, "SIGSTOP");
    await own.restartApiServer();
    await kubectl(own, ["delete", "pod", "store-0"]);
    await until("it is made again", async () => (await kubectl(own, uid)) !== before);
    if (await isRunning(scheduler!.pid)) process.kill(scheduler!.pid, "SIGCONT");
    await kubectl(own, ["wait", "pod/store-0", "--for=condition=Ready", "--timeout=60s"]);
  });

  test("a folder in use is refused with the process that uses it", async () => {
    const child = await startInChild("in-use");
    try {
      await expect(start("in-use")).rejects.toThrow(
        new RegExp(`in-use is in use: .* was started by process ${child.pid}`),
      );
    } finally {
      child.kill("SIGTERM");
      await once(child, "exit");
    }
  });

  test("stopped: no process, no open port; started again: the same objects, token and port", async () => {
    const first = await start("again");
    await kubectl(first, ["create", "namespace", "kept"]);
    const ports = await portsOf(first.dir);
    await first.stop();
    expect(await runningProcesses(first.dir)).toEqual([]);
    expect(await readdir(join(first.dir, "run"))).toEqual([]);
    expect(await Promise.all(ports.map(isPortFree))).toEqual(ports.map(() => true));
    expect(await findCluster(first.dir)).toBeUndefined();
    const second = await start("again");
    expect(second).toMatchObject({ server: first.server, adminToken: first.adminToken });
    expect(await kubectl(second, ["get", "namespace", "kept", "-o", "name"])).toContain("kept");
  });

  test("pods that nobody plays stay Pending, and their claims are bound all the same", async () => {
    const own = await start("unplayed", { playPods: false });
    await kubectl(own, ["apply", "-f", "-"], STATEFUL_SET("default"));
    await kubectl(own, ["wait", "pod/store-0", "--for=create", "--timeout=60s"]);
    await kubectl(own, ["wait", "pod/store-0", "--for=condition=PodScheduled", "--timeout=60s"]);
    const wait = ["wait", "pvc/data-store-0", "--for=jsonpath={.status.phase}=Bound"];
    await kubectl(own, [...wait, "--timeout=30s"]);
    const phase = ["get", "pod", "store-0", "-o", "jsonpath={.status.phase}{.status.podIP}"];
    expect(await kubectl(own, phase)).toBe("Pending");
  });
});

test("what a killed starter leaves behind is ended by the next start on the same folder", async () => {
  const child = await startInChild("killed");
  const dir = join(testRunDir(), "killed");
  child.kill("SIGKILL");
  await once(child, "exit");
  const orphans = await runningProcesses(dir);
  expect(orphans.map(({ name }) => name)).toEqual([
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok",
    "provisioner",
  ]);
  const cluster = await start("killed");
  const successors = await runningProcesses(dir);
  expect(successors).toHaveLength(orphans.length);
  expect(successors.map(({ pid }) => pid)).not.toEqual(expect.arrayContaining([orphans[0]!.pid]));
  await cluster.stop();
  expect(await runningProcesses(dir)).toEqual([]);
});

/** Starts a control plane in a process of its own and resolves when it is ready. SIGTERM stops it in an orderly way. */
async function startInChild(name: string) {
  const dir = join(testRunDir(), name);
  const module = join(
    import.meta.dirname,
    "..",
    "..",
    "bootstrap",
    "kubernetes",
    "control-plane.ts",
  );
  const program = `
    const { startControlPlane } = await import(${JSON.stringify(module)});
    const cluster = await startControlPlane({ dir: ${JSON.stringify(dir)}, log: () => undefined });
    process.on("SIGTERM", () => cluster.stop().then(() => process.exit(0)));
    setInterval(() => undefined, 60_000);
    process.stdout.write("ready");
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await Promise.race([
    once(child.stdout, "data"),
    sleep(120_000, undefined, { ref: false }).then(() => {
      throw new Error("the child is not ready");
    }),
  ]);
  return child;
}

async function portsOf(dir: string): Promise<number[]> {
  const ports = JSON.parse(await readFile(join(dir, "ports.json"), "utf8")) as object;
  return Object.values(ports) as number[];
}
