/**
 * What a user adds to the pods must not take what the operator has there. Kubernetes looks into a pod template only when it
 * makes a pod of it, that is after the pod before is gone; and to what is twice in a list it answers 500, as if another
 * attempt could help. So it is looked at here, before anything is written, and against what is really built.
 */
import type { V1Container } from "@kubernetes/client-node";
import { FOREIGN_KINDS, type ClusterConfig, type ClusterView } from "../api.ts";
import { buildPodParts } from "../build/pod-parts.ts";
import { buildStatefulSet } from "../build/stateful-set.ts";
import { hostAccessProblem } from "./host-access.ts";

/** Names of the operator's that a message lists at most: with a thousand authorities to trust there are a thousand. */
const NAMES_LISTED_MAX = 12;
/** Of a user's text in a message. */
const QUOTED_MAX_CHARS = 80;

/** Why a cluster's pods cannot be made as asked, as a sentence that names field and fix; `undefined` when they can. */
export function podProblem(cluster: ClusterView, config: ClusterConfig): string | undefined {
  const { security } = cluster.spec;
  const version = security?.requestSigningPrivateKey?.version ?? "v1";
  if (version !== "v1") {
    return `spec.security.requestSigningPrivateKey.version: ${quoted(version)} is not known; set "v1"`;
  }
  const problems = listsOf(cluster, config).flatMap((list) => problemOf(list) ?? []);
  return problems[0] ?? (config.allowHostAccess ? undefined : hostAccessProblem(cluster.spec));
}

/** A list of the user's in which nothing may be twice, and in which some is taken already. */
interface List {
  readonly field: string;
  /** What its entries are told apart by. */
  readonly what: string;
  readonly asked: readonly string[];
  readonly own?: readonly string[];
}

function listsOf(cluster: ClusterView, config: ClusterConfig): List[] {
  const { compute } = cluster.spec;
  const own = operatorsNames(cluster, config);
  return [
    {
      field: "spec.compute.extraVolumes",
      what: "volume name",
      asked: (compute.extraVolumes ?? []).map(({ name }) => name),
      own: own.volumes,
    },
    {
      field: "spec.compute.extraVolumeMounts",
      what: "mount path",
      asked: (compute.extraVolumeMounts ?? []).map(({ mountPath }) => placeOf(mountPath)),
      own: own.mountPaths,
    },
    {
      field: "spec.compute.sidecars",
      what: "container name",
      asked: (compute.sidecars ?? []).map(({ name }) => name),
      own: own.containers,
    },
    {
      field: "spec.compute.env",
      what: "variable",
      asked: (compute.env ?? []).map(({ name }) => name),
      own: own.variables,
    },
    {
      field: "spec.compute.imagePullSecrets",
      what: "name",
      asked: (compute.imagePullSecrets ?? []).map(({ name }) => name ?? ""),
    },
    {
      field: "spec.compute.topologySpreadConstraints",
      what: "pair of topologyKey and whenUnsatisfiable",
      asked: (compute.topologySpreadConstraints ?? []).map(
        ({ topologyKey, whenUnsatisfiable }) => `${topologyKey} ${whenUnsatisfiable}`,
      ),
    },
    ...(compute.sidecars ?? []).flatMap((sidecar, index) =>
      listsOfSidecar(`spec.compute.sidecars[${index}]`, sidecar),
    ),
  ];
}

function listsOfSidecar(field: string, { env, volumeMounts, ports }: V1Container): List[] {
  return [
    { field: `${field}.env`, what: "variable", asked: (env ?? []).map(({ name }) => name) },
    {
      field: `${field}.volumeMounts`,
      what: "mount path",
      asked: (volumeMounts ?? []).map(({ mountPath }) => mountPath),
    },
    {
      field: `${field}.ports`,
      what: "port",
      asked: (ports ?? []).map(
        ({ containerPort, protocol }) => `${containerPort}/${protocol ?? "TCP"}`,
      ),
    },
  ];
}

interface Names {
  readonly volumes: readonly string[];
  readonly mountPaths: readonly string[];
  readonly containers: readonly string[];
  /** Those that are set beside the user's; others give way to the user's. */
  readonly variables: readonly string[];
}

/** What the pods of this cluster have before the user adds anything. */
function operatorsNames(cluster: ClusterView, config: ClusterConfig): Names {
  const {
    extraVolumes: _1,
    extraVolumeMounts: _2,
    sidecars: _3,
    ...compute
  } = cluster.spec.compute;
  const plain = { ...cluster, spec: { ...cluster.spec, compute } };
  const { spec } = buildStatefulSet(plain, config, FOREIGN_KINDS);
  const pod = spec?.template?.spec;
  const [restate] = pod?.containers ?? [];
  return {
    volumes: namesOf([
      ...(spec?.volumeClaimTemplates ?? []).map(({ metadata }) => metadata?.name),
      ...(pod?.volumes ?? []).map(({ name }) => name),
    ]),
    mountPaths: namesOf((restate?.volumeMounts ?? []).map(({ mountPath }) => mountPath)),
    containers: namesOf(
      [...(pod?.containers ?? []), ...(pod?.initContainers ?? [])].map(({ name }) => name),
    ),
    variables: namesOf(
      buildPodParts(plain, config, FOREIGN_KINDS).flatMap(({ env }) =>
        (env ?? []).map(({ name }) => name),
      ),
    ),
  };
}

function namesOf(names: readonly (string | undefined)[]): string[] {
  return names.filter((name) => name !== undefined);
}

function problemOf({ field, what, asked, own = [] }: List): string | undefined {
  const operators = new Set(own);
  const first = new Map<string, number>();
  for (const [index, name] of asked.entries()) {
    if (operators.has(name)) {
      return `${field}[${index}]: the ${what} ${quoted(name)} is one of the operator's (${listed(own)}); choose another`;
    }
    const before = first.get(name);
    if (before !== undefined) {
      const others = own.length === 0 ? "" : `, and none of the operator's (${listed(own)})`;
      return `${field}[${index}]: the ${what} ${quoted(name)} is taken by ${field}[${before}]; choose another${others}`;
    }
    first.set(name, index);
  }
  return undefined;
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_LISTED_MAX);
  const more = names.length - shown.length;
  return more === 0 ? shown.join(", ") : `${shown.join(", ")} and ${more} more`;
}

function quoted(text: string): string {
  return `"${text.replaceAll(/[^\x20-\x7E]+/g, " ").slice(0, QUOTED_MAX_CHARS)}"`;
}

/** Where a mount path leads: `tmp`, `/tmp/` and `/a/../tmp` all hide what is at `/tmp`. */
function placeOf(path: string): string {
  const segments: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") segments.pop();
    else if (segment !== "" && segment !== ".") segments.push(segment);
  }
  return `/${segments.join("/")}`;
}
