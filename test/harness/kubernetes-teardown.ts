/**
 * Vitest's globalSetup for the projects that use clusters: what killed runs left behind is gone when the first test starts,
 * and what this run started when the last has ended.
 */
import { removeEndedRuns, removeRun, runDirOf } from "./kubernetes.ts";

export async function setup(): Promise<void> {
  await removeEndedRuns();
}

export async function teardown(): Promise<void> {
  await removeRun(runDirOf(process.pid));
}
