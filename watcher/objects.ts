/**
 * The part of a Kubernetes object that the watcher reads. Everything else is dropped where it arrives, so that no spec, no
 * managed field and no secret can stay in memory.
 */
import { z } from "zod";

const absent = <T extends z.ZodType>(schema: T) =>
  schema.nullish().transform((v) => v ?? undefined);

const OwnerReference = z.object({
  apiVersion: z.string(),
  kind: z.string(),
  name: z.string(),
  controller: absent(z.boolean()),
});

const Metadata = z.object({
  name: z.string(),
  namespace: absent(z.string()),
  uid: absent(z.string()),
  resourceVersion: absent(z.string()),
  generation: absent(z.number()),
  deletionTimestamp: absent(z.string()),
  labels: absent(z.record(z.string(), z.string())),
  annotations: absent(z.record(z.string(), z.string())),
  ownerReferences: absent(z.array(OwnerReference)),
  managedFields: absent(z.array(z.object({ manager: absent(z.string()) }))),
});

/** Whatever has another shape than expected counts as absent: one odd object must not stop a watch. */
const lenient = <T extends z.ZodType>(schema: T) => schema.optional().catch(undefined);

/** An object as it is listed or watched. Of metadata-only objects `spec` and `status` are absent. */
export const WatchedObject = z.object({
  metadata: Metadata,
  spec: lenient(
    z.object({
      allowedNamespaces: z.unknown().optional(),
      restate: lenient(
        z.object({
          register: lenient(z.object({ cluster: lenient(z.string()), cloud: lenient(z.string()) })),
        }),
      ),
    }),
  ),
  status: lenient(
    z.object({
      conditions: lenient(z.array(z.object({ type: z.string(), status: z.string() }))),
    }),
  ),
});

export type WatchedObject = z.infer<typeof WatchedObject>;
export type WatchedMetadata = WatchedObject["metadata"];
