/** Kubernetes events about a RestateDeployment that tell what a step has just done. */
import type { RestateDeployment } from "../../../crds/restate-deployment.ts";
import type { EventClaim } from "../../core/plan.ts";
import type { KubeClient } from "../../kube/client.ts";
import { KubeError } from "../../kube/errors.ts";
import { emitEvent } from "../../kube/events.ts";
import { refTo } from "../../kube/kinds.ts";

interface Told {
  readonly metadata: Pick<RestateDeployment["metadata"], "name" | "namespace" | "uid">;
}

/**
 * Writes an event. What it tells has happened already: that it cannot be told, as in a namespace that is being deleted, changes
 * nothing.
 */
export async function tell(kube: KubeClient, { metadata }: Told, event: EventClaim): Promise<void> {
  const ref = refTo("RestateDeployment", metadata.name, metadata.namespace);
  try {
    await emitEvent(kube, { ref, uid: metadata.uid }, event);
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
  }
}
