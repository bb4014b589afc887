/** The watcher's metrics. Labels are closed sets: a watch, a reconciler, a cause, a CRD; never the name of an object. */
import { Counter, Gauge, Registry } from "prom-client";
import type { RestartCause } from "./follow.ts";
import type { ReconcilerName } from "./kinds.ts";

/** What is read when metrics are scraped. */
export interface MetricSources {
  /** Seconds since anything arrived, per watch; a watch that never received anything is absent. */
  readonly eventAges: () => ReadonlyMap<string, number>;
  readonly pendingWakes: () => number;
}

export class Metrics {
  readonly registry = new Registry();
  readonly #accepted: Counter<"object">;
  readonly #retries: Counter<"object">;
  readonly #restarts: Counter<"watch" | "cause">;
  readonly #crdMissing: Gauge<"crd">;

  constructor(sources: MetricSources) {
    const registers = [this.registry];
    this.#accepted = new Counter({
      name: "restate_operator_wakes_sent_total",
      help: "Wakes that the bootstrap Restate accepted",
      labelNames: ["object"],
      registers,
    });
    this.#retries = new Counter({
      name: "restate_operator_wake_retries_total",
      help: "Sends of a wake that were not accepted and are repeated",
      labelNames: ["object"],
      registers,
    });
    this.#restarts = new Counter({
      name: "restate_operator_watch_restarts_total",
      help: "Watches that were replaced, by cause",
      labelNames: ["watch", "cause"],
      registers,
    });
    this.#crdMissing = new Gauge({
      name: "restate_operator_crd_missing",
      help: "1 while a CustomResourceDefinition that the operator needs is not installed",
      labelNames: ["crd"],
      registers,
    });
    registerReadings(registers, sources);
  }

  wakeAccepted(object: ReconcilerName): void {
    this.#accepted.inc({ object });
  }

  wakeRetried(object: ReconcilerName): void {
    this.#retries.inc({ object });
  }

  watchRestarted(watch: string, cause: RestartCause): void {
    this.#restarts.inc({ watch, cause });
  }

  crdMissing(crd: string, missing: boolean): void {
    this.#crdMissing.set({ crd }, missing ? 1 : 0);
  }
}

/** Gauges that are computed when they are scraped. */
function registerReadings(registers: Registry[], sources: MetricSources): void {
  const age = new Gauge({
    name: "restate_operator_watch_last_event_age_seconds",
    help: "Time since anything arrived on a watch, bookmarks included",
    labelNames: ["watch"],
    registers,
    collect: () => {
      for (const [watch, seconds] of sources.eventAges()) age.set({ watch }, seconds);
    },
  });
  const pending: Gauge = new Gauge({
    name: "restate_operator_wakes_pending",
    help: "Keys whose wake is not accepted yet",
    registers,
    collect: () => {
      pending.set(sources.pendingWakes());
    },
  });
}
