/**
 * The one decision about a RestateDeployment that is being deleted: wait, take back what is registered, let go. Pure.
 *
 * D1 The finalizer comes off only after Restate was seen to have nothing of it, or after the user's own word (`force`), or when
 *    waiting is pointless: the cluster is gone, the namespace is going.
 * D2 Unfinished invocations are waited for, pinned and unpinned; services still routed to it are not: nobody would ever end
 *    that. D3 Not known is not finished. D4 Nothing that was never registered holds a deletion. D5 Whoever waits has pods: a
 *    version with work and without pods gets one. D6 The latest version is taken back last, so that meanwhile no older one is
 *    given new work. D7 What is abandoned or left behind is named in an event.
 */
import { timestampOf } from "../../core/conditions.ts";
import type { Outcome } from "../../core/outcome.ts";
import type { EventClaim } from "../../core/plan.ts";
import type {
  DeletionStatus,
  DeploymentReason,
  DrainReport,
  LostDeployment,
  ObservedVersion,
  VersionAction,
} from "../api.ts";
import { startDrain } from "./plan-older-version.ts";
import { orderOf } from "./plan-remedy.ts";
import { READING_FRESH_MS, count, delayMs, deploymentIdOf, isCounted } from "./version-standing.ts";

export interface DeletionQuestion {
  /** `metadata.name`, for events. */
  readonly name: string;
  readonly versions: readonly ObservedVersion[];
  readonly reports: readonly DrainReport[];
  readonly lost: readonly LostDeployment[];
  readonly policy: {
    readonly deletePolicy: "drain" | "force";
    readonly timeoutSeconds: number;
    readonly onTimeout: "hold" | "force";
    readonly onUnreachable: "hold" | "force";
  };
  /** `metadata.deletionTimestamp`. */
  readonly startedAtMs: number;
  readonly namespaceTerminating: boolean;
  /** The RestateCluster it registers with is gone, and with it everything that was registered. */
  readonly clusterGone: boolean;
  readonly nowMs: number;
}

export interface DeletionPlan {
  readonly actions: readonly VersionAction[];
  /** `status.deletion`. */
  readonly deletion: DeletionStatus;
  readonly events: readonly EventClaim[];
  readonly outcome: Outcome<DeploymentReason>;
}

/** How often a deletion is looked at while it waits. */
const WAITING_MS = 10_000;
const NEXT_STEP_MS = 1_000;
/** How long a namespace that is going is held, at most, to take back what has no work. */
const RELEASE_GRACE_MS = 60_000;
/** Names in one event. */
const NAMED_MAX = 10;

/** A deployment of this resource, as far as deletion cares. */
interface Subject {
  readonly name: string;
  readonly deploymentId: string;
  /** Whether Restate has it; `undefined`: it does not answer. */
  readonly registered: boolean | undefined;
  readonly createdAtMs: number;
  readonly report: DrainReport | undefined;
  readonly state: "working" | "drained" | "counting" | "unreachable";
  readonly version?: ObservedVersion;
}

type Phase = "Draining" | "Unreachable" | "Overdue" | "Deregistering" | "Finished";

export function planDeletion(question: DeletionQuestion): DeletionPlan {
  const { policy, clusterGone, namespaceTerminating, nowMs } = question;
  const subjects = subjectsOf(question);
  if (clusterGone) return finish(question, { because: "its RestateCluster is gone", left: [] });
  if (namespaceTerminating) return planRelease(question, subjects);
  if (policy.deletePolicy === "force")
    return planForce(question, subjects, "deletePolicy is force");
  const undrained = subjects.filter(({ state }) => state !== "drained");
  if (undrained.length === 0) return planDeregistration(question, subjects);
  const overdue = nowMs >= deadlineOf(question);
  const silent = undrained.some(({ state }) => state === "unreachable");
  const onOverdue = silent ? policy.onUnreachable : policy.onTimeout;
  if (overdue && onOverdue === "force") {
    const field = silent ? "onUnreachable" : "onTimeout";
    return planForce(question, subjects, `the timeout is over and drain.${field} is force`);
  }
  const phase = overdue ? "Overdue" : silent ? "Unreachable" : "Draining";
  return planWaiting(question, subjects, phase);
}

