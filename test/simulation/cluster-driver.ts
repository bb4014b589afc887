/**
 * Reconciles of a RestateCluster as the durable reconciler runs them (services/reconciler/reconciler.ts), step by step with
 * something happening in between: the process starts anew and repeats a step that had its effect, everything is given up,
 * the world moves on while a plan waits in the journal. Plan, apply and words are the real ones.
 */
import { clusterKind } from "../../services/cluster/reconciler.ts";
import type { ClusterAction, ClusterConfig, SurveyReport } from "../../services/cluster/api.ts";
import { keyOf, type AppliedObjects } from "../../services/core/children.ts";
import { PLAN_MAX_BYTES } from "../../services/core/plan.ts";
import { KubeError } from "../../services/kube/errors.ts";
import type { ActionResult } from "../../services/reconciler/resource-kind.ts";
import {
  CLUSTER_KEY,
  NAME,
  NAMESPACE_KEY,
  controllerOf,
  keyFor,
  type World,
} from "./cluster-model.ts";

const ATTEMPTS_MAX = 3;

type Attempt = ReturnType<ReturnType<typeof clusterKind>["attempt"]>;
export type ClusterPlan = Awaited<ReturnType<Attempt["plan"]>>;

/** The process died and what it had not journaled is lost: the reconcile was swept. */
class GivenUp extends Error {
  override readonly name = "GivenUp";
}

export class Driver {
  uid: string | undefined;
  applied: AppliedObjects = {};
  /** What the survey says: it is told, and never reads anything. */
  report: SurveyReport | undefined;
  readonly violations: string[] = [];
  readonly #world: World;
  /** Called before every step; may change the world or throw `GivenUp` by `giveUp`. */
  readonly #meanwhile: (driver: Driver) => void;
  readonly #kind;
  #attempt: Attempt;

