/**
 * What is known about one watch: whether it was listed, whether its CRD is missing, when anything last arrived. It turns the
 * follower's reports into log lines and metrics, once per change of reason.
 */
import type { Clock } from "./clock.ts";
import { SourceFailure } from "./follow.ts";
import type { FollowReport, RestartCause } from "./follow.ts";
import { reasonOf } from "./ingress.ts";
import { qualifiedResource } from "./kinds.ts";
import type { WatchedKind } from "./kinds.ts";
import { ReasonChanges } from "./log.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";

export interface WatchStatusOptions {
  readonly kind: WatchedKind;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** A CRD went missing or was found. */
  readonly availabilityChanged: () => void;
  /** The first list is complete. */
  readonly firstListed: () => void;
}

export class WatchStatus implements FollowReport {
  readonly kind: WatchedKind;
  readonly #options: WatchStatusOptions;
  readonly #reasons = new ReasonChanges();
  #listed = false;
  #missing = false;
  #progressedMs: number | undefined;

  constructor(options: WatchStatusOptions) {
    this.kind = options.kind;
    this.#options = options;
  }

  /** Its CRD is not installed. */
  get missing(): boolean {
    return this.#missing;
  }

  /** Listed at least once, and its CRD still there. */
  get ready(): boolean {
    return this.#listed && !this.#missing;
  }

  /** Seconds since anything arrived; undefined before. */
  get eventAgeSeconds(): number | undefined {
    if (this.#progressedMs === undefined) return undefined;
    return (this.#options.clock.nowMs() - this.#progressedMs) / 1_000;
  }

  listed(objects: number): void {
    const { kind, log, firstListed } = this.#options;
    this.#setMissing(false);
    log.debug({ watch: kind.name, objects }, "listed");
    if (this.#listed) return;
    this.#listed = true;
    log.info({ watch: kind.name, objects }, "listed for the first time");
    firstListed();
  }

  progressed(): void {
    const { kind, log, clock } = this.#options;
    this.#progressedMs = clock.nowMs();
    if (this.#reasons.recovered(kind.name)) log.info({ watch: kind.name }, "watch works again");
  }

  restarted(cause: RestartCause): void {
    const { kind, metrics, log } = this.#options;
    metrics.watchRestarted(kind.name, cause);
    if (cause === "idle") log.warn({ watch: kind.name }, "watch was silent for too long; replaced");
  }

  failed(error: unknown): void {
    const { kind, log } = this.#options;
    const failure = error instanceof SourceFailure ? error : undefined;
    if (failure?.status === 404) this.#setMissing(true);
    const reason = failure === undefined ? reasonOf(error) : `${failure.verb} ${failure.status}`;
    if (!this.#reasons.failed(kind.name, reason)) return;
    const fields = { watch: kind.name, resource: qualifiedResource(kind), reason };
    if (failure?.status === 404) this.#logMissing(fields);
    else if (failure?.status === 401 || failure?.status === 403) {
      const namespace = kind.role === "child" ? (kind.namespace ?? "all") : "all";
      const denied = { ...fields, verb: failure.verb, namespace };
      log.error(denied, "Kubernetes denies access; grant it to the service account; retrying");
    } else log.warn(fields, "watch failed; retrying");
  }

  #logMissing(fields: object): void {
    const { kind, log } = this.#options;
    if (kind.role === "child" && kind.optional) log.debug(fields, "extension is not installed");
    else log.warn(fields, "waiting for the CRD to be installed");
  }

  #setMissing(missing: boolean): void {
    const { kind, metrics, availabilityChanged } = this.#options;
    if (kind.role !== "resource") return;
    metrics.crdMissing(kind.crd, missing);
    if (this.#missing === missing) return;
    this.#missing = missing;
    availabilityChanged();
  }
}
