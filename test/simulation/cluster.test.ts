/**
 * Random sequences of what users, controllers, administrators and faults do to a RestateCluster and its children, with
 * reconciles in between that are interrupted anywhere. After every step nothing may have happened that must never happen
 * (P1-P6 of services/cluster/plan.ts, C3 of services/core/children.ts). When the faults are over the cluster becomes
 * Ready with every manifest applied, and then there is silence: an empty plan, no status, no write.
 *
 * A failing seed is repeated with SEED=n npm run test:simulation -- simulation/cluster
 */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { RestateCluster } from "../../crds/restate-cluster.ts";
import type { ClusterConfig } from "../../services/cluster/api.ts";
import { refOf } from "../../services/core/children.ts";
import { KubeError } from "../../services/kube/errors.ts";
import { CONFIG, NOW_MS, manifestsOf } from "../unit/cluster-samples.ts";
import { Driver } from "./cluster-driver.ts";
import {
  CLUSTER_KEY,
  NAME,
  NAMESPACE_KEY,
  World,
  bytesIn,
  controllerOf,
  keyFor,
  type Live,
} from "./cluster-model.ts";
import { seededRandom } from "./watcher-clock.ts";

const SEEDS = 5_000;
const PARTS = 10;
const EVENTS_MAX = 12;
/** Reconciles and rounds of Kubernetes' controllers that must be enough once nothing goes wrong any more. */
/** What marks a cluster that the operator forms, and so provisions. */
const FORMED = "restate.dev/formed-with-replication";
const ROUNDS_MAX = 40;

type Spec = Record<string, unknown>;

class Simulation {
  readonly random: () => number;
  readonly world = new World();
  readonly driver: Driver;
  readonly config: ClusterConfig;
  readonly log: string[] = [];
  #calm = false;

  constructor(seed: number) {
    this.random = seededRandom(seed);
    // The eight NetworkPolicies are alike, and half of the work: most clusters do without.
    this.config = { ...CONFIG, manageNetworkPolicies: this.random() < 0.15 };
    this.driver = new Driver(this.world, this.config, () => this.#meanwhile());
    this.world.fault = (when) => {
      if (this.#calm || this.random() > 0.01) return;
      this.log.push(`fault ${when} a call`);
      throw new KubeError(this.random() < 0.5 ? 503 : 0, "Fault", "a fault of the simulation");
    };
    if (this.random() < 0.3) this.#foreignNamespace();
    this.#createCluster();
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.random() * from.length)]!;
  }

  /** What can happen before any step of a reconcile. */
  #meanwhile(): void {
    if (this.#calm || this.random() > 0.06) return;
    const roll = this.random();
    if (roll < 0.35) {
      this.log.push("  restart");
      this.driver.restart();
    } else if (roll < 0.45) {
      this.log.push("  given up");
      this.driver.giveUp();
    } else if (roll < 0.6) {
      this.log.push("  a while");
      vi.advanceTimersByTime(this.#pick([100, 3_000, 40_000]));
    } else {
      this.#event("  ");
    }
  }

  #event(indent = ""): void {
    const [name, run] = this.#pick(this.#events);
    this.log.push(indent + name);
    run();
  }

