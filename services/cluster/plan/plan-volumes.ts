/**
 * Volumes that grow, or change their VolumeAttributesClass, while their pods run.
 *
 * S1 Growth only: a volume is never asked to shrink, and a spec that does is refused. S2 A StatefulSet's claim template cannot
 *    be changed, so the StatefulSet is replaced: removed alone, by its uid, its pods staying behind, and made again in the next
 *    step; only when it is to be written anyway, so that a template the API server keeps otherwise does not have it replaced again
 *    and again. S3 While it is on its way out it is not written, and nothing it still holds is tidied up. S4 Claims are changed
 *    once they are bound, before that they cannot be; they come last, because a storage class that refuses must not keep
 *    anything else from being done.
 */
import {
  keyOf,
  type AppliedObject,
  type AppliedObjects,
  type ChildAction,
} from "../../core/children.ts";
import { digestOf } from "../../core/digest.ts";
import type { ClusterAction } from "../api.ts";
import { STATEFUL_SET_NAME } from "../build/stateful-set.ts";
import type { ObservedClaim, ObservedCluster } from "../observe/observe.ts";

type ClaimChange = Extract<ClusterAction, { kind: "changeClaim" }>;

/** Why the size asked for cannot be had, as a sentence that names field and fix; `undefined` when it can (S1). */
export function shrinkProblem({ cluster, statefulSet }: ObservedCluster): string | undefined {
  const asked = cluster.spec.storage.storageRequestBytes;
  const bytes = statefulSet?.storageBytes ?? 0;
  return bytes <= asked
    ? undefined
    : `spec.storage.storageRequestBytes: the volumes have ${bytes} bytes and cannot shrink to ${asked}; ask for at least ${bytes}`;
}

/** Whether the StatefulSet is on its way out (S3). */
export function isStatefulSetLeaving(observed: ObservedCluster): boolean {
  return liveStatefulSet(observed)?.deleting === true;
}

/** The writes to the children, with the StatefulSet replaced where its claim template has to change (S2, S3). */
export function withStatefulSetReplaced(
  actions: readonly ChildAction[],
  observed: ObservedCluster,
): ClusterAction[] {
  const live = liveStatefulSet(observed);
  const because = claimTemplateDifference(observed);
  return actions.flatMap((action): ClusterAction[] => {
    const isApply = action.kind === "applyObject" && action.target.kind === "StatefulSet";
    if (!isApply || live === undefined) return [action];
    if (live.deleting) return [];
    // One that nobody controls any more is ours to have back, as everywhere else.
    const isTheirs = ![undefined, observed.cluster.metadata.uid].includes(live.controllerUid);
    return because === undefined || isTheirs
      ? [action]
      : [{ kind: "orphanStatefulSet", target: live.ref, uid: live.uid, because }, action];
  });
}

/** The bound claims that are not yet as they are asked for (S4). */
export function planClaims(
  { cluster, claims }: ObservedCluster,
  applied: AppliedObjects,
): ClaimChange[] {
  const { storageRequestBytes, volumeAttributesClassName } = cluster.spec.storage;
  return claims.flatMap((claim): ClaimChange[] => {
    const isOurs = claim.name === `storage-${STATEFUL_SET_NAME}-${claim.ordinal}`;
    if (!isOurs || claim.phase !== "Bound" || claim.deleting) return [];
    const grows = (claim.storageBytes ?? 0) < storageRequestBytes;
    const isReclassed =
      volumeAttributesClassName != null &&
      claim.volumeAttributesClassName !== volumeAttributesClassName;
    if (!grows && !isReclassed) return [];
    const change = {
      kind: "changeClaim",
      target: claim.ref,
      uid: claim.uid,
      ...(grows ? { storageBytes: storageRequestBytes } : {}),
      ...(isReclassed ? { volumeAttributesClassName } : {}),
    } as const;
    const known = appliedClaim(change, claim);
    const last = applied[keyOf(claim.ref)];
    // What was asked for before and left no trace is not asked for again.
    if (last?.manifest === known.manifest && last.live === known.live) return [];
    return [{ ...change, because: reasonOf(claim, change) }];
  });
}

/** What is remembered of a change that was made of a claim, which then looked like this. */
export function appliedClaim(
  { storageBytes, volumeAttributesClassName }: Omit<ClaimChange, "because">,
  claim: ObservedClaim,
): AppliedObject {
  return {
    manifest: digestOf([storageBytes, volumeAttributesClassName]),
    live: digestOf([claim.uid, claim.storageBytes, claim.volumeAttributesClassName]),
  };
}

function reasonOf(claim: ObservedClaim, change: Omit<ClaimChange, "because">): string {
  const { storageBytes, volumeAttributesClassName } = change;
  return [
    ...(storageBytes === undefined
      ? []
      : [`it has ${claim.storageBytes ?? 0} bytes and ${storageBytes} are asked for`]),
    ...(volumeAttributesClassName === undefined
      ? []
      : [`VolumeAttributesClass ${volumeAttributesClassName} is asked for`]),
  ].join("; ");
}

function liveStatefulSet({ children }: ObservedCluster) {
  return children.find(({ ref }) => ref.kind === "StatefulSet" && ref.name === STATEFUL_SET_NAME);
}

function claimTemplateDifference({ cluster, statefulSet }: ObservedCluster): string | undefined {
  const { storage } = cluster.spec;
  const isSame =
    statefulSet?.storageBytes === storage.storageRequestBytes &&
    statefulSet.storageClassName === (storage.storageClassName ?? undefined) &&
    statefulSet.volumeAttributesClassName === (storage.volumeAttributesClassName ?? undefined);
  return isSame
    ? undefined
    : "its claim template cannot be changed; it is made again at once, and its pods run on";
}
