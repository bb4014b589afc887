/**
 * What a decision about a RestateDeployment needs to know, read afresh: the resource, the ReplicaSets, Services and
 * autoscalers of its versions, and what each Restate that has a version of it says. Projected and sorted here, at the border.
 */
import type { V1Job, V1ReplicaSet } from "@kubernetes/client-node";
import { RestateCluster } from "../../../crds/restate-cluster.ts";
import { RestateDeployment } from "../../../crds/restate-deployment.ts";
import type { AppliedObjects, ObservedObject } from "../../core/children.ts";
import { isGoing } from "../../core/deletion-protection.ts";
import type { KubeClient } from "../../kube/client.ts";
import { observedObjectsOf } from "../../kube/observed.ts";
import type { AdminPool } from "../../restate/admin-pool.ts";
import type {
  DeploymentConfig,
  GateView,
  LostDeployment,
  ObservedVersion,
  RegistrationView,
} from "../api.ts";
import { OWNED_BY_LABEL } from "../build/metadata.ts";
import { versionHash, versionName } from "../plan/version-hash.ts";
import { gateOf } from "../plan/view.ts";
import { adminTargetOf, type AdminTargetResult } from "./admin-target.ts";
import { deploymentUrlOf, type DeploymentUrlResult } from "./deployment-url.ts";
import {
  controllerOf,
  hasServed,
  isElsewhere,
  observedVersionOf,
  registeredAt,
  versionObjectOf,
  type VersionObject,
} from "./observed-version.ts";
import { refusedTarget } from "./refused-target.ts";
import { readRegistry, type Registry, type RegistrySite } from "./registry.ts";

export interface ObserveContext {
  readonly kube: KubeClient;
  readonly admins: AdminPool;
  readonly config: DeploymentConfig;
}

export interface ObservedDeployment {
  readonly deployment: RestateDeployment;
  readonly current: {
    readonly name: string;
    readonly hash: string;
    readonly url: DeploymentUrlResult;
    readonly takenBy?: string;
  };
  readonly target: AdminTargetResult;
  readonly versions: readonly ObservedVersion[];
  readonly objects: readonly VersionObject[];
  readonly registration: RegistrationView;
  readonly services: readonly ObservedObject[];
  readonly hpas: readonly ObservedObject[];
  /** Admin API of the Restate that has, or would have, each version; by the version's name. */
  readonly adminUrls: Readonly<Record<string, string>>;
  readonly namespaceTerminating: boolean;
  /** The RestateCluster it registers with is gone. */
  readonly clusterGone: boolean;
}

/** How soon a Restate that did not answer is asked again. */
const SILENT_RETRY_MS = 10_000;
const WAITING_MS = 60_000;

/** The resource itself, or `undefined` when there is none. */
export async function readDeployment(
  kube: KubeClient,
  namespace: string,
  name: string,
): Promise<RestateDeployment | undefined> {
  const live = await kube.get("RestateDeployment", name, namespace);
  return live === undefined ? undefined : RestateDeployment.parse(live);
}

/** Everything about one deployment. `undefined` when the resource does not exist. */
export async function observeDeployment(
  context: ObserveContext,
  key: { readonly namespace: string; readonly name: string },
  applied: AppliedObjects,
): Promise<ObservedDeployment | undefined> {
  const { kube, config } = context;
  const { namespace, name } = key;
  const query = { namespace, labels: { [OWNED_BY_LABEL]: name } };
  const [deployment, replicaSets] = await Promise.all([
    readDeployment(kube, namespace, name),
    kube.list({ kind: "ReplicaSet", ...query }),
  ]);
  if (deployment === undefined) return undefined;
  const { metadata, spec } = deployment;
  const own = replicaSets
    .filter((live) => controllerOf(live) === metadata.uid)
    .toSorted((a, b) => ((a.metadata?.name ?? "") < (b.metadata?.name ?? "") ? -1 : 1));
  const current = currentOf(deployment, config);
  const target = targetOf(deployment, config);
  const adminUrl = target.kind === "target" ? target.target.url : undefined;
  const moved = own.find(
    (live) => live.metadata?.name === current.name && isElsewhere(live, deployment, adminUrl),
  );
  const objects = own.map((live) => {
    const isCurrent = live.metadata?.name === current.name && live !== moved;
    const where = isCurrent ? undefined : registeredAt(live, config);
    return versionObjectOf(live, where ?? adminUrl);
  });
  const [registries, cluster, around, services, hpas] = await Promise.all([
    readRegistries(context, deployment, [adminUrl, ...objects.map((each) => each.adminUrl)]),
    readClusterOf(kube, deployment),
    readAround(kube, deployment, { current: current.name, own }),
    // There is nothing that a Service could lead to before there is a version, and no older one to scale before a second.
    own.length === 0 ? [] : kube.list({ kind: "Service", ...query }),
    own.length < 2 ? [] : kube.list({ kind: "HorizontalPodAutoscaler", ...query }),
  ]);
  const observedHpas = observedObjectsOf("HorizontalPodAutoscaler", hpas);
  const versions = own.map((live, index) =>
    observedVersionOf(live, deployment, {
      current: current.name,
      moved: live === moved,
      registry: registries.get(objects[index]?.adminUrl ?? ""),
      ...(around.gateJob === undefined || live.metadata?.name !== current.name
        ? {}
        : { gateJob: around.gateJob }),
      hpa: observedHpas.find(({ ref }) => ref.name === live.metadata?.name),
      applied,
    }),
  );
  return {
    deployment,
    current: { ...current, ...takenByOf(around, moved) },
    target,
    versions,
    objects,
    registration: registrationOf({ deployment, current, target, cluster, registries, versions }),
    services: observedObjectsOf("Service", services),
    hpas: observedHpas,
    adminUrls: adminUrlsOf(objects, registries),
    namespaceTerminating: around.namespaceTerminating,
    clusterGone:
      spec.restate.register.cluster !== undefined &&
      (cluster === undefined || isGoing(cluster.metadata)),
  };
}

