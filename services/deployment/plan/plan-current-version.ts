/**
 * What is done about the version that the spec asks for: made, given pods, registered once all of them are available, and
 * made the latest. The invariants are those of plan-versions.ts.
 */
import type { Outcome } from "../../core/outcome.ts";
import type {
  DeploymentReason,
  ObservedVersion,
  ReadyClaim,
  VersionAction,
  VersionPhase,
  VersionsQuestion,
} from "../api.ts";
import { planGate } from "./plan-gate.ts";
import { NEXT_STEP_MS, removeHpa, scale, target, unschedule } from "./plan-older-version.ts";
import { count, delayMs } from "./version-standing.ts";

/** A waiting deployment is looked at again after this long if no event does it before (contract, section 2). */
const WAITING_MS = 60_000;

export interface CurrentPlan {
  /** What undoes an earlier way out, then pods: first of all. */
  readonly first: readonly VersionAction[];
  /** What can fail for reasons of others: last of all, so that nothing else waits for it. */
  readonly last: readonly VersionAction[];
  readonly phase: VersionPhase;
  readonly reason: string;
  /** Whether Restate sends the new invocations of all its services to it. */
  readonly isLatest: boolean;
  readonly ready: ReadyClaim;
  readonly outcome: Outcome<DeploymentReason>;
  readonly collided?: true;
  readonly overdue?: string;
  readonly lookAgainMs?: number;
}

/** What the condition says and what is waited for. */
type Verdict = Pick<CurrentPlan, "ready" | "outcome">;

export function planCurrentVersion(question: VersionsQuestion): CurrentPlan {
  const { current, versions } = question;
  const version = versions.find(({ isCurrent }) => isCurrent);
  if (current.takenBy !== undefined || version?.podTemplateMatches === false) {
    const whose = current.takenBy ?? "another template";
    const message = `the name ${current.name} is taken by ${whose}; another hash is made`;
    return { ...pending(waiting("HashCollision", message, NEXT_STEP_MS)), collided: true };
  }
  if (version === undefined) return planCreation(question);
  if (version.deleting) {
    const message = `${version.name} is being deleted; it is made again when it is gone`;
    return pending(waiting("ReplicaSetNoStatus", message));
  }
  return planExisting(question, version);
}

/** V9: beyond the limit nothing is made until an older version has gone. */
function planCreation({ current, versions, spec }: VersionsQuestion): CurrentPlan {
  if (spec.paused) return pending(paused(current.name, "made"));
  const needed = versions.filter((version) => !version.deleting && !isRetained(version));
  const limit = spec.maxVersions;
  if (needed.length >= limit) {
    const message = `${count(needed.length, "version")} still have pods or are registered, and spec.restate.maxVersions is ${limit}; ${current.name} is made when one of them is drained`;
    return pending(waiting("TooManyVersions", message));
  }
  const replicas = Math.max(spec.replicas, 1);
  const because = "no version has this template";
  const message = `${current.name} is being made`;
  return {
    ...pending(waiting("ReplicaSetNoStatus", message)),
    first: [{ kind: "createVersion", version: current.name, replicas, because }],
  };
}

/** Neither pods nor, as far as is known, a deployment. */
export function isRetained(version: ObservedVersion): boolean {
  const { specReplicas, statusReplicas, registration, deploymentId } = version;
  const registered = registration.kind === "registered" || deploymentId !== undefined;
  return specReplicas === 0 && statusReplicas === 0 && !registered;
}

/** As with a Deployment: nothing new while `spec.paused` is true. */
function paused(name: string, done: string): Verdict {
  return waiting("DeploymentPaused", `spec.paused is true; ${name} is ${done} when it is not`);
}

