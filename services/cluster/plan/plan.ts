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
import { RESTATE_CLUSTER } from "../../../crds/restate-cluster.ts";
import { planChildren, type ObservedObject } from "../../core/children.ts";
import { inherited } from "../../core/inherit.ts";
import type { Plan } from "../../core/plan.ts";
import { disabledStatus, isDisabled } from "../../core/reconciliation.ts";
import type {
  ClusterAction,
  ClusterBuilding,
  ClusterConfig,
  ClusterStatus,
  ClusterView,
} from "../api.ts";
import { buildChildren } from "../build/children.ts";
import { CONFIG_MAP_PREFIX, configMapName } from "../build/config-map.ts";
import type { ObservedCluster } from "../observe/observe.ts";
import { configProblem } from "./config-problem.ts";
import { frozenAtOf } from "./freeze.ts";
import { podProblem } from "./pod-problem.ts";
import { cloudProblem, kindsInPods, planCloud } from "./plan-cloud.ts";
import { planDeletion } from "./plan-deletion.ts";
import { endOfSurvey, planSurvey } from "./plan-survey.ts";
import { versionChangeProblem } from "./plan-version-change.ts";
import { planClaims, shrinkProblem, withStatefulSetReplaced } from "./plan-volumes.ts";
import {
  notRolledOut,
  planReadiness,
  problemSaid,
  stalled,
  waiting,
  type Problem,
} from "./plan-readiness.ts";
import type { ClusterQuestion } from "./question.ts";
import { formedBy, settingsOf } from "./settings.ts";

/** How soon it is looked whether a namespace on its way out is gone. */
const LEAVING_MS = 5_000;

type ClusterPlan = Plan<ClusterAction, ClusterStatus>;

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
  if (metadata.deletionTimestamp !== undefined) {
    const { actions, ...deletion } = planDeletion(cluster, nowMs);
    // A survey that was begun by a reconcile that was swept is known to nobody: it is ended by name.
    const ended = actions.length === 0 ? [] : [endOfSurvey(question)];
    return { ...plan, ...deletion, actions: [...ended, ...actions] };
  }
  if (isDisabled(cluster)) {
    const status = disabledStatus(cluster.status ?? {});
    const write = status === undefined ? {} : { status };
    const actions = planSurvey(question, { asks: false });
    return { ...plan, actions, ...write, outcome: { kind: "applied" } };
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
    ...planSurvey(question, { asks: (observed.statefulSet?.readyReplicas ?? 0) > 0 }),
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

/** What stands in the way of writing anything at all (P2). */
function problemOf(observed: ObservedCluster, config: ClusterConfig): Problem | undefined {
  const { cluster, namespace } = observed;
  const { name } = cluster.metadata;
  const invalid = invalidName(name, config);
  if (invalid !== undefined) return stalled("InvalidName", invalid);
  const cloud = cloudProblem(observed, config);
  if (cloud !== undefined) return stalled(cloud.reason, cloud.message);
  const unusable =
    configProblem(cluster.spec, formedBy(observed)) ?? podProblem(clusterViewOf(observed), config);
  if (unusable !== undefined) return stalled("InvalidRestateConfig", unusable);
  const shrinking = shrinkProblem(observed);
  if (shrinking !== undefined) return stalled("StorageCannotShrink", shrinking);
  const refused = versionChangeProblem(observed);
  if (refused !== undefined) return stalled("VersionChangeRefused", refused);
  if (namespace?.terminating === true) {
    return waiting({
      reason: "NamespaceTerminating",
      message: `namespace ${name} is being deleted; it is created again when it is gone`,
      requeueAfterMs: LEAVING_MS,
    });
  }
  if (namespace?.ofPredecessor === true) {
    return waiting({
      reason: "NamespaceTerminating",
      message: `namespace ${name} belongs to a deleted RestateCluster of this name and goes with it; it is created again when it is gone`,
      requeueAfterMs: LEAVING_MS,
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

/** What the children are built from beside the resource (settings.ts, freeze.ts). */
function buildingOf({ observed, report }: ClusterQuestion): ClusterBuilding {
  const frozenAt = frozenAtOf(observed, report);
  return { ...formedBy(observed), ...(frozenAt === undefined ? {} : { frozenAt }) };
}

function planObjects(question: ClusterQuestion): ClusterAction[] {
  const { observed, applied, config } = question;
  const building = buildingOf(question);
  const view = clusterViewOf(observed, building);
  const children: ObservedObject[] = [
    ...(observed.namespace === undefined ? [] : [observed.namespace.object]),
    ...observed.children,
    ...(observed.cloud?.objects ?? []),
  ];
  const special = Object.keys(building).length > 0;
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
  return withStatefulSetReplaced(kept, observed).map((action) =>
    special && action.kind === "applyObject" ? { ...action, building } : action,
  );
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
