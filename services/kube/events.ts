/**
 * Kubernetes events: what happened to a resource, for `kubectl describe`. They help people and decide nothing, so a failure
 * to write one is logged and forgotten.
 */
import type { CoreV1Event } from "@kubernetes/client-node";
import { timestampOf } from "../core/conditions.ts";
import type { Manifest } from "../core/manifest.ts";
import type { EventClaim } from "../core/plan.ts";
import type { ObjectRef } from "../core/resource.ts";
import type { KubeClient } from "./client.ts";

/** Longest note of an event that the API server takes. */
const MESSAGE_MAX_CHARS = 1024;

/** Writes one event about a resource. Those about cluster-scoped resources are kept in the namespace `default`. */
export async function emitEvent(
  kube: KubeClient,
  about: { readonly ref: ObjectRef; readonly uid: string },
  claim: EventClaim,
): Promise<void> {
  const now = timestampOf(Date.now());
  const namespace = about.ref.namespace ?? "default";
  const event: Manifest<CoreV1Event> = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { generateName: `${about.ref.name}.`, namespace },
    involvedObject: { ...about.ref, uid: about.uid },
    type: claim.type,
    reason: claim.reason,
    message: claim.message.slice(0, MESSAGE_MAX_CHARS),
    source: { component: "restate-operator" },
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
  };
  await kube.create(event);
}
