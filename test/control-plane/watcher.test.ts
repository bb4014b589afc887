/**
 * The watcher as a process of its own against a real API server, with a recording HTTP peer as the bootstrap's ingress. The
 * control plane is this file's own, because the API server is restarted and CRDs are missing at first; its controllers play
 * no part, so that every change is the test's.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { Server } from "node:http";
import { connect, createServer as createTcpServer } from "node:net";
import type { Socket } from "node:net";
import { join } from "node:path";
import { Agent, request } from "undici";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Cluster } from "../../bootstrap/kubernetes/cluster.ts";
import { startControlPlane } from "../../bootstrap/kubernetes/control-plane.ts";
import { kubectl, logProgress, testRunDir } from "../harness/kubernetes.ts";
import { until } from "../harness/until.ts";

/** For what needs a process to start, or an API server to answer. */
const SOON = { timeout: 30_000, interval: 50 };
const REPOSITORY = join(import.meta.dirname, "..", "..");
const MERGE = "application/merge-patch+json";
const CLUSTERS = "/apis/restate.dev/v1/restateclusters";
const ENVIRONMENTS = "/apis/restate.dev/v1beta1/restatecloudenvironments";
const deployments = (namespace: string) =>
  `/apis/restate.dev/v1beta1/namespaces/${namespace}/restatedeployments`;

interface Wake {
  readonly key: string;
  readonly why: string;
}

/** The ingress of a bootstrap that records wakes; while `down` its port is closed. */
class Ingress {
  readonly wakes: Wake[] = [];
  #server: Server = createServer();
  #port = 0;

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async start(): Promise<void> {
    this.#server = createServer((incoming, response) => {
      let body = "";
      incoming.on("data", (chunk) => (body += String(chunk)));
      incoming.on("end", () => {
        const [object, key] = (incoming.url ?? "").split("/").slice(1, 3);
        const { why } = JSON.parse(body) as { why: string };
        this.wakes.push({ key: `${object}/${decodeURIComponent(key ?? "")}`, why });
        response.writeHead(202).end("{}");
      });
    });
    await new Promise<void>((resolve) => {
      this.#server.listen(this.#port, "127.0.0.1", resolve);
    });
    const address = this.#server.address();
    if (typeof address === "object" && address !== null) this.#port = address.port;
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  /** Removes and returns what came so far. */
  taken(): Wake[] {
    return this.wakes.splice(0);
  }
}

let cluster: Cluster;
let agent: Agent;
const ingress = new Ingress();

interface Answer {
  readonly metadata: { readonly uid: string };
  readonly items?: readonly { readonly metadata: { readonly name: string } }[];
}

type Method = "GET" | "POST" | "PATCH" | "DELETE";

async function api(method: Method, path: string, body?: object): Promise<Answer> {
  const response = await request(`${cluster.server}${path}`, {
    method,
    dispatcher: agent,
    headers: {
      authorization: `Bearer ${cluster.adminToken}`,
      "content-type": method === "PATCH" ? MERGE : "application/json",
    },
    body: body === undefined ? null : JSON.stringify(body),
  });
  const text = await response.body.text();
  if (response.statusCode === 429) {
    // Its storage is not ready for a moment after a restart.
    await quiet();
    return api(method, path, body);
  }
  if (response.statusCode >= 300) throw new Error(`${method} ${path}: ${text.slice(0, 400)}`);
  return JSON.parse(text) as Answer;
}

/** A watcher process and the port of its probes. */
class WatcherProcess {
  readonly lines: Record<string, unknown>[] = [];
  readonly child: ChildProcess;
  stderr = "";
  #rest = "";

