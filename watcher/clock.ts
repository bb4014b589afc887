/**
 * Time and chance as values, so that scheduling can be tested without waiting and a simulation can replay a seed.
 * It owns delays and back-off; it refuses wall-clock dates: everything here measures durations.
 */

/** A monotonic clock with timers. */
export interface Clock {
  /** Milliseconds since an arbitrary origin; never goes back. */
  readonly nowMs: () => number;
  /** Runs `run` once after `delayMs`; the returned function cancels it. */
  readonly after: (delayMs: number, run: () => void) => () => void;
  /** A number in [0, 1). */
  readonly random: () => number;
}

/** The clock of the running process. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
};

/** Resolves after `delayMs`, or at once when `signal` aborts; never rejects. */
export function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted || delayMs <= 0) {
      resolve();
      return;
    }
    const stop = (): void => {
      cancel();
      resolve();
    };
    const cancel = clock.after(delayMs, () => {
      signal.removeEventListener("abort", stop);
      resolve();
    });
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** Bounds of a back-off: the first delay and the longest one. */
export interface BackoffBounds {
  readonly initialMs: number;
  readonly maxMs: number;
}

/**
 * The delay before attempt number `attempt` (0 is the first retry): doubles from `initialMs` to `maxMs`. Half of it is
 * random, so that many that failed together do not come back together, and half is not, so that it never becomes a busy loop.
 */
export function backoffMs(clock: Clock, attempt: number, bounds: BackoffBounds): number {
  const ceiling = Math.min(bounds.maxMs, bounds.initialMs * 2 ** Math.min(attempt, 30));
  return ceiling / 2 + (ceiling / 2) * clock.random();
}

/** `durationMs` moved by up to 15 % either way, so that periodic work of many watches spreads out. */
export function jittered(clock: Clock, durationMs: number): number {
  return durationMs * (0.85 + 0.3 * clock.random());
}
