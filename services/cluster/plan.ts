/**
 * The one decision about a RestateCluster: what to write, what to say, when to look again. A pure function of what was
 * observed.
 *
 * P1 A resource that is being deleted gets nothing but its finalizer taken off: its children go with it by their owner
 *    references. P2 What the user must change (name, configuration) is said and nothing is written. P3 A namespace that
 *    existed before and is not this cluster's is used and never written. P4 A cluster is provisioned once, after its first
 *    pod runs, and never again once `status.provisioned` says so. P5 The ConfigMap of an older configuration stays until no
 *    pod of the older revision is left. P6 Ready is True only for the generation that was observed, with every pod of the
 *    current revision ready and every volume bound.
 */
import { RESTATE_CLUSTER } from "../../crds/restate-cluster.ts";
import { planChildren, type AppliedObjects, type ObservedObject } from "../core/children.ts";
import { RECONCILE_ANNOTATION, RECONCILE_DISABLED, inherited } from "../core/inherit.ts";
import type { Outcome } from "../core/outcome.ts";
import type { Plan } from "../core/plan.ts";
import type {
  ClusterAction,
  ClusterBuilding,
  ClusterConfig,
  ClusterReason,
  ClusterStatus,
  ClusterView,
  SurveyReport,
} from "./api.ts";
import { buildChildren } from "./build/children.ts";
import { CONFIG_MAP_PREFIX, configMapName } from "./build/config-map.ts";
import { STATEFUL_SET_NAME, replicasOf } from "./build/stateful-set.ts";
import { configProblem } from "./config-problem.ts";
import { frozenAtOf } from "./freeze.ts";
import { notServedFields } from "./not-served.ts";
import type { ObservedCluster } from "./observe.ts";
import { endOfSurvey, planSurvey } from "./plan-survey.ts";
import { formedOf, settingsOf } from "./settings.ts";
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
  /** What the cluster last said about itself. */
  readonly report?: SurveyReport;
}

/** The resource as builders see it. */
export function clusterViewOf(
  { cluster }: Pick<ObservedCluster, "cluster">,
  building: ClusterBuilding = {},
): ClusterView {
  const { metadata, spec } = cluster;
  return {
    building,
    settings: settingsOf(spec, building),
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
  if (metadata.deletionTimestamp !== undefined) return { ...plan, ...planDeletion(question) };
  if (metadata.annotations?.[RECONCILE_ANNOTATION] === RECONCILE_DISABLED) {
    return {
      ...plan,
      actions: planSurvey(question, { asks: false }),
      outcome: { kind: "applied" },
    };
  }
  const problem = problemOf(observed, config);
  if (problem !== undefined) {
    return { ...plan, actions: [], ...said(question, problem.claim, problem.outcome) };
  }
  const actions = [
    ...planFinalizer(observed),
    ...planObjects(question),
    ...planSurvey(question, { asks: (observed.statefulSet?.readyReplicas ?? 0) > 0 }),
  ];
  return { ...plan, ...planReadiness(question, actions) };
}

function planDeletion(
  question: ClusterQuestion,
): Pick<ClusterPlan, "actions" | "events" | "outcome"> {
  const { cluster } = question.observed;
  const outcome: Outcome = { kind: "gone" };
  if (!(cluster.metadata.finalizers ?? []).includes(RESTATE_CLUSTER.finalizer))
    return { actions: [], outcome };
  const because = "the resource is being deleted and its children follow it";
  return {
    // A survey that was begun by a reconcile that was swept is known to nobody: it is ended by name.
    actions: [endOfSurvey(question), { kind: "removeFinalizer", because }],
    events: [
      { type: "Normal", reason: "DeleteRequested", message: `Deleting ${cluster.metadata.name}` },
    ],
    outcome,
  };
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
  const notServed = notServedFields(cluster.spec);
  if (notServed.length > 0) {
    const message = `this release does not serve ${notServed.join(", ")}: remove what you can do without, or use a release that does`;
    return stalled("NotServedYet", message);
  }
  const unusable = configProblem(cluster.spec, formedBy(observed));
  if (unusable !== undefined) return stalled("InvalidRestateConfig", unusable);
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

/** A cluster takes over the namespace of its name: some must not be taken. */
function invalidName(name: string, { operatorNamespace }: ClusterConfig): string | undefined {
  const taken = name === "default" || name.startsWith("kube-") || name === operatorNamespace;
  return taken
    ? `metadata.name: a cluster lives in the namespace of its name, and ${name} is not to be taken over; choose another name`
    : undefined;
}

/** What the children are built from beside the resource (settings.ts, freeze.ts). */
function buildingOf({ observed, report }: ClusterQuestion): ClusterBuilding {
  const frozenAt = frozenAtOf(observed, report);
  return { ...formedBy(observed), ...(frozenAt === undefined ? {} : { frozenAt }) };
}

function formedBy(observed: ObservedCluster): Pick<ClusterBuilding, "formed"> {
  const formed = formedOf(observed);
  return formed === undefined ? {} : { formed };
}

function planObjects(question: ClusterQuestion): ClusterAction[] {
  const { observed, applied, config } = question;
  const building = buildingOf(question);
  const view = clusterViewOf(observed, building);
  const children: ObservedObject[] = [
    ...(observed.namespace === undefined ? [] : [observed.namespace.object]),
    ...observed.children,
  ];
  const special = Object.keys(building).length > 0;
  const actions = planChildren({
    desired: buildChildren(view, config, { ownsNamespace: ownsNamespace(observed) }),
    observed: children,
    applied,
    ownerUid: view.uid,
    isObsolete: (object) => isObsolete(object, observed),
  });
  // P5: pods are of the revision they were until the StatefulSet is written and has rolled.
  const rolls = actions.some(
    ({ kind, target }) => kind === "applyObject" && target.kind === "StatefulSet",
  );
  return actions
    .filter(({ kind, target }) => !rolls || kind === "applyObject" || target.kind !== "ConfigMap")
    .map((action) => (special && action.kind === "applyObject" ? { ...action, building } : action));
}

function isObsolete({ ref }: ObservedObject, observed: ObservedCluster): boolean {
  switch (ref.kind) {
    case "NetworkPolicy":
      return true;
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
  question: ClusterQuestion,
  actions: ClusterAction[],
): Pick<ClusterPlan, "actions" | "status" | "outcome"> {
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
  if (missing !== undefined) return { actions, ...said(question, missing.claim, missing.outcome) };
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

function said(
  question: ClusterQuestion & { readonly provisioned?: true },
  claim: ReadyClaim,
  outcome: Outcome,
): Pick<ClusterPlan, "status" | "outcome"> {
  const { observed, nowMs, provisioned } = question;
  const { statefulSet } = observed;
  const status = statusOf(observed.cluster, claim, {
    nowMs,
    goesOn: outcome.kind === "waiting",
    ...(provisioned === undefined ? {} : { provisioned }),
    ...(statefulSet === undefined ? {} : { statefulSet }),
    ...(question.report === undefined ? {} : { report: question.report }),
  });
  return { ...(status === undefined ? {} : { status }), outcome };
}
