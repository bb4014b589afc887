/** `restate.dev/deletion-protection: enabled` on a RestateCluster: a deletion is held until the annotation goes. */

export const DELETION_PROTECTION_ANNOTATION = "restate.dev/deletion-protection";
/** Exactly this value counts. */
export const DELETION_PROTECTED = "enabled";

interface Metadata {
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly deletionTimestamp?: string | undefined;
}

/** Whether a deletion of this resource is, or would be, held. */
export function isDeletionProtected({ annotations }: Metadata): boolean {
  return annotations?.[DELETION_PROTECTION_ANNOTATION] === DELETION_PROTECTED;
}

/** Whether this resource is being deleted. One whose deletion is held is there and works, whatever was asked for. */
export function isGoing(metadata: Metadata): boolean {
  return metadata.deletionTimestamp !== undefined && !isDeletionProtected(metadata);
}
