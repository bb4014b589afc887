/**
 * Fields that the API has and this release does not carry out. A cluster that asks for one is refused whole: made without
 * its signing key or its sidecar it would be another cluster, and taken over it would lose them.
 */
import type { RestateClusterSpec } from "../../crds/restate-cluster.ts";

/** Paths of the fields set in a spec that are not served, sorted as the API lists them. */
export function notServedFields({ compute, security }: RestateClusterSpec): string[] {
  const fields = {
    "spec.compute.sidecars": compute.sidecars,
    "spec.compute.extraVolumes": compute.extraVolumes,
    "spec.compute.extraVolumeMounts": compute.extraVolumeMounts,
    "spec.security.requestSigningPrivateKey.secret": security?.requestSigningPrivateKey?.secret,
    "spec.security.trustedCaCerts": security?.trustedCaCerts,
  };
  return Object.entries(fields).flatMap(([path, value]) => (isSet(value) ? [path] : []));
}

/** An empty list asks for nothing. */
function isSet(value: unknown): boolean {
  return value != null && !(Array.isArray(value) && value.length === 0);
}
