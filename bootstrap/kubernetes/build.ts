/**
 * Builds Kubernetes from the Go module in this folder, once: the binaries are kept in the cache folder under the hash of
 * the module's files, so a checkout that did not change them starts at once, and so does every other checkout.
 *
 * The first build downloads some 600 modules and compiles some 3,000 packages: ten minutes on two cores. Every step of it
 * is reported. Several that need it at once wait for one another.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { cacheDir, callerEnvironment } from "../config.ts";
import { withLock } from "../lock.ts";

/** Receives one line of progress at a time. */
export type Log = (line: string) => void;

/** Paths of what was built. */
export type KubernetesBinaries = {
  /** Version of Kubernetes, `v1.36.3`. */
  readonly version: string;
  /** The multi-call binary: `kubernetes kubectl get pods`. */
  readonly kubernetes: string;
  readonly kwok: string;
  /** The static binary of the pod sandbox's image. */
  readonly pause: string;
  /** Passes connections on, also into a network namespace. */
  readonly forward: string;
  /** kwok's own rules for how nodes and pods move on, one file each. */
  readonly kwokNodeStages: string;
  readonly kwokPodStages: string;
};

const MODULE_DIR = import.meta.dirname;
const GO_MINOR_MIN = 26;
const PROGRESS_INTERVAL_MS = 5_000;
const WAY_OUT = `install Go 1.${GO_MINOR_MIN} or newer from https://go.dev/dl`;

/**
 * The binaries, built now if the cache does not have them.
 *
 * @throws Error when Go is missing or too old, or the build fails.
 */
export async function buildKubernetes(log: Log): Promise<KubernetesBinaries> {
  const files = await readModule();
  const folder = join(cacheDir, "kubernetes", hashOf(files));
  const binaries = binariesIn(folder, versionIn(files));
  if (await isThere(folder)) return binaries;
  return withLock(
    `${folder}.lock`,
    async () => {
      if (await isThere(folder)) return binaries;
      const partial = `${folder}.partial`;
      await rm(partial, { recursive: true, force: true });
      try {
        await buildInto(partial, { version: binaries.version, log });
        await rename(partial, folder);
      } finally {
        await rm(partial, { recursive: true, force: true });
      }
      log(`Kubernetes ${binaries.version} is built, kept in ${folder}`);
      return binaries;
    },
    ({ pid }) => log(`Kubernetes is being built by process ${pid}, waiting for it`),
  );
}

async function buildInto(folder: string, build: { version: string; log: Log }): Promise<void> {
  await refuseUnfitGo();
  const { log, version } = build;
  await mkdir(folder, { recursive: true });
  log(`building Kubernetes ${version} from source, once (ten minutes on two cores)`);
  const programs = [".", "./pause", "./forward", "sigs.k8s.io/kwok/cmd/kwok"];
  const packages = await go(["list", "-mod=readonly", "-deps", ...programs], moduleProgress(log));
  const progress = packageProgress(log, packages.length);
  const [, minor = ""] = version.split(".");
  // without them clients cannot parse the server's version, and the audit log's user agents say v0.0.0
  const versionFlags = [
    ...[`gitVersion=${version}`, "gitMajor=1", `gitMinor=${minor}`].map(
      (setting) => `-X k8s.io/component-base/version.${setting}`,
    ),
    `-X k8s.io/client-go/pkg/version.gitVersion=${version}`,
  ];
  const output = binariesIn(folder, version);
  const compile = async (program: string, file: string, flags: readonly string[]) => {
    const linkerFlags = ["-s -w", ...flags].join(" ");
    const buildFlags = ["-mod=readonly", "-v", "-trimpath", "-ldflags", linkerFlags];
    await go(["build", ...buildFlags, "-o", file, program], progress);
  };
  await compile(".", output.kubernetes, versionFlags);
  await compile("./pause", output.pause, []);
  await compile("./forward", output.forward, []);
  await compile("sigs.k8s.io/kwok/cmd/kwok", output.kwok, []);
  await writeStages(output);
}

