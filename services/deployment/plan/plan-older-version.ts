/**
 * What is done about one version that is not the current one. The invariants are those of plan-versions.ts.
 *
 * The way out is one step per reconcile, each seen to have happened before the next is planned: idle → removal scheduled →
 * due and confirmed → autoscaler gone → deregistered → pods gone → kept for a rollback → removed beyond the history. At any
 * of them an invocation or a rollback turns the version round.
 */
import { assertNever } from "../../core/assert-never.ts";
import type {
  DrainReport,
  ObservedVersion,
  RemedyOrder,
  VersionAction,
  VersionPhase,
} from "../api.ts";
import { isSameOrder, orderOf } from "./plan-remedy.ts";
import { delayMs, isCounted, reportOf, type Standing } from "./version-standing.ts";

/** Between two readings that must agree before something is taken away for good (V3). */
const CONFIRM_MS = 10_000;
/** How soon a step that has just been taken is followed by the next. */
export const NEXT_STEP_MS = 1_000;
/** How soon an autoscaler that was removed is expected to be gone, if no event says it earlier. */
const GONE_MS = 5_000;

export interface OlderQuestion {
  readonly version: ObservedVersion;
  readonly standing: Standing;
  readonly reports: readonly DrainReport[];
  readonly spec: {
    readonly replicas: number;
    readonly drainDelaySeconds: number;
    readonly autoscaling: boolean;
  };
  /** Whether new invocations go to the current version: if not, an older one serves in its place. */
  readonly superseded: boolean;
  /** What is to happen to its work when it has drained for too long. */
  readonly remedy?: RemedyOrder;
  readonly nowMs: number;
}

export interface OlderPlan {
  /** What keeps the version able to work. */
  readonly keep: readonly VersionAction[];
  /** What takes from it. */
  readonly take: readonly VersionAction[];
  readonly phase: VersionPhase;
  readonly reason: string;
  readonly removeAtMs?: number;
  /** When to look again without an event. */
  readonly lookAgainMs?: number;
}

export function planOlderVersion(question: OlderQuestion): OlderPlan {
  const { version, standing } = question;
  if (version.deleting) {
    return { keep: [], take: [], phase: "Retained", reason: "it is being removed" };
  }
  switch (standing.kind) {
    case "active":
      return planActive(question, standing);
    case "unknown":
      return planUnknown(question, standing);
    case "idle":
      return planIdle(question, standing);
    case "unregistered":
      return version.specReplicas === 0 ? planRetained(question) : planNeverLatest(question);
    default:
      return assertNever(standing);
  }
}

/** Restate needs it: nothing is taken from it (V1, V2), and what was to be taken no longer is (V5). */
function planActive(
  question: OlderQuestion,
  { deploymentId, routed, unfinished, because }: Extract<Standing, { kind: "active" }>,
): OlderPlan {
  const { version, spec, superseded } = question;
  const serves = routed > 0 && !superseded;
  const stopped = spec.replicas === 0 && (serves || unfinished === 0);
  return {
    keep: [
      ...unschedule(version, because),
      // V4: healed, whoever took its pods; but the user's own `replicas: 0` is the user's.
      ...(version.specReplicas === 0 && !stopped
        ? [heal(version, Math.max(spec.replicas, 1), `it has no pods, but ${because}`)]
        : []),
      ...planDrain(question, deploymentId, { serves }),
      ...planHpa(question, { wanted: spec.autoscaling && !serves }),
    ],
    take: [],
    phase: serves ? "Latest" : "Draining",
    reason: because,
  };
}

function planUnknown(
  question: OlderQuestion,
  { deploymentId, because }: Extract<Standing, { kind: "unknown" }>,
): OlderPlan {
  const { version, superseded } = question;
  const empty = version.specReplicas === 0 && deploymentId === undefined;
  const serves = version.labelledLatest && !superseded;
  return {
    keep: [
      ...planDrain(question, deploymentId, { serves }),
      ...planHpa(question, { wanted: version.hpa !== undefined && question.spec.autoscaling }),
    ],
    take: [],
    phase: empty ? "Retained" : serves ? "Latest" : "Draining",
    reason: because,
    ...(version.removeAtMs === undefined || empty ? {} : { removeAtMs: version.removeAtMs }),
  };
}

/** On its way out, after the delay; the same way where it has no pods any more but Restate still has it (V4). */
function planIdle(
  question: OlderQuestion,
  standing: Extract<Standing, { kind: "idle" }>,
): OlderPlan {
  const { version, spec, nowMs } = question;
  const { removeAtMs, step } = planRemoval(
    question,
    delayMs(spec.drainDelaySeconds),
    "it is drained",
  );
  const plan = { keep: [], phase: "Drained", removeAtMs } as const;
  const reason = "no unfinished invocations, and no service is routed to it";
  const hpa = removeHpa(version, "it is drained");
  if (step !== undefined) {
    return { ...plan, take: [...hpa, step], reason, lookAgainMs: removeAtMs - nowMs };
  }
  if (removeAtMs > nowMs) {
    return { ...plan, take: hpa, reason, lookAgainMs: removeAtMs - nowMs };
  }
  if (!standing.confirmed) {
    const again = standing.stale ? recount(question, standing.deploymentId) : [];
    return { ...plan, take: [...hpa, ...again], reason, lookAgainMs: CONFIRM_MS };
  }
  // V6, and the label that leads people here must have moved on.
  if (version.hpa !== undefined) return { ...plan, take: hpa, reason, lookAgainMs: GONE_MS };
  if (version.labelledLatest) return { ...plan, take: [], reason };
  return {
    ...plan,
    take: [withdraw(version, standing, "it is drained and its removal is due")],
    reason,
    lookAgainMs: NEXT_STEP_MS,
  };
}

