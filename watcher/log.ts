/**
 * The log: JSON lines with constant messages and fields. It refuses what repeats: a failure is logged when its reason
 * changes, not at every retry.
 */
import { pino } from "pino";
import type { Logger } from "pino";

export type Log = Logger;

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export function createLog(level: LogLevel): Log {
  return pino({
    level,
    base: { process: "watcher" },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  });
}

/** Remembers the last reason per subject, to tell a change from a repetition. */
export class ReasonChanges {
  readonly #reasons = new Map<string, string>();

  /** True when `subject` did not fail for this reason last time. */
  failed(subject: string, reason: string): boolean {
    if (this.#reasons.get(subject) === reason) return false;
    this.#reasons.set(subject, reason);
    return true;
  }

  /** True when `subject` failed before. */
  recovered(subject: string): boolean {
    return this.#reasons.delete(subject);
  }
}
