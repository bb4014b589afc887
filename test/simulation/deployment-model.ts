/**
 * The world of one RestateDeployment, in memory: its ReplicaSets and their pods, the Restate it registers with (deployments,
 * routes, invocations), the drains that count, and everybody who interferes. It carries out the actions of a plan as the
 * operator does, and says so when one does what must never be done (`violations`).
 */
import type {
  DrainReport,
  GateKind,
  ObservedVersion,
  RegistrationView,
  RemedyAction,
  RemedyOrder,
  VersionAction,
  VersionStatus,
  VersionsQuestion,
} from "../../services/deployment/api.ts";
import type { DeletionQuestion } from "../../services/deployment/plan/plan-deletion.ts";

export const FIRST_MS = Date.UTC(2026, 0, 1);
const MAX_VERSIONS = 6;

/** What an image is like: services it exposes, whether its pods come up, whether Restate takes it. */
export const isBroken = (image: number): boolean => image === 4;
const isBreaking = (image: number): boolean => image === 5;
const servicesOf = (image: number): string[] => (image % 3 === 0 ? ["A", "B"] : ["A"]);

export interface ReplicaSet {
  readonly name: string;
  readonly uid: string;
  readonly image: number;
  readonly createdAtMs: number;
  generation: number;
  observedGeneration: number | undefined;
  replicas: number;
  pods: number;
  ready: number;
  deploymentId: string | undefined;
  removeAtMs: number | undefined;
  latest: boolean;
  hpa: { upToDate: boolean; deleting: boolean } | undefined;
  rejected: { generation: number; atMs: number; message: string } | undefined;
  served: boolean;
  gate: { checked: boolean; passed: boolean };
  deleting: boolean;
  /** Somebody else took its pods: not the operator's doing, until it is healed. */
  tampered: boolean;
}

interface Deployment {
  readonly id: string;
  readonly version: string;
  readonly services: readonly string[];
  readonly foreign: boolean;
  revision: number;
}

export interface Invocation {
  readonly service: string;
  pinnedTo: string | undefined;
}

type Remedy = NonNullable<DrainReport["remedy"]>;

interface Drain {
  readonly deploymentId: string;
  /** When work was first seen to be none, and none ever since. */
  idleSinceMs: number | undefined;
  report: DrainReport;
}

/** Stops the rest of a plan, as a step that failed does. */
export class StepFailed extends Error {
  override readonly name = "StepFailed";
}

export class World {
  nowMs = FIRST_MS;
  readonly random: () => number;
  readonly sets = new Map<string, ReplicaSet>();
  readonly deployments = new Map<string, Deployment>();
  readonly drains = new Map<string, Drain>();
  invocations: Invocation[] = [];
  outage = false;
  /** Writes the operator has made. */
  writes = 0;
  readonly violations: string[] = [];
  status: readonly VersionStatus[] = [];
  collisionCount: number | undefined;
  generation = 1;
  spec = {
    image: 0,
    replicas: 1,
    revisionHistoryLimit: 2,
    drainDelaySeconds: 60,
    autoscaling: false,
    allowBreaking: false,
    maxVersions: MAX_VERSIONS,
    paused: false,
    progressDeadlineSeconds: 600,
    gate: undefined as GateKind | undefined,
    remedy: undefined as
      { readonly action: RemedyAction; readonly maxAgeSeconds: number } | undefined,
  };
  policy: DeletionQuestion["policy"] = {
    deletePolicy: "drain",
    timeoutSeconds: 600,
    onTimeout: "hold",
    onUnreachable: "hold",
  };
  deletedAtMs: number | undefined;
  namespaceTerminating = false;
  clusterGone = false;
  finalizer = true;
  #sequence = 0;

  constructor(random: () => number) {
    this.random = random;
  }

  #next(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  // Restate.

  latestOf(service: string): Deployment | undefined {
    return [...this.deployments.values()]
      .filter(({ services }) => services.includes(service))
      .reduce<Deployment | undefined>(
        (latest, each) => (latest && latest.revision > each.revision ? latest : each),
        undefined,
      );
  }

  routesTo(id: string): number {
    const services = this.deployments.get(id)?.services ?? [];
    return services.filter((service) => this.latestOf(service)?.id === id).length;
  }

