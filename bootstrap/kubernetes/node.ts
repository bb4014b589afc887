/**
 * A Kubernetes with one real node: pods are containers, services and DNS work, volumes are folders. Needs Linux, root and
 * the packages that machine.ts names, and no Docker.
 *
 * All of it is inside one network namespace that has no way out (network.ts); this machine reaches it through forwarders on
 * loopback. Namespace, cgroup and the folder below /run are named after the data folder, so that clusters run side by side.
 */
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { buildScratchImage, qualifiedImageName } from "../images/scratch.ts";
import { runCommand, startProcess, type RunningProcess } from "../processes.ts";
import { createApiClient, type ApiClient } from "./api-client.ts";
import { buildKubernetes, type KubernetesBinaries, type Log } from "./build.ts";
import { claimDataDir, writeAccess, type Cluster } from "./cluster.ts";
import {
  API_SERVICE_IP,
  controllersOf,
  restartApiServer,
  startCore,
  type Site,
} from "./components.ts";
import { importImage, startContainerd, type ContainerHost } from "./containerd.ts";
import { applyCoreDns } from "./coredns.ts";
import { prepareCredentials } from "./credentials.ts";
import { NODE_NAME, startKubelet, startKubeProxy } from "./kubelet.ts";
import { nodeFitness } from "./machine.ts";
import { createNetwork, DNS_SERVICE_IP, NODE_IP } from "./network.ts";
import { isNodeReady } from "./nodes.ts";
import { choosePorts, isPortFree } from "./ports.ts";
import { FORWARDER_PREFIX, stopCluster } from "./stop.ts";
import { waitUntil } from "./wait.ts";

export type NodeOptions = {
  /** Data folder; a second start on it keeps objects, images, volumes, tokens and (if free) ports. */
  readonly dir: string;
  readonly log: Log;
};

/** An address inside the cluster: a pod's or service's IP, or a service as `name.namespace`. */
type InnerAddress = { readonly host: string; readonly port: number };

export type NodeCluster = Cluster & {
  /** Name of the network namespace (`ip netns`) that the node and its pods live in. */
  readonly networkNamespace: string;
  /** Makes the image of an OCI archive available to pods. */
  importImage(archive: string): Promise<void>;
  /** Opens a port on 127.0.0.1 of this machine that leads to an address inside, once for each; returns the port. */
  forward(target: InnerAddress): Promise<number>;
};

const LOOPBACK = "127.0.0.1";
const API_SERVER_PORT = 6443;
const ETCD_PORT = 2379;
const ETCD_PEER_PORT = 2380;
const READY_TIMEOUT_MS = 120_000;
const COMPONENTS = [
  "provisioner",
  "system:kube-controller-manager",
  "system:kube-scheduler",
  "system:kube-proxy",
  `system:node:${NODE_NAME}`,
] as const;

/**
 * Starts the cluster and resolves when it can be used: node Ready, a name of the cluster resolved through its DNS. If that
 * fails, what was started is stopped again.
 *
 * @throws Error that says what is missing on this machine, or what did not start, with the end of its log.
 */
export async function startNode(options: NodeOptions): Promise<NodeCluster> {
  const fitness = nodeFitness();
  if (fitness.kind === "unfit") throw new Error(fitness.reason);
  const dir = resolve(options.dir);
  const binaries = await buildKubernetes(options.log);
  await claimDataDir(dir);
  const name = `restate-operator-${createHash("sha256").update(dir).digest("hex").slice(0, 8)}`;
  const ips = [LOOPBACK, NODE_IP, API_SERVICE_IP];
  const site: Site = {
    dir,
    binaries,
    networkNamespace: name,
    credentials: await prepareCredentials(dir, binaries.kubernetes, ips),
    etcdPort: ETCD_PORT,
    etcdPeerPort: ETCD_PEER_PORT,
    apiServerPort: API_SERVER_PORT,
    apiServerFlags: [
      "--bind-address=0.0.0.0",
      `--advertise-address=${NODE_IP}`,
      "--kubelet-preferred-address-types=InternalIP",
    ],
  };
  const host: ContainerHost = {
    dir,
    name,
    runtimeDir: join("/run", name),
    cniFolder: fitness.cniFolder,
    pauseImage: qualifiedImageName(`localhost/restate-operator/pause:${binaries.version}`),
  };
  try {
    return await startAll({ site, host, log: options.log });
  } catch (error) {
    await stopCluster(dir);
    throw error;
  }
}

type Start = { readonly site: Site; readonly host: ContainerHost; readonly log: Log };

