/**
 * The part of a Kubernetes cluster that a RestateCluster lives in, in memory: server-side apply with owners and
 * generations, deletion with finalizers and preconditions, garbage collection, the StatefulSet controller and its pods.
 * It plays the client of the services, and says so when something is asked of it that must never be asked (`violations`).
 */
import type { AnyManifest } from "../../services/core/manifest.ts";
import type { ObjectRef } from "../../services/core/resource.ts";
import { refOf } from "../../services/core/children.ts";
import type {
  KubeClient,
  ListQuery,
  MergePatch,
  RemoveOptions,
} from "../../services/kube/client.ts";
import { KubeError } from "../../services/kube/errors.ts";

type Json = { readonly [member: string]: unknown };

interface Owner {
  readonly uid: string;
  readonly controller?: boolean;
}

export interface Live {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly generation?: number;
    readonly creationTimestamp: string;
    readonly deletionTimestamp?: string;
    readonly finalizers?: readonly string[];
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly Owner[];
  };
  readonly spec?: Json;
  readonly data?: Json;
  readonly status?: Json;
}

type Change = Omit<Partial<Live>, "metadata"> & { metadata?: Partial<Live["metadata"]> };

/** A pod of the StatefulSet, as far as it matters. */
interface Pod {
  readonly revision: string;
  readonly configMap: string;
  running: boolean;
  ready: boolean;
  startedAt: string | undefined;
}

const CLUSTER_SCOPED = new Set(["Namespace", "RestateCluster"]);
const WITH_GENERATION = new Set([
  "RestateCluster",
  "StatefulSet",
  "NetworkPolicy",
  "PodDisruptionBudget",
]);

export const NAME = "c";
export const CLUSTER_KEY = `RestateCluster//${NAME}`;
export const NAMESPACE_KEY = `Namespace//${NAME}`;
const STATEFUL_SET_KEY = `StatefulSet/${NAME}/restate`;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Where an object is kept. */
export function keyFor(ref: Pick<ObjectRef, "kind" | "namespace" | "name">): string {
  return `${ref.kind}/${ref.namespace ?? ""}/${ref.name}`;
}

export const controllerOf = (live: Live): string | undefined =>
  live.metadata.ownerReferences?.find(({ controller }) => controller === true)?.uid;

/** Server-side apply of one value: what this manager no longer sets goes, what it sets is forced, lists are atomic. */
function merged(live: unknown, before: unknown, after: unknown): unknown {
  if (!isObject(after)) return after;
  const result: Record<string, unknown> = isObject(live) ? { ...live } : {};
  for (const member of Object.keys(isObject(before) ? before : {})) {
    if (!(member in after)) delete result[member];
  }
  for (const [member, value] of Object.entries(after)) {
    result[member] = merged(result[member], isObject(before) ? before[member] : undefined, value);
  }
  return result;
}

/** No kind of another project is installed. */
const NOTHING_SERVED = async () => false;

export class World {
  readonly objects = new Map<string, Live>();
  readonly pods = new Map<number, Pod>();
  readonly violations: string[] = [];
  /** How often a cluster was really provisioned, by uid. */
  readonly provisions = new Map<string, number>();
  /** Whether the volumes hold a provisioned cluster. */
  provisioned = false;
  /** Writes asked for by the operator. */
  writes = 0;
  /** Throws now and then while faults are on. */
  fault: (when: "before" | "after") => void = () => {};
  /** What the operator's manager applied last, by uid of the object. */
  readonly #applied = new Map<string, { json: string; manifest: Json }>();
  readonly #edited = new Set<string>();
  /** The StatefulSet was removed and its pods were left: they run until another one has them. */
  #orphaned = false;
  #sequence = 0;