function takenByOf(
  { takenBy }: Around,
  moved: V1ReplicaSet | undefined,
): Pick<ObservedDeployment["current"], "takenBy"> {
  if (moved !== undefined) return { takenBy: "a version that is registered with another Restate" };
  return takenBy === undefined ? {} : { takenBy };
}

function currentOf(
  { metadata, spec, status }: RestateDeployment,
  { clusterDns }: DeploymentConfig,
): Omit<ObservedDeployment["current"], "takenBy"> {
  const { register, servicePath, useHttp11 } = spec.restate;
  const hash = versionHash({
    template: spec.template,
    cluster: register.cluster,
    servicePath: servicePath ?? undefined,
    useHttp11: useHttp11 ?? undefined,
    collisionCount: status?.collisionCount ?? undefined,
  });
  const name = versionName(metadata.name, hash);
  const { namespace } = metadata;
  const path = servicePath ?? undefined;
  return {
    name,
    hash,
    url: deploymentUrlOf({ version: name, namespace, clusterDns, servicePath: path }),
  };
}

function targetOf({ spec }: RestateDeployment, config: DeploymentConfig): AdminTargetResult {
  const result = adminTargetOf(spec.restate.register, { clusterDns: config.clusterDns });
  if (result.kind === "refused") return result;
  const refused = refusedTarget(result.target.url, config.targets);
  const message = `spec.restate.register: the operator does not connect there: ${refused}`;
  return refused === undefined ? result : { kind: "refused", message };
}

/** What every Restate that matters says, by the URL of its admin API. */
async function readRegistries(
  { kube, admins, config }: ObserveContext,
  { metadata }: RestateDeployment,
  urls: readonly (string | undefined)[],
): Promise<ReadonlyMap<string, Registry>> {
  const { namespace, name } = metadata;
  const site: RegistrySite = {
    registrant: { kubernetes: await kube.clusterUid(), namespace, name },
    urlPrefix: `http://${name}-`,
    urlRest: `.${namespace}.svc.${config.clusterDns}:9080`,
  };
  const distinct = [...new Set(urls.filter((url) => url !== undefined))];
  const read = distinct.map(
    async (url) => [url, await readRegistry(admins.of(url), site)] as const,
  );
  return new Map(await Promise.all(read));
}

function adminUrlsOf(
  objects: readonly VersionObject[],
  registries: ReadonlyMap<string, Registry>,
): Record<string, string> {
  const registered = [...registries].flatMap(([url, registry]) =>
    registry.kind === "read" ? registry.entries.map(({ version }) => [version, url] as const) : [],
  );
  const known = objects.flatMap(({ name, adminUrl }) =>
    adminUrl === undefined ? [] : [[name, adminUrl] as const],
  );
  return Object.fromEntries([...registered, ...known]);
}

async function readClusterOf(
  kube: KubeClient,
  { spec }: RestateDeployment,
): Promise<RestateCluster | undefined> {
  const { cluster } = spec.restate.register;
  if (cluster === undefined) return undefined;
  const live = await kube.get("RestateCluster", cluster);
  return live === undefined ? undefined : RestateCluster.parse(live);
}