  workOf(id: string): { pinned: number; unpinned: number } {
    const pinned = this.invocations.filter(({ pinnedTo }) => pinnedTo === id).length;
    const unpinned = this.invocations.filter(
      ({ pinnedTo, service }) => pinnedTo === undefined && this.latestOf(service)?.id === id,
    ).length;
    return { pinned, unpinned };
  }

  deploymentOf(version: string): Deployment | undefined {
    return [...this.deployments.values()].find((each) => !each.foreign && each.version === version);
  }

  register(version: string, services: readonly string[], foreign: boolean): Deployment {
    const id = `dp_${this.#next()}`;
    const deployment = { id, version, services, foreign, revision: this.#next() };
    this.deployments.set(id, deployment);
    return deployment;
  }

  /** One reading of one drain: what it counts is true at this moment. */
  poll(version: string): void {
    const drain = this.drains.get(version);
    if (drain === undefined) return;
    const { deploymentId } = drain;
    if (this.outage) {
      const before = drain.report;
      drain.report = { ...before, phase: "unknown", confirmed: false, atMs: this.nowMs };
      drain.idleSinceMs = undefined;
      return;
    }
    const { remedy } = drain.report;
    if (remedy !== undefined) this.#remedy(deploymentId, remedy);
    const { pinned, unpinned } = this.workOf(deploymentId);
    const latestFor = this.routesTo(deploymentId);
    drain.idleSinceMs = pinned + unpinned === 0 ? (drain.idleSinceMs ?? this.nowMs) : undefined;
    drain.report = {
      version,
      deploymentId,
      phase: pinned + unpinned + latestFor === 0 ? "drained" : "draining",
      activePinned: pinned,
      activeUnpinned: unpinned,
      latestFor,
      atMs: this.nowMs,
      confirmed: drain.idleSinceMs !== undefined && this.nowMs - drain.idleSinceMs >= 10_000,
      ...(remedy === undefined
        ? {}
        : { remedy: { ...remedy, ...this.#progressOf(remedy, pinned + unpinned) } }),
    };
  }

  #progressOf({ atMs }: RemedyOrder, remaining: number): Pick<Remedy, "progress"> {
    return this.nowMs < atMs ? {} : { progress: { done: 0, remaining } };
  }

  // Kubernetes.

  /** Another template can have the same name: images 0 and 6, 1 and 7. */
  get currentName(): string {
    return `d-${this.spec.image % 6}-${this.collisionCount ?? 0}`;
  }

  /** The ReplicaSet controller and the kubelet move a step on. */
  settlePods(set: ReplicaSet): void {
    set.observedGeneration = set.generation;
    set.pods = set.replicas;
    set.ready = isBroken(set.image) ? 0 : set.pods;
    if (set.hpa?.deleting === true) set.hpa = undefined;
    if (set.deleting) this.sets.delete(set.name);
    if (set.replicas > 0) set.tampered = false;
  }

  observe(): {
    versions: ObservedVersion[];
    registration: RegistrationView;
    reports: DrainReport[];
  } {
    const versions = [...this.sets.values()].map((set) => this.#observed(set));
    const current = this.deploymentOf(this.currentName);
    const foreign = (current?.services ?? []).flatMap((service) => {
      const latest = this.latestOf(service);
      return latest?.foreign === true ? [{ service, deploymentId: latest.id }] : [];
    });
    const lost = [...this.deployments.values()]
      .filter((each) => !each.foreign && !this.sets.has(each.version))
      .map(({ id, version }) => ({ deploymentId: id, version }));
    return {
      versions,
      registration: this.outage
        ? { reachable: false, foreign: [], lost: [] }
        : { reachable: true, foreign, lost },
      reports: [...this.drains.values()].map(({ report }) => report),
    };
  }

  #observed(set: ReplicaSet): ObservedVersion {
    const deployment = this.deploymentOf(set.name);
    return {
      name: set.name,
      uid: set.uid,
      createdAtMs: set.createdAtMs,
      isCurrent: set.name === this.currentName,
      podTemplateMatches: set.image === this.spec.image,
      generation: set.generation,
      ...(set.observedGeneration === undefined
        ? {}
        : { observedGeneration: set.observedGeneration }),
      specReplicas: set.replicas,
      statusReplicas: set.pods,
      readyReplicas: set.ready,
      availableReplicas: set.ready,
      deleting: set.deleting,
      labelledLatest: set.latest,
      ...(set.deploymentId === undefined ? {} : { deploymentId: set.deploymentId }),
      ...(set.removeAtMs === undefined ? {} : { removeAtMs: set.removeAtMs }),
      registration: this.outage
        ? { kind: "unknown" }
        : deployment === undefined
          ? { kind: "absent" }
          : {
              kind: "registered",
              deploymentId: deployment.id,
              services: deployment.services.length,
              routed: this.routesTo(deployment.id),
            },
      ...(set.hpa === undefined ? {} : { hpa: { ...set.hpa } }),
      ...(set.rejected?.generation === this.generation
        ? {
            rejected: {
              reason: "AdminCallRejected",
              atMs: set.rejected.atMs,
              message: set.rejected.message,
            },
          }
        : {}),
      served: set.served,
      gate: { ...set.gate },
    };
  }

  versionsQuestion(): VersionsQuestion {
    const { gate, remedy, ...others } = this.spec;
    const settings = {
      ...others,
      ...(gate === undefined ? {} : { gate }),
      ...(remedy === undefined ? {} : { remedy }),
    };
    return {
      ...this.observe(),
      current: { name: this.currentName },
      spec: settings,
      previous: this.status,
      nowMs: this.nowMs,
    };
  }

  deletionQuestion(): DeletionQuestion {
    const { versions, reports, registration } = this.observe();
    return {
      name: "d",
      versions,
      reports,
      lost: registration.lost,
      policy: this.policy,
      startedAtMs: this.deletedAtMs ?? this.nowMs,
      namespaceTerminating: this.namespaceTerminating,
      clusterGone: this.clusterGone,
      nowMs: this.nowMs,
    };
  }

  // The operator's hands.

  #violated(what: string): void {
    this.violations.push(what);
  }

  #set(action: { readonly version: string; readonly uid: string }): ReplicaSet | undefined {
    const set = this.sets.get(action.version);
    return set?.uid === action.uid ? set : undefined;
  }

  apply(action: VersionAction): void {
    this.writes += 1;
    switch (action.kind) {
      case "createVersion":
        this.#create(action.version, action.replicas);
        return;
      case "registerVersion":
        this.#register(action);
        return;
      case "deregisterVersion":
        this.#deregister(action);
        return;
      case "startDrain":
        this.#startDrain(action);
        return;
      case "cancelDrain":
        this.drains.delete(action.version);
        return;
      case "applyHpa":
      case "removeHpa":
        this.#changeHpa(action);
        return;
      case "removeFinalizer":
        this.#release();
        return;
      default: {
        const set = this.#set(action);
        if (set !== undefined) this.#change(set, action);
      }
    }
  }

  #startDrain(action: Extract<VersionAction, { kind: "startDrain" }>): void {
    const { version, deploymentId, remedy } = action;
    const isCurrent = version === this.currentName && this.deletedAtMs === undefined;
    if (remedy !== undefined && isCurrent && this.sets.get(version)?.image === this.spec.image) {
      this.#violated(`R1 work of the current ${version} is to be dealt with`);
    }
    if (this.drains.get(version)?.deploymentId !== deploymentId) {
      this.#beginDrain(version, deploymentId);
    }
    const drain = this.drains.get(version);
    if (drain === undefined) return;
    const { remedy: _, ...report } = drain.report;
    drain.report = remedy === undefined ? report : { ...report, remedy };
  }