  next(): string {
    this.#sequence += 1;
    return String(this.#sequence);
  }

  now(): string {
    return new Date().toISOString();
  }

  get cluster(): Live | undefined {
    return this.objects.get(CLUSTER_KEY);
  }

  /** Stores an object changed by anybody but the operator. */
  put(key: string, live: Live, over: Change): void {
    const { metadata, ...rest } = over;
    const changed = WITH_GENERATION.has(live.kind) && "spec" in rest;
    this.#edited.add(live.metadata.uid);
    this.objects.set(key, {
      ...live,
      ...rest,
      metadata: {
        ...live.metadata,
        ...metadata,
        resourceVersion: this.next(),
        ...(changed ? { generation: (live.metadata.generation ?? 0) + 1 } : {}),
      },
    });
  }

  /** Creates an object, by anybody. */
  add(
    live: Omit<Live, "metadata"> & {
      metadata: Pick<Live["metadata"], "name"> & Partial<Live["metadata"]>;
    },
  ): void {
    const metadata = {
      uid: `uid-${this.next()}`,
      resourceVersion: this.next(),
      creationTimestamp: this.now(),
      ...(WITH_GENERATION.has(live.kind) ? { generation: 1 } : {}),
      ...live.metadata,
    };
    this.objects.set(keyFor({ kind: live.kind, ...metadata }), { ...live, metadata });
  }

  /** Somebody deletes an object: finalizers hold it, a namespace goes with what is in it. */
  deleteObject(key: string): void {
    const live = this.objects.get(key);
    if (live === undefined || live.metadata.deletionTimestamp !== undefined) return;
    const deletionTimestamp = this.now();
    if (live.kind === "Namespace") {
      this.put(key, live, { metadata: { deletionTimestamp }, status: { phase: "Terminating" } });
    } else if ((live.metadata.finalizers ?? []).length > 0) {
      const generation = (live.metadata.generation ?? 0) + 1;
      this.put(key, live, { metadata: { deletionTimestamp, generation } });
    } else {
      this.objects.delete(key);
    }
  }

  // The client of the services.

  readonly get = async (kind: string, name: string, namespace?: string): Promise<unknown> => {
    this.fault("before");
    if (kind === "Pod") return this.#podNamed(name);
    return this.objects.get(
      keyFor({ kind, name, ...(namespace === undefined ? {} : { namespace }) }),
    );
  };

  readonly list = async (query: ListQuery): Promise<unknown[]> => {
    this.fault("before");
    return this.ofKind(query.kind).filter(
      ({ metadata }) =>
        metadata.namespace === query.namespace &&
        Object.entries(query.labels ?? {}).every(
          ([label, value]) => metadata.labels?.[label] === value,
        ),
    );
  };

  readonly apply = async (manifest: AnyManifest): Promise<Live> => {
    this.fault("before");
    const ref = refOf(manifest);
    const key = keyFor(ref);
    this.#admit(ref, key);
    const json = JSON.stringify(manifest);
    const before = this.objects.get(key);
    refuseOtherClaimTemplate(before, JSON.parse(json) as Json);
    const uid = before?.metadata.uid ?? `uid-${this.next()}`;
    if (before === undefined || this.#edited.has(uid) || this.#applied.get(uid)?.json !== json) {
      const asSent = JSON.parse(json) as Json;
      this.#write(key, uid, asSent);
      this.#applied.set(uid, { json, manifest: asSent });
    }
    this.#edited.delete(uid);
    this.fault("after");
    return this.objects.get(key)!;
  };

  readonly patch = async (ref: ObjectRef, patch: MergePatch): Promise<unknown> => {
    this.fault("before");
    const key = keyFor(ref);
    const live = this.objects.get(key);
    if (live === undefined) return undefined;
    this.writes += 1;
    const body = patch.body as Change;
    for (const member of ["uid", "resourceVersion"] as const) {
      const expected = body.metadata?.[member];
      if (expected !== undefined && expected !== live.metadata[member]) {
        throw new KubeError(409, "Conflict", `${member} is another`);
      }
    }
    if (live.kind === "PersistentVolumeClaim") this.#patchClaim(key, live, body);
    else if (patch.subresource === "status")
      this.#store(key, live, { status: { ...live.status, ...body.status } });
    else this.#patchFinalizers(key, live, body.metadata?.finalizers ?? []);
    this.fault("after");
    return this.objects.get(key) ?? live;
  };

  readonly remove = async (ref: ObjectRef, options: RemoveOptions): Promise<void> => {
    this.fault("before");
    const key = keyFor(ref);
    const live = this.objects.get(key);
    if (live === undefined || live.metadata.uid !== options.uid) return;
    this.writes += 1;
    const isReplaced = live.kind === "StatefulSet" && options.propagation === "Orphan";
    if (isReplaced) this.#orphaned = true;
    else if (live.kind !== "ConfigMap" && live.kind !== "NetworkPolicy") {
      this.violations.push(`${key} was removed`);
    }
    if (
      live.kind === "ConfigMap" &&
      [...this.pods.values()].some(({ configMap }) => configMap === ref.name)
    ) {
      this.violations.push(`P5: ${key} was removed while a pod uses it`);
    }
    this.deleteObject(key);
    this.fault("after");
  };

  readonly create = async (): Promise<void> => {
    this.fault("before");
  };

  /** The client, as the services take it. */
  get kube(): KubeClient {
    const { get, list, apply, patch, remove, create } = this;
    const client = {
      get,
      list,
      listMetadata: list,
      apply,
      patch,
      remove,
      create,
      serves: NOTHING_SERVED,
    };
    return client as unknown as KubeClient;
  }

  ofKind(kind: string): Live[] {
    return [...this.objects.values()].filter((live) => live.kind === kind);
  }

  /** The node's answer to being provisioned; throws when it does not answer. */
  provision(uid: string): void {
    if (this.pods.get(0)?.running !== true) throw new Error("no answer");
    this.fault("before");
    if (this.cluster?.status?.["provisioned"] === true) {
      this.violations.push("P4: provisioned again after the status said so");
    }
    if (!this.provisioned) this.provisions.set(uid, (this.provisions.get(uid) ?? 0) + 1);
    this.provisioned = true;
    this.fault("after");
  }

  #admit(ref: ObjectRef, key: string): void {
    const namespace = this.objects.get(NAMESPACE_KEY);
    const { cluster } = this;
    this.writes += 1;
    if (!CLUSTER_SCOPED.has(ref.kind)) {
      if (namespace === undefined) throw new KubeError(404, "NotFound", "no namespace");
      if (!this.objects.has(key) && namespace.metadata.deletionTimestamp !== undefined) {
        throw new KubeError(403, "Forbidden", "the namespace is being terminated");
      }
    } else if (
      namespace !== undefined &&
      (cluster === undefined || controllerOf(namespace) !== cluster.metadata.uid)
    ) {
      this.violations.push("P3: a namespace that is not the cluster's was written");
    }
  }

