/**
 * What is known of the work of a version: the one question every decision about an older version begins with. Silence is not
 * an answer, and an old answer is none either (V2, V3): nothing here turns "not known" into "nothing to do".
 */
import type { DrainReport, ObservedVersion } from "../api.ts";

export type Standing =
  /** Restate does not answer, or nothing has been counted yet. */
  | { readonly kind: "unknown"; readonly deploymentId?: string; readonly because: string }
  /** Restate needs it: it has unfinished work, or new invocations go to it. */
  | {
      readonly kind: "active";
      readonly deploymentId?: string;
      /** Services whose new invocations Restate sends to it, as far as is known. */
      readonly routed: number;
      /** Unfinished invocations. */
      readonly unfinished: number;
      readonly because: string;
    }
  /** Nothing is unfinished and nothing new goes there. */
  | {
      readonly kind: "idle";
      readonly deploymentId: string;
      /** Whether Restate still has it; if not, only the annotation remembers it. */
      readonly registered: boolean;
      /** Whether two readings agree and the newest is fresh: enough for a destructive step (V3). */
      readonly confirmed: boolean;
      /** Whether the newest reading is too old to decide by. */
      readonly stale: boolean;
    }
  /** Restate does not have it, and nothing says that it ever ran anything. */
  | { readonly kind: "unregistered" };

/** A reading older than this decides nothing that cannot be taken back. */
export const READING_FRESH_MS = 60_000;
/** A drain polls every five minutes at the least: one without a reading for this long polls no more. */
const DRAIN_LOST_MS = 10 * 60_000;

/** The report about a version, if it is about the deployment that the version is known as. */
export function reportOf(
  version: Pick<ObservedVersion, "name" | "deploymentId" | "registration">,
  reports: readonly DrainReport[],
): DrainReport | undefined {
  const id = deploymentIdOf(version);
  return reports.find((report) => report.version === version.name && report.deploymentId === id);
}

/** Whether somebody is counting the invocations of a version. */
export function isCounted(report: DrainReport | undefined, nowMs: number): boolean {
  return report !== undefined && nowMs - report.atMs <= DRAIN_LOST_MS;
}

/** Restate's word on the id of a version, or else what was noted of it. */
export function deploymentIdOf({
  registration,
  deploymentId,
}: Pick<ObservedVersion, "deploymentId" | "registration">): string | undefined {
  return registration.kind === "registered" ? registration.deploymentId : deploymentId;
}

export function standingOf(
  version: Pick<ObservedVersion, "name" | "deploymentId" | "registration">,
  reports: readonly DrainReport[],
  nowMs: number,
): Standing {
  const { registration } = version;
  const deploymentId = deploymentIdOf(version);
  const report = reportOf(version, reports);
  const routed = registration.kind === "registered" ? registration.routed : 0;
  const known = deploymentId === undefined ? {} : { deploymentId };
  const unfinished = (report?.activePinned ?? 0) + (report?.activeUnpinned ?? 0);
  if (routed > 0) {
    const because = `${count(routed, "service")} routed to it`;
    return { kind: "active", ...known, routed, unfinished, because };
  }
  if (unfinished > 0) {
    const because = count(unfinished, "unfinished invocation");
    return { kind: "active", ...known, routed, unfinished, because };
  }
  if (registration.kind === "unknown") {
    return { kind: "unknown", ...known, because: "its Restate does not answer" };
  }
  // Registered once under a deployment that Restate no longer has: work can still be pinned to it.
  if (deploymentId === undefined) return { kind: "unregistered" };
  if (report === undefined || report.phase === "unknown") {
    return { kind: "unknown", deploymentId, because: "its invocations have not been counted yet" };
  }
  if (report.latestFor > 0) {
    const because = `${count(report.latestFor, "service")} routed to it`;
    return { kind: "active", deploymentId, routed: report.latestFor, unfinished, because };
  }
  if (report.phase === "draining") {
    return { kind: "unknown", deploymentId, because: "its invocations are being counted" };
  }
  const stale = nowMs - report.atMs > READING_FRESH_MS;
  return {
    kind: "idle",
    deploymentId,
    registered: registration.kind === "registered",
    confirmed: report.confirmed && !stale,
    stale,
  };
}

/** `1 pod`, `2 pods`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** Longer delays are as good as this one, and stay within what a date can say: a hundred years. */
const DELAY_MAX_SECONDS = 100 * 365 * 86_400;

/** A user's seconds as milliseconds. */
export function delayMs(seconds: number): number {
  return Math.min(seconds, DELAY_MAX_SECONDS) * 1000;
}
