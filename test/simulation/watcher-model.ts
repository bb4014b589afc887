/**
 * An API server and a bootstrap in memory, in virtual time, that do what real ones do badly: lists and watches that fail, hang,
 * end, repeat events or answer 410; an ingress that refuses, is not reachable, or takes a wake without saying so.
 */
import type { Clock } from "../../watcher/clock.ts";
import { SourceFailure } from "../../watcher/follow.ts";
import type { ListPage, Source, WatchEvent } from "../../watcher/follow.ts";
import type { WatchedKind } from "../../watcher/kinds.ts";
import { WatchedObject } from "../../watcher/objects.ts";
import {
  ownerOfChild,
  partsForDependents,
  relevantParts,
  wakeKeyOf,
} from "../../watcher/owners.ts";
import type { WakeKey } from "../../watcher/owners.ts";
import type { SendResult } from "../../watcher/wake.ts";

interface Logged {
  readonly version: number;
  readonly event: WatchEvent;
}

interface Collection {
  readonly kind: WatchedKind;
  readonly objects: Map<string, WatchedObject>;
  readonly log: Logged[];
  installed: boolean;
}

/** What goes wrong at the moment; all of it ends when the faults are over. */
export interface Weather {
  /** Probability that a list or the start of a watch fails. */
  apiFails: number;
  /** Probability that an event is delivered twice. */
  duplicates: number;
  /** Watches that start or go on now stay silent. */
  blackHole: boolean;
  /** Probability that a send is not accepted. */
  ingressFails: number;
}

export const FAIR: Weather = { apiFails: 0, duplicates: 0, blackHole: false, ingressFails: 0 };

const PAGE = 3;
const BOOKMARK_MS = 60_000;
const WATCH_MS = 300_000;

export class World {
  readonly clock: Clock;
  readonly collections = new Map<string, Collection>();
  weather: Weather = { ...FAIR };
  /** What the reconciler of a key knew when its last accepted wake was sent. */
  readonly seen = new Map<WakeKey, string>();
  readonly #seenAtMs = new Map<WakeKey, number>();
  /** Every send that was accepted, by watcher. */
  readonly accepted: { watcher: number; key: WakeKey; why: string }[] = [];
  /** How often a watcher was told that its version is too old. */
  expired = 0;
  #version = 1;
  #compacted = 0;
  /** Ends every watch that is open. */
  #disconnect = new AbortController();
  /** Watches that wait for a change. */
  readonly #waiting = new Set<() => void>();

  constructor(clock: Clock, kinds: readonly WatchedKind[]) {
    this.clock = clock;
    for (const kind of kinds) {
      this.collections.set(kind.name, { kind, objects: new Map(), log: [], installed: true });
    }
  }

  collection(name: string): Collection {
    const collection = this.collections.get(name);
    if (collection === undefined) throw new Error(`no collection ${name}`);
    return collection;
  }

