/**
 * The real node that the end-to-end tests stand on: pods run, find each other and can be looked into, nothing reaches the
 * outside, and nothing is left on the machine after a stop or after a crash of the starter.
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildScratchImage } from "../../bootstrap/images/scratch.ts";
import { nodeFitness } from "../../bootstrap/kubernetes/machine.ts";
import { startNode, type NodeCluster } from "../../bootstrap/kubernetes/node.ts";
import { cleanUpLeftovers, runningProcesses } from "../../bootstrap/processes.ts";
import { kubectl, logProgress, testRunDir } from "../harness/kubernetes.ts";

const fitness = nodeFitness();
if (fitness.kind === "unfit") logProgress(`skipped: ${fitness.reason}`);

const dir = join(testRunDir(), "node");
const IMAGE = "localhost/restate-operator/test-busybox:1";
/** Reserved for documentation (RFC 5737): an address outside that belongs to nobody. */
const OUTSIDE = "192.0.2.1";

let cluster: NodeCluster;

async function importTestImage(): Promise<void> {
  const archive = await buildScratchImage({
    name: IMAGE,
    files: [
      { path: "/bin/busybox", from: "/usr/bin/busybox", mode: 0o755 },
      { path: "/bin/sh", linkTo: "busybox" },
      { path: "/www/index.html", content: "hello from a pod\n" },
    ],
    entrypoint: ["/bin/busybox"],
    user: "1000:2000",
  });
  await cluster.importImage(archive);
}

const WORKLOAD = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  serviceName: web
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 1000, fsGroup: 2000, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: web
          image: ${IMAGE}
          args: [sh, -c, "busybox date > /data/started; echo serving; exec busybox httpd -f -p 8080 -h /www"]
          readinessProbe: {httpGet: {port: 8080, path: /index.html}, periodSeconds: 1}
          securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false}
          volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`;

async function inPod(...command: string[]): Promise<string> {
  return kubectl(cluster, ["exec", "web-0", "--", "busybox", ...command]);
}

async function onNode(...command: string[]): Promise<string> {
  const namespace = `--net=/run/netns/${cluster.networkNamespace}`;
  return (await promisify(execFile)("nsenter", [namespace, ...command])).stdout;
}

/** What is on the machine under the cluster's name or folder. */
async function leftovers(name: string): Promise<string[]> {
  const processes: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (command.includes(name) || command.includes(dir)) processes.push(command.slice(0, 200));
  }
  const mounts = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
  const { stdout: namespaces } = await promisify(execFile)("ip", ["netns", "list"]);
  const hierarchies = (await readdir("/sys/fs/cgroup")).map((each) => join("/sys/fs/cgroup", each));
  const cniResults = await readdir("/var/lib/cni/results").catch(() => []);
  return [
    ...processes,
    ...mounts.filter((line) => line.includes(name) || line.includes(dir)),
    ...namespaces.split("\n").filter((line) => line.includes(name)),
    ...["/sys/fs/cgroup", ...hierarchies].map((each) => join(each, name)).filter(existsSync),
    ...[join("/run", name)].filter(existsSync),
    ...cniResults.filter((file) => file.includes(name)),
    ...(await runningProcesses(dir)).map((record) => record.name),
  ];
}

describe.skipIf(fitness.kind === "unfit")("a real node", () => {
  beforeAll(async () => {
    cluster = await startNode({ dir, log: logProgress });
    await importTestImage();
    await kubectl(cluster, ["apply", "-f", "-"], WORKLOAD);
    await kubectl(cluster, ["rollout", "status", "statefulset/web", "--timeout=120s"]);
  });

  afterAll(async () => {
    await cluster?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  test("a pod runs as it was told to, on a volume it can write to; logs and exec work", async () => {
    expect(await kubectl(cluster, ["logs", "web-0"])).toBe("serving\n");
    expect(await inPod("id", "-u")).toBe("1000\n");
    expect(await inPod("cat", "/data/started")).toMatch(/\d{4}\n$/);
    const [volume] = await readdir(join(dir, "volumes"));
    const { uid, gid, mode } = await stat(join(dir, "volumes", volume!));
    expect({ uid, gid, mode: mode & 0o7777 }).toEqual({ uid: 1000, gid: 2000, mode: 0o2775 });
  });

  test("DNS resolves services, services answer, and names outside do not exist", async () => {
    expect(await inPod("nslookup", "kubernetes.default.svc.cluster.local")).toContain("10.96.0.1");
    expect(await inPod("wget", "-qO-", "http://web.default")).toBe("hello from a pod\n");
    await expect(inPod("nslookup", "example.com")).rejects.toThrow("exit code 1");
  });

  test("nothing inside reaches an address outside: refused at once, from a pod and from the node", async () => {
    for (const connect of [inPod, onNode.bind(undefined, "busybox")]) {
      const startedAtMs = Date.now();
      await expect(connect("nc", "-w", "10", OUTSIDE, "443")).rejects.toThrow("Connection refused");
      expect(Date.now() - startedAtMs).toBeLessThan(3_000);
    }
  });

  test("a forwarded port on loopback leads to a service inside, the same one whenever it is asked for", async () => {
    const port = await cluster.forward({ host: "web.default", port: 80 });
    expect(await cluster.forward({ host: "web.default", port: 80 })).toBe(port);
    const response = await fetch(`http://127.0.0.1:${port}/`);
    expect(await response.text()).toBe("hello from a pod\n");
  });

  test("stopped: no process, mount, namespace or cgroup; killed after a second start: the same", async () => {
    // network namespace, cgroup and so on have one name
    const name = cluster.networkNamespace;
    expect(await leftovers(name)).not.toEqual([]);
    await cluster.stop();
    expect(await leftovers(name)).toEqual([]);

    const child = await startInChild();
    await kubectl(cluster, ["rollout", "status", "statefulset/web", "--timeout=120s"]);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(await runningProcesses(dir)).not.toEqual([]);
    await cleanUpLeftovers(dir);
    expect(await leftovers(name)).toEqual([]);
  });
});

async function startInChild() {
  const module = join(import.meta.dirname, "..", "..", "bootstrap", "kubernetes", "node.ts");
  const program = `
    const { startNode } = await import(${JSON.stringify(module)});
    const log = (line) => process.stderr.write("  " + line + "\\n");
    await startNode({ dir: ${JSON.stringify(dir)}, log });
    setInterval(() => undefined, 60_000);
    process.stdout.write("ready");
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  return child;
}
