/** The example service's images, one per version, so that a rollout has something to roll. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundle, repositoryDir } from "./bundle.ts";
import { buildDockerfile, type Image } from "./dockerfile.ts";
import { buildNodeBase } from "./node-base.ts";

const EXAMPLE = "bootstrap/images/example";

/**
 * Builds `restate-greeter:<version>`, or takes it from the cache. The version is part of every answer of the service.
 *
 * @throws Error with esbuild's or buildah's message, or with the package that is missing.
 */
export async function buildExampleImage({ version }: { readonly version: string }): Promise<Image> {
  const contextDir = await mkdtemp(join(tmpdir(), "restate-greeter-image-"));
  try {
    await bundle({
      entryPoints: { greeter: `${EXAMPLE}/greeter.ts` },
      outDir: join(contextDir, "dist"),
    });
    return await buildDockerfile({
      name: `restate-greeter:${version}`,
      dockerfile: join(repositoryDir, EXAMPLE, "Dockerfile"),
      contextDir,
      baseArchive: await buildNodeBase(),
      args: { VERSION: version },
    });
  } finally {
    await rm(contextDir, { recursive: true, force: true });
  }
}
