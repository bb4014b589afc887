/**
 * What the three kinds have in common: metadata as it is read, conditions, the reconciliation state, and the description of
 * a kind from which its CustomResourceDefinition is generated.
 */
import { z } from "zod";
import type { Keywords } from "./schema.ts";
import { choice, instant, list, nullable, object, text } from "./schema.ts";

export const GROUP = "restate.dev";

/** The part of ObjectMeta that reconcilers decide by. Instants are RFC 3339 strings. */
export const ObjectMeta = z.object({
  name: z.string(),
  namespace: z.string().optional(),
  uid: z.string(),
  resourceVersion: z.string(),
  generation: z.number(),
  creationTimestamp: z.string(),
  deletionTimestamp: z.string().optional(),
  deletionGracePeriodSeconds: z.number().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
  finalizers: z.array(z.string()).optional(),
  ownerReferences: z
    .array(
      z.object({
        apiVersion: z.string(),
        kind: z.string(),
        name: z.string(),
        uid: z.string(),
        controller: z.boolean().optional(),
        blockOwnerDeletion: z.boolean().optional(),
      }),
    )
    .optional(),
});
export type ObjectMeta = z.infer<typeof ObjectMeta>;

const Condition = object("One aspect of the resource's state.", {
  type: text("What the condition is about, for example `Ready`."),
  status: text("`True`, `False` or `Unknown`."),
  reason: nullable(text("Why, as one word in CamelCase.")),
  message: nullable(text("Why, as a sentence for people.")),
  lastTransitionTime: nullable(instant("When `status` last changed.")),
});
export type Condition = z.infer<typeof Condition>;

export const conditions = nullable(
  list("The latest observations of the resource's state.", Condition),
);

const RECONCILIATION_STATES = ["Reconciling", "Disabled", "ResumingReconciliation"] as const;
export type ReconciliationState = (typeof RECONCILIATION_STATES)[number];

export const reconciliation = nullable(
  choice(
    "What the operator does with this resource: `Reconciling`, `Disabled` (by the annotation `restate.dev/reconcile: disabled`), or `ResumingReconciliation` (the annotation is gone, the resource is not ready yet).",
    RECONCILIATION_STATES,
  ),
);

/** A column of `kubectl get`. Priority 1: only with `-o wide`. */
export interface Column {
  readonly name: string;
  readonly type: "string" | "integer" | "date";
  readonly jsonPath: string;
  readonly priority?: 1;
}

export const AGE: Column = {
  name: "Age",
  type: "date",
  jsonPath: ".metadata.creationTimestamp",
};

/** Everything about a kind that is not its schema. */
export interface CustomResourceKind {
  readonly group: string;
  readonly version: string;
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly scope: "Cluster" | "Namespaced";
  readonly finalizer: string;
  readonly description: string;
  readonly columns: readonly Column[];
  readonly scale?: {
    readonly specReplicasPath: string;
    readonly statusReplicasPath: string;
    readonly labelSelectorPath: string;
  };
  /** What admission asks of `metadata.name`, beyond what every object name must be. */
  readonly name?: Keywords;
  /** Rules over the whole object: the only ones that can see `metadata.name`. */
  readonly root: Keywords;
}
