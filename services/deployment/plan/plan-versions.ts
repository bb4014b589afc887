/**
 * The one decision about the versions of a RestateDeployment: which come, which serve, which go. A pure function of what was
 * observed; both modes are decided by it.
 *
 * V1 The latest version is never scaled down (but by the user's own `replicas`) or removed. While the current version is not
 *    the latest yet, an older one that Restate sends new invocations to is.
 * V2 A version with unfinished work is never scaled to 0, deregistered or deleted, whatever an annotation says. Not known is
 *    not drained: no answer from Restate means keep.
 * V3 What cannot be taken back needs two readings that agree, at least 10 s apart, the newest fresh; and deregistration a last
 *    look in the step itself.
 * V4 No ghosts: a version is deregistered before it loses its pods, and pods are taken only from a version that Restate was
 *    seen not to have. A version that is registered without pods is healed: given pods if Restate needs it, else deregistered.
 * V5 Becoming active again clears every mark of a removal.
 * V6 A HorizontalPodAutoscaler exists only for an older, active version, and is gone before the version is scaled to 0.
 * V7 The current version has at least one pod until it is registered. Only a final refusal by Restate ends that.
 * V8 A version that was superseded before it was registered goes the same way out, without the drain's delay.
 * V9 While `maxVersions` versions have pods or are registered, no further one is made, and the condition says so.
 *
 * Actions stand in this order: what keeps versions able to work; the current version's pods; what takes from older versions;
 * and last what depends on the answer of Restate, so that a version that cannot be registered never stops the cleaning up.
 */
import { timestampOf } from "../../core/conditions.ts";
import type {
  DrainReport,
  LostDeployment,
  ObservedVersion,
  RemedyOrder,
  VersionAction,
  VersionPhase,
  VersionStatus,
  VersionsPlan,
  VersionsQuestion,
} from "../api.ts";
import { isRetained, planCurrentVersion, type CurrentPlan } from "./plan-current-version.ts";
import { planOlderVersion, startDrain, target, type OlderPlan } from "./plan-older-version.ts";
import { orderOf, remedyStatusOf } from "./plan-remedy.ts";
import {
  count,
  delayMs,
  deploymentIdOf,
  isCounted,
  reportOf,
  standingOf,
} from "./version-standing.ts";

/** Versions kept for a rollback at most, whatever `revisionHistoryLimit` says: all of them are in one status. */
const HISTORY_MAX = 100;

/** Nothing is awaited longer without a look: the periodic one comes earlier anyway. */
const LOOK_AGAIN_MAX_MS = 3_600_000;

export function planVersions(asked: VersionsQuestion): VersionsPlan {
  const question = { ...asked, versions: asked.versions.toSorted(newestFirst) };
  const current = planCurrentVersion(question);
  const older = question.versions
    .filter((version) => !isCurrent(version))
    .map((version) => ({ version, plan: planOlder(question, version, current.isLatest) }));
  const lost = question.registration.lost
    .filter(({ version }) => version !== question.current.name)
    .map((deployment) => planLost(question, deployment));
  const label = planLabel(question, current.isLatest);
  const looks = [current, ...older.map(({ plan }) => plan), ...lost].flatMap(
    ({ lookAgainMs }) => lookAgainMs ?? [],
  );
  const lookAgainMs = looks.length === 0 ? undefined : Math.min(...looks, LOOK_AGAIN_MAX_MS);
  return {
    actions: [
      ...older.flatMap(({ plan }) => plan.keep),
      ...lost.flatMap(({ keep }) => keep),
      ...current.first,
      ...planForgotten(question),
      ...older.flatMap(({ plan }) => plan.take),
      ...lost.flatMap(({ take }) => take),
      ...planHistory(question),
      ...label.actions,
      ...current.last,
    ],
    versions: statusesOf(question, current, { older, lost }),
    latest: label.latest ?? question.current.name,
    ready: current.ready,
    outcome: outcomeOf(current, lookAgainMs),
    collided: current.collided === true,
    ...(current.overdue === undefined ? {} : { overdue: current.overdue }),
    ...(lookAgainMs === undefined ? {} : { lookAgainMs }),
  };
}

/** A version of the current name but another template is an older one: the current is yet to be named. */
function isCurrent(version: ObservedVersion): boolean {
  return version.isCurrent && version.podTemplateMatches;
}