function planExisting(question: VersionsQuestion, version: ObservedVersion): CurrentPlan {
  const { spec, reports, nowMs } = question;
  const { registration } = version;
  const isLatest =
    registration.kind === "registered" && registration.routed === registration.services;
  const replicas = replicasOf(question, version, isLatest);
  const because = "it is the version asked for";
  const drained = reports.some((report) => report.version === version.name);
  const first: VersionAction[] = [
    ...unschedule(version, because),
    ...removeHpa(version, because),
    ...(drained ? [{ kind: "cancelDrain", version: version.name, because } as const] : []),
    ...(version.specReplicas === replicas
      ? []
      : [scale(version, replicas, becauseOfScale(spec.replicas, replicas))]),
  ];
  const verdict = verdictOf(question, version, { isLatest, replicas });
  const phase = phaseOf(version, { isLatest, replicas, gated: verdict.gated === true });
  const progress = progressOf(question, { name: version.name, phase, verdict });
  const last =
    verdict.register === undefined
      ? planRecord(version)
      : [...planRecord(version), verdict.register];
  const rejected = version.rejected;
  const graceEndsMs =
    rejected === undefined ? nowMs : rejected.atMs + delayMs(spec.drainDelaySeconds);
  return {
    first,
    last,
    phase,
    reason: verdict.ready.message,
    isLatest,
    ready: verdict.ready,
    outcome: verdict.outcome,
    ...progress,
    ...(graceEndsMs > nowMs ? { lookAgainMs: graceEndsMs - nowMs } : {}),
  };
}

/** Whether a version has been in one phase for too long, or when that will be so. */
function progressOf(
  { previous, spec, nowMs }: VersionsQuestion,
  at: { readonly name: string; readonly phase: VersionPhase; readonly verdict: Verdict },
): Pick<CurrentPlan, "overdue" | "lookAgainMs"> {
  const { name, phase, verdict } = at;
  const before = previous.find((entry) => entry.name === name && entry.phase === phase);
  if (verdict.outcome.kind !== "waiting" || before === undefined) return {};
  const endsMs = Date.parse(before.since) + delayMs(spec.progressDeadlineSeconds);
  if (endsMs > nowMs) return { lookAgainMs: endsMs - nowMs };
  const overdue = `${name} has been ${phase} for more than ${spec.progressDeadlineSeconds} s (spec.progressDeadlineSeconds): ${verdict.ready.message}`;
  return { overdue };
}

/**
 * V7: at least one pod until it is registered, or nobody could answer Restate. A rejected version that Restate does not have
 * gives its pods back after the grace: nothing can run on it, and the previous version serves.
 */
function replicasOf(
  { spec, nowMs }: VersionsQuestion,
  { registration, deploymentId, rejected }: ObservedVersion,
  isLatest: boolean,
): number {
  const registered = registration.kind === "unknown" && deploymentId !== undefined;
  if (isLatest || registered) return spec.replicas;
  const unwanted =
    rejected !== undefined &&
    registration.kind === "absent" &&
    deploymentId === undefined &&
    nowMs - rejected.atMs >= delayMs(spec.drainDelaySeconds);
  return unwanted ? 0 : Math.max(spec.replicas, 1);
}

function becauseOfScale(asked: number, replicas: number): string {
  if (replicas === asked) return `${count(asked, "replica")} asked for`;
  return replicas === 0
    ? "it is not to be registered, and nothing can run on it"
    : "it needs a pod to be registered";
}

/** The id that Restate knows it by, noted where the contract has it. */
function planRecord(version: ObservedVersion): VersionAction[] {
  const { registration, deploymentId } = version;
  return registration.kind !== "registered" || registration.deploymentId === deploymentId
    ? []
    : [
        {
          kind: "recordDeploymentId",
          ...target(version),
          deploymentId: registration.deploymentId,
          because: "Restate knows it by this id",
        },
      ];
}

interface Facts {
  readonly isLatest: boolean;
  /** Pods it is to have. */
  readonly replicas: number;
}

function phaseOf(
  version: ObservedVersion,
  { isLatest, replicas, gated }: Facts & { readonly gated: boolean },
): VersionPhase {
  if (isLatest) return "Latest";
  if (gated) return "Gated";
  if (version.rejected !== undefined) return "Rejected";
  if (version.registration.kind === "unknown" && version.labelledLatest) return "Latest";
  return podProblem(version, replicas) === undefined ? "Registering" : "Pending";
}

