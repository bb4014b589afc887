/** A clock that a test moves by hand: nothing waits, and a seed decides every random number. */
import type { Clock } from "../../watcher/clock.ts";

interface Timer {
  readonly atMs: number;
  readonly sequence: number;
  readonly run: () => void;
}

export class VirtualClock implements Clock {
  readonly random: () => number;
  readonly #timers = new Set<Timer>();
  #nowMs = 0;
  #sequence = 0;

  constructor(random: () => number = () => 0.5) {
    this.random = random;
  }

  readonly nowMs = (): number => this.#nowMs;

  readonly after = (delayMs: number, run: () => void): (() => void) => {
    this.#sequence += 1;
    const timer = { atMs: this.#nowMs + Math.max(delayMs, 0), sequence: this.#sequence, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  };

  /** Timers that are armed. */
  get armed(): number {
    return this.#timers.size;
  }

  /** Runs everything that is due within `durationMs`, in order, letting promises settle in between. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    await settled();
    for (let timer = this.#next(endMs); timer !== undefined; timer = this.#next(endMs)) {
      this.#nowMs = Math.max(this.#nowMs, timer.atMs);
      this.#timers.delete(timer);
      timer.run();
      await settled();
    }
    this.#nowMs = endMs;
  }

  #next(endMs: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.atMs > endMs) continue;
      if (
        next === undefined ||
        timer.atMs < next.atMs ||
        (timer.atMs === next.atMs && timer.sequence < next.sequence)
      ) {
        next = timer;
      }
    }
    return next;
  }
}

/** Every promise that can settle without a timer has settled. */
export function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** Random numbers in [0, 1) that repeat for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