  readonly #events: readonly (readonly [string, () => void])[] = [
    ["edit spec", () => this.#editSpec()],
    ["edit spec", () => this.#editSpec()],
    ["label the cluster", () => this.#labelCluster()],
    ["delete child", () => this.#deleteChild()],
    ["edit child", () => this.#editChild()],
    ["edit child", () => this.#editChild()],
    ["a lookalike appears", () => this.#lookalike()],
    ["StatefulSet moves", () => this.#times(6, () => this.world.runStatefulSet())],
    ["StatefulSet moves", () => this.#times(12, () => this.world.runStatefulSet())],
    ["pod dies", () => this.world.killPod(this.#pick([0, 0, 1, 2]))],
    ["memory lost", () => this.driver.loseMemory()],
    ["cluster deleted", () => this.#deleteCluster()],
    ["cluster created", () => this.#createCluster()],
    ["garbage collected", () => this.#times(5, () => this.world.collectGarbage())],
    ["namespace deleted", () => this.#deleteNamespace()],
    ["foreign namespace", () => this.#foreignNamespace()],
    ["disabled or enabled", () => this.#toggleDisabled()],
    ["a minute passes", () => void vi.advanceTimersByTime(60_000)],
  ];

  #times(most: number, run: () => boolean): void {
    for (let left = Math.ceil(this.random() * most); left > 0 && run(); left -= 1);
  }

  #createCluster(): void {
    if (this.world.cluster !== undefined) return;
    this.world.add({
      apiVersion: "restate.dev/v1",
      kind: "RestateCluster",
      metadata: { name: NAME },
      spec: this.#spec(),
    });
  }

  #spec(): Spec {
    const provision = this.random() < 0.4;
    const variant = Math.floor(this.random() * 3);
    return {
      compute: {
        image: this.#pick(["restate:1", "restate:2"]),
        replicas: this.#pick([1, 1, 2, 3]),
        ...(this.random() < 0.2 ? { env: [{ name: "RUST_BACKTRACE", value: "full" }] } : {}),
      },
      storage: { storageRequestBytes: this.#bytes() },
      config: provision ? `auto-provision = false # ${variant}` : `# ${variant}`,
      ...(provision ? { cluster: { autoProvision: true } } : {}),
      security: {
        disableNetworkPolicies: this.random() < 0.3,
        ...(this.random() < 0.3 ? { networkPeers: { ingress: [] } } : {}),
        ...(this.random() < 0.2 ? { serviceAnnotations: { note: "x" } } : {}),
      },
    };
  }

  /** Never less than before: the API server would not take it. */
  #bytes(): number {
    const before = this.world.cluster?.spec?.["storage"] as { storageRequestBytes: number };
    return (before?.storageRequestBytes ?? 1_000) + (this.random() < 0.3 ? 1_000 : 0);
  }

  #editSpec(): void {
    const { cluster } = this.world;
    if (cluster === undefined) return;
    const spec = this.#spec();
    // Now and then one that cannot be used.
    if (this.random() < 0.1) spec["config"] = "= broken";
    this.world.put(CLUSTER_KEY, cluster, { spec });
  }

  #labelCluster(): void {
    const { cluster } = this.world;
    if (cluster === undefined) return;
    const labels = { team: this.#pick(["a", "b"]) };
    const annotations = {
      "kubectl.kubernetes.io/last-applied-configuration": String(this.random()),
    };
    this.world.put(CLUSTER_KEY, cluster, {
      metadata: { labels, annotations: { ...cluster.metadata.annotations, ...annotations } },
    });
  }

  #toggleDisabled(): void {
    const { cluster } = this.world;
    if (cluster === undefined) return;
    const { "restate.dev/reconcile": disabled, ...others } = cluster.metadata.annotations ?? {};
    const annotations =
      disabled === undefined ? { ...others, "restate.dev/reconcile": "disabled" } : others;
    this.world.put(CLUSTER_KEY, cluster, { metadata: { annotations } });
  }

  #children(): [string, Live][] {
    return [...this.world.objects].filter(([, live]) => live.metadata.namespace === NAME);
  }

  #deleteChild(): void {
    const children = this.#children().filter(([, { kind }]) => kind !== "PersistentVolumeClaim");
    if (children.length > 0) this.world.deleteObject(this.#pick(children)[0]);
  }

  /** Somebody changes what we set: a label, or the spec. Or adds what is none of our business. */
  #editChild(): void {
    const children = this.#children().filter(([, { kind }]) => kind !== "PersistentVolumeClaim");
    if (children.length === 0) return;
    const [key, live] = this.#pick(children);
    const roll = this.random();
    const instance = "app.kubernetes.io/instance";
    if (roll < 0.3) {
      const labels = {
        ...live.metadata.labels,
        [instance]: this.#pick(["other", NAME]),
        theirs: "1",
      };
      this.world.put(key, live, { metadata: { labels } });
    } else if (roll < 0.4) {
      this.world.put(key, live, { metadata: { ownerReferences: [] } });
    } else if (live.kind === "ConfigMap") {
      this.world.put(key, live, { data: { "config.toml": "theirs" } });
    } else if (live.kind === "StatefulSet") {
      this.world.put(key, live, {
        spec: { ...live.spec, replicas: Math.floor(this.random() * 4) },
      });
    } else if (live.spec !== undefined) {
      this.world.put(key, live, {
        spec: { ...live.spec, podSelector: {}, selector: { theirs: "1" } },
      });
    }
  }

  /** Something of another controller, or of nobody, that looks like a child. */
  #lookalike(): void {
    if (!this.world.objects.has(NAMESPACE_KEY)) return;
    const labels = { "app.kubernetes.io/name": "restate", "app.kubernetes.io/instance": NAME };
    const metadata = {
      namespace: NAME,
      labels,
      ...(this.random() < 0.5 ? {} : { ownerReferences: [{ uid: "nobody", controller: true }] }),
    };
    const owner = { apiVersion: "v1", kind: "Other", metadata: { name: "other", uid: "nobody" } };
    if (!this.world.objects.has("Other//other")) this.world.add(owner);
    this.world.add({
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: "theirs", ...metadata },
      spec: {},
    });
    this.world.add({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "restate-config-theirs", ...metadata },
      data: {},
    });
  }

  #deleteCluster(): void {
    this.world.deleteObject(CLUSTER_KEY);
  }

  #deleteNamespace(): void {
    // A cluster whose volumes are taken away after it was provisioned is beyond repair, by contract (P4).
    const { spec, status } = this.world.cluster ?? {};
    if (spec?.["cluster"] !== undefined || status?.["provisioned"] === true) return;
    if (this.#children().some(([, { metadata }]) => FORMED in (metadata.annotations ?? {}))) return;
    this.world.deleteObject(NAMESPACE_KEY);
  }

  #foreignNamespace(): void {
    if (this.world.objects.has(NAMESPACE_KEY)) return;
    this.world.add({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: NAME, labels: { theirs: "1" } },
    });
  }

  async run(): Promise<void> {
    const events = 4 + Math.floor(this.random() * (EVENTS_MAX - 3));
    for (let event = 0; event < events && this.violations().length === 0; event += 1) {
      this.#event();
      if (this.random() < 0.6) {
        this.log.push("reconcile");
        await this.driver.reconcile();
      }
    }
  }

  violations(): string[] {
    return [...this.world.violations, ...this.driver.violations];
  }

  /** No more faults: the user asks for something usable, and everybody does what they have to do. */
  async settle(): Promise<{ rounds: number }> {
    this.#calm = true;
    this.log.push("calm");
    const { cluster } = this.world;
    if (cluster !== undefined && cluster.metadata.deletionTimestamp === undefined) {
      const { "restate.dev/reconcile": _, ...annotations } = cluster.metadata.annotations ?? {};
      const spec = this.#spec();
      if (cluster.status?.["provisioned"] === true)
        Object.assign(spec, { cluster: { autoProvision: true }, config: "auto-provision = false" });
      this.world.put(CLUSTER_KEY, cluster, { spec, metadata: { annotations } });
    }
    for (let rounds = 1; rounds <= ROUNDS_MAX; rounds += 1) {
      const plan = await this.driver.reconcile();
      let moved = false;
      while (this.world.runStatefulSet() || this.world.collectGarbage()) moved = true;
      vi.advanceTimersByTime(60_000);
      const quiet = plan?.actions.length === 0 && plan.status === undefined;
      if (quiet && !moved) return { rounds };
    }
    return { rounds: Infinity };
  }

  /** In what the calm world differs from what is asked for. */
  differences(): string[] {
    const { cluster, objects } = this.world;
    if (cluster === undefined) {
      return [...objects].flatMap(([key, { metadata }]) =>
        (metadata.ownerReferences ?? []).some(({ uid }) => uid !== "nobody")
          ? [`${key} is left`]
          : [],
      );
    }
    const parsed = RestateCluster.parse(cluster);
    const [ready] = parsed.status?.conditions ?? [];
    const namespace = objects.get(NAMESPACE_KEY)!;
    const ownsNamespace = controllerOf(namespace) === cluster.metadata.uid;
    const marked = objects.get(`Service/${NAME}/restate-cluster`)?.metadata.annotations;
    const formed = Number(marked?.["restate.dev/formed-with-replication"] ?? 0);
    const building = formed === 0 ? {} : { formed };
    const manifests = manifestsOf(parsed, { ownsNamespace, config: this.config, building });
    const wanted = new Set(manifests.map((manifest) => keyFor(refOf(manifest))));
    return [
      ...(ready?.status === "True" ? [] : [`Ready is ${ready?.status} ${ready?.reason}`]),
      ...(parsed.status?.observedGeneration === parsed.metadata.generation
        ? []
        : ["an old status"]),
      ...(parsed.metadata.finalizers?.length === 1 ? [] : ["no finalizer"]),
      ...this.world.unready(),
      ...this.world
        .ofKind("PersistentVolumeClaim")
        .flatMap(({ metadata, spec, status }) =>
          status?.["phase"] === "Bound" && bytesIn(spec) < parsed.spec.storage.storageRequestBytes
            ? [`${metadata.name} has ${bytesIn(spec)} bytes`]
            : [],
        ),
      ...manifests.flatMap((manifest) =>
        missingIn(
          objects.get(keyFor(refOf(manifest))),
          JSON.parse(JSON.stringify(manifest)),
          refOf(manifest).name,
        ),
      ),
      // What somebody took our labels off is not found any more; it goes with the cluster.
      ...[...objects].flatMap(([key, live]) =>
        controllerOf(live) === cluster.metadata.uid &&
        live.metadata.labels?.["app.kubernetes.io/instance"] === NAME &&
        !wanted.has(key)
          ? [`${key} is left`]
          : [],
      ),
    ];
  }
}

/** Paths of what is asked for and not there. */
function missingIn(live: unknown, wanted: unknown, at: string): string[] {
  if (typeof wanted !== "object" || wanted === null || Array.isArray(wanted)) {
    return JSON.stringify(live) === JSON.stringify(wanted) ? [] : [at];
  }
  return Object.entries(wanted).flatMap(([member, value]) =>
    missingIn((live as Record<string, unknown> | undefined)?.[member], value, `${at}.${member}`),
  );
}

/** Runs one seed; answers what was wrong, and how to see it again. Empty: nothing. */
async function simulate(seed: number): Promise<string> {
  vi.setSystemTime(NOW_MS);
  const simulation = new Simulation(seed);
  await simulation.run();
  const found = simulation.violations();
  if (found.length === 0) found.push(...(await afterwards(simulation)));
  return found.length === 0
    ? ""
    : [
        `seed ${seed}, repeat with: SEED=${seed} npm run test:simulation -- simulation/cluster`,
        ...simulation.log,
        ...found.map((problem) => `=> ${problem}`),
      ].join("\n");
}

/** Lets everything settle; answers what is not as it should be then. */
async function afterwards(simulation: Simulation): Promise<string[]> {
  const { world, driver } = simulation;
  const { rounds } = await simulation.settle();
  const { writes } = world;
  await driver.reconcile();
  return [
    ...simulation.violations(),
    ...simulation.differences(),
    ...(rounds > ROUNDS_MAX ? ["it never becomes quiet"] : []),
    ...[...world.provisions].flatMap(([uid, count]) =>
      count > 1 ? [`P4: ${uid} was provisioned ${count} times`] : [],
    ),
    ...(world.writes === writes ? [] : [`${world.writes - writes} writes when settled`]),
  ];
}

/** The seeds of one part: the one that was asked for, or its share of all. */
function seedsOf(part: number): number[] {
  const given = process.env["SEED"];
  if (given !== undefined) return part === 0 ? [Number(given)] : [];
  return Array.from({ length: SEEDS / PARTS }, (_, index) => part * 10_000 + index);
}

describe("a RestateCluster under changes and faults", () => {
  beforeAll(() => {
    vi.useFakeTimers({ toFake: ["Date", "performance"], now: NOW_MS });
  });
  afterAll(() => {
    vi.useRealTimers();
  });

  test.each(Array.from({ length: PARTS }, (_, part) => part))(
    `P1-P6, C1-C3: seeds of part %i of ${PARTS}, ${SEEDS / PARTS} each`,
    async (part) => {
      let wrong = "";
      for (const seed of seedsOf(part)) {
        wrong = await simulate(seed);
        if (wrong !== "") break;
      }
      expect(wrong).toBe("");
    },
  );
});
