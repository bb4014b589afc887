/**
 * Child processes that are always ended: by `stop()`, or, when their starter was killed, by the next start on the same data
 * folder (`cleanUpLeftovers`). Every process is recorded in `<data folder>/run` together with the time it started, so that
 * a process that was given the same id later is never signalled, and with its starter, so that two starters do not end
 * each other's processes.
 *
 * Refuses to pass on the caller's environment: a child sees PATH, HOME and the like, and what it is given.
 */
import { execFile, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { z } from "zod";
import { inheritedEnvironment } from "./config.ts";
import { isAlive, ownIdentity, ProcessIdentity, startTimeOf } from "./process-identity.ts";
import { readRecordFiles, releaseResources, runDir } from "./resources.ts";

export type ProcessOptions = {
  /** Unique within the data folder. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Added to the few variables that are passed on (`inheritedEnvironment`). */
  readonly env?: Readonly<Record<string, string>>;
  /** The data folder in whose `run` folder the process is recorded. */
  readonly dir: string;
  /** Both output streams are appended to this file; missing folders are made. */
  readonly logFile: string;
  readonly workingDir?: string;
  /** Name of a network namespace (`ip netns`) to run in. Linux, root. */
  readonly networkNamespace?: string;
};

type ExitStatus = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

export type RunningProcess = {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  /** Resolves when the process has ended, however that came about; never rejects. */
  readonly exited: Promise<ExitStatus>;
  /** SIGTERM, then SIGKILL after `graceMs` (default 5,000); resolves when the process is gone. May be called again. */
  stop(graceMs?: number): Promise<void>;
};

/** What is written about a process. `starter: null`: meant to outlive its starter. */
const ProcessRecord = ProcessIdentity.extend({
  name: z.string(),
  command: z.string(),
  starter: ProcessIdentity.nullable(),
}).readonly();
export type ProcessRecord = z.infer<typeof ProcessRecord>;

const AnyRecord = z.looseObject({ starter: ProcessIdentity.nullable() });

const STOP_GRACE_MS = 5_000;
const LEFTOVER_GRACE_MS = 2_000;
const KILL_WAIT_MS = 10_000;
const POLL_MS = 20;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Starts a process in a session of its own: a Ctrl-C in the terminal reaches the starter alone, which then stops its
 * children in the right order.
 *
 * @throws Error when the command cannot be started at all. One that starts and fails resolves `exited`.
 */
export async function startProcess(options: ProcessOptions): Promise<RunningProcess> {
  mkdirSync(dirname(options.logFile), { recursive: true });
  const log = openSync(options.logFile, "a", 0o600);
  // `ip netns exec` would hide the cgroup mounts, nsenter keeps them; it replaces itself, so the pid is the command's
  const [command, ...args] =
    options.networkNamespace === undefined
      ? [options.command, ...options.args]
      : [
          "nsenter",
          `--net=/run/netns/${options.networkNamespace}`,
          options.command,
          ...options.args,
        ];
  const child = spawn(command, args, {
    cwd: options.workingDir,
    env: { ...inheritedEnvironment, ...options.env },
    stdio: ["ignore", log, log],
    detached: true,
  });
  closeSync(log);
  const { pid } = child;
  if (pid === undefined) {
    const reason = await new Promise<Error>((resolve) => child.once("error", resolve));
    throw new Error(`cannot start ${options.name}: ${reason.message}`, { cause: reason });
  }
  const identity = { pid, startedAt: (await startTimeOf(pid)) ?? "" };
  const starter = await ownIdentity();
  const record = { name: options.name, command: options.command, ...identity, starter };
  const file = join(runDir(options.dir), `process-${options.name}.json`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, JSON.stringify(record));
  const exited = new Promise<ExitStatus>((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      resolve({ code: child.exitCode, signal: child.signalCode });
    }
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  const stop = async (graceMs = STOP_GRACE_MS) => {
    await terminate(identity, graceMs);
    await exited;
    await rm(file, { force: true });
  };
  return { name: options.name, pid, logFile: options.logFile, exited, stop };
}

/**
 * Ends what earlier starters that are gone left behind in a data folder: processes first, then mounts, network namespaces,
 * cgroups and folders (`recordResource`). Leaves alone what belongs to a starter that lives, this process included.
 *
 * @param which `detached`: also what was handed over with `detachProcesses`.
 */
export async function cleanUpLeftovers(
  dir: string,
  which: { readonly detached: boolean } = { detached: false },
): Promise<void> {
  const isLeftover = async (starter: ProcessIdentity | null) =>
    starter === null ? which.detached : !(await isAlive(starter));
  await Promise.all(
    (await readRecords(dir)).map(async ({ file, record }) => {
      if (!(await isLeftover(record.starter))) return;
      await terminate(record, LEFTOVER_GRACE_MS);
      await rm(file, { force: true });
    }),
  );
  await releaseResources(runDir(dir), isLeftover);
}

/** The recorded processes of a data folder that are alive, by name. */
export async function runningProcesses(dir: string): Promise<ProcessRecord[]> {
  const records = (await readRecords(dir)).map(({ record }) => record);
  const alive = await Promise.all(records.map(isAlive));
  return records
    .filter((_, index) => alive[index])
    .toSorted((one, other) => one.name.localeCompare(other.name));
}

/** Stops a recorded process, whoever started it: `RunningProcess.stop` for one who has only the data folder. */
export async function stopProcess(
  dir: string,
  name: string,
  graceMs = STOP_GRACE_MS,
): Promise<void> {
  for (const { file, record } of await readRecords(dir)) {
    if (record.name !== name) continue;
    await terminate(record, graceMs);
    await rm(file, { force: true });
  }
}

/** Lets everything that this process started in a data folder outlive it. */
export async function detachProcesses(dir: string): Promise<void> {
  for (const { file, text } of await readRecordFiles(runDir(dir), "")) {
    const record = AnyRecord.parse(JSON.parse(text));
    if (record.starter?.pid === process.pid) {
      await writeFile(file, JSON.stringify({ ...record, starter: null }));
    }
  }
}

/** A command's result; both streams as text. */
export type CommandOutput = { readonly stdout: string; readonly stderr: string };

/**
 * Runs a command to its end.
 *
 * @throws Error with the command and what it wrote to standard error when it fails.
 */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: { readonly input?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<CommandOutput> {
  const running = promisify(execFile)(command, args, {
    env: { ...inheritedEnvironment, ...options.env },
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  running.child.stdin?.on("error", () => undefined).end(options.input ?? "");
  try {
    return await running;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const stderr = "stderr" in error ? String(error.stderr).trim() : "";
    throw new Error(`${command} ${args.slice(0, 4).join(" ")}: ${stderr || error.message}`, {
      cause: error,
    });
  }
}

async function readRecords(dir: string): Promise<{ file: string; record: ProcessRecord }[]> {
  const files = await readRecordFiles(runDir(dir), "process-");
  return files.map(({ file, text }) => ({ file, record: ProcessRecord.parse(JSON.parse(text)) }));
}

async function terminate(identity: ProcessIdentity, graceMs: number): Promise<void> {
  if (!(await isAlive(identity))) return;
  send(identity.pid, "SIGTERM");
  if (await isGoneWithin(identity, graceMs)) return;
  // its own children, if any, are in its process group
  send(-identity.pid, "SIGKILL");
  if (await isGoneWithin(identity, KILL_WAIT_MS)) return;
  throw new Error(`process ${identity.pid} is still there ${KILL_WAIT_MS} ms after SIGKILL`);
}

function send(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    const isGone = error instanceof Error && "code" in error && error.code === "ESRCH";
    if (!isGone) throw error;
  }
}

async function isGoneWithin(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (await isAlive(identity)) {
    if (Date.now() > deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}