/** The first thing that is missing for Ready, and the registration if that is it. */
function verdictOf(
  { registration, spec }: VersionsQuestion,
  version: ObservedVersion,
  { isLatest, replicas }: Facts,
): Verdict & { readonly register?: VersionAction; readonly gated?: true } {
  const { rejected } = version;
  if (rejected !== undefined && !isLatest) {
    const { reason, message } = rejected;
    return {
      ready: { status: "False", reason, message },
      outcome: { kind: "stalled", reason, message },
    };
  }
  const pods = podProblem(version, replicas);
  if (pods !== undefined) return pods;
  if (isLatest) {
    const message = `Restate sends new invocations to ${version.name}`;
    return {
      ready: { status: "True", reason: "Deployed", message },
      outcome: { kind: "applied" },
    };
  }
  const { blocked, reachable, foreign } = registration;
  if (blocked !== undefined) {
    return waiting(blocked.reason, blocked.message, blocked.requeueAfterMs);
  }
  if (!reachable || version.registration.kind === "unknown") {
    return waiting("AdminCallFailed", `${version.name}: Restate does not answer`);
  }
  const held = foreign[0];
  if (held !== undefined) {
    const message = `service ${held.service} is served by deployment ${held.deploymentId}, which is not of this RestateDeployment; nothing is registered over it`;
    return waiting("ForeignDeployment", message);
  }
  if (spec.paused) return paused(version.name, "registered");
  const force = version.registration.kind === "registered";
  const gate = force ? undefined : planGate(version, spec.gate);
  if (gate !== undefined) {
    const { reason, message, requeueAfterMs, action } = gate;
    if (reason === "GateFailed") {
      const ready = { status: "False", reason, message } as const;
      return { ready, outcome: { kind: "stalled", reason, message }, gated: true };
    }
    return {
      ...waiting(reason, message, requeueAfterMs),
      gated: true,
      ...(action === undefined ? {} : { register: action }),
    };
  }
  const because = force
    ? "it is registered, but Restate sends new invocations to another version"
    : "its pods are available and Restate does not have it";
  return {
    ...waiting("NotLatest", `${version.name} is being registered`, NEXT_STEP_MS),
    register: { kind: "registerVersion", ...target(version), force, because },
  };
}

/** What its pods lack. Restate calls them as soon as it knows them, so all must be available (contract, section 3). */
function podProblem(version: ObservedVersion, replicas: number): Verdict | undefined {
  const { name } = version;
  if (version.observedGeneration === undefined) {
    return waiting("ReplicaSetNoStatus", `ReplicaSet ${name} has no status yet`);
  }
  const scaling =
    version.observedGeneration < version.generation ||
    version.specReplicas !== replicas ||
    version.statusReplicas !== replicas;
  if (scaling) {
    return waiting("ReplicaSetScaling", `ReplicaSet ${name} is being scaled to ${replicas}`);
  }
  if (version.readyReplicas < replicas) {
    const message = `${version.readyReplicas} of ${count(replicas, "pod")} of ${name} are ready`;
    return waiting("ReplicaSetPodNotReady", message);
  }
  if (version.availableReplicas < replicas) {
    const message = `${version.availableReplicas} of ${count(replicas, "pod")} of ${name} have been ready for spec.minReadySeconds`;
    return waiting("ReplicaSetPodNotAvailable", message);
  }
  return undefined;
}

function pending(verdict: Verdict): CurrentPlan {
  const { message: reason } = verdict.ready;
  return { first: [], last: [], phase: "Pending", reason, isLatest: false, ...verdict };
}

function waiting(
  reason: DeploymentReason,
  message: string,
  requeueAfterMs: number = WAITING_MS,
): Verdict {
  return {
    ready: { status: "False", reason, message },
    outcome: { kind: "waiting", reason, message, requeueAfterMs },
  };
}