  /** What becomes of work whose time is over: it ends or moves, or stays because it cannot. */
  #remedy(deploymentId: string, { action, atMs }: RemedyOrder): void {
    if (action === "alert" || this.nowMs < atMs) return;
    const dealtWith = this.invocations.filter(({ pinnedTo, service }) => {
      const newer = this.latestOf(service)?.id !== deploymentId;
      return pinnedTo === deploymentId && newer && this.random() < 0.7;
    });
    if (action !== "pauseAndMove") {
      this.invocations = this.invocations.filter((each) => !dealtWith.includes(each));
      return;
    }
    for (const each of dealtWith) each.pinnedTo = this.latestOf(each.service)?.id ?? deploymentId;
  }

  #beginDrain(version: string, deploymentId: string): void {
    const report: DrainReport = {
      version,
      deploymentId,
      phase: "unknown",
      activePinned: 0,
      activeUnpinned: 0,
      latestFor: 0,
      atMs: this.nowMs,
      confirmed: false,
    };
    this.drains.set(version, { deploymentId, idleSinceMs: undefined, report });
  }

  #change(set: ReplicaSet, action: Extract<VersionAction, { uid: string }>): void {
    switch (action.kind) {
      case "scaleVersion":
      case "healVersion":
        this.#scale(set, action.replicas);
        break;
      case "recordDeploymentId":
        set.deploymentId = action.deploymentId;
        break;
      case "forgetDeploymentId":
        if (set.deploymentId !== undefined && this.#unfinished(set.deploymentId) > 0) {
          this.#violated(`V2 ${set.name} forgets ${set.deploymentId}, which has work`);
        }
        set.deploymentId = undefined;
        break;
      case "markLatest":
        set.latest = true;
        break;
      case "unmarkLatest":
        set.latest = false;
        break;
      case "checkVersion":
      case "askGate":
        this.#pass(set, action.kind);
        break;
      case "scheduleRemoval":
        set.removeAtMs = action.removeAtMs;
        break;
      case "unscheduleRemoval":
        set.removeAtMs = undefined;
        break;
      case "scaleToZero":
        this.#scaleToZero(set);
        break;
      case "removeVersion":
        this.#remove(set);
        break;
      default:
    }
  }

  #pass(set: ReplicaSet, kind: "checkVersion" | "askGate"): void {
    if (this.outage) throw new StepFailed("no answer");
    if (kind === "checkVersion") {
      if (isBreaking(set.image) && !this.spec.allowBreaking) {
        set.rejected = { generation: this.generation, atMs: this.nowMs, message: "META0006" };
        return;
      }
      set.gate.checked = true;
      return;
    }
    if (!set.gate.checked) this.#violated(`G1 the gate of ${set.name} is asked too early`);
    if (this.random() < 0.5) throw new StepFailed("the gate is closed");
    set.gate.passed = true;
  }

  #create(name: string, replicas: number): void {
    if (this.sets.has(name)) return;
    if (replicas < 1) this.#violated(`V7 ${name} is made without a pod`);
    this.sets.set(name, {
      name,
      uid: `uid-${this.#next()}`,
      image: this.spec.image,
      createdAtMs: this.nowMs,
      generation: 1,
      observedGeneration: undefined,
      replicas,
      pods: 0,
      ready: 0,
      deploymentId: undefined,
      removeAtMs: undefined,
      latest: false,
      hpa: undefined,
      rejected: undefined,
      served: false,
      gate: { checked: false, passed: false },
      deleting: false,
      tampered: false,
    });
    if (this.needed > this.spec.maxVersions) this.#violated(`V9 ${this.needed} versions`);
  }

  /** Versions that have pods or are registered. */
  get needed(): number {
    return [...this.sets.values()].filter((set) => this.#isNeeded(set)).length;
  }

  #isNeeded({ name, replicas, pods, deploymentId, deleting }: ReplicaSet): boolean {
    const idle = replicas === 0 && pods === 0 && deploymentId === undefined;
    const registered = !this.outage && this.deploymentOf(name) !== undefined;
    return !deleting && (!idle || registered);
  }

  #unfinished(id: string): number {
    const { pinned, unpinned } = this.workOf(id);
    return pinned + unpinned;
  }

  /** Unfinished work of a version, under whatever id. */
  unfinishedOf(set: ReplicaSet): number {
    const ids = new Set([set.deploymentId, this.deploymentOf(set.name)?.id]);
    return [...ids].reduce((sum, id) => sum + (id === undefined ? 0 : this.#unfinished(id)), 0);
  }

  #scale(set: ReplicaSet, replicas: number): void {
    const current = set.name === this.currentName && set.image === this.spec.image;
    const deployment = this.deploymentOf(set.name);
    if (replicas < set.replicas && !current) this.#violated(`V1 older ${set.name} scaled down`);
    if (replicas === 0) {
      if (!current) this.#violated(`V2 older ${set.name} scaled to 0`);
      const refused = set.rejected?.generation === this.generation;
      if (set.deploymentId === undefined && deployment === undefined && !refused) {
        this.#violated(`V7 ${set.name} has no pod before it is registered`);
      }
      if (refused && deployment !== undefined) this.#violated(`V1 ${set.name} is registered`);
      if (!refused && this.spec.replicas !== 0) this.#violated(`V1 ${set.name} scaled to 0`);
    }
    if (set.replicas !== replicas) set.generation += 1;
    set.replicas = replicas;
  }

  #scaleToZero(set: ReplicaSet): void {
    const deployment = this.deploymentOf(set.name);
    if (deployment !== undefined) this.#violated(`V4 ${set.name} loses its pods while registered`);
    if (this.unfinishedOf(set) > 0) this.#violated(`V2 ${set.name} loses its pods with work`);
    if (set.hpa !== undefined) this.#violated(`V6 ${set.name} has an autoscaler`);
    if (set.name === this.currentName && set.image === this.spec.image) {
      this.#violated(`V1 ${set.name} is the current version`);
    }
    if (set.replicas !== 0) set.generation += 1;
    set.replicas = 0;
  }

  #remove(set: ReplicaSet): void {
    if (this.deploymentOf(set.name) !== undefined) this.#violated(`V4 ${set.name} is registered`);
    if (this.unfinishedOf(set) > 0) this.#violated(`V2 ${set.name} removed with work`);
    if (set.pods > 0 || set.replicas > 0) this.#violated(`V4 ${set.name} removed with pods`);
    if (set.name === this.currentName && set.image === this.spec.image) {
      this.#violated(`V1 the current ${set.name} is removed`);
    }
    this.sets.delete(set.name);
  }

  #register(action: Extract<VersionAction, { kind: "registerVersion" }>): void {
    const set = this.#set(action);
    if (set === undefined) return;
    if (this.outage) throw new StepFailed("no answer");
    if (set.ready === 0) throw new StepFailed("META0003");
    const services = servicesOf(set.image);
    if (services.some((service) => this.latestOf(service)?.foreign === true)) {
      throw new StepFailed("ForeignDeployment");
    }
    if (this.spec.gate !== undefined && !set.served && !set.gate.passed && !action.force) {
      this.#violated(`G1 ${set.name} is registered past its gate`);
    }
    const known = this.deploymentOf(set.name);
    if (known !== undefined) {
      if (action.force) known.revision = this.#next();
    } else if (isBreaking(set.image) && !this.spec.allowBreaking && !action.force) {
      set.rejected = { generation: this.generation, atMs: this.nowMs, message: "META0006" };
      return;
    } else {
      this.register(set.name, services, false);
    }
    // The process can die between the two writes.
    if (this.random() < 0.2) throw new StepFailed("killed");
    set.deploymentId = this.deploymentOf(set.name)?.id;
    set.served = true;
  }

  #deregister(action: Extract<VersionAction, { kind: "deregisterVersion" }>): void {
    if (this.outage) throw new StepFailed("no answer");
    const { deploymentId, unless } = action;
    const active = this.#unfinished(deploymentId) > 0 || this.routesTo(deploymentId) > 0;
    const found = unless === "active" ? active : this.#unfinished(deploymentId) > 0;
    if (unless !== "nothing" && found) {
      this.#beginDrain(action.version, deploymentId);
      return;
    }
    if (unless === "nothing" && this.policy.deletePolicy === "drain") {
      const overdue =
        this.nowMs >= (this.deletedAtMs ?? Infinity) + this.policy.timeoutSeconds * 1000;
      if (!overdue) this.#violated(`D1 ${action.version} abandoned before its time`);
    }
    this.deployments.delete(deploymentId);
    if (this.random() < 0.2) throw new StepFailed("killed");
    const set = this.sets.get(action.version);
    if (set?.deploymentId === deploymentId) set.deploymentId = undefined;
  }

  #changeHpa(action: Extract<VersionAction, { kind: "applyHpa" | "removeHpa" }>): void {
    const set = this.sets.get(action.version);
    if (set === undefined) return;
    if (action.kind === "removeHpa") {
      if (set.hpa !== undefined) set.hpa.deleting = true;
      return;
    }
    if (set.name === this.currentName && set.image === this.spec.image) {
      this.#violated(`V6 an autoscaler for the current ${set.name}`);
    }
    set.hpa = { upToDate: true, deleting: false };
  }

  #release(): void {
    this.finalizer = false;
    const left = [...this.deployments.values()].filter(({ foreign }) => !foreign);
    if (left.length === 0 || this.namespaceTerminating || this.clusterGone) return;
    // Known only to Restate: registered by a process that died before it could note it, or the note was taken away.
    const unnoted = left.every(({ version }) => this.sets.get(version)?.deploymentId === undefined);
    const told = this.policy.deletePolicy === "force" || this.policy.onUnreachable === "force";
    if (!this.outage || !(told || unnoted)) {
      this.#violated("D1 the finalizer comes off while something is registered");
    }
  }
}
