/**
 * What a cluster makes on the machine besides processes and its data folder: network namespaces, mounts, cgroups and
 * folders. Each is recorded before it is made, so that a crash leaves nothing that the next start does not find.
 *
 * Only names that were recorded are touched. Linux, root.
 */
import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, readlink, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { z } from "zod";
import { ownIdentity, ProcessIdentity } from "./process-identity.ts";

const Resource = z.discriminatedUnion("kind", [
  /** A cgroup below the root of every hierarchy. Releasing it kills everything inside. */
  z.object({ kind: z.literal("cgroup"), name: z.string() }).readonly(),
  /** Everything mounted at or below a folder. */
  z.object({ kind: z.literal("mounts"), under: z.string() }).readonly(),
  /** As in `ip netns`. */
  z.object({ kind: z.literal("networkNamespace"), name: z.string() }).readonly(),
  z.object({ kind: z.literal("folder"), path: z.string() }).readonly(),
  /** Files whose path starts with `prefix`; the last part of it may be the beginning of a name. */
  z.object({ kind: z.literal("files"), prefix: z.string() }).readonly(),
  /** Symbolic links in a folder that point below `to`. */
  z.object({ kind: z.literal("links"), in: z.string(), to: z.string() }).readonly(),
  /** What the containers of a containerd have outside of its state folder, which names them. */
  z.object({ kind: z.literal("containers"), stateDir: z.string() }).readonly(),
]);
export type Resource = z.infer<typeof Resource>;

const ResourceRecord = z.object({ resource: Resource, starter: ProcessIdentity.nullable() });
type ResourceRecord = Readonly<z.infer<typeof ResourceRecord>>;

const CGROUP_ROOT = "/sys/fs/cgroup";
/** Has no setting in libcni. */
export const CNI_RESULTS = "/var/lib/cni/results";
const CGROUP_EMPTY_WAIT_MS = 10_000;
const POLL_MS = 20;

// processes hold mounts and namespaces open, mounts hold folders
const RELEASE_ORDER: readonly Resource["kind"][] = [
  "cgroup",
  "mounts",
  "networkNamespace",
  "containers",
  "folder",
  "files",
  "links",
];

/** Where a data folder keeps its records. */
export function runDir(dir: string): string {
  return join(dir, "run");
}

/** The records whose names begin so; without those that others remove meanwhile, as what they stand for is gone. */
export async function readRecordFiles(
  folder: string,
  prefix: string,
): Promise<{ readonly file: string; readonly text: string }[]> {
  const names = (await namesIn(folder)).filter((name) => name.startsWith(prefix));
  const records = await Promise.all(
    names.map(async (name) => {
      const file = join(folder, name);
      try {
        return [{ file, text: await readFile(file, "utf8") }];
      } catch (error) {
        if (hasCode(error, "ENOENT")) return [];
        throw error;
      }
    }),
  );
  return records.flat();
}

/** Records a resource that this process is about to make for a data folder. */
export async function recordResource(dir: string, resource: Resource): Promise<void> {
  const record: ResourceRecord = { resource, starter: await ownIdentity() };
  await mkdir(runDir(dir), { recursive: true });
  await writeFile(recordFile(runDir(dir), resource), JSON.stringify(record));
}

/** Releases the recorded resources whose starter the predicate accepts, in an order in which none holds another. */
export async function releaseResources(
  folder: string,
  isReleased: (starter: ProcessIdentity | null) => Promise<boolean>,
): Promise<void> {
  const records = await readRecords(folder);
  for (const kind of RELEASE_ORDER) {
    for (const { resource, starter } of records.filter((each) => each.resource.kind === kind)) {
      if (!(await isReleased(starter))) continue;
      await release(resource);
      await rm(recordFile(folder, resource), { force: true });
    }
  }
}

/** The folders of a cgroup: one per hierarchy in version 1, one in version 2. */
export async function cgroupFolders(name: string): Promise<string[]> {
  const mounts = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
  return mounts
    .map((line) => ({ path: line.split(" ")[4] ?? "", type: line.split(" - ")[1] ?? "" }))
    .filter(({ path, type }) => /^cgroup2? /.test(type) && path.startsWith(CGROUP_ROOT))
    .map(({ path }) => join(path, name));
}

