/**
 * The one decision about a RestateDeployment: what to do, what to say, when to look again. Which versions come and go is
 * decided by plan-versions.ts, the end of it all by plan-deletion.ts; here the two are put in their place between finalizer,
 * Services and status. A pure function of what was observed.
 *
 * P1 Nothing is made before the finalizer stands: whatever is registered is taken back. P2 What the user must change is said,
 * and nothing is written. P3 A Service of somebody else is left alone.
 */
import { RESTATE_DEPLOYMENT } from "../../../crds/restate-deployment.ts";
import { keyOf, planChildren, type AppliedObjects, type ChildAction } from "../../core/children.ts";
import type { AnyManifest } from "../../core/manifest.ts";
import type { Outcome } from "../../core/outcome.ts";
import type { Plan } from "../../core/plan.ts";
import { disabledStatus, isDisabled } from "../../core/reconciliation.ts";
import type {
  DeploymentAction,
  DeploymentReason,
  DeploymentStatus,
  DrainReport,
  ObservedVersion,
  VersionAction,
  VersionsPlan,
} from "../api.ts";
import { replicaSetProblem } from "../build/replica-set.ts";
import { buildVersionService } from "../build/service.ts";
import { buildStableService } from "../build/stable-service.ts";
import type { ObservedDeployment } from "../observe/observe.ts";
import type { VersionObject } from "../observe/observed-version.ts";
import { notServedFields } from "./not-served.ts";
import { planDeletion } from "./plan-deletion.ts";
import { overdueEvents } from "./plan-remedy.ts";
import { planVersions } from "./plan-versions.ts";
import { adminEvents, statusOf, type StatusClaim } from "./status.ts";
import { deletionPolicy, deploymentViewOf, versionSettings } from "./view.ts";

/** In memory, in place of the fingerprint of an object: it is somebody else's and was not written. */
export const FOREIGN = "somebody else's";

/** For how long the pods of a new version may be on their way before that is worth a write. */
const QUIET_MS = 2_000;
const ON_THEIR_WAY: ReadonlySet<DeploymentReason> = new Set([
  "ReplicaSetNoStatus",
  "ReplicaSetScaling",
  "ReplicaSetPodNotReady",
  "ReplicaSetPodNotAvailable",
]);

type DeploymentPlan = Plan<DeploymentAction, DeploymentStatus>;

export interface DeploymentQuestion {
  readonly observed: ObservedDeployment;
  readonly applied: AppliedObjects;
  readonly reports: readonly DrainReport[];
  readonly nowMs: number;
}

export function planDeployment(question: DeploymentQuestion): DeploymentPlan {
  const { observed, nowMs } = question;
  const { metadata, spec } = observed.deployment;
  const plan = {
    for: { uid: metadata.uid, generation: metadata.generation },
    observedAtMs: nowMs,
  };
  const finalizers = metadata.finalizers ?? [];
  const held = finalizers.includes(RESTATE_DEPLOYMENT.finalizer);
  if (metadata.deletionTimestamp !== undefined) {
    return held
      ? { ...plan, ...planEnd(question) }
      : { ...plan, actions: [], outcome: { kind: "gone" } };
  }
  if (isDisabled(observed.deployment)) {
    const status = disabledStatus(observed.deployment.status ?? { replicas: 0 });
    const write = status === undefined ? {} : { status };
    return { ...plan, actions: [], ...write, outcome: { kind: "applied" } };
  }
  const notServed = notServedFields(spec);
  if (notServed.length > 0) {
    const message = `this release does not serve ${notServed.join(", ")}: use register.cluster, service or url, in mode replicaset`;
    return { ...plan, ...stalled(question, "NotServedYet", message) };
  }
  const problem = replicaSetProblem(deploymentViewOf(observed.deployment), undefined);
  if (problem !== undefined) return { ...plan, ...stalled(question, "FailedReconcile", problem) };
  const finalizer: DeploymentAction[] = held
    ? []
    : [{ kind: "addFinalizer", because: "it is not there yet" }]; // P1
  const life = planLife(question);
  return { ...plan, ...life, actions: [...finalizer, ...life.actions] };
}

