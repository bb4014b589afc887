/** RestateClusters in tests: made, changed, looked at as a user would, and compared as a whole. */
import { CHILD_KINDS, type KubeObject, type Objects } from "./objects.ts";
import { until, type UntilOptions } from "./until.ts";

const API_VERSION = "restate.dev/v1";
const READY_TIMEOUT_MS = 60_000;

export type ClusterSpec = {
  readonly compute: { readonly image: string; readonly [member: string]: unknown };
  readonly storage: { readonly storageRequestBytes: number; readonly [member: string]: unknown };
  readonly [member: string]: unknown;
};

export type Condition = {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
};

/** The smallest specification, as in the reference (fixtures/observed/cluster-minimal.yaml). */
export const MINIMAL: ClusterSpec = {
  compute: { image: "restatedev/restate:1.7.12" },
  storage: { storageRequestBytes: 2_147_483_648 },
};

/**
 * Several nodes whose pods are played: nobody answers there, so the operator, which would make a cluster of them, is not to
 * wait for an answer.
 */
export const playedNodes = (replicas: number): ClusterSpec => ({
  ...MINIMAL,
  compute: { ...MINIMAL.compute, replicas },
  cluster: { autoProvision: false },
});

/** Creates a RestateCluster or changes it to this specification. */
export function applyCluster(
  objects: Objects,
  name: string,
  cluster: {
    readonly spec?: ClusterSpec;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  } = {},
): Promise<KubeObject> {
  const { spec = MINIMAL, labels, annotations } = cluster;
  return objects.apply("RestateCluster", {
    apiVersion: API_VERSION,
    metadata: {
      name,
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
    },
    spec,
  });
}

/** The condition Ready, if it speaks of the resource as it is now. */
export function readyOf(cluster: KubeObject | undefined): Condition | undefined {
  const status = cluster?.["status"] as
    { observedGeneration?: number; conditions?: readonly Condition[] } | undefined;
  if (status?.observedGeneration !== cluster?.metadata.generation) return undefined;
  return status?.conditions?.find(({ type }) => type === "Ready");
}

/** Resolves when Ready is True for the newest generation. */
export async function untilReady(
  objects: Objects,
  name: string,
  options: UntilOptions = {},
): Promise<KubeObject> {
  let last: Condition | undefined;
  try {
    return await until(
      `RestateCluster ${name} is Ready`,
      async () => {
        const cluster = await objects.get("RestateCluster", name);
        last = readyOf(cluster);
        return last?.status === "True" ? cluster : undefined;
      },
      { timeoutMs: READY_TIMEOUT_MS, ...options },
    );
  } catch (error) {
    throw new Error(`${String(error)}; Ready was ${JSON.stringify(last)}`, { cause: error });
  }
}

/** Resolves with the condition once Ready has this reason for the newest generation. */
export async function untilReason(
  objects: Objects,
  name: string,
  reason: string,
): Promise<Condition> {
  let last: Condition | undefined;
  try {
    return await until(
      `RestateCluster ${name} has reason ${reason}`,
      async () => {
        last = readyOf(await objects.get("RestateCluster", name));
        return last?.reason === reason ? last : undefined;
      },
      { timeoutMs: READY_TIMEOUT_MS },
    );
  } catch (error) {
    throw new Error(`${String(error)}; Ready was ${JSON.stringify(last)}`, { cause: error });
  }
}

/** Resolves when the RestateCluster and its namespace are gone. */
export async function untilGone(
  objects: Objects,
  name: string,
  options: UntilOptions = {},
): Promise<void> {
  await until(
    `RestateCluster ${name} and its namespace are gone`,
    async () =>
      (await objects.get("RestateCluster", name)) === undefined &&
      (await objects.get("Namespace", name)) === undefined,
    { timeoutMs: READY_TIMEOUT_MS, ...options },
  );
}

export async function removeCluster(objects: Objects, name: string): Promise<void> {
  await objects.remove("RestateCluster", name);
  await untilGone(objects, name);
}

/** Removes a RestateCluster and does not wait until Kubernetes, seconds later, is done with its namespace. */
export async function dropCluster(objects: Objects, name: string): Promise<void> {
  await objects.remove("RestateCluster", name);
  await until(
    `RestateCluster ${name} is gone`,
    async () => (await objects.get("RestateCluster", name)) === undefined,
  );
}

/** The objects the operator made for a cluster: its namespace and what it controls in there. */
export async function childrenOf(objects: Objects, cluster: KubeObject): Promise<KubeObject[]> {
  const { name, uid } = cluster.metadata;
  const namespace = await objects.get("Namespace", name);
  const lists = await Promise.all(CHILD_KINDS.map((kind) => objects.list(kind, name)));
  const isOwned = ({ metadata }: KubeObject) =>
    (metadata.ownerReferences ?? []).some((owner) => owner.uid === uid);
  return [...(namespace === undefined ? [] : [namespace]), ...lists.flat()].filter(isOwned);
}

/** A cluster and its children as they are, without what differs from run to run; by `Kind name`, sorted. */
export async function maskedState(objects: Objects, name: string): Promise<Record<string, object>> {
  const cluster = await objects.get("RestateCluster", name);
  if (cluster === undefined) return {};
  const all = [cluster, ...(await childrenOf(objects, cluster))].map((object) => masked(object));
  return Object.fromEntries(
    all
      .map((object): [string, object] => [
        `${object.kind} ${String(object.metadata["name"])}`,
        object,
      ])
      .toSorted(([one], [other]) => (one < other ? -1 : 1)),
  );
}

type Masked = { kind: string; metadata: Record<string, unknown>; [member: string]: unknown };

/** An object without server-given values: uids, versions, times, addresses, and other controllers' statuses. */
export function masked(object: KubeObject): Masked {
  const { metadata, status, ...rest } = structuredClone(object) as unknown as Masked & {
    status?: unknown;
  };
  for (const given of [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
  ]) {
    delete metadata[given];
  }
  const owners = metadata["ownerReferences"] as { uid: string }[] | undefined;
  for (const owner of owners ?? []) owner.uid = "<uid>";
  const spec = rest["spec"] as Record<string, unknown> | undefined;
  if (object.kind === "Service" && spec?.["clusterIP"] !== "None") {
    delete spec?.["clusterIP"];
    delete spec?.["clusterIPs"];
  }
  return {
    ...rest,
    metadata,
    ...(object.kind === "RestateCluster" ? { status: maskedStatus(status) } : {}),
  };
}

function maskedStatus(status: unknown): unknown {
  const { observedGeneration: _, ...known } = (status ?? {}) as {
    observedGeneration?: number;
    conditions?: object[];
  };
  return {
    ...known,
    conditions: (known.conditions ?? []).map((condition) => ({
      ...condition,
      lastTransitionTime: "<time>",
    })),
  };
}
