/**
 * The one decision about a RestateCluster: what to write, what to say, when to look again. A pure function of what was
 * observed.
 *
 * P1 A resource that is being deleted gets nothing but its finalizer taken off (plan-deletion.ts): its children go with it by
 *    their owner references. P2 What the user must change (name, configuration, pods) is said and nothing is written. P3 A namespace that
 *    existed before and is not this cluster's is used and never written. P4 A cluster is provisioned once, after its first
 *    pod runs, and never again once `status.provisioned` says so. P5 The ConfigMap of an older configuration stays until no
 *    pod of the older revision is left. P6 Ready is True only for the generation that was observed, with every pod of the
 *    current revision ready and every volume bound.
 */
import { RESTATE_CLUSTER } from "../../crds/restate-cluster.ts";
import { planChildren, type AppliedObjects, type ObservedObject } from "../core/children.ts";
import { inherited } from "../core/inherit.ts";
import type { Outcome } from "../core/outcome.ts";
import type { Plan } from "../core/plan.ts";
import { disabledStatus, isDisabled } from "../core/reconciliation.ts";
import type {
  ClusterAction,
  ClusterConfig,
  ClusterReason,
  ClusterStatus,
  ClusterView,
} from "./api.ts";
import { buildChildren } from "./build/children.ts";
import { CONFIG_MAP_PREFIX, configMapName } from "./build/config-map.ts";
import { STATEFUL_SET_NAME, replicasOf } from "./build/stateful-set.ts";
import { configProblem } from "./config-toml.ts";
import type { ObservedCluster } from "./observe.ts";
import { podProblem } from "./pod-problem.ts";
import { planDeletion } from "./plan-deletion.ts";
import { versionChangeProblem } from "./plan-version-change.ts";
import {
  isStatefulSetLeaving,
  planClaims,
  shrinkProblem,
  withStatefulSetReplaced,
} from "./plan-volumes.ts";
import { cloudEvents, cloudProblem, kindsInPods, planCloud, type CloudPlan } from "./plan-cloud.ts";
import { statusOf, type ReadyClaim } from "./status.ts";

/** A waiting cluster is looked at again after this long if no event does it before (contract, section 2). */
const WAITING_MS = 60_000;
const PROVISIONING_MS = 5_000;
/** How long after its start a node may take to answer, before silence counts as a failure. */
const START_GRACE_MS = 30_000;

type ClusterPlan = Plan<ClusterAction, ClusterStatus>;

export interface ClusterQuestion {
  readonly observed: ObservedCluster;
  readonly applied: AppliedObjects;
  readonly config: ClusterConfig;
  readonly nowMs: number;
}

/** The resource as builders see it. */
export function clusterViewOf({ cluster }: Pick<ObservedCluster, "cluster">): ClusterView {
  const { metadata, spec } = cluster;
  return {
    name: metadata.name,
    uid: metadata.uid,
    labels: inherited(metadata.labels),
    annotations: inherited(metadata.annotations),
    spec,
  };
}

/** Whether the cluster's namespace is, or is going to be, its own (P3). */
export function ownsNamespace({ cluster, namespace }: ObservedCluster): boolean {
  return namespace === undefined || namespace.object.controllerUid === cluster.metadata.uid;
}

export function planCluster(question: ClusterQuestion): ClusterPlan {
  const { observed, config, nowMs } = question;
  const { cluster } = observed;
  const { metadata } = cluster;
  const plan = {
    for: { uid: metadata.uid, generation: metadata.generation },
    observedAtMs: nowMs,
  };
  if (metadata.deletionTimestamp !== undefined) {
    return { ...plan, ...planDeletion(cluster, nowMs) };
  }
  if (isDisabled(cluster)) {
    const status = disabledStatus(cluster.status ?? {});
    const write = status === undefined ? {} : { status };
    return { ...plan, actions: [], ...write, outcome: { kind: "applied" } };
  }
  const problem = problemOf(observed, config);
  if (problem !== undefined) {
    return { ...plan, actions: [], ...problemSaid(question, problem) };
  }
  const objects = planObjects(question);
  const cloud = planCloud(question, objects);
  const actions = [
    ...planFinalizer(observed),
    ...cloud.removals,
    ...(cloud.waiting === undefined ? objects : objects.filter(isNotStatefulSet)),
    ...cloud.canaries,
  ];
  const answer = { ...question, cloud };
  if (cloud.waiting !== undefined) {
    return { ...plan, actions, ...problemSaid(answer, waiting(cloud.waiting)) };
  }
  const ready = planReadiness(answer, actions);
  const claims = planClaims(observed, question.applied);
  return { ...plan, ...ready, actions: [...ready.actions, ...claims] };
}

function planFinalizer({ cluster }: ObservedCluster): ClusterAction[] {
  return (cluster.metadata.finalizers ?? []).includes(RESTATE_CLUSTER.finalizer)
    ? []
    : [{ kind: "addFinalizer", because: "it is not there yet" }];
}

interface Problem {
  readonly claim: ReadyClaim;
  readonly outcome: Outcome;
}

