/**
 * Follows one resource for as long as the process lives: list, watch from that list, resume where the watch ended, list
 * again when that is not possible. It owns the loop and its timing; what to make of an object is the sink's matter, how to
 * talk to the API server the source's.
 *
 * F1 No gap: every watch starts at the version of a complete list or of the last event.
 * F2 A watch that is silent for longer than `idleMs` is dead (bookmarks arrive every minute): it is replaced.
 * F3 A version that the API server has forgotten (410), or that it refuses for long, leads to a fresh list, never to a
 *    watch that starts "now"; the sink is told that there is a gap, in which things may have come and gone unseen.
 * F4 Every `resyncMs`, jittered, everything is listed afresh, so that a missed event costs minutes at most.
 * F5 Nothing is given up: every failure is retried with a jittered back-off, a missing CRD among them.
 */
import { backoffMs, jittered, pause } from "./clock.ts";
import type { Clock } from "./clock.ts";
import type { WatchedObject } from "./objects.ts";

/** One page of a list. */
export interface ListPage {
  readonly items: readonly WatchedObject[];
  readonly resourceVersion: string;
  /** Present while there are more pages. */
  readonly continueToken: string | undefined;
}

export type WatchEvent =
  | { readonly type: "observed"; readonly object: WatchedObject }
  | { readonly type: "removed"; readonly object: WatchedObject }
  | { readonly type: "bookmark"; readonly resourceVersion: string };

/** The API server's side of one resource. Both calls reject with a `SourceFailure`, or whatever broke the connection. */
export interface Source {
  readonly list: (continueToken: string | undefined, signal: AbortSignal) => Promise<ListPage>;
  /** Resolves once the API server has accepted the watch; the iteration ends when the API server ends it. */
  readonly watch: (
    resourceVersion: string,
    signal: AbortSignal,
  ) => Promise<AsyncIterable<WatchEvent>>;
}

/** The API server answered, and not with success. */
export class SourceFailure extends Error {
  override readonly name = "SourceFailure";
  readonly verb: "list" | "watch";
  readonly status: number;
  readonly retryAfterMs: number;

  constructor(failure: { verb: "list" | "watch"; status: number; retryAfterMs: number }) {
    super(`${failure.verb} was answered with status ${failure.status}`);
    this.verb = failure.verb;
    this.status = failure.status;
    this.retryAfterMs = failure.retryAfterMs;
  }
}

/**
 * Why everything is listed: for the first time, as a check of what the watch brought, or because the events since the last
 * version are lost.
 */
export type ListCause = "start" | "resync" | "gap";

/** Where objects go. A list that fails in the middle is followed by another `listBegan`. */
export interface Sink {
  readonly listBegan: (cause: ListCause) => void;
  readonly observed: (object: WatchedObject) => void;
  readonly removed: (object: WatchedObject) => void;
  /** The list is complete: what was known and was not observed since `listBegan` is gone. */
  readonly listEnded: () => void;
}

/** Why a watch was replaced; the `cause` label of the metric. */
export type RestartCause = "ended" | "idle" | "expired" | "resync" | "failed";

/** What happened, for log, metrics and readiness. */
export interface FollowReport {
  /** A list is complete. */
  readonly listed: (objects: number) => void;
  /** Anything arrived: an event, a bookmark, an accepted watch. */
  readonly progressed: () => void;
  readonly failed: (error: unknown) => void;
  readonly restarted: (cause: RestartCause) => void;
}

export interface FollowSettings {
  readonly resyncMs: number;
  readonly idleMs: number;
  /** The longest back-off. */
  readonly retryMaxMs: number;
}

export interface FollowOptions {
  readonly source: Source;
  readonly sink: Sink;
  readonly clock: Clock;
  readonly settings: FollowSettings;
  readonly report: FollowReport;
}

/** A watch that lived this long starts the back-off over. */
const HEALTHY_MS = 5_000;
/** A page of a list that takes longer is abandoned. */
const LIST_TIMEOUT_MS = 60_000;
/** After so many refusals in a row, a minute, the remembered version is not trusted any more: etcd may have been restored. */
const REFUSALS_BEFORE_LIST = 10;
const RETRY_INITIAL_MS = 100;
const RETRY_AFTER_MAX_MS = 30_000;

export class Follower {
  readonly #options: FollowOptions;
  readonly #firstAttempt = Promise.withResolvers<void>();
  #resourceVersion: string | undefined;
  #everListed = false;
  #listAtMs = 0;
  #attempt = 0;

  constructor(options: FollowOptions) {
    this.#options = options;
  }

  /** Resolves when the first list has succeeded or failed. */
  get attempted(): Promise<void> {
    return this.#firstAttempt.promise;
  }

