/**
 * The base of the images that run Node where no registry can be reached: the node of the npm package that runs this
 * repository, the shared libraries it is linked to, CA certificates, and nothing else: no shell, no package manager.
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { repositoryDir } from "./bundle.ts";
import { buildScratchImage, type ImageEntry } from "./scratch.ts";
import { caCertificates, userDatabase } from "./system-files.ts";

const NODE = join(repositoryDir, "node_modules/node/bin/node");

/**
 * Builds the base, or takes it from the cache, and returns the path of its archive.
 *
 * @throws Error when node_modules is not installed or a library is missing, with what to install.
 */
export async function buildNodeBase(): Promise<string> {
  return buildScratchImage({
    name: `restate-operator-node-base:${await installedNodeVersion()}`,
    files: [
      { path: "/usr/local/bin/node", from: NODE, mode: 0o755 },
      ...(await sharedLibrariesOf(NODE)),
      caCertificates(),
      ...userDatabase(),
    ],
    entrypoint: ["node"],
    user: "1000:1000",
    env: {
      PATH: "/usr/local/bin:/usr/bin:/bin",
      SSL_CERT_FILE: "/etc/ssl/certs/ca-certificates.crt",
    },
  });
}

async function installedNodeVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(
    await readFile(join(repositoryDir, "node_modules/node/package.json"), "utf8"),
  );
  if (typeof manifest === "object" && manifest !== null && "version" in manifest) {
    return String(manifest.version);
  }
  throw new Error("node_modules/node/package.json has no version: run npm ci");
}

/** Every library and the loader, at the path where the loader looks for it on this machine. */
async function sharedLibrariesOf(binary: string): Promise<ImageEntry[]> {
  const { stdout } = await promisify(execFile)("ldd", [binary]);
  return stdout.split("\n").flatMap((line): ImageEntry[] => {
    if (line.includes("not found")) {
      throw new Error(`${binary} needs a library that is missing: ${line.trim()}`);
    }
    const path = /(\/\S+) \(0x/.exec(line)?.[1];
    return path === undefined ? [] : [{ path, from: path, mode: 0o755 }];
  });
}
