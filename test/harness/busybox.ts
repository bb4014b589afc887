/** A shell and a few tools for pods of tests, with what an image of canaries needs: Debian's busybox and CA certificates. */
import type { Image } from "../../bootstrap/images/dockerfile.ts";
import { buildScratchImage, qualifiedImageName } from "../../bootstrap/images/scratch.ts";
import { caCertificates } from "../../bootstrap/images/system-files.ts";

export const TOOLS_IMAGE = "localhost/restate-operator/test-busybox:tools";

const TOOLS = ["sh", "cat", "nc", "sleep", "true", "wget"];

/** Builds the image, or takes it from the cache. Its entry point is busybox itself. */
export async function buildBusyboxImage(): Promise<Image> {
  const name = qualifiedImageName(TOOLS_IMAGE);
  const archive = await buildScratchImage({
    name,
    files: [
      { path: "/bin/busybox", from: "/usr/bin/busybox", mode: 0o755 },
      ...TOOLS.map((tool) => ({ path: `/bin/${tool}`, linkTo: "busybox" })),
      caCertificates(),
    ],
    entrypoint: ["/bin/busybox"],
    user: "1000:1000",
    env: { PATH: "/bin" },
  });
  return { name, archive };
}