  /** Follows until `signal` aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const delayMs = await this.#turn(signal);
      await pause(this.#options.clock, delayMs, signal);
    }
    this.#firstAttempt.resolve();
  }

  /** One list (if due) and one watch; returns how long to wait before the next. */
  async #turn(signal: AbortSignal): Promise<number> {
    try {
      await this.#listIfDue(signal);
      return await this.#watch(signal);
    } catch (error) {
      return signal.aborted ? 0 : this.#failed(error);
    } finally {
      this.#firstAttempt.resolve();
    }
  }

  async #listIfDue(signal: AbortSignal): Promise<void> {
    const { clock, settings, report } = this.#options;
    if (this.#resourceVersion !== undefined && clock.nowMs() < this.#listAtMs) return;
    try {
      this.#resourceVersion = await this.#list(signal);
      this.#listAtMs = clock.nowMs() + jittered(clock, settings.resyncMs);
      this.#firstAttempt.resolve();
    } catch (error) {
      if (this.#resourceVersion === undefined || signal.aborted) throw error;
      // A resync that fails must not stop a watch that works.
      report.failed(error);
      this.#listAtMs =
        clock.nowMs() + jittered(clock, Math.min(settings.resyncMs, settings.retryMaxMs));
    }
  }

  async #list(signal: AbortSignal): Promise<string> {
    const { source, sink, report } = this.#options;
    let objects = 0;
    let continueToken: string | undefined;
    sink.listBegan(this.#listCause());
    for (;;) {
      const page = await this.#within(LIST_TIMEOUT_MS, signal, (limited) =>
        source.list(continueToken, limited),
      );
      for (const object of page.items) sink.observed(object);
      objects += page.items.length;
      continueToken = page.continueToken;
      report.progressed();
      if (continueToken !== undefined) continue;
      sink.listEnded();
      this.#everListed = true;
      report.listed(objects);
      return page.resourceVersion;
    }
  }

  #listCause(): ListCause {
    if (!this.#everListed) return "start";
    return this.#resourceVersion === undefined ? "gap" : "resync";
  }

  async #within<T>(
    timeoutMs: number,
    signal: AbortSignal,
    call: (limited: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const limit = new AbortController();
    const cancel = this.#options.clock.after(timeoutMs, () =>
      limit.abort(new DOMException("no answer in time", "TimeoutError")),
    );
    try {
      return await call(AbortSignal.any([signal, limit.signal]));
    } finally {
      cancel();
    }
  }

  async #watch(signal: AbortSignal): Promise<number> {
    const { clock, source, report } = this.#options;
    const from = this.#resourceVersion;
    if (from === undefined) return 0;
    const limits = new WatchLimits(this.#options, this.#listAtMs - clock.nowMs());
    const stopped = AbortSignal.any([signal, limits.signal]);
    let acceptedMs = Number.POSITIVE_INFINITY;
    let changes = 0;
    try {
      const events = await source.watch(from, stopped);
      acceptedMs = clock.nowMs();
      report.progressed();
      limits.progressed();
      for await (const event of events) {
        if (stopped.aborted) break;
        limits.progressed();
        report.progressed();
        if (this.#apply(event)) changes += 1;
      }
    } catch (error) {
      if (!limits.signal.aborted || signal.aborted) throw error;
    } finally {
      limits.cancel();
      if (changes > 0 || clock.nowMs() - acceptedMs >= HEALTHY_MS) this.#attempt = 0;
    }
    if (signal.aborted) return 0;
    report.restarted(limits.reached ?? "ended");
    if (limits.reached === "resync") return 0;
    return this.#retryDelayMs();
  }

  /** Hands an event on and remembers its version; true when it was about an object. */
  #apply(event: WatchEvent): boolean {
    const { sink } = this.#options;
    switch (event.type) {
      case "bookmark":
        this.#resourceVersion = event.resourceVersion;
        return false;
      case "observed":
        sink.observed(event.object);
        break;
      case "removed":
        sink.removed(event.object);
        break;
    }
    this.#resourceVersion = event.object.metadata.resourceVersion ?? this.#resourceVersion;
    return true;
  }

  #failed(error: unknown): number {
    const { report } = this.#options;
    const status = error instanceof SourceFailure ? error.status : undefined;
    if (status === 410) {
      this.#resourceVersion = undefined;
      report.restarted("expired");
      return this.#retryDelayMs();
    }
    const refused = status !== undefined && this.#attempt + 1 >= REFUSALS_BEFORE_LIST;
    if (status === 404 || refused) this.#resourceVersion = undefined;
    report.failed(error);
    report.restarted("failed");
    const askedMs = error instanceof SourceFailure ? error.retryAfterMs : 0;
    return Math.max(this.#retryDelayMs(), Math.min(askedMs, RETRY_AFTER_MAX_MS));
  }

  #retryDelayMs(): number {
    const { clock, settings } = this.#options;
    const delayMs = backoffMs(clock, this.#attempt, {
      initialMs: RETRY_INITIAL_MS,
      maxMs: settings.retryMaxMs,
    });
    this.#attempt += 1;
    return delayMs;
  }
}

/** The two reasons of our own to end a watch: it is silent (F2), or the next resync is due (F4). */
class WatchLimits {
  readonly #options: FollowOptions;
  readonly #ended = new AbortController();
  readonly #cancelResync: () => void;
  #cancelIdle: () => void;
  #progressedMs: number;
  reached: "idle" | "resync" | undefined;

  constructor(options: FollowOptions, untilResyncMs: number) {
    this.#options = options;
    this.#progressedMs = options.clock.nowMs();
    this.#cancelResync = options.clock.after(Math.max(untilResyncMs, 0), () => this.#end("resync"));
    this.#cancelIdle = options.clock.after(options.settings.idleMs, () => this.#idle());
  }

  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  progressed(): void {
    this.#progressedMs = this.#options.clock.nowMs();
  }

  cancel(): void {
    this.#cancelIdle();
    this.#cancelResync();
  }

  /** Looks whether the silence is long enough; cheaper than a new timer for every event. */
  #idle(): void {
    const { clock, settings } = this.#options;
    const leftMs = this.#progressedMs + settings.idleMs - clock.nowMs();
    if (leftMs <= 0) this.#end("idle");
    else this.#cancelIdle = clock.after(leftMs, () => this.#idle());
  }

  #end(reason: "idle" | "resync"): void {
    this.reached ??= reason;
    this.#ended.abort();
  }
}
