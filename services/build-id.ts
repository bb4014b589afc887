/**
 * The name of the code that runs: a digest of it. Two processes of the same code serve the same path and are one deployment
 * on the bootstrap; any other code is another one, so no invocation is ever replayed by code it did not start on.
 */
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";

const DIGEST_HEX_DIGITS = 12;

/** Of a bundle: the digest of that one file. Of sources (an entry that ends in `.ts`): of all sources beside it. */
export function buildIdOf(entryFile: string, version: string): string {
  const hash = createHash("sha256");
  for (const file of filesOf(entryFile)) hash.update(readFileSync(file));
  return `${version}-${hash.digest("hex").slice(0, DIGEST_HEX_DIGITS)}`;
}

function filesOf(entryFile: string): string[] {
  if (!entryFile.endsWith(".ts")) return [entryFile];
  const folder = dirname(entryFile);
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .toSorted()
    .map((name) => join(folder, name));
}