  /** Creates or replaces; the API server gives it the next version. */
  put(name: string, object: Record<string, unknown> & { metadata: object }): void {
    const { objects, log } = this.collection(name);
    this.#version += 1;
    const metadata = { ...object.metadata, resourceVersion: `${this.#version}` };
    const stored = WatchedObject.parse({ ...object, metadata });
    objects.set(idOf(stored), stored);
    log.push({ version: this.#version, event: { type: "observed", object: stored } });
    this.#wakeWatches();
  }

  remove(name: string, id: string): void {
    const { objects, log } = this.collection(name);
    const last = objects.get(id);
    if (last === undefined) return;
    this.#version += 1;
    objects.delete(id);
    const metadata = { ...last.metadata, resourceVersion: `${this.#version}` };
    log.push({
      version: this.#version,
      event: { type: "removed", object: { ...last, metadata } },
    });
    this.#wakeWatches();
  }

  /** Forgets all events so far: whoever is not up to date gets 410. */
  compact(): void {
    this.#compacted = this.#version;
  }

  disconnect(): void {
    this.#disconnect.abort();
    this.#disconnect = new AbortController();
  }

  #wakeWatches(): void {
    for (const changed of this.#waiting) changed();
  }

  /** All that the reconciler of `key` depends on, as text. */
  snapshot(key: WakeKey): string {
    const own = this.#resourceOf(key);
    const children = [...this.collections.values()]
      .filter(({ kind }) => kind.role === "child")
      .flatMap(({ kind, objects }) =>
        [...objects.values()]
          .filter(
            ({ metadata }) => kind.role === "child" && ownerOfChild(kind.of, metadata) === key,
          )
          .map(({ metadata }) => `${kind.name} ${metadata.name} ${metadata.resourceVersion}`),
      );
    const register = key.startsWith("DeploymentReconciler/")
      ? own?.spec?.restate?.register
      : undefined;
    const cluster = this.collection("restateclusters").objects.get(`/${register?.cluster}`);
    const environment = this.collection("restatecloudenvironments").objects.get(
      `/${register?.cloud}`,
    );
    return JSON.stringify([
      own === undefined ? "gone" : relevantParts(own),
      children.toSorted(),
      cluster === undefined ? "" : partsForDependents("RestateCluster", cluster),
      environment === undefined ? "" : partsForDependents("RestateCloudEnvironment", environment),
    ]);
  }

  /** Keys of all resources that exist, and of all children. */
  keys(): Set<WakeKey> {
    const keys = new Set<WakeKey>();
    for (const { kind, objects } of this.collections.values()) {
      for (const { metadata } of objects.values()) {
        const key =
          kind.role === "resource"
            ? wakeKeyOf(kind.kind, metadata)
            : ownerOfChild(kind.of, metadata);
        if (key !== undefined) keys.add(key);
      }
    }
    return keys;
  }

  exists(key: WakeKey): boolean {
    return this.#resourceOf(key) !== undefined;
  }

  #resourceOf(key: WakeKey): WatchedObject | undefined {
    for (const { kind, objects } of this.collections.values()) {
      if (kind.role !== "resource") continue;
      for (const object of objects.values()) {
        if (wakeKeyOf(kind.kind, object.metadata) === key) return object;
      }
    }
    return undefined;
  }

  /** The API server as one watcher sees it; `alive` is false once that watcher was killed. */
  sourceOf(kind: WatchedKind, alive: () => boolean): Source {
    return {
      list: (token, signal) => this.#list(kind, token, signal),
      watch: async (version, signal) => {
        await this.#answer(kind, "watch", signal);
        if (Number(version) < this.#compacted) throw this.#tooOld("watch");
        return this.#events(kind, Number(version), { signal, alive });
      },
    };
  }

  #tooOld(verb: "list" | "watch"): SourceFailure {
    this.expired += 1;
    return failure(verb, 410);
  }

  async #list(
    kind: WatchedKind,
    token: string | undefined,
    signal: AbortSignal,
  ): Promise<ListPage> {
    await this.#answer(kind, "list", signal);
    const objects = [...this.collection(kind.name).objects.values()];
    const [version, offset] = (token ?? `${this.#version} 0`).split(" ").map(Number);
    // A continued list shows the version of its first page; the model keeps no old versions, so it expires when anything changed.
    if (version !== this.#version) throw this.#tooOld("list");
    const end = (offset ?? 0) + PAGE;
    return {
      items: objects.slice(offset, end),
      resourceVersion: `${version}`,
      continueToken: end < objects.length ? `${version} ${end}` : undefined,
    };
  }

  /** The time an answer takes, and whether there is one. */
  async #answer(kind: WatchedKind, verb: "list" | "watch", signal: AbortSignal): Promise<void> {
    await this.#sleep(this.clock.random() * 10, signal);
    if (!this.collection(kind.name).installed) throw failure(verb, 404);
    if (this.weather.blackHole) await this.#sleep(20_000, signal);
    if (this.clock.random() >= this.weather.apiFails) return;
    const failures = [new Error("socket"), failure(verb, 500), failure(verb, 403)];
    throw failures[Math.floor(this.clock.random() * failures.length)] ?? new Error("socket");
  }

