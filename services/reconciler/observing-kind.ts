/**
 * A kind whose resources are read and answered with a condition, and nothing else: this release does not serve it yet, and
 * says so where its users look, instead of leaving them with a resource that nobody seems to see.
 */
import { z } from "zod";
import { conditionOf } from "../core/conditions.ts";
import { canonicalJson } from "../core/digest.ts";
import type { AnyAction } from "../core/plan.ts";
import { disabledStatus, isDisabled, reconciliationOf } from "../core/reconciliation.ts";
import type { ObjectRef } from "../core/resource.ts";
import type { KubeClient } from "../kube/client.ts";
import { refTo, type Kind } from "../kube/kinds.ts";
import type { Attempt, ResourceKind } from "./resource-kind.ts";

const REASON = "NotServedYet";

type ObservedStatus = Readonly<Record<string, unknown>>;

interface ObservingTerms {
  readonly action: AnyAction;
  readonly status: ObservedStatus;
  readonly reason: typeof REASON | "FailedReconcile";
  readonly report: never;
}

const Resource = z.object({
  metadata: z.object({
    uid: z.string(),
    generation: z.number(),
    deletionTimestamp: z.string().optional(),
    annotations: z.record(z.string(), z.string()).optional(),
  }),
  status: z
    .looseObject({
      reconciliation: z.string().nullish(),
      conditions: z
        .array(
          z.object({
            type: z.string(),
            status: z.string(),
            reason: z.string().nullish(),
            message: z.string().nullish(),
            lastTransitionTime: z.string().nullish(),
          }),
        )
        .nullish(),
    })
    .nullish(),
});
type Resource = z.infer<typeof Resource>;

export interface ObservingKind {
  readonly service: string;
  readonly kind: Extract<Kind, "RestateDeployment" | "RestateCloudEnvironment">;
  /** What the condition says. */
  readonly message: string;
  /** Members the kind's status must have. */
  readonly requiredStatus: Readonly<Record<string, unknown>>;
}

/** The kind for the reconciler. Keys are `<name>` or `<namespace>/<name>`. */
export function observingKind(
  kube: KubeClient,
  observing: ObservingKind,
): ResourceKind<ObservingTerms> {
  return {
    service: observing.service,
    kind: observing.kind,
    attempt: (key) => observingAttempt(kube, observing, key),
    stepOf: ({ kind }) => kind,
    reasonOfFailure: () => "FailedReconcile",
  };
}

function observingAttempt(
  kube: KubeClient,
  observing: ObservingKind,
  key: string,
): Attempt<ObservingTerms> {
  const ref = refOfKey(observing.kind, key);
  return {
    async plan() {
      const live = await kube.get(observing.kind, ref.name, ref.namespace);
      const nowMs = Date.now();
      const resource = live === undefined ? undefined : Resource.parse(live);
      if (resource === undefined || resource.metadata.deletionTimestamp !== undefined) {
        return { actions: [], outcome: { kind: "gone" }, observedAtMs: nowMs };
      }
      const { uid, generation } = resource.metadata;
      const status = isDisabled(resource)
        ? disabledStatus({ ...observing.requiredStatus, ...resource.status })
        : statusOf(resource, observing, nowMs);
      return {
        for: { uid, generation },
        actions: [],
        ...(status === undefined ? {} : { status }),
        outcome: { kind: "stalled", reason: REASON, message: observing.message },
        observedAtMs: nowMs,
      };
    },
    apply: () => Promise.reject(new Error("nothing is ever planned for this kind")),
    async writeStatus(status, { uid }) {
      await kube.patch(ref, { subresource: "status", body: { metadata: { uid }, status } });
      return { kind: "done" };
    },
    emit: () => Promise.resolve(),
    // What failed is reading or writing this very resource: there is nothing else to write it with.
    writeFailure: () => Promise.resolve(),
  };
}

function refOfKey(kind: string, key: string): ObjectRef {
  const slash = key.indexOf("/");
  return slash === -1 ? refTo(kind, key) : refTo(kind, key.slice(slash + 1), key.slice(0, slash));
}

function statusOf(
  resource: Resource,
  observing: ObservingKind,
  nowMs: number,
): ObservedStatus | undefined {
  const before = resource.status ?? {};
  const claim = {
    type: "Ready",
    status: "False",
    reason: REASON,
    message: observing.message,
  } as const;
  const status = {
    ...observing.requiredStatus,
    ...before,
    observedGeneration: resource.metadata.generation,
    conditions: [conditionOf(claim, before.conditions ?? [], nowMs)],
    reconciliation: reconciliationOf(resource, claim.status),
  };
  return canonicalJson(status) === canonicalJson(before) ? undefined : status;
}