/** Pods that no deployment stands for: superseded before it was registered (V8), or deregistered on its way out (V4). */
function planNeverLatest(question: OlderQuestion): OlderPlan {
  const { version, nowMs } = question;
  const because = "it is not registered, so nothing can run on it";
  // The mark is the first of the two readings that must agree (V3): it is in Kubernetes, where no process can lose it.
  const { removeAtMs, step } = planRemoval(question, CONFIRM_MS, because);
  const plan = { keep: [], phase: "Drained", reason: because, removeAtMs } as const;
  const hpa = removeHpa(version, because);
  if (step !== undefined || removeAtMs > nowMs) {
    const take = step === undefined ? hpa : [...hpa, step];
    return { ...plan, take, lookAgainMs: removeAtMs - nowMs };
  }
  if (version.hpa !== undefined) return { ...plan, take: hpa, lookAgainMs: GONE_MS };
  if (version.labelledLatest) return { ...plan, take: [] };
  return { ...plan, take: [{ kind: "scaleToZero", ...target(version), because }] };
}

/** Neither pods nor a deployment: kept for a rollback. */
function planRetained({ version, reports }: OlderQuestion): OlderPlan {
  const because = "it has neither pods nor a deployment";
  const drained = reports.some((report) => report.version === version.name);
  return {
    keep: [],
    take: [
      ...removeHpa(version, because),
      ...(drained ? [{ kind: "cancelDrain", version: version.name, because } as const] : []),
    ],
    phase: "Retained",
    reason: "kept for a rollback",
  };
}

/** The mark by which a removal is scheduled: set it, bring it forward when the delay became shorter, or let it stand. */
function planRemoval(
  { version, nowMs }: OlderQuestion,
  afterMs: number,
  because: string,
): { readonly removeAtMs: number; readonly step?: VersionAction } {
  // The annotation has whole seconds: rounded up, so that no delay becomes shorter than it should be.
  const latestMs = Math.ceil((nowMs + afterMs) / 1000) * 1000;
  const { removeAtMs } = version;
  if (removeAtMs !== undefined && removeAtMs <= latestMs) return { removeAtMs };
  return {
    removeAtMs: latestMs,
    step: { kind: "scheduleRemoval", ...target(version), removeAtMs: latestMs, because },
  };
}

/** Its work is counted, and when it has been unfinished for too long, that is the drain's to deal with. */
function planDrain(
  { version, reports, remedy, nowMs }: OlderQuestion,
  deploymentId: string | undefined,
  { serves }: { readonly serves: boolean },
): VersionAction[] {
  if (deploymentId === undefined) return [];
  const report = reportOf(version, reports);
  const order = serves ? undefined : remedy;
  const counted = isCounted(report, nowMs);
  if (counted && isSameOrder(report?.remedy, order)) return [];
  const because = counted
    ? "what is to happen to work that it does not finish has changed"
    : "its invocations are to be counted";
  return [startDrain(version.name, deploymentId, { order, because })];
}

function recount({ version, reports }: OlderQuestion, deploymentId: string): VersionAction[] {
  const order = orderOf(reportOf(version, reports)?.remedy);
  const because = "its last count is too old to act on";
  return [startDrain(version.name, deploymentId, { order, because })];
}

export function startDrain(
  version: string,
  deploymentId: string,
  { order, because }: { readonly order: RemedyOrder | undefined; readonly because: string },
): VersionAction {
  const remedy = order === undefined ? {} : { remedy: order };
  return { kind: "startDrain", version, deploymentId, ...remedy, because };
}

/** V6: wanted → made or brought up to date; not wanted → the pods it took are given back, and it goes. */
function planHpa(
  { version, spec }: OlderQuestion,
  { wanted }: { readonly wanted: boolean },
): VersionAction[] {
  const { hpa } = version;
  if (wanted) {
    const stands = hpa !== undefined && (hpa.upToDate || hpa.deleting);
    if (stands) return [];
    const because = "older version with work";
    return [{ kind: "applyHpa", version: version.name, because }];
  }
  if (hpa === undefined || spec.autoscaling) return [];
  const because = "autoscaling is no longer asked for";
  // Before the removal: a removal that failed is planned again, and with it this.
  const lacks = version.specReplicas < spec.replicas && version.specReplicas > 0;
  return [
    ...(lacks ? [scale(version, spec.replicas, because)] : []),
    ...removeHpa(version, because),
  ];
}

/** Takes a deployment back: in Restate where that has it, else from the annotation that still remembers it. */
function withdraw(
  version: ObservedVersion,
  { registered, deploymentId }: Extract<Standing, { kind: "idle" }>,
  because: string,
): VersionAction {
  return registered
    ? { kind: "deregisterVersion", version: version.name, deploymentId, unless: "active", because }
    : { kind: "forgetDeploymentId", ...target(version), because };
}

/** Clears the mark of a removal, if there is one (V5). */
export function unschedule(version: ObservedVersion, because: string): VersionAction[] {
  return version.removeAtMs === undefined
    ? []
    : [{ kind: "unscheduleRemoval", ...target(version), because }];
}

export function removeHpa({ name, hpa }: ObservedVersion, because: string): VersionAction[] {
  return hpa === undefined || hpa.deleting ? [] : [{ kind: "removeHpa", version: name, because }];
}

export function scale(version: ObservedVersion, replicas: number, because: string): VersionAction {
  return { kind: "scaleVersion", ...target(version), replicas, because };
}

function heal(version: ObservedVersion, replicas: number, because: string): VersionAction {
  return { kind: "healVersion", ...target(version), replicas, because };
}

export function target({ name, uid }: ObservedVersion) {
  return { version: name, uid };
}
