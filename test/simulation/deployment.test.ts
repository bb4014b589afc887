/**
 * Random histories of one RestateDeployment: its user changes and deletes it, pods come up or not, invocations begin and end,
 * Restate is away, reports are old or lost, plans are carried out in part, and others interfere. After every step the
 * invariants V1 to V9 of plan-versions.ts and D1 of plan-deletion.ts hold (the model raises them, `invariantsOf` looks at what
 * is left). When the world is calm, everything becomes stable within a bounded number of looks, and then nothing is written.
 *
 * A failing seed is repeated with SEED=n.
 */
import { describe, expect, test } from "vitest";
import type { ObservedVersion, VersionAction } from "../../services/deployment/api.ts";
import { planDeletion } from "../../services/deployment/plan/plan-deletion.ts";
import { planVersions } from "../../services/deployment/plan/plan-versions.ts";
import { FIRST_MS, StepFailed, World, isBroken, type ReplicaSet } from "./deployment-model.ts";
import { seededRandom } from "./watcher-clock.ts";

const SEEDS = 20_000;
const PARTS = 10;
const STEPS = 40;
/** Looks until a calm world must be stable: a few per version and step of its way out. */
const SETTLE_LOOKS = 150;
const IMAGES = 8;
const LAST_IMAGE = 7;