/** What stands in the way of writing anything at all (P2). */
function problemOf(observed: ObservedCluster, config: ClusterConfig): Problem | undefined {
  const { cluster, namespace } = observed;
  const { name } = cluster.metadata;
  const invalid = invalidName(name, config);
  if (invalid !== undefined) return stalled("InvalidName", invalid);
  const cloud = cloudProblem(observed, config);
  if (cloud !== undefined) return stalled(cloud.reason, cloud.message);
  const unusable = configProblem(cluster.spec) ?? podProblem(clusterViewOf(observed), config);
  if (unusable !== undefined) return stalled("InvalidRestateConfig", unusable);
  const shrinking = shrinkProblem(observed);
  if (shrinking !== undefined) return stalled("StorageCannotShrink", shrinking);
  const refused = versionChangeProblem(observed);
  if (refused !== undefined) return stalled("VersionChangeRefused", refused);
  if (namespace?.terminating === true) {
    return waiting({
      reason: "NamespaceTerminating",
      message: `namespace ${name} is being deleted; it is created again when it is gone`,
      requeueAfterMs: PROVISIONING_MS,
    });
  }
  if (namespace?.ofPredecessor === true) {
    return waiting({
      reason: "NamespaceTerminating",
      message: `namespace ${name} belongs to a deleted RestateCluster of this name and goes with it; it is created again when it is gone`,
      requeueAfterMs: PROVISIONING_MS,
    });
  }
  return undefined;
}

function isNotStatefulSet(action: ClusterAction): boolean {
  return !("target" in action) || action.target.kind !== "StatefulSet";
}

/** A cluster takes over the namespace of its name: some must not be taken. */
function invalidName(name: string, { operatorNamespace }: ClusterConfig): string | undefined {
  const taken = name === "default" || name.startsWith("kube-") || name === operatorNamespace;
  return taken
    ? `metadata.name: a cluster lives in the namespace of its name, and ${name} is not to be taken over; choose another name`
    : undefined;
}

function planObjects({ observed, applied, config }: ClusterQuestion): ClusterAction[] {
  const view = clusterViewOf(observed);
  const children: ObservedObject[] = [
    ...(observed.namespace === undefined ? [] : [observed.namespace.object]),
    ...observed.children,
    ...(observed.cloud?.objects ?? []),
  ];
  const actions = planChildren({
    desired: buildChildren(view, config, {
      ownsNamespace: ownsNamespace(observed),
      installed: observed.cloud?.installed ?? [],
      inPods: kindsInPods(observed),
    }),
    observed: children,
    applied,
    ownerUid: view.uid,
    isObsolete: (object) => isObsolete(object, observed, config),
  });
  // P5: pods are of the revision they were until the StatefulSet is written and has rolled.
  const rolls = actions.some(
    ({ kind, target }) => kind === "applyObject" && target.kind === "StatefulSet",
  );
  const kept = actions.filter(
    ({ kind, target }) => !rolls || kind === "applyObject" || target.kind !== "ConfigMap",
  );
  return withStatefulSetReplaced(kept, observed);
}

function isObsolete(
  { ref }: ObservedObject,
  observed: ObservedCluster,
  config: ClusterConfig,
): boolean {
  switch (ref.kind) {
    case "NetworkPolicy":
      return config.manageNetworkPolicies;
    case "ConfigMap": // P5
      return (
        ref.name.startsWith(CONFIG_MAP_PREFIX) &&
        ref.name !== configMapName(observed.cluster.spec.config ?? "") &&
        notRolledOut(observed) === undefined
      );
    default:
      return false;
  }
}

function planReadiness(
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
  { cluster, firstPod }: ObservedCluster,
  nowMs: number,
): (Problem & { readonly action?: ClusterAction }) | undefined {
  if (cluster.spec.cluster?.autoProvision !== true || cluster.status?.provisioned === true) {
    return undefined;
  }
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
  const replicas = replicasOf(clusterViewOf(observed));
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

function notRolledOut(observed: ObservedCluster): Problem | undefined {
  const { statefulSet } = observed;
  const replicas = replicasOf(clusterViewOf(observed));
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

function waiting(
  outcome: Omit<Extract<Outcome<ClusterReason>, { kind: "waiting" }>, "kind">,
): Problem {
  const { reason, message } = outcome;
  return {
    claim: { status: "False", reason, message },
    outcome: { kind: "waiting", ...outcome },
  };
}

function stalled(reason: ClusterReason, message: string): Problem {
  return {
    claim: { status: "False", reason, message },
    outcome: { kind: "stalled", reason, message },
  };
}

/** What is being answered, and what was decided about the cluster's cloud so far. */
type Answer = ClusterQuestion & { readonly provisioned?: true; readonly cloud?: CloudPlan };

type Said = Pick<ClusterPlan, "status" | "events" | "outcome" | "lookAgainMs">;

function problemSaid(answer: Answer, { claim, outcome }: Problem): Said {
  return said(answer, claim, outcome);
}

function said(answer: Answer, claim: ReadyClaim, outcome: Outcome): Said {
  const { observed, nowMs, provisioned, cloud } = answer;
  const ignored = cloud?.ignored ?? [];
  const message = [claim.message, ...ignored.map((each) => each.message)].join("; ");
  const status = statusOf(
    observed.cluster,
    { ...claim, message },
    { nowMs, ...(provisioned === undefined ? {} : { provisioned }) },
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
