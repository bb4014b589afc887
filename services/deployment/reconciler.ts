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
import { attemptOf } from "../reconciler/attempt.ts";
import type { Attempt, Remembered, ResourceKind } from "../reconciler/resource-kind.ts";
import type {
  DeploymentAction,
  DeploymentReason,
  DeploymentStatus,
  DeploymentTerms,
} from "./api.ts";
import { applyAction } from "./apply/apply.ts";
import { DRAINS } from "./drain/drain-assistants.ts";
import { tell } from "./apply/events.ts";
import {
  observeDeployment,
  readDeployment,
  type ObservedDeployment,
  type ObserveContext,
} from "./observe/observe.ts";
import { planDeployment } from "./plan/plan.ts";
import { statusPatch, withReady } from "./plan/status.ts";

/** RestateDeployment as the reconciler takes it. */
export function deploymentKind(context: ObserveContext): ResourceKind<DeploymentTerms> {
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
    case "healVersion":
      return `heal ReplicaSet ${action.version}`;
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

function deploymentAttempt(context: ObserveContext, key: string): Attempt<DeploymentTerms> {
  const { kube } = context;
  const [namespace = "", name = ""] = key.split("/");
  const read = () => readDeployment(kube, namespace, name);
  const planned = new PlannedResource(read);
  /** What the plan was made from; a process that takes over in the middle of one looks again. */
  let observed: ObservedDeployment | undefined;
  let observedAtMs = 0;
  const observe = async (applied: Remembered["applied"]) => {
    observedAtMs = performance.now();
    observed = await observeDeployment(context, { namespace, name }, applied);
    return observed;
  };
  const isOld = () => performance.now() - observedAtMs > FRESH_MS;
  const attempt: Attempt<DeploymentTerms> = attemptOf({
    read,
    planned,
    observe: ({ applied }) => observe(applied),
    resourceOf: ({ deployment }) => deployment,
    decide: (seen, known) => planDeployment({ observed: seen, ...known }),
    async act(deployment, action) {
      if (observed === undefined || (action.kind === "scaleToZero" && isOld())) {
        observed = await observe({});
      }
      return observed === undefined
        ? { kind: "superseded" }
        : applyAction(context, { ...observed, deployment }, action);
    },
    patchStatus: (deployment, status) => patchStatus(kube, deployment, status),
    statusOfFailure(deployment, { reason, message }) {
      const ready = { status: "Unknown", reason, message } as const;
      return withReady(deployment, ready, { nowMs: Date.now() });
    },
    tell: ({ uid }, event) => tell(kube, { metadata: { namespace, name, uid } }, event),
  });
  return {
    ...attempt,
    async writeWaiting({ reason, message }, status, identity) {
      const deployment = await planned.current(identity);
      if (deployment === undefined) return { kind: "superseded" };
      // Waiting outcomes of this kind's actions carry its own reasons.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      const ready = { status: "False", reason: reason as DeploymentReason, message } as const;
      const next = withReady(deployment, ready, { status, nowMs: Date.now() });
      if (next !== undefined) await patchStatus(kube, deployment, next);
      return { kind: "done" };
    },
  };
}

async function patchStatus(
  kube: KubeClient,
  { metadata, status: before }: RestateDeployment,
  status: DeploymentStatus,
): Promise<void> {
  const { uid, namespace, name } = metadata;
  const body = { metadata: { uid }, status: statusPatch(before, status) };
  await kube.patch(refTo("RestateDeployment", name, namespace), { subresource: "status", body });
}
