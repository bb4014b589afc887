/**
 * What a reconcile came to. Expected states are values (not ready yet, the spec must change); only what nobody expected
 * is thrown.
 */

/** Closed per kind: one vocabulary for condition reason, event reason and log. */
export type Outcome<Reason extends string = string> =
  /** Everything is as the spec says. */
  | { readonly kind: "applied" }
  /** The world must change first; looked at again after `requeueAfterMs`, or earlier when an event says so. */
  | {
      readonly kind: "waiting";
      readonly reason: Reason;
      readonly message: string;
      readonly requeueAfterMs: number;
    }
  /** The user must change something: nothing is tried again until the resource changes. */
  | { readonly kind: "stalled"; readonly reason: Reason; readonly message: string }
  /** The resource is gone, or its finalizer has just been taken off: nothing of it is remembered. */
  | { readonly kind: "gone" };

/** The outcome of what has to wait. */
export type Waiting<Reason extends string = string> = Extract<
  Outcome<Reason>,
  { readonly kind: "waiting" }
>;