/** Kubernetes notes whole seconds: of two versions made in the same one, the one that is asked for is the newer. */
function newestFirst(a: ObservedVersion, b: ObservedVersion): number {
  return (
    b.createdAtMs - a.createdAtMs ||
    Number(b.isCurrent) - Number(a.isCurrent) ||
    (a.name < b.name ? -1 : 1)
  );
}

function planOlder(
  question: VersionsQuestion,
  version: ObservedVersion,
  superseded: boolean,
): OlderPlan {
  const { reports, spec, nowMs } = question;
  const standing = standingOf(version, reports, nowMs);
  const remedy = remedyFor(question, version.name);
  const plan = planOlderVersion({
    version,
    standing,
    reports,
    spec,
    superseded,
    ...(remedy === undefined ? {} : { remedy }),
    nowMs,
  });
  const { registration, deploymentId } = version;
  if (registration.kind !== "registered" || registration.deploymentId === deploymentId) return plan;
  const because = "Restate knows it by this id";
  const record: VersionAction = {
    kind: "recordDeploymentId",
    ...target(version),
    deploymentId: registration.deploymentId,
    because,
  };
  return { ...plan, keep: [record, ...plan.keep] };
}

/** What is to happen to the work of a version that drains: its age is how long it has been in that phase. */
function remedyFor(
  { spec: { remedy }, previous, nowMs }: VersionsQuestion,
  version: string,
): RemedyOrder | undefined {
  if (remedy === undefined) return undefined;
  const before = previous.find(({ name, phase }) => name === version && phase === "Draining");
  // Whole seconds, as the status will have it.
  const since = before?.since ?? timestampOf(nowMs);
  return { action: remedy.action, atMs: Date.parse(since) + delayMs(remedy.maxAgeSeconds) };
}

/** Registered for this resource, but its version is gone: taken back when idle, reported while it is not (V4). */
function planLost(
  question: VersionsQuestion,
  { version, deploymentId }: LostDeployment,
): Pick<OlderPlan, "keep" | "take" | "reason" | "lookAgainMs"> & LostDeployment {
  const { reports, nowMs } = question;
  const report = reports.find((each) => each.deploymentId === deploymentId);
  const as = {
    name: version,
    registration: { kind: "registered", deploymentId, services: 0, routed: 0 },
  } as const;
  const standing = standingOf(as, report === undefined ? [] : [{ ...report, version }], nowMs);
  const plan = { version, deploymentId, keep: [], take: [] };
  const start = (because: string, order?: RemedyOrder) =>
    startDrain(version, deploymentId, { order, because });
  if (report === undefined || !isCounted(report, nowMs)) {
    const because = "registered, but its version is gone";
    return { ...plan, keep: [start(because, remedyFor(question, version))], reason: because };
  }
  if (standing.kind !== "idle") {
    const because = standing.kind === "unregistered" ? "" : `: ${standing.because}`;
    return { ...plan, reason: `registered, but its version and its pods are gone${because}` };
  }
  const reason = "registered, but its version is gone and it has no work";
  if (standing.confirmed) {
    const take: VersionAction = {
      kind: "deregisterVersion",
      version,
      deploymentId,
      unless: "active",
      because: reason,
    };
    return { ...plan, take: [take], reason, lookAgainMs: 1_000 };
  }
  const keep = standing.stale
    ? [start("its last count is too old to act on", orderOf(report.remedy))]
    : [];
  return { ...plan, keep, reason, lookAgainMs: 10_000 };
}

/** Drains of versions that exist nowhere any more. */
function planForgotten({ reports, versions, registration }: VersionsQuestion): VersionAction[] {
  const known = new Set([
    ...versions.map(({ name }) => name),
    ...registration.lost.map(({ version }) => version),
  ]);
  return reports
    .filter(({ version }) => !known.has(version))
    .map(({ version }) => ({ kind: "cancelDrain", version, because: "its version is gone" }));
}

/** Versions kept for a rollback, beyond the limit: the oldest go. */
function planHistory({ versions, spec }: VersionsQuestion): VersionAction[] {
  const limit = Math.min(spec.revisionHistoryLimit, HISTORY_MAX);
  return versions
    .filter((version) => !isCurrent(version) && isRetained(version))
    .filter(({ deleting, labelledLatest, hpa }) => !deleting && !labelledLatest && !hpa)
    .filter(({ registration }) => registration.kind === "absent")
    .slice(limit)
    .map((version) => ({
      kind: "removeVersion",
      ...target(version),
      because: `${count(limit, "version")} kept for a rollback`,
    }));
}

