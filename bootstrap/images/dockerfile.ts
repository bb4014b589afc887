/**
 * Builds a Dockerfile on a base image that is an archive, and keeps the result as an archive under the hash of all that
 * went in: the same folder, arguments and base are built once.
 */
import { createHash } from "node:crypto";
import { access, mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { cacheDir } from "../config.ts";
import { withLock } from "../lock.ts";
import { buildah, qualifiedImageName } from "./scratch.ts";

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
  const fileName = `${build.name.replaceAll(/[^A-Za-z0-9.-]+/g, "-")}-${await hashOf(build)}.tar`;
  const archive = join(cacheDir, "images", fileName);
  await mkdir(join(cacheDir, "images"), { recursive: true });
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
  });
  return { name, archive };
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
