/**
 * The sender of wakes. It owns what is still to be sent and nothing else; memory is bounded by the number of keys.
 *
 * W1 A wake is sent until it is accepted; there is no last attempt.
 * W2 Of one key at most one send is outstanding. W3 A key that changes while its send is outstanding is sent once more,
 *    because the bootstrap may have acted on the world before the change.
 * W4 At most `concurrency` sends are outstanding. When the bootstrap cannot be reached at all, one send at a time probes it.
 *    A key that is refused waits alone: it delays no other.
 */
import { backoffMs, pause } from "./clock.ts";
import type { Clock } from "./clock.ts";
import type { WakeKey } from "./owners.ts";

/** What became of one send. */
export type SendResult =
  | { readonly kind: "accepted" }
  /** The bootstrap answered with this status; the wake is not queued there. A service may not be registered yet. */
  | { readonly kind: "refused"; readonly status: number }
  /** No answer; the wake may be queued there or not, and sending it twice is harmless. */
  | { readonly kind: "unreachable"; readonly reason: string };

/** One attempt to deliver a wake; never rejects. */
export type Send = (key: WakeKey, why: string) => Promise<SendResult>;

/** For log and metrics. */
export interface SendReport {
  readonly accepted: (key: WakeKey) => void;
  readonly failed: (key: WakeKey, result: Exclude<SendResult, { kind: "accepted" }>) => void;
}

export interface WakeSenderOptions {
  readonly send: Send;
  readonly clock: Clock;
  readonly concurrency: number;
  readonly report: SendReport;
}

interface Pending {
  state: "queued" | "outstanding" | "backingOff";
  why: string;
  /** The cause of a change that came while the send was outstanding (W3). */
  whyAgain: string | undefined;
  attempt: number;
  /** Ends its back-off without another send. */
  cancel: () => void;
}

const nothing = (): void => {};

const RETRY = { initialMs: 50, maxMs: 5_000 } as const;

export class WakeSender {
  readonly #options: WakeSenderOptions;
  readonly #pending = new Map<WakeKey, Pending>();
  readonly #queue = new Set<WakeKey>();
  #outstanding = 0;
  /** Failed attempts in a row to reach the bootstrap; 0 while it answers. */
  #unreachable = 0;
  /** Closed: nothing is sent until the back-off ends. */
  #closed = false;
  #cancelClosed = nothing;
  #stopped = false;
  #idle: (() => void)[] = [];

  constructor(options: WakeSenderOptions) {
    this.#options = options;
  }

  /** Keys that are not accepted yet. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Sends a wake for `key`, now or after what is queued. */
  wake(key: WakeKey, why: string): void {
    if (this.#stopped) return;
    const pending = this.#pending.get(key);
    if (pending === undefined) {
      this.#pending.set(key, {
        state: "queued",
        why,
        whyAgain: undefined,
        attempt: 0,
        cancel: nothing,
      });
      this.#queue.add(key);
      this.#pump();
    } else if (pending.state === "outstanding") {
      pending.whyAgain ??= why;
    }
    // Queued or backing off: the send that is still to come is after this change.
  }

  /**
   * Waits until everything is accepted, at most `timeoutMs`, and then sends nothing more. True when everything was accepted.
   */
  async stop(timeoutMs: number): Promise<boolean> {
    const drained = await this.drain(timeoutMs);
    this.#stopped = true;
    this.#cancelClosed();
    for (const pending of this.#pending.values()) pending.cancel();
    this.#pending.clear();
    this.#queue.clear();
    return drained;
  }

  /** Resolves when nothing is pending (true), or after `timeoutMs` (false). */
  async drain(timeoutMs: number): Promise<boolean> {
    const limit = new AbortController();
    const idle = new Promise<void>((resolve) => {
      if (this.#pending.size === 0) resolve();
      else this.#idle.push(resolve);
    });
    await Promise.race([idle, pause(this.#options.clock, timeoutMs, limit.signal)]);
    limit.abort();
    return this.#pending.size === 0;
  }

  #pump(): void {
    const limit = this.#unreachable > 0 ? 1 : this.#options.concurrency;
    for (const key of this.#queue) {
      if (this.#closed || this.#outstanding >= limit) return;
      const pending = this.#pending.get(key);
      this.#queue.delete(key);
      if (pending !== undefined) void this.#attempt(key, pending);
    }
  }

  async #attempt(key: WakeKey, pending: Pending): Promise<void> {
    const { send, report } = this.#options;
    pending.state = "outstanding";
    this.#outstanding += 1;
    const result = await send(key, pending.why);
    this.#outstanding -= 1;
    if (this.#stopped) return;
    if (result.kind === "accepted") {
      report.accepted(key);
      this.#accepted(key, pending);
    } else {
      report.failed(key, result);
      this.#failed(key, pending, result.kind);
    }
    this.#pump();
  }

  #accepted(key: WakeKey, pending: Pending): void {
    this.#unreachable = 0;
    if (pending.whyAgain !== undefined) {
      pending.why = pending.whyAgain;
      pending.whyAgain = undefined;
      pending.attempt = 0;
      this.#requeue(key, pending);
      return;
    }
    this.#pending.delete(key);
    if (this.#pending.size > 0) return;
    for (const resolve of this.#idle) resolve();
    this.#idle = [];
  }

  #failed(key: WakeKey, pending: Pending, kind: "refused" | "unreachable"): void {
    const { clock } = this.#options;
    // The next send of this key is after whatever changed meanwhile.
    pending.whyAgain = undefined;
    if (kind === "unreachable") {
      this.#requeue(key, pending);
      this.#close();
      return;
    }
    this.#unreachable = 0;
    pending.state = "backingOff";
    pending.cancel = clock.after(backoffMs(clock, pending.attempt, RETRY), () => {
      this.#requeue(key, pending);
      this.#pump();
    });
    pending.attempt += 1;
  }

  /** Nothing is sent for a while; many sends that fail together count once. */
  #close(): void {
    if (this.#closed) return;
    const { clock } = this.#options;
    this.#closed = true;
    this.#cancelClosed = clock.after(backoffMs(clock, this.#unreachable, RETRY), () => {
      this.#closed = false;
      this.#pump();
    });
    this.#unreachable += 1;
  }

  #requeue(key: WakeKey, pending: Pending): void {
    pending.state = "queued";
    this.#queue.add(key);
  }
}