class Simulation {
  readonly random: () => number;
  readonly world: World;
  readonly log: string[] = [];
  /** Whether events still happen between the actions of a plan. */
  calm = false;
  #deletions: boolean;

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.world = new World(this.random);
    this.#deletions = this.chance(0.4);
    this.world.spec = {
      ...this.world.spec,
      image: this.upTo(IMAGES),
      replicas: this.upTo(3),
      revisionHistoryLimit: this.upTo(3),
      drainDelaySeconds: this.pick([0, 30, 60, 300]),
      autoscaling: this.chance(0.3),
      maxVersions: this.pick([2, 3, 6]),
      gate: this.pick([undefined, undefined, "manual", "http"]),
      remedy: this.pickRemedy(),
    };
    this.world.policy = {
      deletePolicy: this.chance(0.7) ? "drain" : "force",
      timeoutSeconds: this.pick([0, 60, 600]),
      onTimeout: this.chance(0.6) ? "hold" : "force",
      onUnreachable: this.chance(0.6) ? "hold" : "force",
    };
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  upTo(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.upTo(from.length)]!;
  }

  pickRemedy(): World["spec"]["remedy"] {
    const action = this.pick(["alert", "pauseAndMove", "cancel", "kill"] as const);
    return this.chance(0.5)
      ? undefined
      : { action, maxAgeSeconds: this.pick([1, 30, 300, 3_000_000_000]) };
  }

  pickSet(): ReplicaSet | undefined {
    return this.world.sets.size === 0 ? undefined : this.pick([...this.world.sets.values()]);
  }

  get done(): boolean {
    return !this.world.finalizer;
  }

  // What happens in the world.

  event(): void {
    const roll = this.random();
    if (roll < 0.25) this.pods();
    else if (roll < 0.5) this.invocations();
    else if (roll < 0.65) this.polls();
    else if (roll < 0.8) this.user();
    else if (roll < 0.88) this.world.outage = !this.world.outage && this.chance(0.6);
    else if (roll < 0.95) this.interfere();
    else this.world.nowMs += this.upTo(400_000);
  }

  pods(): void {
    const set = this.pickSet();
    if (set === undefined) return;
    this.world.settlePods(set);
    if (set.hpa?.deleting === false && set.replicas > 0 && this.chance(0.5)) {
      set.replicas = 1 + this.upTo(3);
      set.generation += 1;
    }
    if (this.chance(0.1)) set.ready = this.upTo(set.ready + 1);
  }

  invocations(): void {
    const { world } = this;
    const service = this.pick(["A", "B"]);
    if (world.latestOf(service) !== undefined && this.chance(0.4)) {
      world.invocations.push({ service, pinnedTo: undefined });
    }
    for (const invocation of world.invocations) this.advance(invocation);
  }

  /** An invocation begins where its service is latest, and ends where it began; both need a pod. */
  advance(invocation: World["invocations"][number]): void {
    const { world } = this;
    const deployment =
      invocation.pinnedTo === undefined
        ? world.latestOf(invocation.service)
        : world.deployments.get(invocation.pinnedTo);
    const set = deployment === undefined ? undefined : world.sets.get(deployment.version);
    if ((set?.ready ?? 0) === 0 || !this.chance(0.4)) return;
    if (invocation.pinnedTo === undefined) invocation.pinnedTo = deployment?.id;
    else world.invocations = world.invocations.filter((each) => each !== invocation);
  }

  /** Some drains read, others' polls are lost: their reports grow old. */
  polls(): void {
    this.world.nowMs += this.upTo(15_000);
    for (const version of this.world.drains.keys()) if (this.chance(0.7)) this.world.poll(version);
  }

  user(): void {
    const { world } = this;
    const { spec } = world;
    world.generation += 1;
    const roll = this.random();
    if (roll < 0.6) spec.image = this.upTo(IMAGES);
    else if (roll < 0.75) spec.replicas = this.upTo(4);
    else if (roll < 0.8) spec.autoscaling = !spec.autoscaling;
    else if (roll < 0.85) spec.allowBreaking = !spec.allowBreaking;
    else if (roll < 0.9) spec.drainDelaySeconds = this.pick([0, 30, 60, 300]);
    else if (roll < 0.92) spec.paused = !spec.paused;
    else if (roll < 0.94) this.promote();
    else if (roll < 0.96) spec.remedy = this.pickRemedy();
    else if (this.#deletions) {
      world.deletedAtMs ??= world.nowMs;
      world.namespaceTerminating ||= this.chance(0.2);
      world.clusterGone ||= this.chance(0.1);
    }
  }

  /** The user's word on the version that waits. */
  promote(): void {
    const set = this.world.sets.get(this.world.currentName);
    if (set !== undefined) set.gate.passed = true;
  }

  /** Somebody who is neither the user nor the operator. */
  interfere(): void {
    const { world } = this;
    const set = this.pickSet();
    const roll = this.random();
    if (roll < 0.1) {
      world.register("elsewhere", ["B"], true);
    } else if (roll < 0.2) {
      for (const [id, each] of world.deployments) if (each.foreign) world.deployments.delete(id);
    } else if (roll < 0.3) {
      this.forget(this.pick([...world.deployments.keys()]));
    } else if (roll < 0.4) {
      for (const version of world.drains.keys()) if (this.chance(0.5)) world.drains.delete(version);
    } else if (set !== undefined) {
      this.tamper(set);
    }
  }

  /** Somebody deletes a deployment in Restate: its invocations stay, paused. */
  forget(id: string | undefined): void {
    if (id !== undefined) this.world.deployments.delete(id);
  }

  tamper(set: ReplicaSet): void {
    const roll = this.random();
    if (roll < 0.2) set.removeAtMs = FIRST_MS;
    else if (roll < 0.4) set.latest = false;
    else if (roll < 0.5) set.deploymentId = undefined;
    else if (roll < 0.6) set.hpa = undefined;
    else if (roll < 0.85) {
      Object.assign(set, { replicas: 0, generation: set.generation + 1, tampered: true });
    } else set.deleting = true;
  }

  // The operator.

  /** One reconcile: how many writes it made. */
  reconcile(): number {
    const { world } = this;
    if (this.done) return 0;
    const before = world.writes;
    if (world.deletedAtMs === undefined) this.reconcileVersions();
    else this.reconcileDeletion();
    return world.writes - before;
  }

  reconcileDeletion(): void {
    const { world } = this;
    const { actions, deletion } = planDeletion(world.deletionQuestion());
    this.note(actions, deletion.message ?? "");
    for (const action of actions) {
      const waits = action.kind === "deregisterVersion" && action.unless === "unfinished";
      if (waits && !world.namespaceTerminating && !this.#agreed(action)) {
        world.violations.push(`V3 ${action.version} without two fresh readings`);
      }
    }
    this.carryOut(actions);
  }

  note(actions: readonly VersionAction[], message: string): void {
    const seconds = Math.round((this.world.nowMs - FIRST_MS) / 1000);
    this.log.push(`${seconds} s: ${JSON.stringify(actions)} ${message}`);
  }

  reconcileVersions(): void {
    const { world } = this;
    const question = world.versionsQuestion();
    const plan = planVersions(question);
    this.note(plan.actions, plan.ready.message);
    for (const action of plan.actions) this.#examine(action, question.versions);
    const complete = this.carryOut(plan.actions);
    if (!complete) return;
    world.writes += JSON.stringify(world.status) === JSON.stringify(plan.versions) ? 0 : 1;
    world.status = plan.versions;
    if (plan.collided) world.collisionCount = (world.collisionCount ?? 0) + 1;
  }

  /** What a plan must not even ask for, given what it was made from. */
  #examine(action: VersionAction, versions: readonly ObservedVersion[]): void {
    const { nowMs, violations } = this.world;
    if (action.kind !== "deregisterVersion" && action.kind !== "scaleToZero") return;
    if (action.kind === "deregisterVersion" && !this.#agreed(action)) {
      violations.push(`V3 ${action.version} without two fresh readings`);
    }
    const version = versions.find(({ name }) => name === action.version);
    if (version === undefined) return;
    const { registration, specReplicas, removeAtMs, labelledLatest } = version;
    if (registration.kind === "registered" && registration.routed > 0) {
      violations.push(`V1 ${action.kind} of ${action.version}, which is routed to`);
    }
    if (specReplicas > 0 && (removeAtMs === undefined || removeAtMs > nowMs)) {
      violations.push(`${action.kind} of ${action.version} before its time`);
    }
    if (specReplicas > 0 && labelledLatest) {
      violations.push(`V1 ${action.kind} of ${action.version}, which the stable name leads to`);
    }
  }

  /** V3: two readings agree that nothing is unfinished, and the newest is fresh. */
  #agreed({ version, deploymentId }: { version: string; deploymentId: string }): boolean {
    const report = this.world.drains.get(version)?.report;
    return (
      report?.deploymentId === deploymentId &&
      report.phase !== "unknown" &&
      report.confirmed &&
      this.world.nowMs - report.atMs <= 60_000
    );
  }

  /** Whether all of a plan was carried out: a process can be killed anywhere, and the world does not wait. */
  carryOut(actions: readonly VersionAction[]): boolean {
    const { generation, deletedAtMs } = this.world;
    for (const action of actions) {
      if (!this.calm && this.chance(0.05)) return false;
      if (!this.calm && this.chance(0.1)) this.invocations();
      if (!this.calm && this.chance(0.03)) this.user();
      // Superseded, as every step finds out that looks at the resource before it writes.
      if (this.world.generation !== generation || this.world.deletedAtMs !== deletedAtMs) {
        return false;
      }
      try {
        this.world.apply(action);
        this.noteEmptied();
      } catch (error) {
        if (error instanceof StepFailed) return false;
        throw error;
      }
    }
    return true;
  }

  // What must hold.

  invariants(): string[] {
    const { world } = this;
    const problems = [...world.violations];
    // Past the finalizer, everything goes.
    if (this.done) return problems;
    for (const set of world.sets.values()) {
      const deployment = world.deploymentOf(set.name);
      const routed = deployment === undefined ? 0 : world.routesTo(deployment.id);
      const mayBeEmpty = set.tampered || set.deleting || world.spec.replicas === 0;
      if (set.replicas === 0 && !mayBeEmpty && !this.#emptied.has(set.uid)) {
        if (routed > 0) problems.push(`V1 ${set.name} is the latest and has no pods`);
        if (world.unfinishedOf(set) > 0) problems.push(`V2 ${set.name} has work and no pods`);
      }
    }
    return problems;
  }

  /** ReplicaSets whose emptiness is the user's (replicas 0) or somebody else's, until they have pods again. */
  readonly #emptied = new Set<string>();

  noteEmptied(): void {
    for (const { uid, replicas, tampered } of this.world.sets.values()) {
      if (replicas > 0) this.#emptied.delete(uid);
      else if (tampered || this.world.spec.replicas === 0) this.#emptied.add(uid);
    }
  }

  settle(): void {
    const { world } = this;
    this.calm = true;
    world.outage = false;
    for (const [id, each] of world.deployments) if (each.foreign) world.deployments.delete(id);
    if (isBroken(world.spec.image)) {
      world.spec.image = LAST_IMAGE;
      world.generation += 1;
    }
    world.spec.allowBreaking = true;
    world.spec.paused = false;
    // Nobody comes to promote it.
    if (world.spec.gate === "manual") world.spec.gate = "http";
    world.generation += 1;
  }

  /** Time passes and everything goes well: pods are up, invocations end, drains read. */
  calmStep(passedMs: number): void {
    const { world } = this;
    world.nowMs += passedMs;
    for (const set of world.sets.values()) world.settlePods(set);
    for (const invocation of world.invocations) this.finish(invocation);
    for (const version of world.drains.keys()) world.poll(version);
  }

  finish(invocation: World["invocations"][number]): void {
    const { world } = this;
    const { pinnedTo, service } = invocation;
    const deployment =
      pinnedTo === undefined ? world.latestOf(service) : world.deployments.get(pinnedTo);
    const set = deployment === undefined ? undefined : world.sets.get(deployment.version);
    // What nobody can finish any more (its deployment or its version was taken by others) is killed by somebody.
    const lost = set === undefined;
    const stopped = world.spec.replicas === 0;
    if (lost || stopped || isBroken(set?.image ?? 0) || (set?.ready ?? 0) > 0) {
      world.invocations = world.invocations.filter((each) => each !== invocation);
    }
  }
}

