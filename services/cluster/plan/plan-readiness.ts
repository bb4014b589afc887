/**
 * Whether a cluster is Ready, what it still waits for, and when it is provisioned (P4 and P6 of plan.ts).
 */
import type { Outcome, Waiting } from "../../core/outcome.ts";
import type { Plan } from "../../core/plan.ts";
import type { ClusterAction, ClusterReason, ClusterStatus } from "../api.ts";
import { STATEFUL_SET_NAME, replicasOf } from "../build/stateful-set.ts";
import type { ObservedCluster } from "../observe/observe.ts";
import { cloudEvents, type CloudPlan } from "./plan-cloud.ts";
import { isStatefulSetLeaving } from "./plan-volumes.ts";
import type { ClusterQuestion } from "./question.ts";
import { formedBy, settingsOf } from "./settings.ts";
import { statusOf, type ReadyClaim } from "./status.ts";

/** A waiting cluster is looked at again after this long if no event does it before (contract, section 2). */
const WAITING_MS = 60_000;
const PROVISIONING_MS = 5_000;
/** How long after its start a node may take to answer, before silence counts as a failure. */
const START_GRACE_MS = 30_000;

type ClusterPlan = Plan<ClusterAction, ClusterStatus>;

/** Why a cluster is not Ready, and what becomes of the reconcile. */
export interface Problem {
  readonly claim: ReadyClaim;
  readonly outcome: Outcome;
}

/** What is to be said of a cluster that carries out these actions, and the one that provisions it when it is time. */
export function planReadiness(
  question: Answer,
  actions: ClusterAction[],
): Said & Pick<ClusterPlan, "actions"> {
  const { observed, nowMs } = question;
  const provisioning = planProvisioning(observed, nowMs);
  if (provisioning?.action !== undefined) {
    const { claim, outcome, action } = provisioning;
    return {
      actions: [...actions, action],
      ...said({ ...question, provisioned: true }, claim, outcome),
    };
  }
  const missing = provisioning ?? notReady(observed, actions);
  if (missing !== undefined) return { actions, ...problemSaid(question, missing) };
  const message = "Restate Cluster reconciled successfully";
  return {
    actions,
    ...said(question, { status: "True", reason: "Reconciled", message }, { kind: "applied" }),
  };
}

/** What provisioning the cluster waits for, or the action that does it (P4). */
function planProvisioning(
  observed: ObservedCluster,
  nowMs: number,
): (Problem & { readonly action?: ClusterAction }) | undefined {
  const { cluster, firstPod } = observed;
  const { provisions } = settingsOf(cluster.spec, formedBy(observed));
  if (!provisions || cluster.status?.provisioned === true) return undefined;
  if (firstPod?.running !== true) {
    return waiting({
      reason: "ProvisioningPodNotRunning",
      message: "the cluster is provisioned as soon as pod restate-0 runs",
      requeueAfterMs: PROVISIONING_MS,
    });
  }
  const startedAtMs = firstPod.startedAtMs ?? nowMs;
  return {
    ...waiting({
      reason: "Provisioned",
      message: "the cluster was provisioned; its pods are not all ready yet",
      requeueAfterMs: PROVISIONING_MS,
    }),
    action: {
      kind: "provisionCluster",
      justStarted: nowMs - startedAtMs < START_GRACE_MS,
      because: "pod restate-0 runs and the cluster has not been provisioned",
    },
  };
}

/** What is missing for Ready, the first thing first (P6). */
function notReady(
  observed: ObservedCluster,
  actions: readonly ClusterAction[],
): Problem | undefined {
  const changes = actions.some(
    (action) =>
      action.kind === "applyObject" &&
      action.target.kind === "StatefulSet" &&
      action.because === "what is asked for changed",
  );
  if (changes) {
    return waiting({
      reason: "StatefulSetScaling",
      message: `StatefulSet ${STATEFUL_SET_NAME} is being changed to what is asked for`,
      requeueAfterMs: WAITING_MS,
    });
  }
  const rollout = notRolledOut(observed);
  if (rollout !== undefined) return rollout;
  // Claims of pods that are no longer asked for stay behind, and nobody binds them.
  const replicas = replicasOf(observed.cluster);
  const unbound = observed.claims.find(
    ({ ordinal, phase }) => ordinal < replicas && phase !== "Bound",
  );
  if (unbound !== undefined) {
    return waiting({
      reason: "PersistentVolumeClaimNotBound",
      message: `PersistentVolumeClaim ${unbound.name} is ${unbound.phase}, not Bound`,
      requeueAfterMs: WAITING_MS,
    });
  }
  return undefined;
}