async function release(resource: Resource): Promise<void> {
  switch (resource.kind) {
    case "cgroup":
      for (const folder of await cgroupFolders(resource.name)) await removeCgroup(folder);
      return;
    case "mounts":
      return unmountUnder(resource.under);
    case "networkNamespace":
      return removeNetworkNamespace(resource.name);
    case "folder":
      return rm(resource.path, { recursive: true, force: true });
    case "files":
      return removeFiles(resource.prefix);
    case "links":
      return removeLinks(resource);
    case "containers":
      return removeContainerFiles(resource.stateDir);
  }
}

async function removeCgroup(folder: string): Promise<void> {
  const deadline = Date.now() + CGROUP_EMPTY_WAIT_MS;
  for (const child of await foldersIn(folder)) await removeCgroup(join(folder, child));
  for (;;) {
    const pids = await readFile(join(folder, "cgroup.procs"), "utf8").catch(() => "");
    for (const pid of pids.split("\n").filter((line) => line !== "" && line !== "0")) {
      kill(Number(pid));
    }
    try {
      return await rmdir(folder);
    } catch (error) {
      if (hasCode(error, "ENOENT")) return;
      if (!hasCode(error, "EBUSY") || Date.now() > deadline) throw error;
    }
    await sleep(POLL_MS);
  }
}

async function unmountUnder(folder: string): Promise<void> {
  const mounts = (await readFile("/proc/self/mountinfo", "utf8"))
    .split("\n")
    .map((line) => line.split(" ")[4]?.replaceAll(String.raw`\040`, " ") ?? "")
    .filter((path) => path === folder || path.startsWith(`${folder}/`));
  // the last one mounted may lie on top of an earlier one
  for (const path of mounts.toReversed()) {
    await promisify(execFile)("umount", ["--lazy", path]);
  }
}

async function removeFiles(prefix: string): Promise<void> {
  const folder = dirname(prefix);
  for (const name of await namesIn(folder)) {
    if (name.startsWith(basename(prefix))) await rm(join(folder, name), { force: true });
  }
}

async function removeLinks(links: { readonly in: string; readonly to: string }): Promise<void> {
  for (const name of await namesIn(links.in)) {
    const link = join(links.in, name);
    const target = await readlink(link).catch(() => "");
    if (target.startsWith(`${links.to}/`)) await rm(link, { force: true });
  }
}

async function removeContainerFiles(stateDir: string): Promise<void> {
  const tasks = join(stateDir, "io.containerd.runtime.v2.task", "k8s.io");
  for (const id of await namesIn(tasks)) {
    // the shim's socket, and what libcni remembers about the pod's loopback device
    const address = await readFile(join(tasks, id, "address"), "utf8").catch(() => "");
    if (address.startsWith("unix://")) await rm(address.slice("unix://".length), { force: true });
    await rm(join(CNI_RESULTS, `cni-loopback-${id}-lo`), { force: true });
  }
}

async function removeNetworkNamespace(name: string): Promise<void> {
  const { stdout } = await promisify(execFile)("ip", ["netns", "list"]);
  const isThere = stdout.split("\n").some((line) => line.split(" ")[0] === name);
  if (isThere) await promisify(execFile)("ip", ["netns", "delete", name]);
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  }
}

async function foldersIn(folder: string): Promise<string[]> {
  const names = await namesIn(folder);
  const stats = await Promise.all(names.map((name) => stat(join(folder, name))));
  return names.filter((_, index) => stats[index]?.isDirectory());
}

async function readRecords(folder: string): Promise<ResourceRecord[]> {
  const files = await readRecordFiles(folder, "resource-");
  return files.map(({ text }) => ResourceRecord.parse(JSON.parse(text)));
}

function recordFile(folder: string, resource: Resource): string {
  const [kind, ...rest] = Object.values(resource);
  return join(folder, `resource-${kind}-${rest.join("").replaceAll("/", "_")}.json`);
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!hasCode(error, "ESRCH")) throw error;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
