/** The name of the code that runs: another one for any other code, the same one on every machine. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { buildIdOf } from "../../services/build-id.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "build-id-"));
});
afterEach(() => rm(dir, { recursive: true }));

async function write(file: string, text: string): Promise<string> {
  const path = join(dir, file);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  return path;
}

describe("of a bundle", () => {
  test("version and digest of the one file", async () => {
    const bundle = await write("services.js", "abc");
    expect(buildIdOf(bundle, "0.1.0")).toBe("0.1.0-ba7816bf8f01");
    await write("beside.js", "x");
    expect(buildIdOf(bundle, "0.1.0")).toBe("0.1.0-ba7816bf8f01");
    await write("services.js", "abd");
    expect(buildIdOf(bundle, "0.1.0")).not.toBe("0.1.0-ba7816bf8f01");
    expect(buildIdOf(bundle, "0.2.0")).toMatch(/^0\.2\.0-[0-9a-f]{12}$/);
  });
});

describe("of sources", () => {
  test.each<[string, string, string, boolean]>([
    ["the entry", "main.ts", "changed", true],
    ["a source in a folder", "a/b.ts", "changed", true],
    ["a new source", "a/c.ts", "new", true],
    ["what is no source", "a/notes.md", "new", false],
  ])("%s", async (...[, file, text, changes]) => {
    const entry = await write("main.ts", "1");
    await write("a/b.ts", "2");
    const before = buildIdOf(entry, "0.1.0");
    expect(buildIdOf(entry, "0.1.0")).toBe(before);
    await write(file, text);
    expect(buildIdOf(entry, "0.1.0") !== before).toBe(changes);
  });
});

test("it can be part of a URL", async () => {
  const id = buildIdOf(await write("services.js", "abc"), "0.1.0");
  expect(encodeURIComponent(id)).toBe(id);
});

test("an entry that is not there is an error, not a name", () => {
  expect(() => buildIdOf(join(dir, "services.js"), "0.1.0")).toThrow("ENOENT");
});
