/**
 * Where the admin API is that a RestateDeployment registers with (contract, section 3): one of cluster, cloud, service and
 * url. URLs are built from parts, and every part is looked at: a name cannot become another host, and a token is only ever
 * attached to a host of Restate Cloud's domain. Of a token only the reference is here.
 */
import type { RestateDeploymentSpec } from "../../../crds/restate-deployment.ts";
import type { CloudEnvironmentView, InProcessTunnel, TokenReference } from "../api.ts";

type Register = RestateDeploymentSpec["restate"]["register"];

/** An admin API, as plans may carry it. */
export interface AdminTarget {
  /** Without a slash at the end. */
  readonly url: string;
  /** Only for Restate Cloud. */
  readonly token?: TokenReference;
}

/** Where to register, or why that cannot be said: a sentence that names field and fix. */
export type AdminTargetResult =
  | { readonly kind: "target"; readonly target: AdminTarget }
  | { readonly kind: "refused"; readonly message: string };

export interface AdminTargetContext {
  /** Domain of the Kubernetes cluster: `cluster.local`. */
  readonly clusterDns: string;
  /** The RestateCloudEnvironment that `register.cloud` names, where it exists. */
  readonly environment?: CloudEnvironmentView;
}

const ADMIN_PORT = 9070;
/** The only domain that gets to see a token of Restate Cloud. */
export const CLOUD_DOMAIN = "restate.cloud";
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const ENVIRONMENT_ID = /^[A-Za-z0-9]([-_A-Za-z0-9]{0,61}[A-Za-z0-9])?$/;
const REGION =
  /^[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?)*$/;
const ADMIN_PATH = /^[-A-Za-z0-9._~!$&()*+,;=:@%/]*$/;

export function adminTargetOf(register: Register, context: AdminTargetContext): AdminTargetResult {
  const { cluster, cloud, service, url } = register;
  if ([cluster, cloud, service, url].filter((way) => way !== undefined).length !== 1) {
    return refused("must have exactly one of cluster, cloud, service and url");
  }
  if (cluster !== undefined) return ofCluster(cluster, context);
  if (cloud !== undefined) return ofCloud(cloud, context);
  return service === undefined ? ofUrl(url ?? "") : ofService(service, context);
}

/** An environment's id without `env_`, as hosts and paths have it. */
export function unprefixedId(environmentId: string): string {
  return environmentId.replace(/^env_/, "");
}

/** What pods need to hold a tunnel to an environment themselves: the id in its `env_` form. */
export function inProcessTunnelOf(environment: CloudEnvironmentView): InProcessTunnel {
  const { environmentId, region, signingPublicKey } = environment;
  return { environmentId: `env_${unprefixedId(environmentId)}`, region, signingPublicKey };
}

/** What is wrong with an environment that hosts, paths and tunnels are made of; `undefined` when nothing is. */
export function environmentProblem(environment: CloudEnvironmentView): string | undefined {
  if (!ENVIRONMENT_ID.test(unprefixedId(environment.environmentId))) {
    return "spec.environmentId must be env_ and then letters and digits";
  }
  if (!REGION.test(environment.region)) {
    return "spec.region must be the name of a region, for example us or eu";
  }
  return /^publickeyv1_[!-~]+$/.test(environment.signingPublicKey)
    ? undefined
    : "spec.signingPublicKey must begin with publickeyv1_";
}

function ofCluster(cluster: string, { clusterDns }: AdminTargetContext): AdminTargetResult {
  return DNS_LABEL.test(cluster)
    ? target(`http://restate.${cluster}.svc.${clusterDns}:${ADMIN_PORT}`)
    : refused("cluster must be the name of a RestateCluster: a DNS label");
}

function ofCloud(name: string, { environment }: AdminTargetContext): AdminTargetResult {
  if (environment === undefined) {
    return refused(`cloud: there is no RestateCloudEnvironment ${name}`);
  }
  const problem = environmentProblem(environment);
  if (problem !== undefined) return refused(`cloud: RestateCloudEnvironment ${name}: ${problem}`);
  const { environmentId, region, token } = environment;
  const host = `${unprefixedId(environmentId)}.env.${region}.${CLOUD_DOMAIN}`.toLowerCase();
  const url = `https://${host}:${ADMIN_PORT}`;
  return URL.parse(url)?.hostname === host
    ? { kind: "target", target: { url, token } }
    : refused(`cloud: RestateCloudEnvironment ${name} does not make a host of ${CLOUD_DOMAIN}`);
}

function ofService(
  service: NonNullable<Register["service"]>,
  { clusterDns }: AdminTargetContext,
): AdminTargetResult {
  const { name, namespace } = service;
  const port = service.port ?? ADMIN_PORT;
  const path = service.path ?? "";
  if (!DNS_LABEL.test(name)) return refused("service.name must be a DNS label");
  if (!DNS_LABEL.test(namespace)) return refused("service.namespace must be a DNS label");
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    return refused("service.port must be between 1 and 65535");
  }
  if (!ADMIN_PATH.test(path) || path.includes("//") || hasDotSegment(path)) {
    return refused("service.path must be a plain URL path such as /restate");
  }
  const below = path.replace(/^\/+|\/+$/g, "");
  const base = `http://${name}.${namespace}.svc.${clusterDns}:${port}`;
  return target(below === "" ? base : `${base}/${below}`);
}

function ofUrl(text: string): AdminTargetResult {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    return refused("url must be an http:// or https:// URL");
  }
  if (url.username !== "" || url.password !== "") return refused("url must not have credentials");
  if (url.search !== "" || url.hash !== "") return refused("url must not have a query or fragment");
  return target(url.href.replace(/\/+$/, ""));
}

/** Whether a path has a segment that a URL parser would resolve away, encoded or not. */
export function hasDotSegment(path: string): boolean {
  return /(^|[\\/])(\.|%2e){1,2}([\\/]|$)/i.test(path);
}

function target(url: string): AdminTargetResult {
  return { kind: "target", target: { url } };
}

function refused(message: string): AdminTargetResult {
  return { kind: "refused", message: `spec.restate.register.${message}` };
}