/** The actions and words of a plan, without what it is for. */
type Part = Omit<DeploymentPlan, "for" | "observedAtMs">;

/** A resource that is to be what its spec says. */
function planLife(question: DeploymentQuestion): Part {
  const { observed, reports, nowMs } = question;
  const { deployment, current, versions, registration } = observed;
  const { spec, status } = deployment;
  const decided = planVersions({
    current,
    versions,
    reports,
    registration,
    spec: versionSettings(spec),
    previous: status?.versions ?? [],
    nowMs,
  });
  const { ready, outcome, collided } = decided;
  const quietMs = quietFor(question, decided);
  const lookAgainMs = quietMs === undefined ? decided.lookAgainMs : quietMs;
  const write = statusOf(
    deployment,
    {
      ready,
      outcome,
      versions: decided.versions,
      current: currentVersion(observed),
      latest: decided.latest,
      overdue: decided.overdue,
      collided,
    },
    nowMs,
  );
  const events = [
    // What is refused for good is told by the step that was refused.
    ...(outcome.kind === "waiting" ? adminEvents(deployment, outcome) : []),
    ...overdueEvents(status?.versions ?? [], decided.versions),
  ];
  const { actions, last } = orderedActions(
    decided.actions.map((each) => addressed(each, observed)),
  );
  return {
    actions: [
      ...actions,
      ...planAnnotations(observed),
      ...planServices(question, decided),
      ...last,
    ],
    ...(write === undefined || quietMs !== undefined ? {} : { status: write }),
    ...(events.length === 0 || quietMs !== undefined ? {} : { events }),
    outcome,
    ...(lookAgainMs === undefined ? {} : { lookAgainMs }),
  };
}

/** How long to say nothing yet about the pods of a version that has only just been made; `undefined`: say it. */
function quietFor(
  { observed, nowMs }: DeploymentQuestion,
  { ready }: VersionsPlan,
): number | undefined {
  const version = currentVersion(observed);
  if (version === undefined || !ON_THEIR_WAY.has(ready.reason)) return undefined;
  const endsMs = version.createdAtMs + QUIET_MS;
  return endsMs > nowMs ? endsMs - nowMs : undefined;
}

/** What can wait or fail for reasons of others. */
const UNCERTAIN = new Set(["registerVersion", "checkVersion", "askGate", "applyGateJob"]);

/** Registration and gates come after everything else. */
function orderedActions(actions: readonly DeploymentAction[]) {
  return {
    actions: actions.filter(({ kind }) => !UNCERTAIN.has(kind)),
    last: actions.filter(({ kind }) => UNCERTAIN.has(kind)),
  };
}

/** A version's drain is told which Restate to ask. */
function addressed(action: VersionAction, { adminUrls }: ObservedDeployment): DeploymentAction {
  return action.kind === "startDrain"
    ? { ...action, adminUrl: adminUrls[action.version] ?? "" }
    : action;
}

function currentVersion({ versions }: ObservedDeployment) {
  return versions.find(({ isCurrent }) => isCurrent);
}

/** A version carries the annotations of the resource, and none that the resource has had. What others put there stays. */
function planAnnotations({ deployment, objects }: ObservedDeployment): DeploymentAction[] {
  const { annotations: wanted } = deploymentViewOf(deployment);
  return objects.flatMap(({ name, uid, annotations, inherited }): DeploymentAction[] => {
    const lacks = Object.entries(wanted).some(([key, value]) => annotations[key] !== value);
    const obsolete = inherited.filter((key) => wanted[key] === undefined);
    if (!lacks && obsolete.length === 0) return [];
    const because = "annotations of the resource changed";
    const set = lacks ? { annotations: wanted } : {};
    return [{ kind: "annotateVersion", version: name, uid, ...set, obsolete, because }];
  });
}

