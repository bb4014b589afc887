/**
 * How many reconciles a process works on at the same time. Many at once all take long, and while they do, what they have
 * looked at changes: each change is a wake, and so one more reconcile. A few at a time are short, and the wakes of a
 * resource whose turn is still to come collapse into one. (100 clusters at once cost 36 requests each, and 50 without.)
 *
 * A turn orders work, it protects nothing, so it never blocks: whoever holds one for long, because a Restate does not
 * answer for instance, no longer counts, and whoever has waited for long begins anyway.
 */
export interface TurnSettings {
  /** How many at a time. */
  readonly atOnce: number;
  /** So long a turn counts. */
  readonly turnMs: number;
  /** So long one is waited for: well below the inactivity timeout of a virtual object. */
  readonly waitMs: number;
}

/** Twelve keep two processors busy: a reconcile mostly waits for the API server and for Restate (measured). */
export const TURNS: TurnSettings = { atOnce: 12, turnMs: 5_000, waitMs: 10_000 };

/** Turns, first come first served. */
export class Turns {
  readonly #settings: TurnSettings;
  /** Who waits, in the order they came. */
  readonly #waiting = new Set<() => void>();
  #taken = 0;

  constructor(settings: TurnSettings = TURNS) {
    this.#settings = settings;
  }

  /**
   * Waits for a turn and answers what ends it. It also ends when `over` is aborted, at the end of the attempt: a handler
   * that is suspended never comes to its `finally`.
   */
  async take(over: AbortSignal): Promise<() => void> {
    const { atOnce, turnMs } = this.#settings;
    if (this.#taken >= atOnce) await this.#wait();
    else this.#taken += 1;
    let ended = false;
    const end = (): void => {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      over.removeEventListener("abort", end);
      this.#taken -= 1;
      this.#next();
    };
    const timer = setTimeout(end, turnMs).unref();
    over.addEventListener("abort", end);
    if (over.aborted) end();
    return end;
  }

  /** Ends with a turn taken. */
  #wait(): Promise<void> {
    return new Promise((resolve) => {
      const begin = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(begin);
        this.#taken += 1;
        resolve();
      };
      const timer = setTimeout(begin, this.#settings.waitMs).unref();
      this.#waiting.add(begin);
    });
  }

  #next(): void {
    const [first] = this.#waiting;
    if (first !== undefined && this.#taken < this.#settings.atOnce) first();
  }
}
