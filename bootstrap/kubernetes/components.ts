/**
 * The control plane's own processes, alike in both modes: etcd, the API server, the controllers, the scheduler and our
 * provisioner. RBAC and the audit log are always on.
 *
 * Controllers and scheduler may send as many requests as they like: by default they would be what a benchmark measures.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { startProcess, type RunningProcess } from "../processes.ts";
import type { ApiClient } from "./api-client.ts";
import type { KubernetesBinaries } from "./build.ts";
import { componentKubeconfig, type Credentials } from "./credentials.ts";
import { stopApiServer, stopClients } from "./stop.ts";
import { waitUntil } from "./wait.ts";

/** Where and with what the processes of one cluster run. */
export type Site = {
  readonly dir: string;
  readonly binaries: KubernetesBinaries;
  readonly credentials: Credentials;
  readonly networkNamespace?: string;
  readonly etcdPort: number;
  readonly etcdPeerPort: number;
  readonly apiServerPort: number;
  readonly apiServerFlags: readonly string[];
};

export const SERVICE_NETWORK = "10.96.0.0/16";
export const API_SERVICE_IP = "10.96.0.1";

const UNTHROTTLED = ["--kube-api-qps=1000", "--kube-api-burst=2000"];
const AUDIT_LOG_MEBIBYTES_MAX = "1024";
const API_SERVER_READY_TIMEOUT_MS = 120_000;

const AUDIT_POLICY = {
  apiVersion: "audit.k8s.io/v1",
  kind: "Policy",
  omitStages: ["RequestReceived"],
  rules: [{ level: "Metadata" }],
};

/** The audit log of a cluster: one JSON line per request. */
export function auditLogFile(dir: string): string {
  return join(dir, "log", "audit.log");
}

/** Starts one command of the multi-call binary, named after it. */
export async function startComponent(
  site: Site,
  command: string,
  args: readonly string[],
): Promise<RunningProcess> {
  const { networkNamespace } = site;
  return startProcess({
    name: command,
    command: site.binaries.kubernetes,
    args: [command, ...args],
    dir: site.dir,
    logFile: join(site.dir, "log", `${command}.log`),
    workingDir: site.dir,
    ...(networkNamespace === undefined ? {} : { networkNamespace }),
  });
}

/** etcd and the API server; resolves when the latter is ready, RBAC's own roles included. */
export async function startCore(site: Site, api: ApiClient): Promise<RunningProcess[]> {
  const core = [await startEtcd(site), await startApiServer(site)];
  await waitForApiServer(api, core);
  return core;
}

/** A process that talks to the API server, and how it is started. */
export type ApiClientProcess = {
  readonly name: string;
  readonly start: () => Promise<RunningProcess>;
};

/**
 * Ends the API server, which breaks every watch, and starts it again; resolves when it is ready.
 *
 * `clients`, the cluster's own controllers, are ended with it and start afresh. After a few restarts their watches would wait
 * up to a minute before they look again, and what is measured meanwhile is their patience. The scheduler may not even come
 * back: one that missed how a StatefulSet's pod was deleted and made again under its name takes it for a pod that moved,
 * calls its memory corrupt and ends itself. Elsewhere the kubelet starts it again; here nobody would.
 */
export async function restartApiServer(
  site: Site,
  api: ApiClient,
  clients: readonly ApiClientProcess[],
): Promise<void> {
  await stopClients(
    site.dir,
    clients.map(({ name }) => name),
  );
  await stopApiServer(site.dir);
  await waitForApiServer(api, [await startApiServer(site)]);
  await Promise.all(clients.map(({ start }) => start()));
}

/** The controllers that both modes have. */
export function controllersOf(
  site: Site,
  volumes: { readonly folder: string; readonly objectsOnly: boolean },
): ApiClientProcess[] {
  return [
    { name: "kube-controller-manager", start: () => startControllerManager(site) },
    { name: "kube-scheduler", start: () => startScheduler(site) },
    { name: "provisioner", start: () => startProvisioner(site, volumes) },
  ];
}

