/** Waiting in tests: for a condition, with an end to it and a message that says what was seen last. */
import { setTimeout as sleep } from "node:timers/promises";

export type UntilOptions = {
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
};

const TIMEOUT_MS = 30_000;
const INTERVAL_MS = 100;

/**
 * Resolves with the first value of `probe` that is neither `undefined` nor `false`. A probe that rejects is repeated.
 *
 * @throws Error naming `what`, with the last rejection, when there is none in time.
 */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  options: UntilOptions = {},
): Promise<T> {
  const { timeoutMs = TIMEOUT_MS, intervalMs = INTERVAL_MS } = options;
  const deadline = performance.now() + timeoutMs;
  let last = "";
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
      last = "";
    } catch (error) {
      last = `: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (performance.now() > deadline) {
      throw new Error(`not within ${timeoutMs} ms: ${what}${last}`);
    }
    await sleep(intervalMs);
  }
}
