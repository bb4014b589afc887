/**
 * Configurations that would lose data or make two clusters of one, refused before anything is written: more than one
 * provisioner, and a base directory that is not on a volume (contract, section 2).
 */
import type { RestateClusterSpec } from "../../../crds/restate-cluster.ts";
import type { ClusterBuilding } from "../api.ts";
import { readConfig } from "./config-toml.ts";
import { AUTO_PROVISION, isToBeFormed } from "./settings.ts";

const BASE_DIR_VARIABLE = "RESTATE_BASE_DIR";
const VOLUME = "/restate-data";

/** Why the configuration cannot be used, as a sentence that names field and fix; `undefined` when it can. */
export function configProblem(
  spec: RestateClusterSpec,
  { formed }: Pick<ClusterBuilding, "formed">,
): string | undefined {
  return baseDirProblem(spec) ?? provisionerProblem(spec, formed !== undefined);
}

function provisionerProblem(spec: RestateClusterSpec, formed: boolean): string | undefined {
  const byOperator = spec.cluster?.autoProvision === true;
  // Settings of nodes that are not formed by generated ones are theirs: only a second provisioner is refused.
  if (!byOperator && !(formed && isToBeFormed(spec))) return undefined;
  const why = byOperator
    ? { with: "with spec.cluster.autoProvision", or: "or Restate would provision a second time" }
    : {
        with: "with several replicas",
        or: "or every node would provision a cluster of its own",
      };
  const flag = flagOf(spec, "auto-provision");
  if (flag !== undefined && flag !== "false") {
    return `spec.compute.args: ${why.with} --auto-provision must be false, ${why.or}`;
  }
  const variable = spec.compute.env?.find(({ name }) => name === AUTO_PROVISION);
  if (variable !== undefined) {
    return variable.value === "false"
      ? undefined
      : `spec.compute.env: ${why.with} the variable ${AUTO_PROVISION} must be "false"`;
  }
  const config = readConfig(spec.config ?? undefined);
  if (config.kind === "unreadable") return config.message;
  const said = config.at("auto-provision");
  if (said === false || (said === undefined && formed)) return undefined;
  return `spec.config: ${why.with} set \`auto-provision = false\` in it, ${why.or}`;
}

/** The file's `base-dir` has no effect: the operator's variable, or the user's in its place, wins over it. */
function baseDirProblem(spec: RestateClusterSpec): string | undefined {
  const { env, extraVolumeMounts } = spec.compute;
  const variable = env?.find(({ name }) => name === BASE_DIR_VARIABLE)?.value;
  const said = [
    ["spec.compute.args: --base-dir", flagOf(spec, "base-dir")],
    [`spec.compute.env: the variable ${BASE_DIR_VARIABLE}`, variable],
  ] as const;
  const mounts = [VOLUME, ...(extraVolumeMounts ?? []).map(({ mountPath }) => mountPath)];
  for (const [field, dir] of said) {
    // What refers to other variables can be anywhere.
    if (dir === undefined || dir.includes("$(")) continue;
    if (mounts.some((mount) => isBelow(dir, mount))) continue;
    return `${field} must be ${VOLUME} or a folder in it: elsewhere a pod loses its data when it restarts`;
  }
  return undefined;
}

function isBelow(dir: string, mount: string): boolean {
  const parts = dir.split("/").filter((part) => part !== "" && part !== ".");
  const above = mount.split("/").filter((part) => part !== "" && part !== ".");
  return (
    dir.startsWith("/") &&
    !parts.includes("..") &&
    above.every((part, index) => parts[index] === part)
  );
}

/** The value of `--name value` or `--name=value` among the arguments; the last one counts. */
function flagOf(spec: RestateClusterSpec, name: string): string | undefined {
  const words = [...(spec.compute.command ?? []), ...(spec.compute.args ?? [])];
  const values = words.flatMap((word, index) =>
    word.startsWith(`--${name}=`)
      ? [word.slice(name.length + 3)]
      : word === `--${name}`
        ? [words[index + 1] ?? ""]
        : [],
  );
  return values.at(-1);
}