  #write(key: string, uid: string, manifest: Json): void {
    const before = this.objects.get(key);
    const last = this.#applied.get(uid)?.manifest;
    const { metadata, ...rest } = merged(before ?? {}, last, manifest) as Live;
    const owners = new Map(
      [
        ...(before?.metadata.ownerReferences ?? []).filter(
          (owner) => !ownersOf(last).some((mine) => mine.uid === owner.uid),
        ),
        ...ownersOf(manifest),
      ].map((owner) => [owner.uid, owner]),
    );
    if ([...owners.values()].filter(({ controller }) => controller === true).length > 1) {
      throw new KubeError(422, "Invalid", "metadata.ownerReferences: two controllers");
    }
    const changed =
      before === undefined || JSON.stringify(before.spec) !== JSON.stringify(rest.spec);
    const generation = (before?.metadata.generation ?? 0) + (changed ? 1 : 0);
    this.objects.set(key, {
      ...rest,
      metadata: {
        ...metadata,
        uid,
        resourceVersion: this.next(),
        creationTimestamp: before?.metadata.creationTimestamp ?? this.now(),
        ownerReferences: [...owners.values()],
        ...(WITH_GENERATION.has(rest.kind) ? { generation } : {}),
      },
    });
  }

  #store(key: string, live: Live, over: Partial<Live>): void {
    const metadata = { ...live.metadata, resourceVersion: this.next() };
    this.objects.set(key, { ...live, metadata, ...over });
  }

  #patchFinalizers(key: string, live: Live, finalizers: readonly string[]): void {
    const deleting = live.metadata.deletionTimestamp !== undefined;
    if (!deleting && finalizers.length < (live.metadata.finalizers ?? []).length) {
      this.violations.push("P1: a finalizer was taken off a cluster that is not being deleted");
    }
    if (deleting && finalizers.length === 0) this.objects.delete(key);
    else {
      const metadata = { ...live.metadata, resourceVersion: this.next(), finalizers };
      this.objects.set(key, { ...live, metadata });
    }
  }

  // The controllers of Kubernetes, one small step at a time. Each answers whether it did something.

  /** Garbage collection: what has owners, none of which exists, goes; a terminating namespace takes what is in it. */
  collectGarbage(): boolean {
    const uids = new Set([...this.objects.values()].map(({ metadata }) => metadata.uid));
    for (const [key, { metadata }] of this.objects) {
      const owners = metadata.ownerReferences ?? [];
      if (metadata.deletionTimestamp !== undefined || owners.length === 0) continue;
      if (owners.some(({ uid }) => uids.has(uid))) continue;
      this.deleteObject(key);
      return true;
    }
    if (this.objects.get(NAMESPACE_KEY)?.metadata.deletionTimestamp === undefined) return false;
    const inside = [...this.objects].find(([, { metadata }]) => metadata.namespace === NAME);
    if (inside !== undefined) this.deleteObject(inside[0]);
    else {
      this.objects.delete(NAMESPACE_KEY);
      this.pods.clear();
      this.#orphaned = false;
      // Another cluster from here on: its volumes are gone.
      this.provisioned = false;
      this.provisions.clear();
    }
    return true;
  }

  /** One step of the StatefulSet controller, or of its pods and volumes. */
  runStatefulSet(): boolean {
    const set = this.objects.get(STATEFUL_SET_KEY);
    if (set !== undefined) this.#orphaned = false;
    else if (this.#orphaned) return false;
    if (set === undefined) {
      const [ordinal] = [...this.pods.keys()].slice(-1);
      return ordinal !== undefined && this.pods.delete(ordinal);
    }
    const moved = this.#movePod(set) || this.#rollPod(set);
    const status = this.#statusOf(set);
    if (JSON.stringify(status) === JSON.stringify(set.status)) return moved;
    this.#store(STATEFUL_SET_KEY, set, { status });
    return true;
  }

  /** A pod dies, and the StatefulSet's status says so at once: how far it lags behind is not what is looked at here. */
  killPod(ordinal: number): void {
    this.pods.delete(ordinal);
    const set = this.objects.get(STATEFUL_SET_KEY);
    if (set?.status === undefined) return;
    const { observedGeneration } = set.status;
    this.#store(STATEFUL_SET_KEY, set, { status: { ...this.#statusOf(set), observedGeneration } });
  }

  #movePod(set: Live): boolean {
    const replicas = Number(set.spec?.["replicas"]);
    for (let ordinal = 0; ordinal < replicas; ordinal += 1) {
      const pod = this.pods.get(ordinal);
      if (pod === undefined) {
        this.#createPod(set, ordinal);
        return true;
      }
      const claim = this.objects.get(`PersistentVolumeClaim/${NAME}/storage-restate-${ordinal}`);
      if (claim !== undefined && claim.status?.["phase"] !== "Bound") {
        this.put(keyFor({ kind: claim.kind, ...claim.metadata }), claim, {
          status: { phase: "Bound" },
        });
        return true;
      }
      if (!pod.running && this.objects.has(`ConfigMap/${NAME}/${pod.configMap}`)) {
        pod.running = true;
        pod.startedAt = this.now();
        // Restate provisions itself unless its configuration says otherwise.
        if (!this.#configOf(pod).includes("auto-provision = false")) this.provisioned = true;
        return true;
      }
      if (pod.running && !pod.ready && this.provisioned) {
        pod.ready = true;
        return true;
      }
    }
    return false;
  }

  /** Removes a pod too many, or replaces the highest one of an older revision, all others being ready. */
  #rollPod(set: Live): boolean {
    const replicas = Number(set.spec?.["replicas"]);
    const ordinals = [...this.pods.keys()].toSorted((a, b) => b - a);
    const surplus = ordinals.find((ordinal) => ordinal >= replicas);
    if (surplus !== undefined) return this.pods.delete(surplus);
    const old = ordinals.find((ordinal) => this.pods.get(ordinal)!.revision !== revisionOf(set));
    // A pod that is not ready is replaced as well, as an operator's person would do (kubernetes#67250).
    return old !== undefined && this.pods.delete(old);
  }

  #createPod(set: Live, ordinal: number): void {
    const volumes = templateOf(set)?.spec?.volumes ?? [];
    const configMap = volumes.find(({ name }) => name === "config")?.configMap?.name ?? "";
    this.pods.set(ordinal, {
      revision: revisionOf(set),
      configMap,
      running: false,
      ready: false,
      startedAt: undefined,
    });
    const name = `storage-restate-${ordinal}`;
    if (this.objects.has(`PersistentVolumeClaim/${NAME}/${name}`)) return;
    const labels = { "app.kubernetes.io/name": "restate", "app.kubernetes.io/instance": NAME };
    const metadata = { name, namespace: NAME, labels };
    const status = { phase: "Pending" };
    const spec = claimTemplateOf(set) ?? {};
    this.add({ apiVersion: "v1", kind: "PersistentVolumeClaim", metadata, spec, status });
  }

  /** A bound claim can grow, and that is all. */
  #patchClaim(key: string, live: Live, { spec }: Change): void {
    const [before, after] = [bytesIn(live.spec), bytesIn(spec)];
    if (live.status?.["phase"] !== "Bound") throw new KubeError(422, "Invalid", "not bound");
    if (after < before) this.violations.push(`S1: ${key} from ${before} to ${after} bytes`);
    this.#store(key, live, { spec: { ...live.spec, ...spec } });
  }

  #configOf({ configMap }: Pod): string {
    return String(this.objects.get(`ConfigMap/${NAME}/${configMap}`)?.data?.["config.toml"]);
  }

  #statusOf(set: Live): Json {
    const pods = [...this.pods.values()];
    return {
      observedGeneration: set.metadata.generation,
      replicas: pods.length,
      readyReplicas: pods.filter(({ ready }) => ready).length,
      updatedReplicas: pods.filter(({ revision }) => revision === revisionOf(set)).length,
    };
  }

  #podNamed(name: string): unknown {
    const pod = this.pods.get(Number(name.slice("restate-".length)));
    if (pod === undefined) return undefined;
    const running = pod.startedAt === undefined ? {} : { running: { startedAt: pod.startedAt } };
    return {
      metadata: { name },
      status: {
        phase: pod.running ? "Running" : "Pending",
        containerStatuses: [{ name: "restate", state: running }],
      },
    };
  }

  /** What would make "Ready: True" a lie about the pods as they are. */
  unready(): string[] {
    const set = this.objects.get(STATEFUL_SET_KEY);
    if (set === undefined) return ["no StatefulSet"];
    const problems = [...this.pods].flatMap(([ordinal, pod]) =>
      pod.ready && pod.revision === revisionOf(set) ? [] : [`pod ${ordinal} is old or not ready`],
    );
    const { compute } = (this.cluster?.spec ?? {}) as { compute?: { replicas: number } };
    const replicas = compute?.replicas ?? 1;
    if (this.pods.size !== replicas) problems.push(`${this.pods.size} pods of ${replicas}`);
    for (const { metadata, status } of this.ofKind("PersistentVolumeClaim")) {
      const ordinal = Number(metadata.name.slice("storage-restate-".length));
      if (ordinal < replicas && status?.["phase"] !== "Bound") {
        problems.push(`${metadata.name} is not bound`);
      }
    }
    return problems;
  }
}

