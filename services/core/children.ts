/**
 * Which children of a resource have to be written, decided without a cache and without a diff.
 *
 * Per child the reconciler remembers what it applied: a digest of the manifest and a fingerprint of the live object
 * that came of it. Both unchanged → no call (C1). Anything else → one server-side apply, which the API server turns into
 * a no-op where nothing differs; so lost memory costs one apply per child and can never do harm (C2). What is no longer
 * wanted is removed with the uid that was seen, and only if this resource controls it (C3).
 */
import { digestOf } from "./digest.ts";
import type { AnyManifest } from "./manifest.ts";
import { titleOf, type ObjectRef } from "./resource.ts";

/** Why a child is applied whose manifest is another than the one applied before. */
export const CHANGED = "what is asked for changed";

/** A live object, projected to what decides. */
export interface ObservedObject {
  readonly ref: ObjectRef;
  readonly uid: string;
  /** `metadata.generation`, where the kind has one. */
  readonly generation?: number;
  /** Digest of what the kind keeps outside metadata, where it has no generation (ConfigMap, Service). */
  readonly content?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** uid of the controller owner reference. */
  readonly controllerUid?: string;
  readonly deleting: boolean;
}

/** What is remembered of one applied child. */
export interface AppliedObject {
  readonly manifest: string;
  readonly live: string;
}

/** Memory of all children, by `keyOf`. */
export type AppliedObjects = Readonly<Record<string, AppliedObject>>;

export type ChildAction =
  | {
      readonly kind: "applyObject";
      readonly target: ObjectRef;
      /** Digest of the manifest this action was decided for. */
      readonly manifest: string;
      readonly because: string;
    }
  | {
      readonly kind: "removeObject";
      readonly target: ObjectRef;
      /** Precondition of the delete: another object of this name is left alone. */
      readonly uid: string;
      readonly because: string;
    };

/** Name of a child in memory: `Kind/name`, or `Kind/namespace/name` where a resource has children in several. */
export function keyOf(ref: ObjectRef): string {
  return ref.namespace === undefined
    ? `${ref.kind}/${ref.name}`
    : `${ref.kind}/${ref.namespace}/${ref.name}`;
}

/** The reference of a manifest. Throws when a builder left out what every manifest has. */
export function refOf(manifest: AnyManifest): ObjectRef {
  const { apiVersion, kind, metadata } = manifest;
  if (apiVersion === undefined || kind === undefined || metadata?.name === undefined) {
    throw new Error("a manifest needs apiVersion, kind and metadata.name");
  }
  return {
    apiVersion,
    kind,
    ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
    name: metadata.name,
  };
}

/**
 * A live object as seen through the manifest applied to it: uid, generation or content, and the labels, annotations and
 * controller the manifest sets. What others add is theirs and does not make us write.
 */
export function fingerprintOf(observed: ObservedObject, manifest: AnyManifest): string {
  return digestOf([
    observed.uid,
    observed.generation,
    observed.content,
    observed.controllerUid,
    subset(manifest.metadata?.labels, observed.labels),
    subset(manifest.metadata?.annotations, observed.annotations),
  ]);
}

function subset(
  wanted: Readonly<Record<string, string | undefined>> | undefined,
  live: Readonly<Record<string, string>>,
): unknown {
  return Object.keys(wanted ?? {}).map((key) => [key, live[key]]);
}

/** What `planChildren` decides from. */
export interface ChildrenQuestion {
  /** In the order in which they are to be applied. */
  readonly desired: readonly AnyManifest[];
  readonly observed: readonly ObservedObject[];
  readonly applied: AppliedObjects;
  /** uid of the resource, which must control what is removed. */
  readonly ownerUid: string;
  /** Observed objects that are no longer wanted when no manifest names them. */
  readonly isObsolete: (observed: ObservedObject) => boolean;
}

/** The writes that bring the children to what is desired: removals last, none when settled. */
export function planChildren(question: ChildrenQuestion): ChildAction[] {
  const observed = new Map(question.observed.map((object) => [keyOf(object.ref), object]));
  const wanted = new Set<string>();
  const applies = question.desired.flatMap((manifest): ChildAction[] => {
    const target = refOf(manifest);
    const key = keyOf(target);
    wanted.add(key);
    const digest = digestOf(manifest);
    const because = reasonToApply({
      manifest,
      digest,
      observed: observed.get(key),
      applied: question.applied[key],
    });
    return because === undefined
      ? []
      : [{ kind: "applyObject", target, manifest: digest, because }];
  });
  const removals = question.observed
    .filter(({ ref }) => !wanted.has(keyOf(ref)))
    .filter(({ controllerUid, deleting }) => controllerUid === question.ownerUid && !deleting)
    .filter(question.isObsolete)
    .map(({ ref, uid }): ChildAction => ({
      kind: "removeObject",
      target: ref,
      uid,
      because: `${titleOf(ref)} is no longer asked for`,
    }));
  return [...applies, ...removals];
}

function reasonToApply(child: {
  manifest: AnyManifest;
  digest: string;
  observed: ObservedObject | undefined;
  applied: AppliedObject | undefined;
}): string | undefined {
  const { manifest, digest, observed, applied } = child;
  if (observed === undefined)
    return applied === undefined ? "it does not exist yet" : "it was deleted";
  if (applied === undefined) return "it exists, but what was applied to it is not remembered";
  if (applied.manifest !== digest) return CHANGED;
  if (applied.live !== fingerprintOf(observed, manifest)) return "it was changed by someone else";
  return undefined;
}