/** What is left when nothing moves any more. */
function leftovers({ world, done }: Simulation): string[] {
  if (world.deletedAtMs !== undefined) {
    return [
      ...(done ? [] : ["the finalizer is still there"]),
      ...(world.drains.size > 0 ? ["a drain is left"] : []),
    ];
  }
  const plan = planVersions(world.versionsQuestion());
  // V9: as many versions as may be serve services that no newer one has.
  if (plan.ready.reason === "TooManyVersions" && world.needed >= world.spec.maxVersions) return [];
  const kept = plan.versions.filter(({ phase }) => phase === "Retained").length;
  const awaited = new Set(
    plan.versions.filter(({ phase }) => phase === "Draining").map(({ name }) => name),
  );
  return [
    ...(kept <= world.spec.revisionHistoryLimit ? [] : [`${kept} versions are kept`]),
    ...[...world.drains.keys()]
      .filter((version) => !awaited.has(version))
      .map((version) => `a drain of ${version} is left`),
    ...(plan.ready.status === "True" ? [] : [`not ready: ${plan.ready.reason}`]),
    ...[...world.sets.values()].flatMap((set) => leftover(world, set)),
    ...[...world.deployments.values()]
      .filter(({ version }) => !world.sets.has(version))
      .filter(({ id }) => world.routesTo(id) === 0)
      .map(({ id }) => `a ghost ${id}`),
  ];
}

