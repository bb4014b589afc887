/**
 * What the operator reads in a user's Restate configuration: whether a few settings are in it, so that what is not said
 * can be generated, and what would make a second cluster is refused (contract, section 2). Nothing of it is ever repeated.
 */
import { parse } from "smol-toml";

/** Larger files are not parsed: Restate's own configuration has a few kilobytes. */
const CONFIG_MAX_CHARS = 256 * 1024;

export type ReadConfig =
  | { readonly kind: "read"; readonly at: (...path: readonly string[]) => unknown }
  /** `message` names the field, and quotes nothing of what is in it. */
  | { readonly kind: "unreadable"; readonly message: string };

/** `spec.config` as it can be asked for single settings; `at` answers `undefined` where the file is silent. */
export function readConfig(config: string | undefined): ReadConfig {
  const text = config ?? "";
  if (text.length > CONFIG_MAX_CHARS) {
    return {
      kind: "unreadable",
      message: `spec.config has ${text.length} characters, at most ${CONFIG_MAX_CHARS} are read; shorten it`,
    };
  }
  try {
    // Integers of TOML have 64 bits, which a number cannot hold; without this the parser refuses them.
    const table = parse(text, { integersAsBigInt: "asNeeded" });
    return { kind: "read", at: (...path) => memberAt(table, path) };
  } catch (error) {
    return { kind: "unreadable", message: `spec.config is not valid TOML: ${firstLine(error)}` };
  }
}

function memberAt(table: unknown, path: readonly string[]): unknown {
  return path.reduce(
    (value, member): unknown =>
      typeof value === "object" && value !== null && Object.hasOwn(value, member)
        ? Object.entries(value).find(([name]) => name === member)?.[1]
        : undefined,
    table,
  );
}

/** A TOML error quotes the lines around it, which can hold secrets: only its first line is used. */
function firstLine(error: unknown): string {
  return error instanceof Error ? (error.message.split("\n", 1)[0] ?? "") : String(error);
}