function subjectsOf({ versions, reports, lost, nowMs }: DeletionQuestion): Subject[] {
  const ofVersions = versions.flatMap((version): Subject[] => {
    const deploymentId = deploymentIdOf(version);
    // D4
    if (deploymentId === undefined) return [];
    const { registration, name, createdAtMs } = version;
    const registered =
      registration.kind === "unknown" ? undefined : registration.kind === "registered";
    const report = reports.find((each) => each.deploymentId === deploymentId);
    const state = stateOf(registered, report, nowMs);
    return [{ name, deploymentId, registered, createdAtMs, report, state, version }];
  });
  const ofLost = lost.map(({ version: name, deploymentId }): Subject => {
    const report = reports.find((each) => each.deploymentId === deploymentId);
    const state = stateOf(true, report, nowMs);
    return { name, deploymentId, registered: true, createdAtMs: 0, report, state };
  });
  // D6
  return [...ofLost, ...ofVersions].toSorted(
    (a, b) =>
      routedTo(a) - routedTo(b) || a.createdAtMs - b.createdAtMs || (a.name < b.name ? -1 : 1),
  );
}

function routedTo({ version }: Subject): number {
  return version?.registration.kind === "registered" ? version.registration.routed : 0;
}

function stateOf(
  registered: boolean | undefined,
  report: DrainReport | undefined,
  nowMs: number,
): Subject["state"] {
  // Also where an older count is known: what happens to it is then for `onUnreachable` to say.
  if (registered === undefined) return "unreachable";
  if (report !== undefined && unfinishedOf(report) > 0) return "working";
  if (report === undefined || report.phase === "unknown") return "counting";
  return report.confirmed && nowMs - report.atMs <= READING_FRESH_MS ? "drained" : "counting";
}

function unfinishedOf({ activePinned, activeUnpinned }: DrainReport): number {
  return activePinned + activeUnpinned;
}

function deadlineOf({ startedAtMs, policy }: DeletionQuestion): number {
  return startedAtMs + delayMs(policy.timeoutSeconds);
}

/** D2, D3, D5: everything that is needed to become drained, and nothing else. */
function planWaiting(
  question: DeletionQuestion,
  subjects: readonly Subject[],
  phase: Phase,
): DeletionPlan {
  const { nowMs } = question;
  const actions = subjects.flatMap((subject): VersionAction[] => [
    ...planCount(subject, nowMs),
    ...planPod(subject),
  ]);
  return {
    actions,
    deletion: statusOf(question, { subjects, phase, message: waitsFor(subjects) }),
    events: [],
    outcome: waiting(waitsFor(subjects), WAITING_MS),
  };
}

function planCount({ name, deploymentId, state, report }: Subject, nowMs: number): VersionAction[] {
  const fresh = report !== undefined && nowMs - report.atMs <= READING_FRESH_MS;
  const awaited = state === "counting" ? !fresh : state === "working" && !isCounted(report, nowMs);
  if (!awaited) return [];
  const because = "deletion waits for its invocations";
  return [startDrain(name, deploymentId, { order: orderOf(report?.remedy), because })];
}

function planPod({ version, state }: Subject): VersionAction[] {
  if (state !== "working" || version === undefined || version.specReplicas > 0) return [];
  if (version.deleting) return [];
  return [
    {
      kind: "healVersion",
      version: version.name,
      uid: version.uid,
      replicas: 1,
      because: "it has no pods, but unfinished invocations",
    },
  ];
}

/** All is drained: taken back, then seen to be gone, then let go (D1). */
function planDeregistration(
  question: DeletionQuestion,
  subjects: readonly Subject[],
): DeletionPlan {
  const registered = subjects.filter((subject) => subject.registered === true);
  if (registered.length === 0) {
    return finish(question, { because: "nothing of it is registered", left: [] });
  }
  const message = `${count(registered.length, "version")} being deregistered`;
  return {
    actions: registered.map((subject) => withdraw(subject, "unfinished", "it is drained")),
    deletion: statusOf(question, { subjects, phase: "Deregistering", message }),
    events: [],
    outcome: waiting(message, NEXT_STEP_MS),
  };
}

/** The user's word: what is unfinished is abandoned, and what cannot be reached is left behind (D7). */
function planForce(
  question: DeletionQuestion,
  subjects: readonly Subject[],
  because: string,
): DeletionPlan {
  const registered = subjects.filter((subject) => subject.registered === true);
  const silent = subjects.filter((subject) => subject.registered === undefined);
  if (registered.length === 0) return finish(question, { because, left: silent });
  const message = `${count(registered.length, "version")} being deregistered, because ${because}`;
  return {
    actions: registered.map((subject) => withdraw(subject, "nothing", because)),
    deletion: statusOf(question, { subjects, phase: "Deregistering", message }),
    events: abandoned(
      question,
      registered.filter(({ state }) => state !== "drained"),
      because,
    ),
    outcome: waiting(message, NEXT_STEP_MS),
  };
}