function leftover(world: World, set: ReplicaSet): string[] {
  const current = set.name === world.currentName && set.image === world.spec.image;
  const deployment = world.deploymentOf(set.name);
  const routed = deployment === undefined ? 0 : world.routesTo(deployment.id);
  if (current) {
    return [
      ...(set.latest ? [] : [`${set.name} has no label`]),
      ...(set.deploymentId === deployment?.id ? [] : [`${set.name} is not noted`]),
      ...(set.hpa === undefined ? [] : [`V6 ${set.name} has an autoscaler`]),
      ...(set.removeAtMs === undefined ? [] : [`V5 ${set.name} is to be removed`]),
      ...(set.replicas === world.spec.replicas ? [] : [`${set.name} has ${set.replicas} pods`]),
    ];
  }
  return [
    ...(set.latest ? [`${set.name} has the label`] : []),
    ...(routed === 0 && set.replicas > 0 ? [`V8 ${set.name} lingers`] : []),
    ...(routed === 0 && deployment !== undefined ? [`V4 ${set.name} is still registered`] : []),
    ...(routed > 0 && set.replicas === 0 && world.spec.replicas > 0
      ? [`V4 ${set.name} has no pods`]
      : []),
    ...(routed > 0 && set.removeAtMs !== undefined ? [`V5 ${set.name} is to be removed`] : []),
  ];
}

/** What went wrong in the history of a seed: nothing, or the problems with the plans that led to them. */
function simulate(seed: number): string[] {
  const simulation = new Simulation(seed);
  for (let step = 0; step < STEPS && !simulation.done; step += 1) {
    const events = 1 + simulation.upTo(3);
    for (let index = 0; index < events; index += 1) simulation.event();
    simulation.world.nowMs += simulation.upTo(20_000);
    simulation.noteEmptied();
    simulation.reconcile();
    simulation.noteEmptied();
    const problems = simulation.invariants();
    if (problems.length > 0) return told(simulation, seed, [`step ${step}`, ...problems]);
  }
  return settle(simulation, seed);
}

/** The world becomes calm: everything must find its place, and then stay there for four looks. */
function settle(simulation: Simulation, seed: number): string[] {
  simulation.settle();
  let quiet = 0;
  for (let look = 0; look < SETTLE_LOOKS && quiet < 4; look += 1) {
    simulation.calmStep(quiet === 0 ? 11_000 : 300_000);
    simulation.noteEmptied();
    quiet = simulation.reconcile() === 0 ? quiet + 1 : 0;
    const problems = simulation.invariants();
    if (problems.length > 0) return told(simulation, seed, [`settling ${look}`, ...problems]);
  }
  const left = [...(quiet < 4 ? ["it never becomes quiet"] : []), ...leftovers(simulation)];
  return left.length === 0 ? [] : told(simulation, seed, left);
}

function told({ log }: Simulation, seed: number, problems: readonly string[]): string[] {
  const repeat = `SEED=${seed} npx vitest run --root test --project simulation deployment`;
  return [...problems, `repeat: ${repeat}`, ...log.slice(-10)];
}

const given = process.env["SEED"];
const PART = SEEDS / PARTS;
const parts =
  given === undefined
    ? Array.from({ length: PARTS }, (_, part) => ({ first: part * PART, seeds: PART }))
    : [{ first: Number(given), seeds: 1 }];

describe("versions under faults", () => {
  test.each(parts)("V1 to V9, D1: $seeds seeds from $first", ({ first, seeds }) => {
    for (let seed = first; seed < first + seeds; seed += 1) {
      expect(simulate(seed)).toEqual([]);
    }
  });
});
