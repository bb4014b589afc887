/**
 * containerd for one node: its configuration, its process, and images from files. Everything it keeps is in the data folder
 * or in the cluster's own folder below /run, so it does not meet a containerd that the machine may run anyway.
 *
 * It and the shims it starts are in a cgroup of the cluster; so are, through the kubelet, all containers. What is to be
 * ended is therefore what is in that cgroup, also when containerd is no longer there to be asked.
 */
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { runCommand, startProcess, type RunningProcess } from "../processes.ts";
import { cgroupFolders, CNI_RESULTS, recordResource } from "../resources.ts";
import { buildCniConfig } from "./network.ts";
import { waitUntil } from "./wait.ts";

/** Where the containers of one cluster live. */
export type ContainerHost = {
  readonly dir: string;
  /** Network namespace, cgroup and CNI network have the same name. */
  readonly name: string;
  /** The cluster's own folder below /run: sockets and state that a reboot forgets. */
  readonly runtimeDir: string;
  readonly cniFolder: string;
  readonly pauseImage: string;
};

const READY_TIMEOUT_MS = 30_000;
const CONTROLLERS = "+cpu +cpuset +memory +pids";

/** Starts containerd and resolves when it answers. */
export async function startContainerd(host: ContainerHost): Promise<RunningProcess> {
  const { dir, runtimeDir } = host;
  await recordContainerResources(host);
  await mkdir(join(dir, "cni"), { recursive: true });
  await mkdir(runtimeDir, { recursive: true, mode: 0o711 });
  const cni = buildCniConfig(host.name, join(runtimeDir, "cni"));
  await writeFile(join(dir, "cni", "10-bridge.conflist"), JSON.stringify(cni));
  const config = join(dir, "containerd.toml");
  await writeFile(config, buildConfig(host));
  const cgroup = await createCgroup(host.name);
  const containerd = await startProcess({
    name: "containerd",
    command: "sh",
    args: ["-c", 'echo $$ > "$0" && exec containerd --config "$1"', cgroup, config],
    dir,
    logFile: join(dir, "log", "containerd.log"),
    workingDir: dir,
    networkNamespace: host.name,
  });
  await waitUntil(
    { what: "containerd", timeoutMs: READY_TIMEOUT_MS, processes: [containerd] },
    async () => (await ctr(host, ["version"])) !== "",
  );
  return containerd;
}

/** The socket that the kubelet uses. */
export function containerdSocket(host: Pick<ContainerHost, "runtimeDir">): string {
  return join(host.runtimeDir, "containerd.sock");
}

/** Imports an OCI archive, unless this very file was imported before. */
export async function importImage(host: ContainerHost, archive: string): Promise<void> {
  const { size, mtimeMs } = await stat(archive);
  const version = `${size} ${mtimeMs}`;
  const marker = join(host.dir, "images", basename(archive));
  if ((await readFile(marker, "utf8").catch(() => "")) === version) return;
  await ctr(host, ["--namespace", "k8s.io", "images", "import", archive]);
  await mkdir(join(host.dir, "images"), { recursive: true });
  await writeFile(marker, version);
}

async function ctr(host: ContainerHost, args: readonly string[]): Promise<string> {
  return (await runCommand("ctr", ["--address", containerdSocket(host), ...args])).stdout;
}

/** Everything that containers leave on the machine, recorded before there is any. */
async function recordContainerResources(host: ContainerHost): Promise<void> {
  const { dir, name, runtimeDir } = host;
  await recordResource(dir, { kind: "cgroup", name });
  // not the data folder itself, which may be a mount of the user's
  await recordResource(dir, { kind: "mounts", under: join(dir, "containerd") });
  await recordResource(dir, { kind: "mounts", under: join(dir, "kubelet") });
  await recordResource(dir, { kind: "mounts", under: runtimeDir });
  await recordResource(dir, { kind: "containers", stateDir: join(runtimeDir, "containerd") });
  await recordResource(dir, { kind: "folder", path: runtimeDir });
  // libcni and the kubelet have no setting for these two places
  await recordResource(dir, { kind: "files", prefix: join(CNI_RESULTS, `${name}-`) });
  await recordResource(dir, { kind: "links", in: "/var/log/containers", to: dir });
}

/** Makes the cluster's cgroup in every hierarchy and returns the file that takes containerd's process id. */
async function createCgroup(name: string): Promise<string> {
  const folders = await cgroupFolders(name);
  for (const folder of folders) {
    await mkdir(folder, { recursive: true });
    // version 2 only: children have the controllers that their parent passes on
    const control = join(folder, "..", "cgroup.subtree_control");
    await writeFile(control, CONTROLLERS, { flag: "r+" }).catch(() => undefined);
  }
  // version 1: a hierarchy without settings that would have to be made first
  const leaf = join(
    folders.find((folder) => folder.includes("/pids/")) ?? folders[0] ?? "",
    "runtime",
  );
  await mkdir(leaf, { recursive: true });
  return join(leaf, "cgroup.procs");
}

function buildConfig(host: ContainerHost): string {
  const { dir, runtimeDir } = host;
  return `version = 2
root = "${dir}/containerd"
state = "${runtimeDir}/containerd"
[grpc]
  address = "${containerdSocket(host)}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${dir}/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${host.pauseImage}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${host.cniFolder}"
    conf_dir = "${dir}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "${runtimeDir}/runc"
`;
}