  async *#events(
    kind: WatchedKind,
    from: number,
    watch: { readonly signal: AbortSignal; readonly alive: () => boolean },
  ): AsyncGenerator<WatchEvent> {
    const { log } = this.collection(kind.name);
    const ended = AbortSignal.any([watch.signal, this.#disconnect.signal]);
    const endMs = this.clock.nowMs() + WATCH_MS * (1 + this.clock.random());
    const silent = this.weather.blackHole;
    let bookmarkMs = this.clock.nowMs() + BOOKMARK_MS;
    let version = from;
    for (;;) {
      const next = silent ? undefined : log.find((logged) => logged.version > version);
      if (next === undefined) {
        await this.#idle(silent ? bookmarkMs : Math.min(bookmarkMs, endMs), ended);
        if (this.clock.nowMs() >= endMs && !silent) return;
        if (this.clock.nowMs() < bookmarkMs) continue;
        bookmarkMs = this.clock.nowMs() + BOOKMARK_MS;
        if (!silent && !log.some((logged) => logged.version > version)) {
          version = this.#version;
          yield { type: "bookmark", resourceVersion: `${version}` };
        }
        continue;
      }
      await this.#sleep(this.clock.random() * 5, ended);
      if (version < this.#compacted && this.clock.random() < 0.5) throw this.#tooOld("watch");
      version = next.version;
      yield next.event;
      if (this.clock.random() < this.weather.duplicates) yield next.event;
    }
  }

  /** Until something changed or the time has come; rejects when `signal` aborts. */
  #idle(untilMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        cancel();
        this.#waiting.delete(changed);
        signal.removeEventListener("abort", stop);
        settle();
      };
      const changed = (): void => finish(resolve);
      const stop = (): void => finish(() => reject(new Error("aborted")));
      const cancel = this.clock.after(Math.max(untilMs - this.clock.nowMs(), 1), changed);
      if (signal.aborted) stop();
      else {
        signal.addEventListener("abort", stop);
        this.#waiting.add(changed);
      }
    });
  }

  #sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(new Error("aborted"));
        return;
      }
      const stop = (): void => {
        cancel();
        reject(new Error("aborted"));
      };
      const cancel = this.clock.after(delayMs, () => {
        signal.removeEventListener("abort", stop);
        resolve();
      });
      signal.addEventListener("abort", stop, { once: true });
    });
  }

  /**
   * The ingress. An accepted wake is answered by a reconcile that reads the world at the earliest moment it could: when the send
   * began. That is the worst case for the watcher.
   */
  async send(watcher: number, key: WakeKey, why: string): Promise<SendResult> {
    const { clock } = this;
    const startedMs = clock.nowMs();
    const snapshot = this.snapshot(key);
    // Mostly milliseconds, now and then seconds.
    await this.#sleep(clock.random() ** 6 * 4_000, new AbortController().signal);
    if (clock.random() < this.weather.ingressFails) {
      const taken = clock.random() < 0.3;
      if (taken) this.#reconciled(key, snapshot, startedMs);
      if (clock.random() < 0.5) return { kind: "unreachable", reason: "ECONNRESET" };
      return { kind: "refused", status: 503 };
    }
    this.#reconciled(key, snapshot, startedMs);
    this.accepted.push({ watcher, key, why });
    return { kind: "accepted" };
  }

  /** Reconciles of a key run one after the other, so that an older look at the world never comes last. */
  #reconciled(key: WakeKey, snapshot: string, atMs: number): void {
    if (atMs < (this.#seenAtMs.get(key) ?? 0)) return;
    this.#seenAtMs.set(key, atMs);
    this.seen.set(key, snapshot);
  }
}

function idOf(object: WatchedObject): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}

function failure(verb: "list" | "watch", status: number): SourceFailure {
  return new SourceFailure({ verb, status, retryAfterMs: 0 });
}
