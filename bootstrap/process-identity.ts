/**
 * What tells a process from every other one, also after its id was given to a new one: the id together with the time the
 * process started. Whoever signals a process by a remembered id asks here first whether it is still the same.
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { z } from "zod";

export const ProcessIdentity = z.object({ pid: z.int(), startedAt: z.string() });
export type ProcessIdentity = Readonly<z.infer<typeof ProcessIdentity>>;

export async function ownIdentity(): Promise<ProcessIdentity> {
  return { pid: process.pid, startedAt: (await startTimeOf(process.pid)) ?? "" };
}

export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  return (await startTimeOf(identity.pid)) === identity.startedAt;
}

/** Whether any process has this id now; for one that was remembered, ask `isAlive`. */
export async function isRunning(pid: number): Promise<boolean> {
  return (await startTimeOf(pid)) !== undefined;
}

/** An opaque text. Undefined when there is no such process, or only its exit status is left of it (a zombie). */
export async function startTimeOf(pid: number): Promise<string | undefined> {
  if (process.platform !== "linux") return startTimeFromPs(pid);
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // proc(5): fields after the parenthesised name; state is the third of all, start time in ticks the 22nd
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z" || fields[0] === "X") return undefined;
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
    return `${boot.trim()}/${fields[19]}`;
  } catch {
    return undefined;
  }
}

async function startTimeFromPs(pid: number): Promise<string | undefined> {
  try {
    return (await promisify(execFile)("ps", ["-o", "lstart=", "-p", String(pid)])).stdout.trim();
  } catch {
    return undefined;
  }
}
