/**
 * Restate's server from its npm package as the image that the charts and the examples name, for machines without a
 * registry. The binary is static, so it needs no libraries; the CLI, which the published image holds too, is left out.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { repositoryDir } from "./bundle.ts";
import type { Image } from "./dockerfile.ts";
import { buildScratchImage, qualifiedImageName } from "./scratch.ts";
import { caCertificates, userDatabase } from "./system-files.ts";

const PACKAGE = join(
  repositoryDir,
  `node_modules/@restatedev/restate-server-linux-${process.arch === "arm64" ? "arm64" : "x64"}`,
);

/**
 * Builds `restatedev/restate:<version>`, or takes it from the cache.
 *
 * @throws Error when the npm package is missing or of another version.
 */
export async function buildRestateImage({ version }: { readonly version: string }): Promise<Image> {
  const installed = await installedVersion();
  if (installed !== version) {
    throw new Error(
      `restatedev/restate:${version} was asked for, but @restatedev/restate-server is ${installed}: change one of them`,
    );
  }
  const name = `restatedev/restate:${version}`;
  const archive = await buildScratchImage({
    name,
    files: [
      {
        path: "/usr/local/bin/restate-server",
        from: join(PACKAGE, "bin/restate-server"),
        mode: 0o755,
      },
      caCertificates(),
      ...userDatabase(),
      { path: "/restate-data", directory: true, owner: { uid: 1000, gid: 1000 } },
    ],
    entrypoint: ["/usr/local/bin/restate-server"],
    user: "1000:1000",
    env: {
      PATH: "/usr/local/bin:/usr/bin:/bin",
      SSL_CERT_FILE: "/etc/ssl/certs/ca-certificates.crt",
      RESTATE_BASE_DIR: "/restate-data",
    },
    ports: ["8080/tcp", "9070/tcp", "5122/tcp"],
    labels: {
      "org.opencontainers.image.title": "restate",
      "org.opencontainers.image.version": version,
    },
  });
  return { name: qualifiedImageName(name), archive };
}

async function installedVersion(): Promise<string> {
  const file = join(PACKAGE, "package.json");
  if (!existsSync(file)) throw new Error(`${PACKAGE} is missing: run npm ci on Linux`);
  const manifest: unknown = JSON.parse(await readFile(file, "utf8"));
  if (typeof manifest !== "object" || manifest === null || !("version" in manifest)) {
    throw new Error(`${file} has no version: run npm ci`);
  }
  return String(manifest.version);
}