function ownersOf(manifest: Json | undefined): Owner[] {
  const { ownerReferences } = (manifest?.["metadata"] ?? {}) as { ownerReferences?: Owner[] };
  return ownerReferences ?? [];
}

interface Template {
  readonly spec?: { readonly volumes?: readonly { name: string; configMap?: { name: string } }[] };
}

function claimTemplateOf(set: Live | undefined): Json | undefined {
  const [claim] = (set?.spec?.["volumeClaimTemplates"] ?? []) as { spec: Json }[];
  return claim?.spec;
}

/** What a claim asks for. */
export function bytesIn(spec: Json | undefined): number {
  const { requests } = (spec?.["resources"] ?? {}) as { requests?: { storage?: string } };
  return Number(requests?.storage ?? 0);
}

function refuseOtherClaimTemplate(before: Live | undefined, manifest: Json): void {
  if (before?.kind !== "StatefulSet") return;
  const [was, is] = [claimTemplateOf(before), claimTemplateOf(manifest as unknown as Live)];
  if (JSON.stringify(was) !== JSON.stringify(is)) {
    throw new KubeError(422, "Invalid", "spec: claim templates cannot be changed");
  }
}

function templateOf(set: Live): Template | undefined {
  return set.spec?.["template"] as Template | undefined;
}

const revisions = new WeakMap<object, string>();

function revisionOf(set: Live): string {
  const template = templateOf(set) ?? {};
  const known = revisions.get(template);
  if (known !== undefined) return known;
  const revision = JSON.stringify(template);
  revisions.set(template, revision);
  return revision;
}
