/** `restate.dev/deletion-protection: enabled` on a RestateCluster: a deletion is held until the annotation goes. */

export const DELETION_PROTECTION_ANNOTATION = "restate.dev/deletion-protection";
/** Exactly this value counts. */
export const DELETION_PROTECTED = "enabled";

/** Whether a deletion of this resource is, or would be, held: the resource is there and works, whatever was asked for. */
export function isDeletionProtected(metadata: {
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}): boolean {
  return metadata.annotations?.[DELETION_PROTECTION_ANNOTATION] === DELETION_PROTECTED;
}
