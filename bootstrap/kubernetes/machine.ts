/**
 * What a node needs from the machine it runs on, said in one sentence when it is missing. install.mjs installs the packages
 * where it may; the list is the same.
 */
import { existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { inheritedEnvironment } from "../config.ts";
import debianPackages from "./debian-packages.json" with { type: "json" };

/** Whether node mode can run here, and if not, why and what to do about it. */
export type Fitness =
  | { readonly kind: "fit"; readonly cniFolder: string }
  | { readonly kind: "unfit"; readonly reason: string };

export function nodeFitness(): Fitness {
  if (process.platform !== "linux") {
    return unfit("a Kubernetes node needs Linux: use the mode control-plane here");
  }
  if (process.getuid?.() !== 0) {
    return unfit("a Kubernetes node needs root: run the same command as root");
  }
  const missing = debianPackages.filter(
    ({ commands = [], files = [] }) =>
      !commands.every(isOnPath) || (files.length > 0 && !files.some((file) => existsSync(file))),
  );
  const plugin = debianPackages
    .find((each) => each.package === "containernetworking-plugins")
    ?.files?.find((file) => existsSync(file));
  if (plugin !== undefined && missing.length === 0) {
    return { kind: "fit", cniFolder: dirname(plugin) };
  }
  const names = missing.map((each) => each.package).join(" ");
  return unfit(`a Kubernetes node needs packages that are missing: apt-get install ${names}`);
}

function unfit(reason: string): Fitness {
  return { kind: "unfit", reason };
}

function isOnPath(command: string): boolean {
  const folders = (inheritedEnvironment["PATH"] ?? "").split(delimiter);
  return folders.some((folder) => existsSync(join(folder, command)));
}