  constructor(environment: Record<string, string> = {}) {
    this.child = spawn(process.execPath, ["watcher/main.ts"], {
      cwd: REPOSITORY,
      env: {
        PATH: process.env["PATH"],
        KUBECONFIG: cluster.kubeconfig,
        BOOTSTRAP_INGRESS_URL: ingress.url,
        BIND_ADDRESS: "127.0.0.1",
        HEALTH_PORT: "0",
        OPERATOR_NAMESPACE: "operator",
        ...environment,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child.stdout?.on("data", (chunk) => {
      const lines = `${this.#rest}${String(chunk)}`.split("\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) this.lines.push(JSON.parse(line) as Record<string, unknown>);
    });
    this.child.stderr?.on("data", (chunk) => (this.stderr += String(chunk)));
  }

  logged(message: string): Record<string, unknown>[] {
    return this.lines.filter(({ msg }) => msg === message);
  }

  async get(path: string): Promise<{ status: number; text: string }> {
    const started = await until("the watcher starts", () => this.logged("watcher started")[0]);
    const port = String(started["port"]);
    const response = await request(`http://127.0.0.1:${port}${path}`);
    return { status: response.statusCode, text: await response.body.text() };
  }

  async ready(): Promise<void> {
    await until("the watcher is ready", async () => (await this.get("/ready")).status === 200);
  }

  /** Sends the signal and resolves with the exit code. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const exited = new Promise<number | null>((resolve) => {
      this.child.once("exit", resolve);
    });
    this.child.kill(signal);
    return exited;
  }
}

const watchers: WatcherProcess[] = [];

function startWatcher(environment: Record<string, string> = {}): WatcherProcess {
  const watcher = new WatcherProcess(environment);
  watchers.push(watcher);
  return watcher;
}

/** Waits until a wake for each key came, then until it is quiet, and returns all wakes since the last call. */
async function wakesFor(...keys: string[]): Promise<Wake[]> {
  await expect
    .poll(() => keys.filter((key) => !ingress.wakes.some((wake) => wake.key === key)), SOON)
    .toEqual([]);
  await quiet();
  return ingress.taken();
}

/** Longer than the longest burst. */
function quiet(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 800));
}

const aCluster = (name: string) => ({
  apiVersion: "restate.dev/v1",
  kind: "RestateCluster",
  metadata: { name },
  spec: { compute: { image: "restate:1" }, storage: { storageRequestBytes: 1_073_741_824 } },
});

const aDeployment = (name: string, register: object) => ({
  apiVersion: "restate.dev/v1beta1",
  kind: "RestateDeployment",
  metadata: { name, namespace: "default" },
  spec: {
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: "s", image: "svc:1" }] },
    },
    restate: { register },
  },
});

const anEnvironment = (name: string) => ({
  apiVersion: "restate.dev/v1beta1",
  kind: "RestateCloudEnvironment",
  metadata: { name },
  spec: {
    environmentId: "env_2a3b4c5d6e7f",
    region: "eu",
    signingPublicKey: "publickeyv1_7Vc1g5HdRNeC",
    authentication: { secret: { name: "token", key: "token" } },
  },
});

const clusterLabels = (name: string) => ({
  "app.kubernetes.io/name": "restate",
  "app.kubernetes.io/instance": name,
});

const aPod = (name: string) => ({
  metadata: { name, labels: clusterLabels("c1") },
  spec: { nodeName: "node-none", containers: [{ name: "restate", image: "restate:1" }] },
});

async function installCrds(): Promise<void> {
  const folder = join(REPOSITORY, "crds", "generated");
  const files = (await readdir(folder)).filter((file) => file.endsWith(".yaml"));
  for (const file of files) {
    const text = await readFile(join(folder, file), "utf8");
    await kubectl(cluster, ["apply", "--server-side", "-f", "-"], text);
  }
}

beforeAll(async () => {
  const dir = join(testRunDir(), "watcher");
  cluster = await startControlPlane({ dir, log: logProgress, playPods: false, nodes: 1 });
  agent = new Agent({ connect: { ca: cluster.certificate } });
  await ingress.start();
  for (const name of ["operator", "c1"]) {
    await api("POST", "/api/v1/namespaces", { metadata: { name } });
  }
});

afterEach(async () => {
  for (const watcher of watchers.splice(0)) await watcher.end("SIGKILL");
  if (await crdsInstalled()) {
    for (const path of [CLUSTERS, ENVIRONMENTS, deployments("default")]) await removeAll(path);
  }
  ingress.taken();
});

async function crdsInstalled(): Promise<boolean> {
  const crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  return ((await api("GET", crds)).items ?? []).length > 0;
}

/** Removes what a test left, so that the next one begins with nothing. */
async function removeAll(path: string): Promise<void> {
  for (const { metadata } of (await api("GET", path)).items ?? []) {
    await api("PATCH", `${path}/${metadata.name}`, { metadata: { finalizers: null } });
    await api("DELETE", `${path}/${metadata.name}`);
  }
}

afterAll(async () => {
  await ingress.stop();
  await agent?.destroy();
  await cluster?.stop();
  if (cluster !== undefined) await rm(cluster.dir, { recursive: true, force: true });
});

