/**
 * A Kubernetes without nodes: a real API server, etcd, controllers and scheduler on loopback, for which kwok plays nodes and
 * pods. Needs no root and nothing but Go; ready in seconds.
 *
 * Several run side by side: each has its own data folder, and ports that were free when it started.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { startProcess, type RunningProcess } from "../processes.ts";
import { createApiClient, type ApiClient } from "./api-client.ts";
import { buildKubernetes, type Log } from "./build.ts";
import { claimDataDir, writeAccess, type Cluster } from "./cluster.ts";
import {
  controllersOf,
  restartApiServer,
  startCore,
  type ApiClientProcess,
  type Site,
} from "./components.ts";
import { componentKubeconfig, prepareCredentials } from "./credentials.ts";
import { isNodeReady } from "./nodes.ts";
import { choosePorts } from "./ports.ts";
import { stopCluster } from "./stop.ts";
import { waitUntil } from "./wait.ts";

export type ControlPlaneOptions = {
  /** Data folder; a second start on it keeps objects, tokens, certificates and (if free) ports. */
  readonly dir: string;
  readonly log: Log;
  /** Default true: pods become Ready and Jobs complete at once. False: nobody touches a pod's status. */
  readonly playPods?: boolean;
  /** Default 3: nodes node-1 … node-n in zones zone-1 … zone-n of region-1. */
  readonly nodes?: number;
};

const READY_TIMEOUT_MS = 120_000;
const LOOPBACK = "127.0.0.1";
const DEFAULT_NODES = 3;
const COMPONENTS = [
  "kwok",
  "provisioner",
  "system:kube-controller-manager",
  "system:kube-scheduler",
] as const;

/**
 * Starts a control plane and resolves when it can be used: RBAC in place, nodes Ready, the default service account and the
 * default StorageClass there. If that fails, what was started is stopped again.
 *
 * @throws Error that says what did not start, with the end of its log.
 */
export async function startControlPlane(options: ControlPlaneOptions): Promise<Cluster> {
  const dir = resolve(options.dir);
  const binaries = await buildKubernetes(options.log);
  await claimDataDir(dir);
  const portOf = await choosePorts(dir, ["apiServer", "etcd", "etcdPeer"]);
  const site: Site = {
    dir,
    binaries,
    credentials: await prepareCredentials(dir, binaries.kubernetes, [LOOPBACK]),
    etcdPort: portOf("etcd"),
    etcdPeerPort: portOf("etcdPeer"),
    apiServerPort: portOf("apiServer"),
    // an endpoint on loopback would be refused: the Service `kubernetes` has none here
    apiServerFlags: [`--bind-address=${LOOPBACK}`, "--endpoint-reconciler-type=none"],
  };
  const server = `https://${LOOPBACK}:${site.apiServerPort}`;
  const access = await writeAccess(site, {
    mode: "control-plane",
    server,
    serverInside: server,
    components: COMPONENTS,
  });
  const api = createApiClient({ ...access, token: access.adminToken });
  const volumes = { folder: join(dir, "volumes"), objectsOnly: true };
  const clients: ApiClientProcess[] = [
    ...controllersOf(site, volumes),
    { name: "kwok", start: () => startKwok(site, options.playPods ?? true) },
  ];
  try {
    await startAll({ site, api, options, clients });
  } catch (error) {
    await stopCluster(dir);
    throw error;
  }
  options.log(`control plane ready at ${server}`);
  return {
    ...access,
    restartApiServer: async () => restartApiServer(site, api, clients),
    stop: async () => {
      await api.close();
      await stopCluster(dir);
    },
  };
}

type Start = {
  readonly site: Site;
  readonly api: ApiClient;
  readonly options: ControlPlaneOptions;
  readonly clients: readonly ApiClientProcess[];
};

async function startAll({ site, api, options, clients }: Start): Promise<void> {
  options.log("starting etcd and the API server");
  const core = await startCore(site, api);
  options.log("starting controllers, scheduler, provisioner and kwok");
  const nodes = Array.from({ length: options.nodes ?? DEFAULT_NODES }, (_, index) => index + 1);
  for (const number of nodes) await api.create("/api/v1/nodes", playedNode(number));
  const others = await Promise.all(clients.map(({ start }) => start()));
  const required = [
    "/api/v1/namespaces/default/serviceaccounts/default",
    "/apis/storage.k8s.io/v1/storageclasses/standard",
  ];
  await waitUntil(
    { what: "the cluster", timeoutMs: READY_TIMEOUT_MS, processes: [...core, ...others] },
    async () => {
      const found = await Promise.all(required.map((path) => api.get(path)));
      const ready = await Promise.all(nodes.map((number) => isNodeReady(api, `node-${number}`)));
      return found.every((object) => object !== undefined) && ready.every(Boolean);
    },
  );
}

async function startKwok(site: Site, playPods: boolean): Promise<RunningProcess> {
  const { dir, binaries } = site;
  const stageFiles = [binaries.kwokNodeStages, ...(playPods ? [binaries.kwokPodStages] : [])];
  const stages = await Promise.all(stageFiles.map((file) => readFile(file, "utf8")));
  const config = join(dir, "kwok-stages.yaml");
  await writeFile(config, stages.join("\n---\n"));
  return startProcess({
    name: "kwok",
    command: binaries.kwok,
    args: [
      `--kubeconfig=${componentKubeconfig(dir, "kwok")}`,
      `--config=${config}`,
      "--manage-all-nodes=true",
    ],
    dir,
    logFile: join(dir, "log", "kwok.log"),
    workingDir: dir,
  });
}

/** kwok adds the rest of the status and keeps the node's lease alive. */
function playedNode(number: number): object {
  const name = `node-${number}`;
  const resources = { cpu: "1000", memory: "4Ti", pods: "10000", "ephemeral-storage": "16Ti" };
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name,
      annotations: { "kwok.x-k8s.io/node": "fake" },
      labels: {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/region": "region-1",
        "topology.kubernetes.io/zone": `zone-${number}`,
      },
    },
    status: { capacity: resources, allocatable: resources },
  };
}
