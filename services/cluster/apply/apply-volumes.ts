/** Carries out what `plan-volumes.ts` decides: each call is idempotent, and each names the uid it is meant for. */
import { setTimeout as sleep } from "node:timers/promises";
import { keyOf } from "../../core/children.ts";
import type { KubeClient } from "../../kube/client.ts";
import type { ActionResult } from "../../reconciler/resource-kind.ts";
import type { ClusterAction } from "../api.ts";
import { STATEFUL_SET_NAME } from "../build/stateful-set.ts";
import { observedClaimOf } from "../observe/observe.ts";
import { appliedClaim } from "../plan/plan-volumes.ts";

/** Kubernetes takes the owner off every pod first, which takes well under a second where its garbage collector works. */
const LOOKS = 20;
const LOOK_INTERVAL_MS = 100;
const LEAVING_RETRY_MS = 1_000;

/** Removes the StatefulSet and leaves its pods; ends when it is gone, so that the next step can make it again. */
export async function orphanStatefulSet(
  kube: KubeClient,
  { target, uid }: Extract<ClusterAction, { kind: "orphanStatefulSet" }>,
): Promise<ActionResult> {
  await kube.remove(target, { uid, propagation: "Orphan" });
  for (let look = 1; look <= LOOKS; look += 1) {
    const live = await kube.get("StatefulSet", target.name, target.namespace);
    if (live?.metadata?.uid !== uid) return { kind: "done", applied: { [keyOf(target)]: null } };
    await sleep(LOOK_INTERVAL_MS);
  }
  return {
    kind: "waiting",
    outcome: {
      kind: "waiting",
      reason: "StatefulSetScaling",
      message: `StatefulSet ${STATEFUL_SET_NAME} is being replaced; its pods run on`,
      requeueAfterMs: LEAVING_RETRY_MS,
    },
  };
}

/** Asks for a larger volume, another class of it, or both. A claim that is gone by now needs neither. */
export async function changeClaim(
  kube: KubeClient,
  action: Extract<ClusterAction, { kind: "changeClaim" }>,
): Promise<ActionResult> {
  const { target, uid, storageBytes, volumeAttributesClassName } = action;
  const live = await kube.patch(target, {
    body: {
      metadata: { uid },
      spec: {
        ...(storageBytes === undefined
          ? {}
          : { resources: { requests: { storage: String(storageBytes) } } }),
        ...(volumeAttributesClassName === undefined ? {} : { volumeAttributesClassName }),
      },
    },
  });
  if (live === undefined) return { kind: "done" };
  const seen = observedClaimOf(live);
  return { kind: "done", applied: { [keyOf(target)]: appliedClaim(action, seen) } };
}
