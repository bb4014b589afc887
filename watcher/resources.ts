/**
 * The memory of the three kinds: which resources there are, a fingerprint of each, and who refers to whom. It is a filter,
 * never a source of truth: it decides only that an event is an echo of what was already sent. Whatever enters it has been
 * handed to the sender in the same turn, so what is lost with it (a restart) is sent again.
 *
 * M1 A resource seen for the first time is sent. M2 A resource whose relevant parts differ from what was seen is sent.
 * M3 A resource that was known and is gone, by an event or from a list, is sent. M4 What refers to a cluster or an
 * environment is sent when that appears, disappears or changes in a way that matters to it. M5 After a gap everything is
 * sent: a reconciler may have acted on something that came and went in it.
 */
import { createHash } from "node:crypto";
import type { ListCause, Sink } from "./follow.ts";
import { RECONCILER_OF } from "./kinds.ts";
import type { ResourceKind, WatchedResource } from "./kinds.ts";
import { partsForDependents, referenceOf, relevantParts, wakeKeyOf } from "./owners.ts";
import type { Reference, WakeKey } from "./owners.ts";
import type { WatchedObject } from "./objects.ts";

/** Where wakes go: `why` is a short cause for a person, without object contents. */
export type Wake = (key: WakeKey, why: string) => void;

interface Known {
  readonly fingerprint: string;
  readonly forDependents: string | undefined;
  readonly reference: Reference | undefined;
  readonly name: string;
}

type Change = "listed" | "created" | "changed" | "gone" | "listed after a gap";

/** All resources of the three kinds, indexed by reconciler key and by what they refer to. */
export class ResourceMemory {
  readonly #known = new Map<WakeKey, Known>();
  readonly #referrers = new Map<Reference, Set<WakeKey>>();

  get(key: WakeKey): Known | undefined {
    return this.#known.get(key);
  }

  keysOf(kind: ResourceKind): WakeKey[] {
    return [...this.#known.keys()].filter((key) => key.startsWith(`${RECONCILER_OF[kind]}/`));
  }

  referrersOf(reference: Reference): readonly WakeKey[] {
    return [...(this.#referrers.get(reference) ?? [])];
  }

  /** Whatever refers to any resource of that kind. */
  referrersOfKind(kind: ResourceKind): readonly WakeKey[] {
    return [...this.#referrers].flatMap(([reference, keys]) =>
      reference.startsWith(`${kind}/`) ? [...keys] : [],
    );
  }

  set(key: WakeKey, known: Known): void {
    this.#unrefer(key, known.reference);
    this.#known.set(key, known);
    if (known.reference === undefined) return;
    const referrers = this.#referrers.get(known.reference) ?? new Set();
    this.#referrers.set(known.reference, referrers.add(key));
  }

  delete(key: WakeKey): void {
    this.#unrefer(key, undefined);
    this.#known.delete(key);
  }

  #unrefer(key: WakeKey, next: Reference | undefined): void {
    const reference = this.#known.get(key)?.reference;
    if (reference === undefined || reference === next) return;
    const referrers = this.#referrers.get(reference);
    referrers?.delete(key);
    if (referrers?.size === 0) this.#referrers.delete(reference);
  }
}

export interface ResourceSinkOptions {
  readonly kind: WatchedResource;
  readonly memory: ResourceMemory;
  /** Sends at once: somebody changed their mind. */
  readonly wakeNow: Wake;
}

/** Turns lists and events of one of the three kinds into wakes. */
export class ResourceSink implements Sink {
  readonly #options: ResourceSinkOptions;
  #unlisted: Set<WakeKey> = new Set();
  #phase: "unseen" | "firstList" | "listed" = "unseen";
  #afterGap = false;

  constructor(options: ResourceSinkOptions) {
    this.#options = options;
  }

  /** Whether wakes of this kind may have been sent: from its first list on. */
  get released(): boolean {
    return this.#phase !== "unseen";
  }

  listBegan(cause: ListCause): void {
    if (cause === "gap") this.#afterGap = true;
    if (this.#phase === "unseen") this.#phase = "firstList";
    this.#unlisted = new Set(this.#options.memory.keysOf(this.#options.kind.kind));
  }

  observed(object: WatchedObject): void {
    const { kind, memory } = this.#options;
    const key = wakeKeyOf(kind.kind, object.metadata);
    this.#unlisted.delete(key);
    const before = memory.get(key);
    const parts = partsForDependents(kind.kind, object);
    const now: Known = {
      fingerprint: digest(relevantParts(object)),
      forDependents: parts === undefined ? undefined : digest(parts),
      reference: referenceOf(kind.kind, object),
      name: object.metadata.name,
    };
    memory.set(key, now);
    if (before === undefined) this.#wake(key, this.#phase === "listed" ? "created" : "listed");
    else if (before.fingerprint !== now.fingerprint) this.#wake(key, "changed");
    else if (this.#afterGap) this.#wake(key, "listed after a gap"); // M5
    if (before?.forDependents !== now.forDependents) this.#wakeReferrers(now.name, "changed");
  }

  removed(object: WatchedObject): void {
    this.#forget(wakeKeyOf(this.#options.kind.kind, object.metadata), object.metadata.name);
  }

  listEnded(): void {
    for (const key of this.#unlisted) {
      this.#forget(key, this.#options.memory.get(key)?.name ?? "");
    }
    this.#unlisted = new Set();
    this.#phase = "listed";
    if (this.#afterGap) this.#wakeAllReferrers(); // M5
    this.#afterGap = false;
  }

  #wakeAllReferrers(): void {
    const { kind, memory, wakeNow } = this.#options;
    if (kind.kind === "RestateDeployment") return;
    for (const key of memory.referrersOfKind(kind.kind)) {
      wakeNow(key, `${kind.kind} listed after a gap`);
    }
  }

  #forget(key: WakeKey, name: string): void {
    this.#options.memory.delete(key);
    this.#wake(key, "gone");
    this.#wakeReferrers(name, "gone");
  }

  #wake(key: WakeKey, change: Change): void {
    const { kind, wakeNow } = this.#options;
    wakeNow(key, change === "listed" ? "listed at start" : `${kind.kind} ${change}`);
  }

  #wakeReferrers(name: string, change: "changed" | "gone"): void {
    const { kind, memory, wakeNow } = this.#options;
    if (kind.kind === "RestateDeployment") return;
    for (const referrer of memory.referrersOf(`${kind.kind}/${name}`)) {
      wakeNow(referrer, `${kind.kind} ${name} ${change}`);
    }
  }
}

/** 128 bits: short to keep, and two different states do not meet in it. */
function digest(text: string): string {
  return createHash("sha256").update(text).digest("base64").slice(0, 22);
}
