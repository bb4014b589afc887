/**
 * What a Restate says about the deployments of one RestateDeployment: which of its versions are registered, and where the
 * new invocations of their services go. Found by their URLs, with a query that costs the same however many others are
 * registered there.
 *
 * A deployment is this resource's when its URL is one of its versions' and its metadata, where it has any, says the same:
 * two Kubernetes clusters can have the same names and share a Restate. It is another resource's when its metadata says so or,
 * where it has none (the operator before this one wrote none), when its URL leads to a version of that resource. What is
 * neither was registered by hand: a version takes over from it.
 */
import type { RegisteredDeployment, RestateAdmin } from "../../restate/admin.ts";
import { AdminError } from "../../restate/admin.ts";
import { quoted } from "../drain/usage.ts";

/** Who a deployment was registered for, as its metadata says. */
export interface Registrant {
  /** uid of the namespace `kube-system`, which tells Kubernetes clusters apart. */
  readonly kubernetes: string;
  readonly namespace: string;
  readonly name: string;
}

const KUBERNETES_KEY = "restate.dev/kubernetes-uid";
const NAMESPACE_KEY = "restate.dev/namespace";
const NAME_KEY = "restate.dev/name";
const VERSION_KEY = "restate.dev/version";
const UID_KEY = "restate.dev/uid";

/** The metadata a version is registered with. */
export function registrationMetadata(
  { kubernetes, namespace, name }: Registrant,
  { uid, version }: { readonly uid: string; readonly version: string },
): Record<string, string> {
  return {
    [KUBERNETES_KEY]: kubernetes,
    [NAMESPACE_KEY]: namespace,
    [NAME_KEY]: name,
    [VERSION_KEY]: version,
    [UID_KEY]: uid,
  };
}

/** A deployment of a version. */
export interface RegistryEntry {
  readonly id: string;
  readonly version: string;
  readonly services: readonly string[];
}

export type Registry =
  | { readonly kind: "unreachable"; readonly message: string }
  | {
      readonly kind: "read";
      /** Deployments of this resource. */
      readonly entries: readonly RegistryEntry[];
      /** Id of the deployment that new invocations of a service go to, for every service of the entries. */
      readonly routes: ReadonlyMap<string, string>;
    };

/** Where the versions of one resource are found. */
export interface RegistrySite {
  readonly registrant: Registrant;
  /** URL of a version of this name, up to and including that name: `http://greeter-`. */
  readonly urlPrefix: string;
  /** What follows the version's name in its URL: `.default.svc.cluster.local:9080/`. */
  readonly urlRest: string;
}

const VERSION_HASH = /^[456789bcdf]{1,10}/;
const NAME_OF_VERSION = /^[a-z0-9].*-[456789bcdf]{1,10}$/;

/** Reads what a Restate has of a resource. A Restate that does not answer is an answer too. */
export async function readRegistry(admin: RestateAdmin, site: RegistrySite): Promise<Registry> {
  try {
    const entries = await readEntries(admin, site);
    const services = [...new Set(entries.flatMap((entry) => entry.services))];
    return { kind: "read", entries, routes: await readRoutes(admin, services) };
  } catch (error) {
    if (error instanceof AdminError) return { kind: "unreachable", message: error.message };
    throw error;
  }
}

async function readEntries(admin: RestateAdmin, site: RegistrySite): Promise<RegistryEntry[]> {
  const rows = await admin.query<{ id: string; endpoint: string }>(
    `SELECT id, endpoint FROM sys_deployment WHERE starts_with(endpoint, ${quoted(site.urlPrefix)})`,
  );
  const candidates = rows.flatMap(({ id, endpoint }) => {
    const version = versionOf(endpoint, site);
    return version === undefined ? [] : [{ id, version }];
  });
  const entries = await Promise.all(
    candidates.map(async ({ id, version }): Promise<RegistryEntry[]> => {
      const deployment = await admin.deployment(id);
      if (deployment === undefined || isOfAnother(deployment, site.registrant)) return [];
      return [{ id, version, services: deployment.services.map(({ name }) => name) }];
    }),
  );
  return entries.flat().toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

/** The version whose URL this is; `undefined`: none of this resource's. */
export function versionOf(
  url: string,
  { registrant, urlPrefix, urlRest }: RegistrySite,
): string | undefined {
  if (!url.startsWith(urlPrefix)) return undefined;
  const hash = VERSION_HASH.exec(url.slice(urlPrefix.length))?.[0] ?? "";
  return hash !== "" && url.startsWith(urlRest, urlPrefix.length + hash.length)
    ? `${registrant.name}-${hash}`
    : undefined;
}

/**
 * The version that a deployment without metadata may belong to: the Service that its URL leads to has the name of a version.
 * Whose that is, only a ReplicaSet of this name can say.
 */
export function servedBy(
  url: string,
  clusterDns: string,
): { readonly namespace: string; readonly name: string } | undefined {
  const [name, namespace, ...domain] = URL.parse(url)?.hostname.split(".") ?? [];
  if (name === undefined || namespace === undefined) return undefined;
  return domain.join(".") === `svc.${clusterDns}` && NAME_OF_VERSION.test(name)
    ? { namespace, name }
    : undefined;
}

/** Whether its metadata says whose a deployment is. */
export function hasRegistrant({ metadata }: RegisteredDeployment): boolean {
  return metadata?.[KUBERNETES_KEY] !== undefined;
}

/** Whether its metadata says that a deployment belongs to another resource, of this Kubernetes cluster or of another. */
export function isOfAnother(
  deployment: RegisteredDeployment,
  { kubernetes, namespace, name }: Registrant,
): boolean {
  const { metadata } = deployment;
  if (!hasRegistrant(deployment)) return false;
  return (
    metadata?.[KUBERNETES_KEY] !== kubernetes ||
    metadata[NAMESPACE_KEY] !== namespace ||
    metadata[NAME_KEY] !== name
  );
}

/** Where new invocations of these services go. */
export async function readRoutes(
  admin: RestateAdmin,
  services: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  if (services.length === 0) return new Map();
  const rows = await admin.query<{ name: string; id: string }>(
    `SELECT name, deployment_id AS id FROM sys_service WHERE name IN (${services.map(quoted).join(", ")})`,
  );
  return new Map(rows.map(({ name, id }) => [name, id]));
}
