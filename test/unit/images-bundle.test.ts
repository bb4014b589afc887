/**
 * The bundles that the images hold behave as the sources do, name the sources in stack traces, and are equal whenever
 * the sources are: the services' path on the bootstrap is a digest of theirs.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  bundle,
  bundleOperator,
  operatorCommands,
  repositoryDir,
} from "../../bootstrap/images/bundle.ts";

const TIMEOUT_MS = 60_000;
const workDir = mkdtempSync(join(tmpdir(), "restate-operator-bundle-"));
const dist = join(workDir, "dist");

beforeAll(async () => bundleOperator(dist), TIMEOUT_MS);
afterAll(() => rmSync(workDir, { recursive: true, force: true }));

async function run(args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return promisify(execFile)(process.execPath, args, { env: {} });
}

const version = (
  JSON.parse(readFileSync(join(repositoryDir, "package.json"), "utf8")) as { version: string }
).version;

describe.each(Object.entries(operatorCommands))("%s", (command, source) => {
  const bundled = join(dist, `${command}.js`);

  it.each([
    { form: "source", file: join(repositoryDir, source) },
    { form: "bundle", file: bundled },
  ])(
    "$form: --version and --help",
    async ({ file }) => {
      expect((await run([file, "--version"])).stdout).toBe(`${version}\n`);
      const help = (await run([file, "--help"])).stdout;
      expect(help).toContain(`Usage: ${command} [options]`);
      expect(help).toContain("BOOTSTRAP_INGRESS_URL");
    },
    TIMEOUT_MS,
  );

  it("names no folder of the machine that made it", () => {
    for (const file of [bundled, `${bundled}.map`]) {
      expect(readFileSync(file, "utf8")).not.toContain(repositoryDir.replace(/\/$/, ""));
    }
  });

  it("has a source map of our own sources, relative to the repository", () => {
    const map = JSON.parse(readFileSync(`${bundled}.map`, "utf8")) as { sources: string[] };
    expect(map.sources).toContain(`../${source}`);
    expect(map.sources.filter((path) => path.includes("node_modules"))).toEqual([]);
  });
});

it(
  "equal sources give equal bundles, wherever they are written",
  async () => {
    const again = join(workDir, "elsewhere", "deeper");
    await bundleOperator(again);
    const contents = (dir: string) =>
      Object.fromEntries(
        readdirSync(dir).map((file) => [file, readFileSync(join(dir, file), "utf8")]),
      );
    expect(contents(again)).toEqual(contents(dist));
  },
  TIMEOUT_MS,
);

it(
  "a stack trace names the line of the source",
  async () => {
    const source = join(workDir, "fails.ts");
    writeFileSync(source, 'const unused: string = "";\n\nthrow new Error(`on line 3${unused}`);\n');
    const outDir = join(workDir, "fails");
    await bundle({ entryPoints: { fails: source }, outDir });
    await expect(run(["--enable-source-maps", join(outDir, "fails.js")])).rejects.toThrow(
      /Error: on line 3\n\s+at .*fails\.ts:3:7/,
    );
  },
  TIMEOUT_MS,
);

it("a missing source is named", async () => {
  await expect(
    bundle({ entryPoints: { x: "services/nowhere.ts" }, outDir: join(workDir, "x") }),
  ).rejects.toThrow("services/nowhere.ts");
});
