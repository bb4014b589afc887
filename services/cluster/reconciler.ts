/**
 * ClusterReconciler: the virtual object behind every RestateCluster. Decisions are in `plan.ts`, effects in `apply.ts`,
 * words in `status.ts`; this file only says which is which.
 */
import type { RestateCluster } from "../../crds/restate-cluster.ts";
import { assertNever } from "../core/assert-never.ts";
import { titleOf } from "../core/resource.ts";
import { emitEvent } from "../kube/events.ts";
import { refTo } from "../kube/kinds.ts";
import { PlannedResource } from "../kube/planned-resource.ts";
import type { Attempt, ResourceKind } from "../reconciler/resource-kind.ts";
import type { ClusterAction, ClusterReason, ClusterStatus, SurveyReport } from "./api.ts";
import { applyAction, type ApplyContext } from "./apply.ts";
import { observeCluster, readCluster } from "./observe.ts";
import { planCluster } from "./plan.ts";
import { statusOf } from "./status.ts";
import { SURVEYS } from "./survey.ts";

/** RestateCluster as the reconciler takes it. */
export function clusterKind(
  context: ApplyContext,
): ResourceKind<ClusterAction, ClusterStatus, ClusterReason, SurveyReport> {
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

function clusterAttempt(
  context: ApplyContext,
  name: string,
): Attempt<ClusterAction, ClusterStatus, ClusterReason, SurveyReport> {
  const { kube, config } = context;
  const ref = refTo("RestateCluster", name);
  const planned = new PlannedResource<RestateCluster>(() => readCluster(kube, name));
  return {
    async plan(remembered, [report]) {
      const observed = await observeCluster(kube, name, { config, remembered });
      const nowMs = Date.now();
      if (observed === undefined) {
        return { actions: [], outcome: { kind: "gone" }, observedAtMs: nowMs };
      }
      planned.remember(observed.cluster);
      const { uid } = observed.cluster.metadata;
      const applied = remembered.uid === uid ? remembered.applied : {};
      const surveyed = report?.uid === uid ? { report } : {};
      return planCluster({ observed, applied, config, nowMs, ...surveyed });
    },
    async apply(action, identity) {
      const cluster = await planned.current(identity);
      if (cluster === undefined) return { kind: "superseded" };
      if (action.kind === "addFinalizer" || action.kind === "removeFinalizer") planned.forget();
      return applyAction(context, cluster, action);
    },
    async writeStatus(status, identity) {
      const cluster = await planned.current(identity);
      if (cluster === undefined) return { kind: "superseded" };
      const body = { metadata: { uid: identity.uid }, status };
      await kube.patch(ref, { subresource: "status", body });
      return { kind: "done" };
    },
    async emit(event, { uid }) {
      await emitEvent(kube, { ref, uid }, event);
    },
    async writeFailure({ reason, message }) {
      const cluster = await readCluster(kube, name);
      if (cluster === undefined) return;
      const claim = {
        status: reason === "FailedReconcile" ? "Unknown" : "False",
        reason,
        message,
      } as const;
      const status = statusOf(cluster, claim, { nowMs: Date.now(), goesOn: true });
      if (status === undefined) return;
      const { uid } = cluster.metadata;
      await kube.patch(ref, { subresource: "status", body: { metadata: { uid }, status } });
      await emitEvent(kube, { ref, uid }, { type: "Warning", reason, message });
    },
  };
}
