/**
 * How long to wait after the n-th failure in a row. Exponential, capped, and spread: a thousand resources that fail
 * together (an API server that is away) must not come back together.
 */

const FIRST_DELAY_MS = 5_000;
const LONGEST_DELAY_MS = 5 * 60_000;
/** Part of a delay that is random: the rest is certain, so that a retry is never immediate. */
const JITTER_FRACTION = 0.3;

/**
 * Milliseconds to wait before attempt `failures + 1`.
 *
 * @param failures failures in a row, at least 1
 * @param random a number in [0, 1): the caller's, so that this stays pure
 */
export function backoffMs(failures: number, random: number): number {
  const fullMs = Math.min(FIRST_DELAY_MS * 2 ** Math.min(failures - 1, 10), LONGEST_DELAY_MS);
  return Math.round(fullMs * (1 - JITTER_FRACTION * random));
}

/** A period shortened by up to a tenth, so that timers armed together do not stay together. */
export function jitteredMs(periodMs: number, random: number): number {
  return Math.round(periodMs * (1 - 0.1 * random));
}
