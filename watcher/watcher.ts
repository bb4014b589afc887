/**
 * Puts the parts together: followers → memory → bursts → sender. It owns the order of the start and of the stop, and knows
 * neither HTTP nor Kubernetes credentials, so that a simulation can run it whole.
 *
 * S1 Children are listed first, then clusters and environments, then RestateDeployments: whatever changes after a list is
 *    seen by its watch, so that each resource is woken once at the start and nothing falls between two lists.
 * S2 No stage waits longer than `STAGE_MS` for the one before: a list that comes late sends what it lists.
 */
import { BurstScheduler } from "./burst.ts";
import { ChildSink } from "./children.ts";
import { pause } from "./clock.ts";
import type { Clock } from "./clock.ts";
import type { Announce } from "./events.ts";
import { Follower } from "./follow.ts";
import type { FollowSettings, Sink, Source } from "./follow.ts";
import { RECONCILER_OF, RESOURCES, childKinds } from "./kinds.ts";
import type {
  Managed,
  ReconcilerName,
  ResourceKind,
  WatchedChild,
  WatchedKind,
  WatchedResource,
} from "./kinds.ts";
import { ReasonChanges } from "./log.ts";
import type { Log } from "./log.ts";
import { Metrics } from "./metrics.ts";
import type { WakeKey } from "./owners.ts";
import { ResourceMemory, ResourceSink } from "./resources.ts";
import { WakeSender } from "./wake.ts";
import type { Send, SendReport } from "./wake.ts";
import { WatchStatus } from "./watch-status.ts";

export interface WatcherOptions {
  readonly sourceOf: (kind: WatchedKind) => Source;
  readonly send: Send;
  readonly announce: Announce;
  readonly clock: Clock;
  readonly log: Log;
  readonly operatorNamespace: string | undefined;
  /** What the services are set up to do; as they are by default when absent. */
  readonly managed?: Managed;
  readonly concurrency: number;
  readonly resyncMs: number;
  readonly idleMs: number;
}

const STAGE_MS = 5_000;
/** The longest back-off, also of the search for a missing CRD. */
const RETRY_MAX_MS = 15_000;
/** An extension that is not installed is looked for less often. */
const OPTIONAL_RETRY_MAX_MS = 60_000;
/** How long a stop waits for the bootstrap; what is not sent by then is sent by the next start. */
const STOP_MS = 3_000;

