/**
 * Waiting for a part of the cluster with an end to it: the condition, the processes it depends on (one that ends fails the
 * wait at once, with the end of its log), and a deadline.
 */
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { RunningProcess } from "../processes.ts";

export type Wait = {
  /** For messages: "the API server". */
  readonly what: string;
  readonly timeoutMs: number;
  /** Must not end while we wait. */
  readonly processes?: readonly RunningProcess[];
  readonly intervalMs?: number;
};

const INTERVAL_MS = 100;
const LOG_LINES = 12;

/**
 * Resolves once the probe is true; a probe that rejects counts as false.
 *
 * @throws Error that says what did not become ready, why the last probe failed, or which process ended.
 */
export async function waitUntil(wait: Wait, probe: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + wait.timeoutMs;
  const ended = Promise.race(
    (wait.processes ?? []).map(async (process) => {
      await process.exited;
      return process;
    }),
  );
  let reason = "";
  while (Date.now() < deadline) {
    try {
      if (await probe()) return;
      reason = "";
    } catch (error) {
      reason = error instanceof Error ? `: ${error.message}` : "";
    }
    const casualty = await Promise.race([ended, sleep(wait.intervalMs ?? INTERVAL_MS)]);
    if (casualty !== undefined) throw await endedError(casualty);
  }
  throw new Error(`${wait.what} is not ready after ${wait.timeoutMs / 1_000} s${reason}`);
}

async function endedError(process: RunningProcess): Promise<Error> {
  const { code, signal } = await process.exited;
  const log = await readFile(process.logFile, "utf8").catch(() => "");
  const end = log.trimEnd().split("\n").slice(-LOG_LINES).join("\n");
  return new Error(`${process.name} ended (${signal ?? `exit code ${code}`}):\n${end}`);
}
