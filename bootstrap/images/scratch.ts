/**
 * Container images without a registry: an image that starts empty and holds exactly the files it is given, written as an
 * OCI archive that containerd imports and that a Dockerfile can start from (`FROM oci-archive:FILE`).
 *
 * buildah does the work, with a storage of its own under the cache folder (never the user's) and without compression: the
 * archives never travel further than this machine. An image is a function of its description and its files' contents, so
 * it is kept under the hash of both and built once; its timestamps are fixed, so that equal input gives an equal image.
 *
 * Needs root on Linux (buildah's mount) and Debian's package `buildah`, or the same from another distribution.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import {
  access,
  chmod,
  chown,
  cp,
  mkdir,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { finished } from "node:stream/promises";
import { cacheDir } from "../config.ts";
import { withLock } from "../lock.ts";
import { runCommand } from "../processes.ts";

/** One entry of an image. `path` is absolute inside the image; missing parent folders are made (root, mode 755). */
export type ImageEntry =
  /** A copy of the file `from` of this machine. Default mode 644. */
  | { readonly path: string; readonly from: string; readonly mode?: number }
  /** A file with the given text. Default mode 644. */
  | { readonly path: string; readonly content: string; readonly mode?: number }
  /** A symbolic link to `linkTo`. */
  | { readonly path: string; readonly linkTo: string }
  /** A folder, for what the process writes: default mode 755, owned by root unless `owner` says otherwise. */
  | {
      readonly path: string;
      readonly directory: true;
      readonly mode?: number;
      readonly owner?: { readonly uid: number; readonly gid: number };
    };

/** What an image consists of. */
export type ScratchImage = {
  /** Name and tag: `restatedev/restate:1.7.12`. A short name means docker.io, as for Kubernetes. */
  readonly name: string;
  readonly files: readonly ImageEntry[];
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  /** Numeric, `uid` or `uid:gid`: `runAsNonRoot` refuses names. Default root. */
  readonly user?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly workingDir?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Documentation only: `8080/tcp`. */
  readonly ports?: readonly string[];
};

const FIXED_TIME_SECONDS = 0;

/**
 * Builds the image unless the cache has it, and returns the OCI archive's path. The archive holds the image under its full
 * name, which `ctr images import` keeps.
 *
 * @throws Error that names the missing file, or buildah's message.
 */
export async function buildScratchImage(image: ScratchImage): Promise<string> {
  const archive = join(cacheDir, "images", `${fileNameOf(image.name)}-${await hashOf(image)}.tar`);
  if (await exists(archive)) return archive;
  await mkdir(dirname(archive), { recursive: true });
  return withLock(`${archive}.lock`, async () => {
    if (await exists(archive)) return archive;
    const container = (await buildah(["from", "scratch"])).trim();
    try {
      const root = (await buildah(["mount", container])).trim();
      for (const entry of image.files) await addEntry(root, entry);
      await buildah(["config", ...configFlags(image), container]);
      await buildah(["umount", container]);
      await commit({ container, archive, name: qualifiedImageName(image.name) });
    } finally {
      await buildah(["rm", container]);
    }
    return archive;
  });
}

/**
 * Runs buildah with the storage, isolation and driver of this project, and returns its standard output.
 *
 * A Dockerfile on top of a scratch image: `buildah(["build", "--timestamp", "0", "--build-arg",
 * "BASE=oci-archive:" + archive, "--tag", "oci-archive:" + output + ":" + qualifiedImageName(name), folder])`.
 *
 * @throws Error with the command and what buildah wrote to standard error.
 */
export async function buildah(args: readonly string[]): Promise<string> {
  const storage = join(cacheDir, "buildah");
  const flags = ["--root", join(storage, "root"), "--runroot", join(storage, "run")];
  const storageFlags = [...flags, "--storage-driver", "vfs"];
  try {
    const env = { BUILDAH_ISOLATION: "chroot" };
    return (await runCommand("buildah", [...storageFlags, ...args], { env })).stdout;
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") {
      throw new Error("buildah is missing: apt-get install buildah", { cause: error });
    }
    throw error;
  }
}

/**
 * The full form of an image's name, as containerd stores it and the kubelet looks it up: `nginx` →
 * `docker.io/library/nginx:latest`, `restatedev/restate:1` → `docker.io/restatedev/restate:1`.
 */
export function qualifiedImageName(name: string): string {
  const tagged = name.slice(name.lastIndexOf("/") + 1).includes(":") ? name : `${name}:latest`;
  const [first = "", ...rest] = tagged.split("/");
  if (rest.length === 0) return `docker.io/library/${tagged}`;
  const isRegistry = first === "localhost" || first.includes(".") || first.includes(":");
  return isRegistry ? tagged : `docker.io/${tagged}`;
}

async function commit(output: { container: string; archive: string; name: string }): Promise<void> {
  const partial = `${output.archive}.partial`;
  await rm(partial, { force: true });
  const target = `oci-archive:${partial}:${output.name}`;
  const flags = ["--quiet", "--disable-compression", "--timestamp", String(FIXED_TIME_SECONDS)];
  await buildah(["commit", ...flags, output.container, target]);
  // a build that was interrupted leaves no archive under the final name
  await rename(partial, output.archive);
}

async function addEntry(root: string, entry: ImageEntry): Promise<void> {
  const target = join(root, entry.path);
  await mkdir(dirname(target), { recursive: true, mode: 0o755 });
  if ("linkTo" in entry) return symlink(entry.linkTo, target);
  if ("directory" in entry) {
    await mkdir(target, { recursive: true });
    await chmod(target, entry.mode ?? 0o755);
    if (entry.owner !== undefined) await chown(target, entry.owner.uid, entry.owner.gid);
    return;
  }
  if ("content" in entry) await writeFile(target, entry.content);
  else await cp(entry.from, target, { dereference: true });
  await chown(target, 0, 0);
  await chmod(target, entry.mode ?? 0o644);
  await utimes(target, FIXED_TIME_SECONDS, FIXED_TIME_SECONDS);
}

function configFlags(image: ScratchImage): string[] {
  return [
    ...(image.entrypoint === undefined ? [] : ["--entrypoint", JSON.stringify(image.entrypoint)]),
    ...(image.command === undefined ? [] : ["--cmd", JSON.stringify(image.command)]),
    ...(image.user === undefined ? [] : ["--user", image.user]),
    ...(image.workingDir === undefined ? [] : ["--workingdir", image.workingDir]),
    ...Object.entries(image.env ?? {}).flatMap(([name, value]) => ["--env", `${name}=${value}`]),
    ...Object.entries(image.labels ?? {}).flatMap(([key, value]) => ["--label", `${key}=${value}`]),
    ...(image.ports ?? []).flatMap((port) => ["--port", port]),
  ];
}

/** The description, and the contents of the files it names instead of their paths. */
async function hashOf(image: ScratchImage): Promise<string> {
  const hash = createHash("sha256");
  hash.update(JSON.stringify({ ...image, files: [] }));
  for (const entry of image.files) {
    if (!("from" in entry)) {
      hash.update(JSON.stringify(entry));
      continue;
    }
    hash.update(JSON.stringify({ ...entry, from: "" }));
    const file = createReadStream(entry.from).on("data", (chunk) => hash.update(chunk));
    await finished(file);
  }
  return hash.digest("hex").slice(0, 16);
}

function fileNameOf(imageName: string): string {
  return imageName.replaceAll(/[^A-Za-z0-9.-]+/g, "-");
}

async function exists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch {
    return false;
  }
}
