/**
 * The one thing the operator reads in a user's Restate configuration: whether the cluster would provision itself. Two
 * provisioners make two clusters, so with `autoProvision` Restate's own must be off (contract, section 2).
 */
import { parse } from "smol-toml";
import type { RestateClusterSpec } from "../../crds/restate-cluster.ts";

/** Larger files are not parsed: Restate's own configuration has a few kilobytes. */
const CONFIG_MAX_CHARS = 256 * 1024;
const VARIABLE = "RESTATE_AUTO_PROVISION";

/** Why the configuration cannot be used, as a sentence that names field and fix; `undefined` when it can. */
export function configProblem(spec: RestateClusterSpec): string | undefined {
  if (spec.cluster?.autoProvision !== true) return undefined;
  const variable = spec.compute.env?.find(({ name }) => name === VARIABLE);
  if (variable !== undefined) {
    return variable.value === "false"
      ? undefined
      : `spec.compute.env: with spec.cluster.autoProvision the variable ${VARIABLE} must be "false"`;
  }
  const config = spec.config ?? "";
  if (config.length > CONFIG_MAX_CHARS) {
    return `spec.config has ${config.length} characters, at most ${CONFIG_MAX_CHARS} are read; shorten it`;
  }
  try {
    // Integers of TOML have 64 bits, which a number cannot hold; without this the parser refuses them.
    return parse(config, { integersAsBigInt: "asNeeded" })["auto-provision"] === false
      ? undefined
      : "spec.config: with spec.cluster.autoProvision set `auto-provision = false` in it, or Restate would provision a second time";
  } catch (error) {
    return `spec.config is not valid TOML: ${firstLine(error)}`;
  }
}

/** A TOML error quotes the lines around it, which can hold secrets: only its first line is used. */
function firstLine(error: unknown): string {
  return error instanceof Error ? (error.message.split("\n", 1)[0] ?? "") : String(error);
}