/** The namespace is going and the pods with it: what has no work is taken back if that is quick, and nothing is waited for. */
function planRelease(question: DeletionQuestion, subjects: readonly Subject[]): DeletionPlan {
  const because = "its namespace is being deleted";
  const free = subjects.filter(({ registered, report }) => {
    return registered === true && report !== undefined && unfinishedOf(report) === 0;
  });
  if (free.length > 0 && question.nowMs - question.startedAtMs < RELEASE_GRACE_MS) {
    const message = `${count(free.length, "version")} being deregistered, because ${because}`;
    return {
      actions: free.map((subject) => withdraw(subject, "unfinished", because)),
      deletion: statusOf(question, { subjects, phase: "Deregistering", message }),
      events: [],
      outcome: waiting(message, NEXT_STEP_MS),
    };
  }
  const left = subjects.filter(({ registered }) => registered !== false);
  return finish(question, { because, left });
}

/** Lets go: no drain of it is left, then the finalizer comes off. */
function finish(
  question: DeletionQuestion,
  { because, left }: { readonly because: string; readonly left: readonly Subject[] },
): DeletionPlan {
  const drains = [...new Set(question.reports.map(({ version }) => version))].toSorted();
  return {
    actions: [
      ...drains.map((version): VersionAction => ({ kind: "cancelDrain", version, because })),
      { kind: "removeFinalizer", because },
    ],
    deletion: statusOf(question, { subjects: left, phase: "Finished", message: because }),
    events: [
      ...abandoned(question, left, because),
      { type: "Normal", reason: "DeleteRequested", message: `Deleting ${question.name}` },
    ],
    outcome: { kind: "gone" },
  };
}

function withdraw(
  subject: Subject,
  unless: "unfinished" | "nothing",
  because: string,
): VersionAction {
  const { name: version, deploymentId } = subject;
  return { kind: "deregisterVersion", version, deploymentId, unless, because };
}

function abandoned(
  { name }: DeletionQuestion,
  subjects: readonly Subject[],
  because: string,
): EventClaim[] {
  if (subjects.length === 0) return [];
  const named = subjects.slice(0, NAMED_MAX).map(describe).join(", ");
  const more = subjects.length > NAMED_MAX ? ` and ${subjects.length - NAMED_MAX} more` : "";
  const message = `Deleting ${name} without waiting for ${named}${more}: ${because}`;
  return [{ type: "Warning", reason: "ForcedDeletion", message }];
}

function describe({ name, deploymentId, report }: Subject): string {
  const unfinished = report === undefined ? "not counted" : `${unfinishedOf(report)} unfinished`;
  return `${name} (${deploymentId}, ${unfinished})`;
}

function totalOf(subjects: readonly Subject[]): number {
  return subjects.reduce((sum, { report }) => sum + (report ? unfinishedOf(report) : 0), 0);
}

function waitsFor(subjects: readonly Subject[]): string {
  const inState = (state: Subject["state"]) => subjects.filter((each) => each.state === state);
  const working = inState("working");
  const unfinished = totalOf(working);
  const silent = inState("unreachable").length;
  const counting = inState("counting").length;
  const parts = [
    ...(unfinished > 0
      ? [`${count(unfinished, "unfinished invocation")} of ${count(working.length, "version")}`]
      : []),
    ...(silent > 0 ? [`Restate to answer about ${count(silent, "version")}`] : []),
    ...(counting > 0 ? [`the count of ${count(counting, "version")}`] : []),
  ];
  return `waiting for ${parts.join(" and ")}`;
}

function statusOf(
  question: DeletionQuestion,
  said: { readonly subjects: readonly Subject[]; readonly phase: Phase; readonly message: string },
): DeletionStatus {
  const { policy, startedAtMs } = question;
  const pending = said.subjects.filter(({ state }) => state !== "drained");
  return {
    policy: policy.deletePolicy,
    phase: said.phase,
    startedAt: timestampOf(startedAtMs),
    deadline: timestampOf(deadlineOf(question)),
    onTimeout: policy.onTimeout,
    message: said.message,
    totalPendingInvocations: totalOf(pending),
    pendingInvocations: pending.map(({ name, deploymentId, report }) => ({
      version: name,
      deploymentId,
      ...(report === undefined
        ? {}
        : { pinned: report.activePinned, unpinned: report.activeUnpinned }),
    })),
  };
}

function waiting(message: string, requeueAfterMs: number): Outcome<DeploymentReason> {
  return { kind: "waiting", reason: "Deleting", message, requeueAfterMs };
}