async function startAll({ site, host, log }: Start): Promise<NodeCluster> {
  const { dir } = site;
  await createNetwork(dir, host.name);
  const port = await startForwarder(site, { host: NODE_IP, port: API_SERVER_PORT });
  const access = await writeAccess(site, {
    mode: "node",
    server: `https://${LOOPBACK}:${port}`,
    serverInside: `https://${NODE_IP}:${API_SERVER_PORT}`,
    components: COMPONENTS,
  });
  const api = createApiClient({ ...access, token: access.adminToken });
  log("starting etcd, the API server and containerd");
  const [core, containerd] = await Promise.all([
    startCore(site, api),
    startContainerd(host),
    buildPauseImage(site.binaries, host.pauseImage),
  ]).then(async ([processes, runtime, archive]) => {
    await importImage(host, archive);
    return [processes, runtime] as const;
  });
  log("starting controllers, scheduler, provisioner, kubelet and kube-proxy");
  const volumes = { folder: join(dir, "volumes"), objectsOnly: false };
  await mkdir(volumes.folder, { recursive: true });
  const controllers = controllersOf(site, volumes);
  const others = await Promise.all([
    ...controllers.map(({ start }) => start()),
    startKubelet(site, host),
    startKubeProxy(site),
  ]);
  await applyCoreDns(api, { binary: site.binaries.kubernetes, image: host.pauseImage });
  await waitForNode({ api, host, log, processes: [...core, containerd, ...others] });
  log(`node ready, API server at ${access.server}`);
  return {
    ...access,
    networkNamespace: host.name,
    importImage: async (archive) => importImage(host, archive),
    forward: forwarderOf(site),
    restartApiServer: async () => restartApiServer(site, api, controllers),
    stop: async () => {
      await api.close();
      await stopCluster(dir);
    },
  };
}

type NodeWait = {
  readonly api: ApiClient;
  readonly host: ContainerHost;
  readonly log: Log;
  readonly processes: readonly RunningProcess[];
};

async function waitForNode({ api, host, log, processes }: NodeWait): Promise<void> {
  const bounds = { timeoutMs: READY_TIMEOUT_MS, processes };
  log("waiting for the node");
  await waitUntil({ what: "the node", ...bounds }, async () => isNodeReady(api, NODE_NAME));
  // the condition may be of the run before, an answer by DNS is not: it takes kubelet, pod network and services
  log("waiting for cluster DNS");
  const name = "kubernetes.default.svc.cluster.local";
  await waitUntil({ what: "cluster DNS", ...bounds }, async () => {
    const lookup = ["busybox", "nslookup", "-type=a", name, DNS_SERVICE_IP];
    const { stdout } = await runCommand("nsenter", [`--net=/run/netns/${host.name}`, ...lookup]);
    return stdout.includes(API_SERVICE_IP);
  });
}

/** Starts forwarders, one for each target: a second one under its name could not be told from the first, and would stay. */
function forwarderOf(site: Site): NodeCluster["forward"] {
  const started = new Map<string, Promise<number>>();
  return (target) => {
    const address = `${target.host}:${target.port}`;
    const port = started.get(address) ?? startForwarder(site, target);
    started.set(address, port);
    // one that did not come up is tried again
    port.catch(() => started.delete(address));
    return port;
  };
}

/** A process outside whose connections are made inside. Names are resolved by the cluster's DNS, for every connection. */
async function startForwarder(site: Site, target: InnerAddress): Promise<number> {
  const { dir } = site;
  const name = `${FORWARDER_PREFIX}${target.host}-${target.port}`;
  const portOf = await choosePorts(dir, [name]);
  const port = portOf(name);
  const isIp = /^[\d.]+$/.test(target.host);
  const inner = isIp ? target.host : `${target.host}.svc.cluster.local`;
  const forwarder = await startProcess({
    name,
    command: site.binaries.forward,
    args: [
      `--dial-in=/run/netns/${site.networkNamespace}`,
      ...(isIp ? [] : [`--dns=${DNS_SERVICE_IP}:53`]),
      `tcp:${LOOPBACK}:${port}=tcp:${inner}:${target.port}`,
    ],
    dir,
    logFile: join(dir, "log", `${name}.log`),
  });
  await waitUntil(
    { what: `port ${port}`, timeoutMs: READY_TIMEOUT_MS, processes: [forwarder] },
    async () => !(await isPortFree(port)),
  );
  return port;
}

async function buildPauseImage(binaries: KubernetesBinaries, name: string): Promise<string> {
  return buildScratchImage({
    name,
    files: [{ path: "/pause", from: binaries.pause, mode: 0o755 }],
    entrypoint: ["/pause"],
    user: "65534:65534",
  });
}
