/**
 * Logs and metrics of the services. Log lines are JSON with a constant message and fields; metrics keep the names users
 * already scrape (contract, section 6).
 */
import { pino, stdTimeFunctions, type Logger } from "pino";
import { Counter, Histogram, Registry, collectDefaultMetrics } from "prom-client";

export interface Telemetry {
  readonly log: Logger;
  readonly registry: Registry;
  /** A reconcile came to its end. */
  reconciled(kind: string, durationSeconds: number): void;
  /** A reconcile failed. `error` is the condition reason: a closed set. */
  reconcileFailed(kind: string, instance: string, error: string): void;
}

/** Telemetry of this process. `level` is one of pino's. */
export function createTelemetry(level: string): Telemetry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const reconciliations = new Counter({
    name: "restate_operator_reconciliations_total",
    help: "Reconciles that came to an end, whatever the end was",
    registers,
  });
  const errors = new Counter({
    name: "restate_operator_reconciliation_errors_total",
    help: "Reconciles that failed",
    labelNames: ["kind", "instance", "error"],
    registers,
  });
  const duration = new Histogram({
    name: "restate_operator_reconcile_duration_seconds",
    help: "Seconds one attempt at a reconcile took",
    labelNames: ["kind"],
    buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30],
    registers,
  });
  return {
    log: pino({
      level,
      base: { process: "services" },
      formatters: { level: (label) => ({ level: label }) },
      timestamp: stdTimeFunctions.isoTime,
    }),
    registry,
    reconciled(kind, durationSeconds) {
      reconciliations.inc();
      duration.observe({ kind }, durationSeconds);
    },
    reconcileFailed(kind, instance, error) {
      reconciliations.inc();
      errors.inc({ kind, instance, error });
    },
  };
}
