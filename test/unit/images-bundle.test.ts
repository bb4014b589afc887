/**
 * The bundles that the images hold behave as the sources do, name the sources in stack traces, and are equal whenever
 * the sources are: the services' path on the bootstrap is a digest of theirs.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
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
/** With the dependencies' positions a map has 1.5 million. */
const MAP_CHARS_MAX = 300_000;
const workDir = mkdtempSync(join(tmpdir(), "restate-operator-bundle-"));
const dist = join(workDir, "dist");

beforeAll(async () => bundleOperator(dist), TIMEOUT_MS);
afterAll(() => rmSync(workDir, { recursive: true, force: true }));

async function run(args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return promisify(execFile)(process.execPath, args, { env: {} });
}

function digestsOf(dir: string): Record<string, string> {
  const digest = (file: string) =>
    createHash("sha256")
      .update(readFileSync(join(dir, file)))
      .digest("hex");
  return Object.fromEntries(readdirSync(dir).map((file) => [file, digest(file)]));
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

  it("has a source map of our own sources, small enough to be decoded at every start", () => {
    const text = readFileSync(`${bundled}.map`, "utf8");
    const { sources } = JSON.parse(text) as { sources: string[] };
    expect(sources).toContain(`../${source}`);
    expect(text.length).toBeLessThan(MAP_CHARS_MAX);
  });
});

it(
  "equal sources give equal bundles, wherever they are written",
  async () => {
    const entryPoints = { greeter: "bootstrap/images/example/greeter.ts" };
    const [here, elsewhere] = [join(workDir, "here"), join(workDir, "else", "where")];
    await bundle({ entryPoints, outDir: here });
    await bundle({ entryPoints, outDir: elsewhere });
    expect(digestsOf(elsewhere)).toEqual(digestsOf(here));
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
