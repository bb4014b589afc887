/**
 * What children inherit of a resource's own labels and annotations, and what they must not (contract, section 1).
 */

/** Written by tools about the resource itself: copied to a child they would lie, or change it at every `kubectl apply`. */
const NEVER_INHERITED = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  // The operator's own keys: a user who sets them on a resource must not steer its children by them.
  "restate.dev/reconcile",
  "restate.dev/deletion-protection",
  "restate.dev/allow-version-change",
  "restate.dev/deployment-id",
  "restate.dev/remove-version-at",
  "restate.dev/pod-template",
  "restate.dev/tunnel-name",
  "restate.dev/tag",
  "restate.dev/registered-at",
  "restate.dev/trusted-ca-certs",
  "restate.dev/deployment",
  "restate.dev/owned-by",
  "restate.dev/latest",
  "restate.dev/admin-url",
  "restate.dev/rejected",
  "restate.dev/served",
  "restate.dev/gate-checked",
  "restate.dev/gate-passed",
  "restate.dev/promote",
  "restate.dev/abort",
  "restate.dev/aws-pod-identity-association-cluster",
  "restate.dev/aws-pod-identity-association-role-arn",
  "restate.dev/aws-security-groups",
  "restate.dev/gcp-service-account",
  "restate.dev/canary-identity",
  "restate.dev/canary-template",
  "restate.dev/canary-attempt",
  "restate.dev/formed-with-replication",
]);
const APPLY_SET_PREFIX = "applyset.kubernetes.io/";

/** Annotation by which a user stops everything but deletion; exactly this value counts. */
export const RECONCILE_ANNOTATION = "restate.dev/reconcile";
export const RECONCILE_DISABLED = "disabled";

/** The labels or annotations that children inherit, sorted by key. */
export function inherited(
  own: Readonly<Record<string, string>> | null | undefined,
): Record<string, string> {
  const entries = Object.entries(own ?? {})
    .filter(([key]) => !NEVER_INHERITED.has(key) && !key.startsWith(APPLY_SET_PREFIX))
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries);
}