/** The events of the operator's namespace, one a line. */
async function reasons(): Promise<string> {
  const line = "{.reason} {.regarding.name} {.note}{'\\n'}";
  const output = `--output=jsonpath={range .items[*]}${line}{end}`;
  return kubectl(cluster, ["get", "events.events.k8s.io", "--namespace=operator", output]);
}

describe("before the CRDs are installed", () => {
  test("it waits, says so, and begins when they come", async () => {
    const watcher = startWatcher({ OPERATOR_POD_NAME: "watcher-0", OPERATOR_POD_UID: "u-0" });
    await expect
      .poll(async () => JSON.parse((await watcher.get("/ready")).text) as object, SOON)
      .toEqual({
        status: "waiting",
        pendingControllers: ["RestateCluster", "RestateCloudEnvironment", "RestateDeployment"],
      });
    expect(await watcher.get("/health")).toMatchObject({ status: 200 });
    await expect
      .poll(async () => (await watcher.get("/metrics")).text, SOON)
      .toMatch(/restate_operator_crd_missing\{crd="restatedeployments.restate.dev"\} 1/);
    await expect
      .poll(() => watcher.logged("waiting for the CRD to be installed").length, SOON)
      .toBe(3);

    await installCrds();
    await watcher.ready();
    await api("POST", CLUSTERS, aCluster("late"));
    expect(await wakesFor("ClusterReconciler/late")).toEqual([
      { key: "ClusterReconciler/late", why: "RestateCluster created" },
    ]);
    expect((await watcher.get("/metrics")).text).toMatch(
      /restate_operator_crd_missing\{crd="restatedeployments.restate.dev"\} 0/,
    );
    await expect.poll(reasons, SOON).toContain("CRDsAvailable watcher-0 all CRDs are installed");
    expect(await reasons()).toContain(
      "WaitingForCRD watcher-0 restateclusters.restate.dev is not installed",
    );
    // The first failure of each watch is logged, not its repetitions.
    expect(watcher.logged("waiting for the CRD to be installed")).toHaveLength(3);
  });
});

