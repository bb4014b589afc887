/**
 * What a node needs from the machine it runs on, said in one sentence when it is missing.
 */
import { access } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { inheritedEnvironment } from "../config.ts";

/** Command → the Debian package that has it. */
const COMMANDS = {
  containerd: "containerd",
  ctr: "containerd",
  runc: "runc",
  iptables: "iptables",
  nft: "nftables",
  ip: "iproute2",
  buildah: "buildah",
  busybox: "busybox-static",
} as const;

const CNI_FOLDERS = ["/usr/lib/cni", "/opt/cni/bin"];
const CNI_PACKAGE = "containernetworking-plugins";

/** Whether node mode can run here, and if not, why and what to do about it. */
export type Fitness =
  | { readonly kind: "fit"; readonly cniFolder: string }
  | { readonly kind: "unfit"; readonly reason: string };

export async function nodeFitness(): Promise<Fitness> {
  if (process.platform !== "linux") {
    return unfit("a node needs Linux: use the control-plane mode, or run this on a Linux machine");
  }
  if (process.getuid?.() !== 0) {
    return unfit("a node needs root: run the same command with sudo");
  }
  const cniFolder = await firstThatHas(CNI_FOLDERS, "bridge");
  const found = await Promise.all(Object.keys(COMMANDS).map(isOnPath));
  const missing = new Set([
    ...Object.values(COMMANDS).filter((_, index) => !found[index]),
    ...(cniFolder === undefined ? [CNI_PACKAGE] : []),
  ]);
  if (cniFolder !== undefined && missing.size === 0) return { kind: "fit", cniFolder };
  return unfit(
    `a node needs packages that are missing: apt-get install ${[...missing].toSorted().join(" ")}`,
  );
}

function unfit(reason: string): Fitness {
  return { kind: "unfit", reason };
}

async function isOnPath(command: string): Promise<boolean> {
  const folders = (inheritedEnvironment["PATH"] ?? "").split(delimiter);
  return (await firstThatHas(folders, command)) !== undefined;
}

async function firstThatHas(folders: readonly string[], file: string): Promise<string | undefined> {
  for (const folder of folders) {
    const isThere = await access(join(folder, file)).then(
      () => true,
      () => false,
    );
    if (isThere) return folder;
  }
  return undefined;
}