/** The Services of the versions, and the one of the resource's own name. */
export function desiredServices(
  observed: Pick<ObservedDeployment, "deployment" | "objects"> & {
    readonly versions: readonly Pick<ObservedVersion, "name" | "deploymentId" | "deleting">[];
  },
  latest: string,
): readonly AnyManifest[] {
  const view = deploymentViewOf(observed.deployment);
  const deployments = new Map(
    observed.versions.map(({ name, deploymentId, deleting }) => [name, { deploymentId, deleting }]),
  );
  const present = observed.objects.filter(({ name }) => deployments.get(name)?.deleting === false);
  const serviceOf = (version: VersionObject) => {
    const deploymentId = deployments.get(version.name)?.deploymentId;
    return buildVersionService(view, version, {
      replicaSetUid: version.uid,
      latest: version.name === latest,
      ...(deploymentId === undefined ? {} : { deploymentId }),
    });
  };
  const led = present.find(({ name }) => name === latest);
  const stable = led === undefined ? [] : [buildStableService(view, led)];
  return [...present.map(serviceOf), ...stable];
}

function planServices(
  { observed, applied }: DeploymentQuestion,
  { latest }: VersionsPlan,
): DeploymentAction[] {
  return planChildren({
    desired: desiredServices(observed, latest),
    observed: observed.services,
    applied,
    ownerUid: observed.deployment.metadata.uid,
    isObsolete: () => false,
  }).filter((action) => !isLeftAlone(action, applied)); // P3
}

/** Whether a Service was found to be somebody else's, when the very same was to be applied. */
function isLeftAlone(action: ChildAction, applied: AppliedObjects): boolean {
  const before = applied[keyOf(action.target)];
  return (
    action.kind === "applyObject" && before?.live === FOREIGN && before.manifest === action.manifest
  );
}

/** A resource that is being deleted. */
function planEnd({ observed, reports, nowMs }: DeploymentQuestion): Part {
  const { deployment, versions, registration, namespaceTerminating, clusterGone } = observed;
  const { metadata, spec } = deployment;
  const decided = planDeletion({
    name: metadata.name,
    versions,
    reports,
    lost: registration.lost,
    policy: deletionPolicy(spec),
    startedAtMs: Date.parse(metadata.deletionTimestamp ?? ""),
    namespaceTerminating,
    clusterGone,
    nowMs,
  });
  const { deletion, outcome, events } = decided;
  const actions = decided.actions.map((action) => addressed(action, observed));
  const ended = actions.some(({ kind }) => kind === "removeFinalizer");
  const status = ended ? undefined : statusOf(deployment, claimOfEnd(observed, decided), nowMs);
  const said = deployment.status?.deletion?.phase === deletion.phase;
  return {
    actions,
    ...(status === undefined ? {} : { status }),
    ...(events.length === 0 || said ? {} : { events }),
    outcome,
  };
}

function claimOfEnd(
  observed: ObservedDeployment,
  { deletion, outcome }: ReturnType<typeof planDeletion>,
): StatusClaim {
  const { status } = observed.deployment;
  const message = deletion.message ?? "it is being deleted";
  return {
    ready: { status: "False", reason: "Deleting", message },
    outcome,
    versions: status?.versions ?? [],
    current: currentVersion(observed),
    collided: false,
    deletion,
  };
}

/** P2 */
function stalled(
  { observed, nowMs }: DeploymentQuestion,
  reason: DeploymentReason,
  message: string,
): Part {
  const outcome: Outcome<DeploymentReason> = { kind: "stalled", reason, message };
  const { deployment } = observed;
  const status = statusOf(
    deployment,
    {
      ready: { status: "False", reason, message },
      outcome,
      versions: deployment.status?.versions ?? [],
      current: currentVersion(observed),
      collided: false,
    },
    nowMs,
  );
  return { actions: [], ...(status === undefined ? {} : { status }), outcome };
}