/** kwok stops without stages and has none built in: they are in its module, next to its sources. */
async function writeStages(output: KubernetesBinaries): Promise<void> {
  const [module = ""] = await go([
    "list",
    "-mod=readonly",
    "-m",
    "-f",
    "{{.Dir}}",
    "sigs.k8s.io/kwok",
  ]);
  const stages = join(module, "kustomize", "stage");
  const stagesIn = async (folder: string, prefix: string) => {
    const names = (await readdir(join(stages, folder))).filter(
      (name) => name.startsWith(prefix) && name.endsWith(".yaml"),
    );
    return Promise.all(
      names.toSorted().map((name) => readFile(join(stages, folder, name), "utf8")),
    );
  };
  const nodeStages = [
    ...(await stagesIn("node/fast", "node-")),
    ...(await stagesIn("node/heartbeat", "node-")),
  ];
  await writeFile(output.kwokNodeStages, nodeStages.join("\n---\n"));
  await writeFile(output.kwokPodStages, (await stagesIn("pod/fast", "pod-")).join("\n---\n"));
}

function binariesIn(folder: string, version: string): KubernetesBinaries {
  return {
    version,
    kubernetes: join(folder, "kubernetes"),
    kwok: join(folder, "kwok"),
    pause: join(folder, "pause"),
    forward: join(folder, "forward"),
    kwokNodeStages: join(folder, "kwok-node-stages.yaml"),
    kwokPodStages: join(folder, "kwok-pod-stages.yaml"),
  };
}

async function readModule(): Promise<ReadonlyMap<string, string>> {
  const names = (await readdir(MODULE_DIR, { recursive: true }))
    .filter((name) => name.endsWith(".go") || name === "go.mod" || name === "go.sum")
    .toSorted();
  const contents = names.map((name) => readFile(join(MODULE_DIR, name), "utf8"));
  return new Map(
    (await Promise.all(contents)).map((content, index) => [names[index] ?? "", content]),
  );
}

function hashOf(files: ReadonlyMap<string, string>): string {
  return createHash("sha256")
    .update(JSON.stringify([...files]))
    .digest("hex")
    .slice(0, 16);
}

function versionIn(files: ReadonlyMap<string, string>): string {
  const version = /^\s+k8s\.io\/kubernetes (v\S+)/m.exec(files.get("go.mod") ?? "")?.[1];
  if (version === undefined)
    throw new Error(`${MODULE_DIR}/go.mod does not name k8s.io/kubernetes`);
  return version;
}

async function refuseUnfitGo(): Promise<void> {
  const [version = ""] = await go(["env", "GOVERSION"]);
  const minor = Number(/^go1\.(\d+)/.exec(version)?.[1]);
  if (minor >= GO_MINOR_MIN) return;
  throw new Error(
    `Go is ${version || "of an unknown version"}, too old to build Kubernetes: ${WAY_OUT}`,
  );
}

function moduleProgress(log: Log): Log {
  const report = atIntervals(log);
  let downloaded = 0;
  return (line) => {
    if (!line.startsWith("go: downloading")) return;
    downloaded += 1;
    report(`downloading Go modules: ${downloaded}`);
  };
}

function packageProgress(log: Log, total: number): Log {
  const report = atIntervals(log);
  let compiled = 0;
  return (line) => {
    if (line.startsWith("go: ") || line.startsWith("#")) return;
    compiled += 1;
    report(`compiling Kubernetes: ${compiled} of at most ${total} packages`);
  };
}

function atIntervals(log: Log): Log {
  let reportedAt = 0;
  return (line) => {
    if (Date.now() - reportedAt < PROGRESS_INTERVAL_MS) return;
    reportedAt = Date.now();
    log(line);
  };
}

/** Runs go in the module's folder; `onProgress` gets what it writes to standard error, the result is its output's lines. */
async function go(args: readonly string[], onProgress: Log = () => undefined): Promise<string[]> {
  const child = spawn("go", args, {
    cwd: MODULE_DIR,
    env: { ...callerEnvironment, CGO_ENABLED: "0" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines: string[] = [];
  const errors: string[] = [];
  createInterface(child.stdout).on("line", (line) => lines.push(line));
  createInterface(child.stderr).on("line", (line) => {
    errors.push(line);
    onProgress(line);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", (cause) =>
      reject(new Error(`Go is missing, and Kubernetes is built with it: ${WAY_OUT}`, { cause })),
    );
    child.once("close", resolve);
  });
  if (code === 0) return lines;
  throw new Error(`go ${args[0]} failed: ${errors.slice(-20).join("\n")}`);
}

async function isThere(folder: string): Promise<boolean> {
  return access(folder).then(
    () => true,
    () => false,
  );
}
