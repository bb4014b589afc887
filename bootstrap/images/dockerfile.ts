/**
 * Builds a Dockerfile on a base image that is an archive, and keeps the result as an archive under the hash of all that
 * went in: the same folder, arguments and base are built once.
 */
import { createHash } from "node:crypto";
import { access, mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { cacheDir } from "../config.ts";
import { withLock } from "../lock.ts";
import { buildah, qualifiedImageName } from "./scratch.ts";

const IMAGES_DIR = join(cacheDir, "images");
const ARCHIVES_KEPT = 3;

/** An image as a file. */
export type Image = {
  /** Full name with registry and tag: how containerd keeps it and the kubelet looks it up. */
  readonly name: string;
  /** Path of the OCI archive. */
  readonly archive: string;
};

export type DockerfileBuild = {
  /** `restatedev/restate:1`; a short name means docker.io, as for Kubernetes. */
  readonly name: string;
  readonly dockerfile: string;
  /** The build's context: nothing else of this machine is seen. */
  readonly contextDir: string;
  /** Archive of the image for `ARG BASE`. */
  readonly baseArchive: string;
  /** Other build arguments. */
  readonly args?: Readonly<Record<string, string>>;
};

/**
 * Builds, or takes from the cache.
 *
 * @throws Error with buildah's message, or that buildah is missing.
 */
export async function buildDockerfile(build: DockerfileBuild): Promise<Image> {
  const name = qualifiedImageName(build.name);
  const prefix = `${build.name.replaceAll(/[^A-Za-z0-9.-]+/g, "-")}-`;
  const archive = join(IMAGES_DIR, `${prefix}${await hashOf(build)}.tar`);
  await mkdir(IMAGES_DIR, { recursive: true });
  await withLock(`${archive}.lock`, async () => {
    if (await exists(archive)) return;
    const partial = `${archive}.partial`;
    await rm(partial, { force: true });
    const args = { ...build.args, BASE: `oci-archive:${build.baseArchive}` };
    await buildah([
      "build",
      "--quiet",
      "--timestamp=0",
      "--disable-compression",
      "--format=oci",
      `--file=${build.dockerfile}`,
      `--tag=oci-archive:${partial}:${name}`,
      ...Object.entries(args).flatMap(([key, value]) => ["--build-arg", `${key}=${value}`]),
      build.contextDir,
    ]);
    // a build that was interrupted leaves no archive under the final name
    await rename(partial, archive);
    await removeOldArchives(prefix);
  });
  return { name, archive };
}

/** Every change of a source makes another image of 140 MB: all but the last few of a name are removed. */
async function removeOldArchives(prefix: string): Promise<void> {
  const names = (await readdir(IMAGES_DIR)).filter(
    (name) => name.startsWith(prefix) && /^[0-9a-f]{16}\.tar$/.test(name.slice(prefix.length)),
  );
  const archives = await Promise.all(
    names.map(async (name) => {
      const path = join(IMAGES_DIR, name);
      return { path, builtAtMs: (await stat(path)).mtimeMs };
    }),
  );
  const old = archives.toSorted((a, b) => b.builtAtMs - a.builtAtMs).slice(ARCHIVES_KEPT);
  for (const { path } of old) await rm(path, { force: true });
}

/** The base archive's name ends in the hash of its content, so the name stands for it. */
async function hashOf(build: DockerfileBuild): Promise<string> {
  const hash = createHash("sha256");
  hash.update(JSON.stringify([build.name, build.args ?? {}, basename(build.baseArchive)]));
  hash.update(await readFile(build.dockerfile));
  const files = await readdir(build.contextDir, { recursive: true, withFileTypes: true });
  const paths = files
    .filter((file) => file.isFile())
    .map((file) => join(file.parentPath, file.name));
  for (const path of paths.toSorted()) {
    hash.update(JSON.stringify(path.slice(build.contextDir.length)));
    hash.update(await readFile(path));
  }
  return hash.digest("hex").slice(0, 16);
}

async function exists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch {
    return false;
  }
}
