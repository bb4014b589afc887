/** Whose a field is: what the API server notes in `metadata.managedFields` about who has set what. */
import type { V1ObjectMeta } from "@kubernetes/client-node";
import { z } from "zod";

/** As far as it is read: one member `f:<key>` for each annotation. Anything else about it is the API server's affair. */
const ManagedAnnotations = z.object({
  "f:metadata": z.object({ "f:annotations": z.record(z.string(), z.unknown()) }),
});

const FIELD = "f:";

/** Keys of the annotations that any of these field managers has set, by whatever kind of write. Sorted. */
export function annotationsOf(
  { managedFields = [] }: Pick<V1ObjectMeta, "managedFields">,
  managers: readonly string[],
): string[] {
  const keys = managedFields
    .filter(({ manager = "" }) => managers.includes(manager))
    .flatMap(({ fieldsV1 }) => {
      const parsed = ManagedAnnotations.safeParse(fieldsV1);
      return parsed.success ? Object.keys(parsed.data["f:metadata"]["f:annotations"]) : [];
    })
    .filter((key) => key.startsWith(FIELD))
    .map((key) => key.slice(FIELD.length));
  return [...new Set(keys)].toSorted();
}
