/**
 * When a change is sent. What a person or a program did to a resource goes out at once. A change of a child waits for the
 * end of its burst, because most of them are echoes of our own writes and one reconcile answers them all: until nothing
 * changed for `quietMs`, and never longer than `longestMs` after the first. The more is going on, the longer reconciles
 * take, and the more of a burst one of them can answer: both times grow with the number of wakes sent of late. (100
 * resources made at once cost 24 wakes each without that.)
 */
import type { Clock } from "./clock.ts";
import type { WakeKey } from "./owners.ts";
import type { Wake } from "./resources.ts";

export interface BurstSettings {
  readonly quietMs: number;
  readonly longestMs: number;
  /** So many wakes of late are no reason to wait longer. */
  readonly calmWakes: number;
  /** How many times longer to wait at most. */
  readonly stretchMax: number;
  /** After this time a wake counts half. */
  readonly halfLifeMs: number;
}

/** About the time between two of our own writes, and what a person does not yet notice. */
export const BURST: BurstSettings = {
  quietMs: 100,
  longestMs: 500,
  calmWakes: 20,
  stretchMax: 6,
  halfLifeMs: 2_000,
};

interface Burst {
  readonly startedMs: number;
  readonly why: string;
  changedMs: number;
  cancel: () => void;
}

export class BurstScheduler {
  readonly #clock: Clock;
  readonly #settings: BurstSettings;
  readonly #send: Wake;
  readonly #bursts = new Map<WakeKey, Burst>();
  #lately = { wakes: 0, atMs: 0 };

  constructor(clock: Clock, send: Wake, settings: BurstSettings = BURST) {
    this.#clock = clock;
    this.#send = send;
    this.#settings = settings;
  }

  /** How many keys wait for the end of their burst. */
  get size(): number {
    return this.#bursts.size;
  }

  /** Sends at once; this answers the burst of that key as well. */
  now(key: WakeKey, why: string): void {
    this.#bursts.get(key)?.cancel();
    this.#bursts.delete(key);
    this.#lately = { wakes: this.#wakesLately() + 1, atMs: this.#clock.nowMs() };
    this.#send(key, why);
  }

  /** Sends when the burst of changes of that key ends, with the cause that began it. */
  afterBurst(key: WakeKey, why: string): void {
    const nowMs = this.#clock.nowMs();
    const burst = this.#bursts.get(key);
    if (burst !== undefined) {
      burst.changedMs = nowMs;
      return;
    }
    const begun: Burst = { startedMs: nowMs, why, changedMs: nowMs, cancel: () => {} };
    this.#bursts.set(key, begun);
    this.#wait(key, begun);
  }

  /** Sends everything that waits. */
  flush(): void {
    for (const [key, burst] of this.#bursts) this.now(key, burst.why);
  }

  /** Waits until the burst would end if nothing more came, and looks again. */
  #wait(key: WakeKey, burst: Burst): void {
    const { quietMs, longestMs, calmWakes, stretchMax } = this.#settings;
    const stretch = Math.min(Math.max(this.#wakesLately() / calmWakes, 1), stretchMax);
    const endMs = Math.min(
      burst.changedMs + quietMs * stretch,
      burst.startedMs + longestMs * stretch,
    );
    const leftMs = endMs - this.#clock.nowMs();
    if (leftMs <= 0) {
      this.now(key, burst.why);
      return;
    }
    burst.cancel = this.#clock.after(leftMs, () => this.#wait(key, burst));
  }

  /** Wakes that were sent, the older the less they count. */
  #wakesLately(): number {
    const { wakes, atMs } = this.#lately;
    return wakes * 2 ** ((atMs - this.#clock.nowMs()) / this.#settings.halfLifeMs);
  }
}