export class Watcher {
  readonly metrics: Metrics;
  readonly #options: WatcherOptions;
  readonly #stopping = new AbortController();
  readonly #statuses: WatchStatus[] = [];
  readonly #memory = new ResourceMemory();
  readonly #children: readonly { kind: WatchedChild; sink: ChildSink }[];
  readonly #resources: Readonly<Record<ResourceKind, ResourceSink>>;
  readonly #sender: WakeSender;
  readonly #bursts: BurstScheduler;
  #crdsMissing: readonly string[] = [];
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: WatcherOptions) {
    const { clock, send, concurrency } = options;
    this.#options = options;
    this.metrics = new Metrics({
      eventAges: () => this.#eventAges(),
      pendingWakes: () => this.#sender.pending + this.#bursts.size,
    });
    const report = reportSends(this.metrics, options.log);
    this.#sender = new WakeSender({ send, clock, concurrency, report });
    this.#bursts = new BurstScheduler(clock, (key, why) => this.#sender.wake(key, why));
    this.#resources = {
      RestateCluster: this.#resourceSink(RESOURCES.RestateCluster),
      RestateDeployment: this.#resourceSink(RESOURCES.RestateDeployment),
      RestateCloudEnvironment: this.#resourceSink(RESOURCES.RestateCloudEnvironment),
    };
    this.#children = childKinds(options.operatorNamespace, options.managed).map((kind) => ({
      kind,
      sink: this.#childSink(kind),
    }));
  }

  /** Kinds whose CRD is missing or that are not listed yet. */
  pendingControllers(): readonly ResourceKind[] {
    return this.#statuses.flatMap(({ kind, ready }) =>
      kind.role === "resource" && !ready ? [kind.kind] : [],
    );
  }

  /** Starts all watches; to be called once. */
  start(): void {
    const children = this.#children.map(({ kind, sink }) => this.#follower(kind, sink));
    const follow = (kind: ResourceKind): Follower =>
      this.#follower(RESOURCES[kind], this.#resources[kind]);
    const referred = [follow("RestateCluster"), follow("RestateCloudEnvironment")];
    this.#running = this.#runStages([children, referred, [follow("RestateDeployment")]]);
  }

  /** Ends the watches and gives the bootstrap a moment to accept what is pending; true when everything was accepted. */
  async stop(): Promise<boolean> {
    this.#stopping.abort();
    this.#bursts.flush();
    const drained = await this.#sender.stop(STOP_MS);
    await this.#running;
    return drained;
  }

  async #runStages(stages: readonly (readonly Follower[])[]): Promise<void> {
    const { signal } = this.#stopping;
    const runs: Promise<void>[] = [];
    for (const stage of stages) {
      if (signal.aborted) break;
      for (const follower of stage) runs.push(follower.run(signal));
      const waited = new AbortController();
      const attempted = Promise.all(stage.map((follower) => follower.attempted));
      const limit = AbortSignal.any([signal, waited.signal]);
      await Promise.race([attempted, pause(this.#options.clock, STAGE_MS, limit)]);
      waited.abort();
    }
    await Promise.all(runs);
  }

  #resourceSink(kind: WatchedResource): ResourceSink {
    const wakeNow = (key: WakeKey, why: string): void => this.#bursts.now(key, why);
    return new ResourceSink({ kind, memory: this.#memory, wakeNow });
  }

  #childSink(kind: WatchedChild): ChildSink {
    return new ChildSink({
      kind,
      wakeAfterBurst: (key, why) => this.#bursts.afterBurst(key, why),
      ownersReleased: () => this.#resources[kind.of].released,
      owners: () => this.#memory.keysOf(kind.of),
    });
  }

  #follower(kind: WatchedKind, sink: Sink): Follower {
    const { clock, log, sourceOf, resyncMs, idleMs } = this.#options;
    const optional = kind.role === "child" && kind.optional === true;
    const retryMaxMs = optional ? OPTIONAL_RETRY_MAX_MS : RETRY_MAX_MS;
    const settings: FollowSettings = { resyncMs, idleMs, retryMaxMs };
    const status = new WatchStatus({
      kind,
      clock,
      log,
      metrics: this.metrics,
      availabilityChanged: () => this.#announceCrds(),
      firstListed: () => this.#firstListed(kind),
    });
    this.#statuses.push(status);
    return new Follower({ source: sourceOf(kind), sink, clock, settings, report: status });
  }

  #firstListed(kind: WatchedKind): void {
    if (kind.role !== "resource") return;
    for (const child of this.#children) {
      if (child.kind.of === kind.kind) child.sink.ownersListed();
    }
  }

  #announceCrds(): void {
    const { announce, log } = this.#options;
    const missing = this.#statuses.flatMap(({ kind, missing: isMissing }) =>
      kind.role === "resource" && isMissing ? [kind.crd] : [],
    );
    const news = missing.filter((crd) => !this.#crdsMissing.includes(crd));
    this.#crdsMissing = missing;
    for (const crd of news) {
      announce({ reason: "WaitingForCRD", note: `${crd} is not installed; install the CRDs` });
    }
    if (missing.length > 0) return;
    log.info("all CRDs are available");
    announce({ reason: "CRDsAvailable", note: "all CRDs are installed" });
  }

  #eventAges(): ReadonlyMap<string, number> {
    return new Map(
      this.#statuses.flatMap(({ kind, eventAgeSeconds }) =>
        eventAgeSeconds === undefined ? [] : [[kind.name, eventAgeSeconds]],
      ),
    );
  }
}

/** Counts sends, and logs a failure when its reason changes. */
function reportSends(metrics: Metrics, log: Log): SendReport {
  const reasons = new ReasonChanges();
  return {
    accepted: (key) => {
      const object = reconcilerOf(key);
      metrics.wakeAccepted(object);
      if (reasons.recovered(object)) log.info({ object }, "wakes are accepted again");
    },
    failed: (key, result) => {
      const object = reconcilerOf(key);
      metrics.wakeRetried(object);
      const reason = result.kind === "refused" ? `status ${result.status}` : result.reason;
      if (reasons.failed(object, reason)) {
        log.warn({ object, reason }, "wake was not accepted; retrying");
      }
    },
  };
}

function reconcilerOf(key: WakeKey): ReconcilerName {
  const name = key.slice(0, key.indexOf("/"));
  return (
    Object.values(RECONCILER_OF).find((reconciler) => reconciler === name) ?? "ClusterReconciler"
  );
}