/** What only some situations ask for. */
interface Around {
  readonly takenBy?: string;
  readonly namespaceTerminating: boolean;
  readonly gateJob?: GateView["job"];
}

async function readAround(
  kube: KubeClient,
  { metadata, spec, status }: RestateDeployment,
  seen: { readonly current: string; readonly own: readonly V1ReplicaSet[] },
): Promise<Around> {
  const { namespace, deletionTimestamp } = metadata;
  if (deletionTimestamp !== undefined) {
    const live = await kube.get("Namespace", namespace);
    return { namespaceTerminating: live?.status?.phase === "Terminating" };
  }
  const known = seen.own.find((live) => live.metadata?.name === seen.current);
  const gated = known !== undefined && gateOf(spec) === "job" && !hasServed(known);
  // Looked at only after a creation has met it.
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  const met = known === undefined && ready?.reason === "HashCollision";
  const [namesake, job] = await Promise.all([
    met ? kube.get("ReplicaSet", seen.current, namespace) : undefined,
    gated ? kube.get("Job", seen.current, namespace) : undefined,
  ]);
  return {
    namespaceTerminating: false,
    ...(namesake === undefined ? {} : { takenBy: "a ReplicaSet of somebody else" }),
    ...(job === undefined ? {} : { gateJob: stateOf(job) }),
  };
}

function stateOf({ status }: V1Job): "running" | "complete" | "failed" {
  const is = (type: string) =>
    (status?.conditions ?? []).some((each) => each.type === type && each.status === "True");
  if (is("Complete")) return "complete";
  return is("Failed") ? "failed" : "running";
}

function registrationOf(seen: {
  readonly deployment: RestateDeployment;
  readonly current: { readonly name: string; readonly url: DeploymentUrlResult };
  readonly target: AdminTargetResult;
  readonly cluster: RestateCluster | undefined;
  readonly registries: ReadonlyMap<string, Registry>;
  readonly versions: readonly ObservedVersion[];
}): RegistrationView {
  const { target, registries, versions, current } = seen;
  const registry = target.kind === "target" ? registries.get(target.target.url) : undefined;
  const names = new Set(versions.map(({ name }) => name));
  const lost: LostDeployment[] = [...registries.values()].flatMap((each) =>
    each.kind !== "read"
      ? []
      : each.entries
          .filter(({ version }) => !names.has(version))
          .map(({ id, version }) => ({ deploymentId: id, version })),
  );
  const blocked = blockedBy(seen, registry);
  return {
    reachable: registry?.kind === "read",
    ...(blocked === undefined ? {} : { blocked }),
    foreign: registry?.kind === "read" ? foreignOf(current.name, registry) : [],
    lost,
  };
}

function blockedBy(
  {
    deployment,
    target,
    cluster,
    current,
  }: {
    readonly deployment: RestateDeployment;
    readonly target: AdminTargetResult;
    readonly cluster: RestateCluster | undefined;
    readonly current: { readonly url: DeploymentUrlResult };
  },
  registry: Registry | undefined,
): RegistrationView["blocked"] {
  for (const result of [target, current.url]) {
    if (result.kind === "refused") {
      const { message } = result;
      return { reason: "AdminCallRejected", message, requeueAfterMs: WAITING_MS };
    }
  }
  const name = deployment.spec.restate.register.cluster;
  const ready = cluster?.status?.conditions?.find(({ type }) => type === "Ready");
  if (name !== undefined && ready?.status !== "True") {
    const message =
      cluster === undefined
        ? `there is no RestateCluster ${name}`
        : `RestateCluster ${name} is not Ready: ${ready?.message ?? "it has no condition Ready yet"}`;
    return { reason: "ClusterNotReady", message, requeueAfterMs: WAITING_MS };
  }
  if (registry?.kind === "unreachable") {
    const { message } = registry;
    return { reason: "AdminCallFailed", message, requeueAfterMs: SILENT_RETRY_MS };
  }
  return undefined;
}

/** Services of the current version that lead to a deployment which is not of this resource. */
function foreignOf(
  current: string,
  { entries, routes }: Extract<Registry, { kind: "read" }>,
): RegistrationView["foreign"] {
  const own = new Set(entries.map(({ id }) => id));
  const entry = entries.find(({ version }) => version === current);
  return (entry?.services ?? []).flatMap((service) => {
    const deploymentId = routes.get(service);
    return deploymentId === undefined || own.has(deploymentId) ? [] : [{ service, deploymentId }];
  });
}
