/**
 * The images that a cluster without a registry runs: each starts as the user that its pods run as, and holds nothing but
 * what it needs.
 */
import { stat } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Image } from "../../bootstrap/images/dockerfile.ts";
import { buildExampleImage } from "../../bootstrap/images/example.ts";
import { buildOperatorImage, projectVersion } from "../../bootstrap/images/operator.ts";
import { buildRestateImage } from "../../bootstrap/images/restate.ts";
import { buildah } from "../../bootstrap/images/scratch.ts";

const RESTATE_VERSION = "1.7.12";

const containers: string[] = [];

async function containerOf({ archive }: Image): Promise<string> {
  const container = (await buildah(["from", `oci-archive:${archive}`])).trim();
  containers.push(container);
  return container;
}

/** Runs a program of the image as its pods do: user 1000, group 3000. */
async function run(container: string, args: readonly string[]): Promise<string> {
  return buildah(["run", "--user", "1000:3000", container, "--", ...args]);
}

type ImageConfig = {
  readonly User: string;
  readonly Entrypoint: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Env: readonly string[];
  readonly Labels: Readonly<Record<string, string>>;
};

async function configOf(container: string): Promise<ImageConfig> {
  const inspected = JSON.parse(await buildah(["inspect", container])) as {
    OCIv1: { config: ImageConfig };
  };
  return inspected.OCIv1.config;
}

afterAll(async () => {
  for (const container of containers) await buildah(["rm", container]);
});

describe("operator", () => {
  let image: Image;
  let container: string;

  beforeAll(async () => {
    image = await buildOperatorImage();
    container = await containerOf(image);
  });

  it("has the name that the chart asks for", async () => {
    expect(image.name).toBe(`ghcr.io/restatedev/restate-operator:${await projectVersion()}`);
  });

  it.each(["services", "watcher"])("%s starts", async (command) => {
    const version = await run(container, ["node", `/app/${command}.js`, "--version"]);
    expect(version.trim()).toBe(await projectVersion());
  });

  it("runs the services as a numeric user, and says what it is", async () => {
    const config = await configOf(container);
    expect(config).toMatchObject({
      User: "1000:1000",
      Entrypoint: ["node"],
      Cmd: ["/app/services.js"],
      Labels: {
        "org.opencontainers.image.title": "restate-operator",
        "org.opencontainers.image.version": await projectVersion(),
      },
    });
  });

  it("has no shell", async () => {
    await expect(run(container, ["sh", "-c", "true"])).rejects.toThrow(/not found|no such file/i);
  });
});

describe("restate", () => {
  it("is the server of the npm package", async () => {
    const image = await buildRestateImage({ version: RESTATE_VERSION });
    expect(image.name).toBe(`docker.io/restatedev/restate:${RESTATE_VERSION}`);
    const container = await containerOf(image);
    expect(await run(container, ["restate-server", "--version"])).toContain(RESTATE_VERSION);
    expect(await configOf(container)).toMatchObject({
      User: "1000:1000",
      Entrypoint: ["/usr/local/bin/restate-server"],
    });
  });

  it("a version that is not installed is refused", async () => {
    await expect(buildRestateImage({ version: "0.0.1" })).rejects.toThrow(
      `restatedev/restate:0.0.1 was asked for, but @restatedev/restate-server is ${RESTATE_VERSION}`,
    );
  });
});

describe("example", () => {
  it("is built once", async () => {
    const { archive } = await buildExampleImage({ version: "v1" });
    const builtAtMs = (await stat(archive)).mtimeMs;
    expect((await buildExampleImage({ version: "v1" })).archive).toBe(archive);
    expect((await stat(archive)).mtimeMs).toBe(builtAtMs);
  });

  it("versions are images that differ in what they answer", async () => {
    const first = await buildExampleImage({ version: "v1" });
    const second = await buildExampleImage({ version: "v2" });
    expect([first.name, second.name]).toEqual([
      "docker.io/library/restate-greeter:v1",
      "docker.io/library/restate-greeter:v2",
    ]);
    const { Env } = await configOf(await containerOf(second));
    expect(Env).toContain("GREETER_VERSION=v2");
  });
});
