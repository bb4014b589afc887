/**
 * Names for things in Kubernetes as plans and journals carry them: references, never objects.
 */

/** Where an object is: enough to read, apply or remove it. */
export interface ObjectRef {
  readonly apiVersion: string;
  readonly kind: string;
  /** Absent for cluster-scoped kinds. */
  readonly namespace?: string;
  readonly name: string;
}

/** The resource a plan was made for. A plan for another uid or generation is abandoned (design, section 3). */
export interface ResourceIdentity {
  readonly uid: string;
  readonly generation: number;
}

/** `Kind name`, as steps, log lines and messages say it: `StatefulSet restate`. */
export function titleOf(ref: Pick<ObjectRef, "kind" | "name">): string {
  return `${ref.kind} ${ref.name}`;
}
