/**
 * The resource a plan was made for, as the steps that carry it out see it. A plan can be older than the world: the process
 * may have died between two steps, or somebody may have edited or re-created the resource meanwhile. So every step asks
 * here, and is answered with the resource read within the last moments, or not at all (design, section 3).
 */
import type { ResourceIdentity } from "../core/resource.ts";

/** For how long a reading made in this very attempt stands for what is there: the length of a few writes. */
export const FRESH_MS = 2_000;

interface Identified {
  readonly metadata: { readonly uid: string; readonly generation: number };
}

export class PlannedResource<T extends Identified> {
  readonly #read: () => Promise<T | undefined>;
  #last: { readonly resource: T; readonly readAtMs: number } | undefined;

  constructor(read: () => Promise<T | undefined>) {
    this.#read = read;
  }

  /** Notes a reading the plan has just been made from, so that the first write does not have to repeat it. */
  remember(resource: T): void {
    this.#last = { resource, readAtMs: performance.now() };
  }

  /** The next `current` reads again: the resource was written. */
  forget(): void {
    this.#last = undefined;
  }

  /** The resource, if it still is the one the plan was made for; `undefined` when the plan is superseded. */
  async current(planned: ResourceIdentity): Promise<T | undefined> {
    if (this.#last === undefined || performance.now() - this.#last.readAtMs > FRESH_MS) {
      const resource = await this.#read();
      if (resource === undefined) return undefined;
      this.remember(resource);
    }
    const { uid, generation } = this.#last?.resource.metadata ?? {};
    return uid === planned.uid && generation === planned.generation
      ? this.#last?.resource
      : undefined;
  }
}