/** Whether every pod of the current revision is there and ready. */
export function notRolledOut(observed: ObservedCluster): Problem | undefined {
  const { statefulSet } = observed;
  const replicas = replicasOf(observed.cluster);
  if (isStatefulSetLeaving(observed)) {
    return waiting({
      reason: "StatefulSetScaling",
      message: `StatefulSet ${STATEFUL_SET_NAME} is being removed; it is made again when it is gone, and its pods run on`,
      requeueAfterMs: PROVISIONING_MS,
    });
  }
  if (statefulSet?.observedGeneration === undefined) {
    return pods("StatefulSetNoStatus", `StatefulSet ${STATEFUL_SET_NAME} has no status yet`);
  }
  if (
    statefulSet.observedGeneration < statefulSet.generation ||
    statefulSet.replicas !== replicas
  ) {
    return pods(
      "StatefulSetScaling",
      `StatefulSet ${STATEFUL_SET_NAME} is being scaled to ${replicas}`,
    );
  }
  if (statefulSet.updatedReplicas < replicas) {
    return pods(
      "StatefulSetPodNotReady",
      `${statefulSet.updatedReplicas} of ${replicas} pods have been updated`,
    );
  }
  if (statefulSet.readyReplicas < replicas) {
    return pods("StatefulSetPodNotReady", `pods are not all ready (${replicas} are asked for)`);
  }
  return undefined;
}

function pods(reason: ClusterReason, message: string): Problem {
  return waiting({ reason, message, requeueAfterMs: WAITING_MS });
}

/** What Kubernetes, Restate or a cloud still has to do. */
export function waiting(outcome: Omit<Waiting<ClusterReason>, "kind">): Problem {
  const { reason, message } = outcome;
  return {
    claim: { status: "False", reason, message },
    outcome: { kind: "waiting", ...outcome },
  };
}

/** What the user has to do. */
export function stalled(reason: ClusterReason, message: string): Problem {
  return {
    claim: { status: "False", reason, message },
    outcome: { kind: "stalled", reason, message },
  };
}

/** What is being answered, and what was decided about the cluster's cloud so far. */
type Answer = ClusterQuestion & { readonly provisioned?: true; readonly cloud?: CloudPlan };

type Said = Pick<ClusterPlan, "status" | "events" | "outcome" | "lookAgainMs">;

/** The same of a cluster that a problem keeps from it. */
export function problemSaid(answer: Answer, { claim, outcome }: Problem): Said {
  return said(answer, claim, outcome);
}

function said(answer: Answer, claim: ReadyClaim, outcome: Outcome): Said {
  const { observed, nowMs, provisioned, cloud, report } = answer;
  const { statefulSet } = observed;
  const ignored = cloud?.ignored ?? [];
  const message = [claim.message, ...ignored.map((each) => each.message)].join("; ");
  const status = statusOf(
    observed.cluster,
    { ...claim, message },
    {
      nowMs,
      goesOn: outcome.kind === "waiting",
      ...(provisioned === undefined ? {} : { provisioned }),
      ...(statefulSet === undefined ? {} : { statefulSet }),
      ...(report === undefined ? {} : { report }),
    },
  );
  const ready = observed.cluster.status?.conditions?.find(({ type }) => type === "Ready");
  const events = cloud === undefined ? [] : cloudEvents(ready?.message ?? "", cloud);
  return {
    ...(status === undefined ? {} : { status }),
    ...(events.length === 0 ? {} : { events }),
    outcome,
    ...(ignored.length === 0 ? {} : { lookAgainMs: WAITING_MS }),
  };
}