describe("changes", () => {
  beforeAll(installCrds);

  test("of a resource: created, edited, labelled, deleted; not our status and finalizer", async () => {
    const watcher = startWatcher();
    await watcher.ready();
    await api("POST", CLUSTERS, aCluster("c1"));
    expect(await wakesFor("ClusterReconciler/c1")).toHaveLength(1);

    await api("PATCH", `${CLUSTERS}/c1`, { spec: { compute: { replicas: 3 } } });
    await api("PATCH", `${CLUSTERS}/c1`, { metadata: { annotations: { note: "x" } } });
    await wakesFor("ClusterReconciler/c1");

    await api("PATCH", `${CLUSTERS}/c1`, { metadata: { finalizers: ["clusters.restate.dev"] } });
    const conditions = [{ type: "Other", status: "True" }];
    await api("PATCH", `${CLUSTERS}/c1/status`, { status: { conditions } });
    await quiet();
    expect(ingress.taken()).toEqual([]);

    await api("DELETE", `${CLUSTERS}/c1`);
    expect(await wakesFor("ClusterReconciler/c1")).toEqual([
      { key: "ClusterReconciler/c1", why: "RestateCluster changed" },
    ]);
    await api("PATCH", `${CLUSTERS}/c1`, { metadata: { finalizers: null } });
    expect(await wakesFor("ClusterReconciler/c1")).toEqual([
      { key: "ClusterReconciler/c1", why: "RestateCluster gone" },
    ]);
  });

  test("of children: each kind reaches its owner, and a burst is one wake", async () => {
    const watcher = startWatcher();
    await watcher.ready();
    const { uid } = (await api("POST", CLUSTERS, aCluster("c1"))).metadata;
    await wakesFor("ClusterReconciler/c1");
    const ownerReferences = [
      { apiVersion: "restate.dev/v1", kind: "RestateCluster", name: "c1", uid, controller: true },
    ];
    const metadata = (name: string) => ({ name, labels: clusterLabels("c1"), ownerReferences });
    const children: [string, object][] = [
      ["/api/v1/namespaces/c1/serviceaccounts", { metadata: metadata("restate") }],
      ["/api/v1/namespaces/c1/configmaps", { metadata: metadata("restate-config-1") }],
      [
        "/api/v1/namespaces/c1/services",
        { metadata: metadata("restate"), spec: { ports: [{ port: 8080 }] } },
      ],
      [
        "/api/v1/namespaces/c1/persistentvolumeclaims",
        {
          metadata: { name: "storage-restate-0", labels: clusterLabels("c1") },
          spec: {
            accessModes: ["ReadWriteOnce"],
            storageClassName: "none",
            resources: { requests: { storage: "1Gi" } },
          },
        },
      ],
      [
        "/apis/policy/v1/namespaces/c1/poddisruptionbudgets",
        { metadata: metadata("restate"), spec: { maxUnavailable: 1 } },
      ],
      [
        "/apis/networking.k8s.io/v1/namespaces/c1/networkpolicies",
        { metadata: metadata("deny-all"), spec: { podSelector: {} } },
      ],
      [
        "/apis/apps/v1/namespaces/c1/statefulsets",
        {
          metadata: metadata("restate"),
          spec: {
            replicas: 0,
            serviceName: "restate-cluster",
            selector: { matchLabels: clusterLabels("c1") },
            template: {
              metadata: { labels: clusterLabels("c1") },
              spec: { containers: [{ name: "restate", image: "restate:1" }] },
            },
          },
        },
      ],
    ];
    const causes: string[] = [];
    for (const [path, body] of children) {
      await api("POST", path, body);
      causes.push(...(await wakesFor("ClusterReconciler/c1")).map(({ why }) => why));
    }
    expect(causes).toEqual(
      expect.arrayContaining([
        "ServiceAccount restate changed",
        "ConfigMap restate-config-1 changed",
        "Service restate changed",
        "PersistentVolumeClaim storage-restate-0 changed",
        "PodDisruptionBudget restate changed",
        "NetworkPolicy deny-all changed",
        "StatefulSet restate changed",
      ]),
    );

    // Controllers touch them once more on their own; after that, ten changes at once are one wake.
    await quiet();
    ingress.taken();
    await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        api("PATCH", "/api/v1/namespaces/c1/configmaps/restate-config-1", {
          data: { [`k${index}`]: "v" },
        }),
      ),
    );
    expect(await wakesFor("ClusterReconciler/c1")).toHaveLength(1);

    for (const [path, body] of children) {
      const { name } = (body as { metadata: { name: string } }).metadata;
      await api("DELETE", `${path}/${name}`);
    }
    await wakesFor("ClusterReconciler/c1");
    await api("DELETE", `${CLUSTERS}/c1`);
    await wakesFor("ClusterReconciler/c1");
  });

  test("of pods only that the first one runs", async () => {
    const watcher = startWatcher();
    await watcher.ready();
    const pods = "/api/v1/namespaces/c1/pods";
    for (const name of ["restate-0", "restate-1"]) await api("POST", pods, aPod(name));
    await api("PATCH", `${pods}/restate-1/status`, { status: { phase: "Running" } });
    await quiet();
    expect(ingress.taken()).toEqual([]);
    await api("PATCH", `${pods}/restate-0/status`, { status: { phase: "Running" } });
    expect(await wakesFor("ClusterReconciler/c1")).toEqual([
      { key: "ClusterReconciler/c1", why: "Pod restate-0 changed" },
    ]);
    for (const name of ["restate-0", "restate-1"]) {
      await api("DELETE", `${pods}/${name}?gracePeriodSeconds=0`);
    }
    await wakesFor("ClusterReconciler/c1");
  });

  test("reach the RestateDeployments that refer to a cluster or an environment", async () => {
    const watcher = startWatcher();
    await watcher.ready();
    await api("POST", CLUSTERS, aCluster("c1"));
    await api("POST", ENVIRONMENTS, anEnvironment("e1"));
    await api("POST", deployments("default"), aDeployment("by-cluster", { cluster: "c1" }));
    await api("POST", deployments("default"), aDeployment("by-cloud", { cloud: "e1" }));
    await wakesFor(
      "ClusterReconciler/c1",
      "CloudEnvironmentReconciler/e1",
      "DeploymentReconciler/default/by-cluster",
      "DeploymentReconciler/default/by-cloud",
    );

    const conditions = [{ type: "Ready", status: "True" }];
    await api("PATCH", `${CLUSTERS}/c1/status`, { status: { conditions } });
    expect(await wakesFor("DeploymentReconciler/default/by-cluster")).toEqual([
      { key: "DeploymentReconciler/default/by-cluster", why: "RestateCluster c1 changed" },
    ]);
    await api("PATCH", `${ENVIRONMENTS}/e1`, { spec: { region: "us" } });
    expect(await wakesFor("DeploymentReconciler/default/by-cloud")).toEqual([
      { key: "CloudEnvironmentReconciler/e1", why: "RestateCloudEnvironment changed" },
      { key: "DeploymentReconciler/default/by-cloud", why: "RestateCloudEnvironment e1 changed" },
    ]);
    await api("DELETE", `${CLUSTERS}/c1`);
    expect(await wakesFor("DeploymentReconciler/default/by-cluster")).toHaveLength(2);
  });
});

