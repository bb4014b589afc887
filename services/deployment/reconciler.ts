/**
 * DeploymentReconciler: the virtual object behind every RestateDeployment. Decisions are in `plan*.ts`, effects in `apply.ts`
 * and `register.ts`, words in `status.ts`; drains are objects of their own (`drain.ts`). This file only says which is which.
 */
import type { RestateDeployment } from "../../crds/restate-deployment.ts";
import { assertNever } from "../core/assert-never.ts";
import { titleOf } from "../core/resource.ts";
import type { KubeClient } from "../kube/client.ts";
import { refTo } from "../kube/kinds.ts";
import { FRESH_MS, PlannedResource } from "../kube/planned-resource.ts";
import type {
  ActionResult,
  Attempt,
  Remembered,
  ResourceKind,
} from "../reconciler/resource-kind.ts";
import type { DeploymentAction, DeploymentReason, DeploymentStatus, DrainReport } from "./api.ts";
import { applyAction } from "./apply.ts";
import { DRAINS } from "./drain-assistants.ts";
import { tell } from "./events.ts";
import {
  observeDeployment,
  readDeployment,
  type ObservedDeployment,
  type ObserveContext,
} from "./observe.ts";
import { planDeployment } from "./plan.ts";
import { statusPatch, withReady } from "./status.ts";

/** RestateDeployment as the reconciler takes it. */
export function deploymentKind(
  context: ObserveContext,
): ResourceKind<DeploymentAction, DeploymentStatus, DeploymentReason, DrainReport> {
  return {
    service: "DeploymentReconciler",
    kind: "RestateDeployment",
    assistants: DRAINS,
    attempt: (key) => deploymentAttempt(context, key),
    stepOf,
    reasonOfFailure: () => "FailedReconcile",
  };
}

function stepOf(action: DeploymentAction): string {
  switch (action.kind) {
    case "createVersion":
      return `create ReplicaSet ${action.version}`;
    case "scaleVersion":
      return `scale ReplicaSet ${action.version} to ${action.replicas}`;
    case "scaleToZero":
      return `scale ReplicaSet ${action.version} to 0`;
    case "removeVersion":
      return `remove ReplicaSet ${action.version}`;
    case "annotateVersion":
      return `annotate ReplicaSet ${action.version}`;
    case "checkVersion":
      return `dry-run registration of ${action.version}`;
    case "askGate":
      return `ask gate of ${action.version}`;
    case "applyGateJob":
      return `create Job ${action.version}`;
    case "registerVersion":
      return `register version ${action.version}`;
    case "recordDeploymentId":
      return `record deployment of ${action.version}`;
    case "forgetDeploymentId":
      return `forget deployment of ${action.version}`;
    case "deregisterVersion":
      return `deregister version ${action.version}`;
    case "markLatest":
      return `mark ${action.version} as latest`;
    case "unmarkLatest":
      return `unmark ${action.version} as latest`;
    case "scheduleRemoval":
      return `schedule removal of ${action.version}`;
    case "unscheduleRemoval":
      return `unschedule removal of ${action.version}`;
    case "startDrain":
      return `start drain of ${action.version}`;
    case "cancelDrain":
      return `end drain of ${action.version}`;
    case "applyHpa":
      return `apply HorizontalPodAutoscaler ${action.version}`;
    case "removeHpa":
      return `remove HorizontalPodAutoscaler ${action.version}`;
    case "applyObject":
      return `apply ${titleOf(action.target)}`;
    case "removeObject":
      return `remove ${titleOf(action.target)}`;
    case "addFinalizer":
      return "add finalizer";
    case "removeFinalizer":
      return "remove finalizer";
    default:
      return assertNever(action);
  }
}

function deploymentAttempt(
  context: ObserveContext,
  key: string,
): Attempt<DeploymentAction, DeploymentStatus, DeploymentReason, DrainReport> {
  const { kube } = context;
  const [namespace = "", name = ""] = key.split("/");
  const planned = new PlannedResource(() => readDeployment(kube, namespace, name));
  /** What the plan was made from; a process that takes over in the middle of one looks again. */
  let observed: ObservedDeployment | undefined;
  let observedAtMs = 0;
  const observe = async (applied: Remembered["applied"]) => {
    observedAtMs = performance.now();
    observed = await observeDeployment(context, { namespace, name }, applied);
    return observed;
  };
  const isOld = () => performance.now() - observedAtMs > FRESH_MS;
  return {
    async plan(remembered, reports) {
      observed = await observe(remembered.applied);
      const nowMs = Date.now();
      if (observed === undefined) {
        return { actions: [], outcome: { kind: "gone" }, observedAtMs: nowMs };
      }
      planned.remember(observed.deployment);
      const { uid } = observed.deployment.metadata;
      const applied = remembered.uid === uid ? remembered.applied : {};
      return planDeployment({ observed, applied, reports, nowMs });
    },
    async apply(action, identity) {
      const deployment = await planned.current(identity);
      if (deployment === undefined) return { kind: "superseded" };
      if (observed === undefined || (action.kind === "scaleToZero" && isOld())) {
        observed = await observe({});
      }
      return observed === undefined
        ? { kind: "superseded" }
        : applyAction(context, { ...observed, deployment }, action);
    },
    async writeStatus(status, identity) {
      const deployment = await planned.current(identity);
      if (deployment === undefined) return { kind: "superseded" };
      return patchStatus(kube, deployment, status);
    },
    async writeWaiting({ reason, message }, status, identity) {
      const deployment = await planned.current(identity);
      if (deployment === undefined) return { kind: "superseded" };
      // Waiting outcomes of this kind's actions carry its own reasons.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      const ready = { status: "False", reason: reason as DeploymentReason, message } as const;
      const next = withReady(deployment, ready, { status, nowMs: Date.now() });
      return next === undefined ? { kind: "done" } : patchStatus(kube, deployment, next);
    },
    async emit(event, { uid }) {
      await tell(kube, { metadata: { namespace, name, uid } }, event);
    },
    async writeFailure({ reason, message }) {
      const deployment = await readDeployment(kube, namespace, name);
      if (deployment === undefined) return;
      const ready = { status: "Unknown", reason, message } as const;
      const status = withReady(deployment, ready, { nowMs: Date.now() });
      if (status === undefined) return;
      await patchStatus(kube, deployment, status);
      await tell(kube, deployment, { type: "Warning", reason, message });
    },
  };
}

async function patchStatus(
  kube: KubeClient,
  { metadata, status: before }: RestateDeployment,
  status: DeploymentStatus,
): Promise<ActionResult> {
  const { uid, namespace, name } = metadata;
  const body = { metadata: { uid }, status: statusPatch(before, status) };
  await kube.patch(refTo("RestateDeployment", name, namespace), { subresource: "status", body });
  return { kind: "done" };
}
