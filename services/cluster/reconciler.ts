/**
 * ClusterReconciler: the virtual object behind every RestateCluster. Decisions are in `plan.ts`, effects in `apply.ts`,
 * words in `status.ts`; this file only says which is which.
 */
import { assertNever } from "../core/assert-never.ts";
import { titleOf } from "../core/resource.ts";
import { emitEvent } from "../kube/events.ts";
import { refTo } from "../kube/kinds.ts";
import { PlannedResource } from "../kube/planned-resource.ts";
import { attemptOf } from "../reconciler/attempt.ts";
import type { Attempt, ResourceKind } from "../reconciler/resource-kind.ts";
import type { ClusterAction, ClusterReason, ClusterTerms } from "./api.ts";
import { applyAction, type ApplyContext } from "./apply/apply.ts";
import { observeCluster, readCluster } from "./observe/observe.ts";
import { planCluster } from "./plan/plan.ts";
import { statusOf } from "./plan/status.ts";
import { SURVEYS } from "./survey/survey.ts";

/** RestateCluster as the reconciler takes it. */
export function clusterKind(context: ApplyContext): ResourceKind<ClusterTerms> {
  return {
    service: "ClusterReconciler",
    kind: "RestateCluster",
    assistants: SURVEYS,
    attempt: (key) => clusterAttempt(context, key),
    stepOf,
    reasonOfFailure,
  };
}

function stepOf(action: ClusterAction): string {
  switch (action.kind) {
    case "applyObject":
      return `apply ${titleOf(action.target)}`;
    case "removeObject":
      return `remove ${titleOf(action.target)}`;
    case "orphanStatefulSet":
      return `remove ${titleOf(action.target)}, not its pods`;
    case "changeClaim":
      return `change ${titleOf(action.target)}`;
    case "addFinalizer":
      return "add finalizer";
    case "removeFinalizer":
      return "remove finalizer";
    case "createCanary":
      return `create Job ${action.canary}`;
    case "provisionCluster":
      return "provision cluster";
    case "survey":
      return "order survey";
    default:
      return assertNever(action);
  }
}

function reasonOfFailure(action: ClusterAction | undefined): ClusterReason {
  return action?.kind === "provisionCluster" ? "ProvisioningFailed" : "FailedReconcile";
}

function clusterAttempt(context: ApplyContext, name: string): Attempt<ClusterTerms> {
  const { kube, config } = context;
  const ref = refTo("RestateCluster", name);
  const read = () => readCluster(kube, name);
  const planned = new PlannedResource(read);
  return attemptOf({
    read,
    planned,
    observe: (remembered) => observeCluster(kube, name, { config, remembered }),
    resourceOf: ({ cluster }) => cluster,
    decide(observed, { applied, reports: [report], nowMs }) {
      const surveyed = report?.uid === observed.cluster.metadata.uid ? { report } : {};
      return planCluster({ observed, applied, config, nowMs, ...surveyed });
    },
    async act(cluster, action) {
      if (action.kind === "addFinalizer" || action.kind === "removeFinalizer") planned.forget();
      return applyAction(context, cluster, action);
    },
    async patchStatus({ metadata: { uid } }, status) {
      await kube.patch(ref, { subresource: "status", body: { metadata: { uid }, status } });
    },
    statusOfFailure(cluster, { reason, message }) {
      const status = reason === "FailedReconcile" ? "Unknown" : "False";
      return statusOf(cluster, { status, reason, message }, { nowMs: Date.now(), goesOn: true });
    },
    tell: ({ uid }, event) => emitEvent(kube, { ref, uid }, event),
  });
}