/** Forwards to the API server, until it is frozen: connections stay open and carry nothing any more. */
async function startFreezer() {
  const sockets: Socket[] = [];
  const server = createTcpServer((incoming) => {
    const outgoing = connect(Number(new URL(cluster.server).port), "127.0.0.1");
    sockets.push(incoming, outgoing);
    for (const socket of [incoming, outgoing]) socket.on("error", () => {});
    incoming.pipe(outgoing).pipe(incoming);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `https://127.0.0.1:${port}`,
    /** Freezes the connections there are; new ones work. */
    freeze: () => {
      for (const socket of sockets) socket.unpipe().pause();
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** A copy of the administrator's kubeconfig with changes. */
async function writeKubeconfig(name: string, change: { server?: string; token?: string }) {
  const config = await kubectl(cluster, ["config", "view", "--raw", "--output=json"]);
  const parsed = JSON.parse(config) as {
    clusters: { cluster: { server: string } }[];
    users: { user: object }[];
  };
  for (const entry of parsed.clusters) entry.cluster.server = change.server ?? cluster.server;
  if (change.token !== undefined) {
    for (const entry of parsed.users) entry.user = { token: change.token };
  }
  const file = join(cluster.dir, name);
  await writeFile(file, JSON.stringify(parsed), { mode: 0o600 });
  return file;
}

describe("faults", () => {
  beforeAll(installCrds);

  test("a connection that goes silent is replaced, and what was missed arrives", async () => {
    const freezer = await startFreezer();
    const KUBECONFIG = await writeKubeconfig("frozen.json", { server: freezer.url });
    const watcher = startWatcher({ KUBECONFIG, WATCH_IDLE_SECONDS: "2" });
    await watcher.ready();
    await api("POST", CLUSTERS, aCluster("c1"));
    await wakesFor("ClusterReconciler/c1");
    freezer.freeze();
    await api("PATCH", `${CLUSTERS}/c1`, { metadata: { annotations: { note: "x" } } });
    expect(await wakesFor("ClusterReconciler/c1")).toEqual([
      { key: "ClusterReconciler/c1", why: "RestateCluster changed" },
    ]);
    expect((await watcher.get("/metrics")).text).toMatch(
      /watch_restarts_total\{watch="restateclusters",cause="idle"\} [1-9]/,
    );
    freezer.close();
  });

  test("the API server is restarted: what changes before, meanwhile and after arrives", async () => {
    const watcher = startWatcher();
    await api("POST", CLUSTERS, aCluster("c1"));
    await watcher.ready();
    await wakesFor("ClusterReconciler/c1");
    await cluster.restartApiServer();
    await api("PATCH", `${CLUSTERS}/c1`, { metadata: { annotations: { after: "restart" } } });
    // A new API server does not know the versions of quiet kinds, so that some are listed after a gap as well.
    const expected = /^RestateCluster (changed|listed after a gap)$/;
    await expect
      .poll(() => ingress.wakes.filter(({ why }) => expected.test(why)).length, SOON)
      .toBeGreaterThan(0);
    expect((await watcher.get("/metrics")).text).toMatch(
      /restate_operator_watch_restarts_total\{watch="restateclusters",cause="(failed|ended)"\} [1-9]/,
    );
    // All watches are alive again.
    const ages = /watch_last_event_age_seconds\{watch="([^"]+)"\} ([0-9.]+)/g;
    await expect
      .poll(
        async () =>
          [...(await watcher.get("/metrics")).text.matchAll(ages)].filter(
            ([, , age]) => Number(age) > 90,
          ),
        SOON,
      )
      .toEqual([]);
  });

  test("killed and started again: everything is sent once, orphans too", async () => {
    const first = startWatcher();
    await first.ready();
    await api("POST", CLUSTERS, aCluster("c1"));
    await api("POST", CLUSTERS, aCluster("c2"));
    await wakesFor("ClusterReconciler/c1", "ClusterReconciler/c2");
    await first.end("SIGKILL");
    const configMap = { metadata: { name: "left", labels: clusterLabels("c1") } };
    await api("POST", "/api/v1/namespaces/c1/configmaps", configMap);
    await api("DELETE", `${CLUSTERS}/c1`);
    await api("PATCH", `${CLUSTERS}/c2`, { metadata: { labels: { edited: "yes" } } });
    const second = startWatcher();
    await second.ready();
    expect(await wakesFor("ClusterReconciler/c1", "ClusterReconciler/c2")).toEqual([
      { key: "ClusterReconciler/c2", why: "listed at start" },
      { key: "ClusterReconciler/c1", why: "ConfigMap left has no owner" },
    ]);
    await api("DELETE", "/api/v1/namespaces/c1/configmaps/left");
  });

  test("two at once: both send, and a resync sends nothing", async () => {
    const [first, second] = [startWatcher({ RESYNC_SECONDS: "2" }), startWatcher()];
    await Promise.all([first.ready(), second.ready()]);
    await api("POST", CLUSTERS, aCluster("c1"));
    expect(await wakesFor("ClusterReconciler/c1")).toHaveLength(2);
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    expect(ingress.taken()).toEqual([]);
    expect((await first.get("/metrics")).text).toMatch(/cause="resync"\} [1-9]/);
    await api("DELETE", `${CLUSTERS}/c1`);
    expect(await wakesFor("ClusterReconciler/c1")).toHaveLength(2);
  });

  test("the bootstrap is down: changes wait and arrive once", async () => {
    const watcher = startWatcher();
    await watcher.ready();
    await ingress.stop();
    await api("POST", CLUSTERS, aCluster("c1"));
    await expect
      .poll(() => watcher.logged("wake was not accepted; retrying"), SOON)
      .toMatchObject([{ object: "ClusterReconciler", reason: "ECONNREFUSED" }]);
    for (const note of ["a", "b", "c"]) {
      await api("PATCH", `${CLUSTERS}/c1`, { metadata: { annotations: { note } } });
    }
    await quiet();
    await ingress.start();
    expect(await wakesFor("ClusterReconciler/c1")).toEqual([
      { key: "ClusterReconciler/c1", why: "RestateCluster created" },
    ]);
    expect(watcher.logged("wake was not accepted; retrying")).toHaveLength(1);
    expect(watcher.logged("wakes are accepted again")).toHaveLength(1);
  });

  test("a service account without permission: a line per watch that says what to grant", async () => {
    await api("POST", "/api/v1/namespaces/operator/serviceaccounts", {
      metadata: { name: "nobody" },
    });
    const token = (
      await kubectl(cluster, ["create", "token", "nobody", "--namespace=operator"])
    ).trim();
    const kubeconfig = await writeKubeconfig("nobody.json", { token });
    const watcher = startWatcher({ KUBECONFIG: kubeconfig });
    const denied = "Kubernetes denies access; grant it to the service account; retrying";
    await expect
      .poll(() => watcher.logged(denied), SOON)
      .toEqual(
        expect.arrayContaining([
          expect.objectContaining({
            level: "error",
            verb: "list",
            resource: "restateclusters.restate.dev",
            namespace: "all",
          }),
          expect.objectContaining({ resource: "deployments.apps", namespace: "operator" }),
        ]),
      );
    expect((await watcher.get("/ready")).status).toBe(503);
    expect((await watcher.get("/health")).status).toBe(200);
  });

  test("SIGTERM ends it in order", async () => {
    const watcher = startWatcher();
    await watcher.ready();
    expect(await watcher.end("SIGTERM")).toBe(0);
    expect(watcher.logged("watcher stopped")).toMatchObject([{ drained: true }]);
    expect(watcher.stderr).toBe("");
  });

  test("SIGTERM ends it also while the bootstrap is down", async () => {
    const watcher = startWatcher({ BOOTSTRAP_INGRESS_URL: "http://127.0.0.1:1" });
    await watcher.ready();
    await api("POST", CLUSTERS, aCluster("c1"));
    await expect.poll(() => watcher.logged("wake was not accepted; retrying").length, SOON).toBe(1);
    const startedMs = performance.now();
    expect(await watcher.end("SIGTERM")).toBe(0);
    expect(performance.now() - startedMs).toBeLessThan(6_000);
    expect(watcher.logged("watcher stopped")).toMatchObject([{ drained: false }]);
  });
});