/**
 * Where the label `restate.dev/latest` belongs: to the current version once Restate sends everything to it; until then to the
 * older one that serves. It moves to the new holder before it leaves the old one, and not at all while Restate is silent.
 */
function planLabel(
  { versions }: VersionsQuestion,
  currentIsLatest: boolean,
): { readonly latest?: string; readonly actions: readonly VersionAction[] } {
  const present = versions.filter(({ deleting }) => !deleting);
  const labelled = present.filter(({ labelledLatest }) => labelledLatest);
  if (!currentIsLatest && versions.some(({ registration }) => registration.kind === "unknown")) {
    return { ...(labelled[0] === undefined ? {} : { latest: labelled[0].name }), actions: [] };
  }
  const latest = currentIsLatest ? present.find(isCurrent) : servingOf(present, labelled);
  if (latest === undefined) return { actions: [] };
  return {
    latest: latest.name,
    actions: [
      ...(latest.labelledLatest
        ? []
        : [
            {
              kind: "markLatest",
              ...target(latest),
              because: "Restate sends new invocations to it",
            } as const,
          ]),
      ...labelled
        .filter(({ name }) => name !== latest.name)
        .map((version): VersionAction => ({
          kind: "unmarkLatest",
          ...target(version),
          because: `${latest.name} is the latest`,
        })),
    ],
  };
}

function serves({ registration }: ObservedVersion): boolean {
  return registration.kind === "registered" && registration.routed > 0;
}

function servingOf(
  versions: readonly ObservedVersion[],
  labelled: readonly ObservedVersion[],
): ObservedVersion | undefined {
  return labelled.find(serves) ?? versions.find(serves) ?? labelled[0];
}

function outcomeOf(
  { outcome }: CurrentPlan,
  lookAgainMs: number | undefined,
): VersionsPlan["outcome"] {
  if (outcome.kind !== "waiting" || lookAgainMs === undefined) return outcome;
  return { ...outcome, requeueAfterMs: Math.min(outcome.requeueAfterMs, lookAgainMs) };
}

function statusesOf(
  question: VersionsQuestion,
  current: CurrentPlan,
  others: {
    readonly older: readonly { readonly version: ObservedVersion; readonly plan: OlderPlan }[];
    readonly lost: readonly (LostDeployment & { readonly reason: string })[];
  },
): VersionStatus[] {
  const { versions, reports } = question;
  const plans = new Map(others.older.map(({ version, plan }) => [version.name, plan]));
  const present = versions.map((version) =>
    statusOf(question, {
      ...(plans.get(version.name) ?? current),
      name: version.name,
      deploymentId: deploymentIdOf(version),
      replicas: version.specReplicas,
      readyReplicas: version.readyReplicas,
      report: reportOf(version, reports),
    }),
  );
  const names = new Set(versions.map(({ name }) => name));
  const gone = others.lost
    .filter(({ version }) => !names.has(version))
    .map(({ version, deploymentId, reason }) =>
      statusOf(question, {
        name: version,
        deploymentId,
        phase: "Draining",
        reason,
        replicas: 0,
        readyReplicas: 0,
        report: reports.find((report) => report.deploymentId === deploymentId),
      }),
    );
  return [...present, ...gone];
}

function statusOf(
  { previous, nowMs }: VersionsQuestion,
  entry: {
    readonly name: string;
    readonly deploymentId: string | undefined;
    readonly phase: VersionPhase;
    readonly reason: string;
    readonly replicas: number;
    readonly readyReplicas: number;
    readonly removeAtMs?: number;
    readonly report: DrainReport | undefined;
  },
): VersionStatus {
  const { name, deploymentId, phase, reason, replicas, readyReplicas, removeAtMs, report } = entry;
  const before = previous.find((status) => status.name === name);
  const remedy = report === undefined ? undefined : remedyStatusOf(report);
  return {
    name,
    ...(deploymentId === undefined ? {} : { deploymentId }),
    phase,
    since: before?.phase === phase ? before.since : timestampOf(nowMs),
    replicas,
    readyReplicas,
    ...(report === undefined
      ? {}
      : { invocations: { pinned: report.activePinned, unpinned: report.activeUnpinned } }),
    ...(remedy === undefined ? {} : { remedy }),
    ...(removeAtMs === undefined ? {} : { removeAt: timestampOf(removeAtMs) }),
    reason,
  };
}
