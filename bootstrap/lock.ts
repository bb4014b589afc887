/**
 * One at a time between processes: a lock file that names its holder, so that one who died holding it is noticed.
 */
import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isAlive, ownIdentity, ProcessIdentity } from "./process-identity.ts";

const POLL_MS = 200;

/**
 * Runs `work` while holding the lock; others wait for as long as the holder lives.
 *
 * @param onWait called once if another process holds the lock.
 */
export async function withLock<T>(
  file: string,
  work: () => Promise<T>,
  onWait?: (holder: ProcessIdentity) => void,
): Promise<T> {
  await mkdir(dirname(file), { recursive: true });
  const candidate = `${file}.${process.pid}.${crypto.randomUUID()}`;
  await writeFile(candidate, JSON.stringify(await ownIdentity()));
  try {
    let waiting = false;
    while (!(await linked(candidate, file))) {
      const holder = await holderOf(file);
      if (holder === undefined) continue;
      if (!(await isAlive(holder))) {
        await removeStale(file, holder);
        continue;
      }
      if (!waiting) onWait?.(holder);
      waiting = true;
      await sleep(POLL_MS);
    }
    try {
      return await work();
    } finally {
      await rm(file, { force: true });
    }
  } finally {
    await rm(candidate, { force: true });
  }
}

async function linked(candidate: string, file: string): Promise<boolean> {
  try {
    // a link appears with its content, and only if there is none: no one ever reads a lock without a holder
    await link(candidate, file);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

async function holderOf(file: string): Promise<ProcessIdentity | undefined> {
  try {
    return ProcessIdentity.parse(JSON.parse(await readFile(file, "utf8")));
  } catch {
    return undefined;
  }
}

/** Moves the lock aside and puts it back if meanwhile another took it. */
async function removeStale(file: string, stale: ProcessIdentity): Promise<void> {
  const aside = `${file}.stale.${crypto.randomUUID()}`;
  try {
    await rename(file, aside);
  } catch {
    return;
  }
  const moved = await holderOf(aside);
  if (moved?.pid !== stale.pid || moved.startedAt !== stale.startedAt) await linked(aside, file);
  await rm(aside, { force: true });
}