  constructor(world: World, config: ClusterConfig, meanwhile: (driver: Driver) => void) {
    this.#world = world;
    this.#meanwhile = meanwhile;
    this.#kind = clusterKind({
      kube: world.kube,
      config,
      dial: () => {
        throw new Error("the simulation answers for the nodes");
      },
    });
    this.#attempt = this.#kind.attempt(NAME);
  }

  loseMemory(): void {
    this.uid = undefined;
    this.applied = {};
    this.report = undefined;
  }

  /** The next step runs in a process that has read nothing yet. */
  restart(): void {
    this.#attempt = this.#kind.attempt(NAME);
  }

  giveUp(): never {
    throw new GivenUp();
  }

  /** One reconcile. Answers its plan, if it came to one. */
  async reconcile(): Promise<ClusterPlan | undefined> {
    this.restart();
    let action: ClusterAction | undefined;
    try {
      const plan = await this.#step(() =>
        this.#attempt.plan(
          { uid: this.uid, applied: this.applied },
          this.report === undefined ? [] : [this.report],
        ),
      );
      this.#judge(plan);
      if (plan.for !== undefined && plan.for.uid !== this.uid) {
        this.uid = plan.for.uid;
        this.applied = {};
      }
      if (plan.for !== undefined)
        await this.#carryOut(plan, plan.for, (current) => (action = current));
      if (plan.outcome.kind === "gone") this.loseMemory();
      return plan;
    } catch (error) {
      if (error instanceof GivenUp) return undefined;
      const reason = action?.kind === "provisionCluster" ? "ProvisioningFailed" : "FailedReconcile";
      const message = error instanceof Error ? error.message : String(error);
      await this.#step(() => this.#attempt.writeFailure({ reason, message })).catch(() => {});
      return undefined;
    }
  }

  async #carryOut(
    plan: ClusterPlan,
    planned: NonNullable<ClusterPlan["for"]>,
    doing: (action: ClusterAction | undefined) => void,
  ): Promise<void> {
    for (const action of plan.actions) {
      doing(action);
      if (action.kind === "survey") {
        this.report = { ...action.order, silent: false };
        continue;
      }
      const result = await this.#step(() =>
        action.kind === "provisionCluster"
          ? this.#provision(action, planned)
          : this.#attempt.apply(action, planned),
      );
      if (result.kind !== "done") return;
      const changes = Object.entries({ ...this.applied, ...result.applied });
      this.applied = Object.fromEntries(
        changes.flatMap(([key, value]) => (value === null ? [] : [[key, value]])),
      );
    }
    doing(undefined);
    for (const event of plan.events ?? [])
      await this.#step(() => this.#attempt.emit(event, planned));
    const { status } = plan;
    if (status !== undefined) await this.#step(() => this.#attempt.writeStatus(status, planned));
  }

  /** As `applyAction` does it, with the model's node in place of a real one. */
  async #provision(
    action: Extract<ClusterAction, { kind: "provisionCluster" }>,
    planned: NonNullable<ClusterPlan["for"]>,
  ): Promise<ActionResult> {
    const { uid, generation } = this.#world.cluster?.metadata ?? {};
    if (uid !== planned.uid || generation !== planned.generation) return { kind: "superseded" };
    try {
      this.#world.provision(planned.uid);
      return { kind: "done" };
    } catch (error) {
      if (!action.justStarted) throw error;
      const outcome = {
        kind: "waiting",
        reason: "ProvisioningPodNotRunning",
        message: "",
        requeueAfterMs: 1,
      };
      return { kind: "waiting", outcome } as ActionResult;
    }
  }

  /** A step: bounded attempts, and what can happen before each, and between its effect and its journal entry. */
  async #step<T>(body: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      this.#meanwhile(this);
      try {
        return await body();
      } catch (error) {
        if (error instanceof GivenUp) throw error;
        const final = error instanceof KubeError && !error.mayPass;
        if (final || attempt === ATTEMPTS_MAX) throw error;
      }
    }
  }

  /** What no plan may ever ask for, seen with the world as it was read. */
  #judge(plan: ClusterPlan): void {
    const { cluster, objects } = this.#world;
    const complain = (what: string) => this.violations.push(what);
    const targets = plan.actions.flatMap((action) =>
      "target" in action && action.kind !== "orphanStatefulSet" ? [keyOf(action.target)] : [],
    );
    if (new Set(targets).size !== targets.length) complain("two writes for one child in a plan");
    if (JSON.stringify(plan).length > PLAN_MAX_BYTES) complain("a plan is too large");
    for (const action of plan.actions) {
      switch (action.kind) {
        case "removeObject": {
          const live = objects.get(keyFor(action.target));
          if (live !== undefined && controllerOf(live) !== cluster?.metadata.uid) {
            complain(`${keyOf(action.target)} is to be removed and is not the cluster's`);
          }
          break;
        }
        case "applyObject": {
          const namespace = objects.get(NAMESPACE_KEY);
          if (
            action.target.kind === "Namespace" &&
            namespace !== undefined &&
            controllerOf(namespace) !== cluster?.metadata.uid
          ) {
            complain("P3: a namespace that is not the cluster's is to be written");
          }
          break;
        }
        case "provisionCluster":
          if (cluster?.status?.["provisioned"] === true) complain("P4: to be provisioned again");
          break;
        case "removeFinalizer":
          if (objects.get(CLUSTER_KEY)?.metadata.deletionTimestamp === undefined) {
            complain("P1: the finalizer is to be removed and nothing is being deleted");
          }
          break;
        case "orphanStatefulSet": {
          const live = objects.get(keyFor(action.target));
          const controller = live === undefined ? undefined : controllerOf(live);
          if (controller !== undefined && controller !== cluster?.metadata.uid) {
            complain("S2: a StatefulSet is to be replaced and is not the cluster's");
          }
          break;
        }
        case "changeClaim":
        case "addFinalizer":
        case "createCanary":
        case "survey":
          break;
      }
    }
    // Disabled, the status is as the last reconcile left it.
    if (plan.status?.reconciliation === "Disabled") return;
    const [ready] = (plan.status?.conditions ?? []).filter(({ type }) => type === "Ready");
    if (ready?.status === "True") {
      for (const problem of this.#world.unready()) complain(`P6: Ready is True, but ${problem}`);
    }
  }
}
