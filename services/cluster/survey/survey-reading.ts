/** What a survey makes of an answer, or of none: what to keep, what to tell, when to ask again. Pure. */
import { canonicalJson } from "../../core/digest.ts";
import type { ClusterSurvey, SurveyReport } from "../api.ts";

/** Between two questions while something changes or is not as it should be, and at least (Q2). */
const SHORT_MS = 10_000;
/** Between two questions while nothing does. */
const LONG_MS = 60_000;
/** Between two questions that have no answer: each waits for it, and a NetworkPolicy can keep all of them from having one. */
const SILENT_MS = 5 * 60_000;
/** Questions in a row without an answer until that is told (Q3). */
const SILENCES = 2;

/** States of a node's storage that are expected to end. */
const UNSETTLED_STORAGE = ["provisioning", "data-loss"];

/** What was read so far. */
export interface SurveyReading {
  readonly survey?: ClusterSurvey;
  /** When the cluster was last asked. */
  readonly askedAtMs?: number;
  /** How long after that it is asked again. */
  readonly intervalMs: number;
  /** Questions in a row without an answer. */
  readonly silences: number;
}

export const UNREAD: SurveyReading = { intervalMs: 0, silences: 0 };

/** The reading after an answer; `undefined`: there was none. */
export function readingOf(
  before: SurveyReading,
  answer: ClusterSurvey | undefined,
  nowMs: number,
): Required<Omit<SurveyReading, "survey">> & Pick<SurveyReading, "survey"> {
  if (answer === undefined) {
    const silences = before.silences + 1;
    const intervalMs = Math.min(SHORT_MS * 2 ** Math.min(silences - 1, 10), SILENT_MS);
    const kept = before.survey === undefined ? {} : { survey: before.survey };
    return { ...kept, askedAtMs: nowMs, intervalMs, silences };
  }
  const settled = isSame(before.survey, answer) && isWell(answer);
  return {
    survey: answer,
    askedAtMs: nowMs,
    intervalMs: settled ? LONG_MS : SHORT_MS,
    silences: 0,
  };
}

/** What is kept of a reading when somebody is there to answer again, or no longer: asked soon, and not at once (Q2). */
export function reordered(before: SurveyReading): SurveyReading {
  return { ...before, intervalMs: Math.min(before.intervalMs, SHORT_MS), silences: 0 };
}

/** Milliseconds until the next question may be asked. */
export function delayBefore({ askedAtMs, intervalMs }: SurveyReading, nowMs: number): number {
  return askedAtMs === undefined ? 0 : Math.max(0, askedAtMs + intervalMs - nowMs);
}

export function reportOf({
  survey,
  silences,
}: SurveyReading): Pick<SurveyReport, "survey" | "silent"> {
  // Where there never was an answer, that there is none says nothing new.
  return survey === undefined ? { silent: false } : { survey, silent: silences >= SILENCES };
}

function isWell({ nodes, partitions, partitionsWithoutLeader }: ClusterSurvey): boolean {
  return (
    partitions > 0 &&
    partitionsWithoutLeader === 0 &&
    nodes.every(({ alive, storageState }) => alive && !UNSETTLED_STORAGE.includes(storageState))
  );
}

function isSame(one: object | undefined, other: object | undefined): boolean {
  return canonicalJson(one) === canonicalJson(other);
}
