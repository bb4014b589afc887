/**
 * The memory of one watched child kind: the version of each object and whose it is, to tell what changed while nobody
 * watched. Changes are sent at the end of their burst, by whoever `wakeAfterBurst` is.
 *
 * C1 Every version of a child that was not seen before is sent, whatever changed in it: its status matters, and the API
 *    server shows no generation for that.
 * C2 The first list is not sent when the owners' own list is still to come, because that sends every owner afterwards. When
 *    the owners were released before it ended, every owner is sent again: a child may have changed or gone between the two.
 *    The same after a gap: something may have come and gone in it, and its owner may have acted on that.
 * C3 A child that was known and is gone is sent. C4 A child that changes hands is sent to both.
 * C5 A child whose owner does not exist is sent once the owners were listed: its owner went while nobody watched.
 * C6 A child that appears and that nobody but the operator has written is not sent: whoever made it remembers what it made.
 *    (A new cluster has fourteen of them, and they would have its reconcile repeated as soon as it ends.)
 */
import type { ListCause, Sink } from "./follow.ts";
import type { WatchedChild } from "./kinds.ts";
import { ownerOfChild } from "./owners.ts";
import type { WakeKey } from "./owners.ts";
import type { WatchedObject } from "./objects.ts";
import type { Wake } from "./resources.ts";

/** As which the reconcilers write. */
const FIELD_MANAGER = "restate-operator";

interface KnownChild {
  readonly version: string | undefined;
  readonly owner: WakeKey | undefined;
}

export interface ChildSinkOptions {
  readonly kind: WatchedChild;
  readonly wakeAfterBurst: Wake;
  /** Whether wakes for all owners may have been sent already. */
  readonly ownersReleased: () => boolean;
  /** The owners that are known to exist. */
  readonly owners: () => readonly WakeKey[];
}

/** Turns lists and events of one child kind into wakes of the owners. */
export class ChildSink implements Sink {
  readonly #options: ChildSinkOptions;
  readonly #known = new Map<string, KnownChild>();
  #unlisted: Set<string> = new Set();
  #firstListEnded = false;
  #afterGap = false;

  constructor(options: ChildSinkOptions) {
    this.#options = options;
  }

  listBegan(cause: ListCause): void {
    if (cause === "gap") this.#afterGap = true;
    this.#unlisted = new Set(this.#known.keys());
  }

  observed(object: WatchedObject): void {
    const { name, namespace, resourceVersion } = object.metadata;
    const id = `${namespace ?? ""}/${name}`;
    this.#unlisted.delete(id);
    const before = this.#known.get(id);
    const owner = ownerOfChild(this.#options.kind.of, object.metadata);
    if (before !== undefined && before.version === resourceVersion) return;
    this.#known.set(id, { version: resourceVersion, owner });
    if (!this.#firstListEnded) return;
    if (before === undefined && isOwnWork(object)) return; // C6
    this.#wake(owner, name, "changed");
    if (before?.owner !== owner) this.#wake(before?.owner, name, "changed");
  }

  removed(object: WatchedObject): void {
    const { name, namespace } = object.metadata;
    const id = `${namespace ?? ""}/${name}`;
    const before = this.#known.get(id)?.owner;
    const owner = ownerOfChild(this.#options.kind.of, object.metadata);
    this.#known.delete(id);
    this.#wake(owner, name, "gone");
    if (before !== owner) this.#wake(before, name, "gone");
  }

  listEnded(): void {
    for (const id of this.#unlisted) {
      const owner = this.#known.get(id)?.owner;
      this.#known.delete(id);
      this.#wake(owner, nameIn(id), "gone");
    }
    this.#unlisted = new Set();
    const late = !this.#firstListEnded && this.#options.ownersReleased();
    const cause = this.#afterGap ? "listed after a gap" : "listed late";
    if (late || this.#afterGap) this.#wakeAll(cause); // C2
    this.#firstListEnded = true;
    this.#afterGap = false;
  }

  #wakeAll(cause: string): void {
    for (const owner of this.#options.owners()) this.#wake(owner, "children", cause);
    for (const [id, { owner }] of this.#known) this.#wake(owner, nameIn(id), cause);
  }

  /** To be called once the owners' first list ended (C5). */
  ownersListed(): void {
    const owners = new Set(this.#options.owners());
    for (const [id, { owner }] of this.#known) {
      if (owner !== undefined && !owners.has(owner)) this.#wake(owner, nameIn(id), "has no owner");
    }
  }

  #wake(owner: WakeKey | undefined, name: string, change: string): void {
    if (owner === undefined) return;
    this.#options.wakeAfterBurst(owner, `${this.#options.kind.kind} ${name} ${change}`);
  }
}

function isOwnWork({ metadata }: WatchedObject): boolean {
  const writers = metadata.managedFields ?? [];
  return writers.length > 0 && writers.every(({ manager }) => manager === FIELD_MANAGER);
}

function nameIn(id: string): string {
  return id.slice(id.indexOf("/") + 1);
}
