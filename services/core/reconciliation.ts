/**
 * `restate.dev/reconcile: disabled` and what `status.reconciliation` says of it, the same for the three kinds (contract,
 * section 7): while it is there nothing is written but that word, so that people can change by hand what the operator made;
 * once it is gone the resource is resuming until it is ready again. A deletion is never stopped by it.
 */
import { RECONCILE_ANNOTATION, RECONCILE_DISABLED } from "./inherit.ts";

type ReconciliationState = "Reconciling" | "Disabled" | "ResumingReconciliation";

interface Suspendable {
  readonly metadata: {
    readonly deletionTimestamp?: string | undefined;
    readonly annotations?: Readonly<Record<string, string>> | undefined;
  };
  readonly status?: { readonly reconciliation?: string | null | undefined } | null | undefined;
}

/** Whether the user has stopped everything but deletion. Exactly one value counts: a typing error stops nothing. */
export function isDisabled({ metadata }: Suspendable): boolean {
  return (
    metadata.deletionTimestamp === undefined &&
    metadata.annotations?.[RECONCILE_ANNOTATION] === RECONCILE_DISABLED
  );
}

/** What a status that says this of Ready is to say in `reconciliation`. */
export function reconciliationOf(
  resource: Suspendable,
  ready: "True" | "False" | "Unknown",
): ReconciliationState {
  if (isDisabled(resource)) return "Disabled";
  if (resource.metadata.deletionTimestamp !== undefined || ready === "True") return "Reconciling";
  const before = resource.status?.reconciliation;
  const wasDisabled = before === "Disabled" || before === "ResumingReconciliation";
  return wasDisabled ? "ResumingReconciliation" : "Reconciling";
}

/** The status of a disabled resource: as the last reconcile left it, and that word. `undefined`: it is there already. */
export function disabledStatus<Status extends { readonly reconciliation?: unknown }>(
  before: Status,
): (Status & { readonly reconciliation: "Disabled" }) | undefined {
  return before.reconciliation === "Disabled"
    ? undefined
    : { ...before, reconciliation: "Disabled" };
}
