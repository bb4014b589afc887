/** The operator's own image, from the Dockerfile that a release builds too. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleOperator, repositoryDir } from "./bundle.ts";
import { buildDockerfile, type Image } from "./dockerfile.ts";
import { buildNodeBase } from "./node-base.ts";

/** What the chart's `image.repository` names by default. */
export const OPERATOR_REPOSITORY = "ghcr.io/restatedev/restate-operator";

/**
 * Bundles the sources as they are now and builds `ghcr.io/restatedev/restate-operator:<version of package.json>`, or takes
 * it from the cache when nothing changed.
 *
 * @throws Error with esbuild's or buildah's message, or with the package that is missing.
 */
export async function buildOperatorImage(): Promise<Image> {
  const version = await projectVersion();
  // not dist/: two builds at once must not meet there
  const contextDir = await mkdtemp(join(tmpdir(), "restate-operator-image-"));
  try {
    await bundleOperator(join(contextDir, "dist"));
    return await buildDockerfile({
      name: `${OPERATOR_REPOSITORY}:${version}`,
      dockerfile: join(repositoryDir, "Dockerfile"),
      contextDir,
      baseArchive: await buildNodeBase(),
      args: { VERSION: version },
    });
  } finally {
    await rm(contextDir, { recursive: true, force: true });
  }
}

/** The version of package.json, which is the image's tag and the charts' appVersion. */
export async function projectVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(join(repositoryDir, "package.json"), "utf8"));
  if (typeof manifest === "object" && manifest !== null && "version" in manifest) {
    return String(manifest.version);
  }
  throw new Error("package.json has no version");
}