/** etcd without fsync: nothing here needs to survive a power failure. */
async function startEtcd(site: Site): Promise<RunningProcess> {
  const clientUrl = etcdUrl(site);
  const peerUrl = `http://127.0.0.1:${site.etcdPeerPort}`;
  return startComponent(site, "etcd", [
    "--unsafe-no-fsync",
    `--data-dir=${join(site.dir, "etcd")}`,
    `--listen-client-urls=${clientUrl}`,
    `--advertise-client-urls=${clientUrl}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=default=${peerUrl}`,
    "--log-level=warn",
  ]);
}

async function startApiServer(site: Site): Promise<RunningProcess> {
  const { credentials, dir } = site;
  const policyFile = join(dir, "audit-policy.yaml");
  await writeFile(policyFile, stringify(AUDIT_POLICY));
  return startComponent(site, "kube-apiserver", [
    `--etcd-servers=${etcdUrl(site)}`,
    `--secure-port=${site.apiServerPort}`,
    `--tls-cert-file=${credentials.certificateFile}`,
    `--tls-private-key-file=${credentials.keyFile}`,
    `--service-cluster-ip-range=${SERVICE_NETWORK}`,
    `--service-account-key-file=${credentials.serviceAccountPublicKeyFile}`,
    `--service-account-signing-key-file=${credentials.serviceAccountKeyFile}`,
    "--service-account-issuer=https://kubernetes.default.svc",
    `--token-auth-file=${credentials.tokenFile}`,
    "--authorization-mode=Node,RBAC",
    "--allow-privileged",
    `--audit-policy-file=${policyFile}`,
    `--audit-log-path=${auditLogFile(dir)}`,
    `--audit-log-maxsize=${AUDIT_LOG_MEBIBYTES_MAX}`,
    ...site.apiServerFlags,
  ]);
}

async function startControllerManager(site: Site): Promise<RunningProcess> {
  const workers = ["deployment", "endpoint", "job", "namespace", "replicaset", "statefulset"];
  return startComponent(site, "kube-controller-manager", [
    `--kubeconfig=${componentKubeconfig(site.dir, "system:kube-controller-manager")}`,
    `--service-account-private-key-file=${site.credentials.serviceAccountKeyFile}`,
    `--root-ca-file=${site.credentials.certificateFile}`,
    "--use-service-account-credentials",
    "--leader-elect=false",
    "--secure-port=0",
    ...UNTHROTTLED,
    ...workers.map((worker) => `--concurrent-${worker}-syncs=20`),
  ]);
}

async function startScheduler(site: Site): Promise<RunningProcess> {
  return startComponent(site, "kube-scheduler", [
    `--kubeconfig=${componentKubeconfig(site.dir, "system:kube-scheduler")}`,
    "--leader-elect=false",
    "--secure-port=0",
    ...UNTHROTTLED,
  ]);
}

/** Our own provisioner (provisioner.go). */
async function startProvisioner(
  site: Site,
  volumes: { readonly folder: string; readonly objectsOnly: boolean },
): Promise<RunningProcess> {
  return startComponent(site, "provisioner", [
    `--kubeconfig=${componentKubeconfig(site.dir, "provisioner")}`,
    `--folder=${volumes.folder}`,
    ...(volumes.objectsOnly ? ["--no-directories"] : []),
  ]);
}

async function waitForApiServer(
  api: ApiClient,
  processes: readonly RunningProcess[],
): Promise<void> {
  await waitUntil(
    { what: "the API server", timeoutMs: API_SERVER_READY_TIMEOUT_MS, processes },
    async () => (await api.get("/readyz")) === "ok",
  );
}

function etcdUrl(site: Site): string {
  return `http://127.0.0.1:${site.etcdPort}`;
}
