/**
 * The URL under which Restate knows a version (contract, section 3). It is the version's identity on the other side: another
 * URL is another deployment. `servicePath` only ever appends to it.
 */
import type { CloudEnvironmentView } from "../api.ts";
import { SERVICE_PORT } from "../build/service.ts";
import { CLOUD_DOMAIN, environmentProblem, hasDotSegment, unprefixedId } from "./admin-target.ts";

export interface DeploymentUrlQuestion {
  /** Name of the version. */
  readonly version: string;
  readonly namespace: string;
  /** Domain of the Kubernetes cluster: `cluster.local`. */
  readonly clusterDns: string;
  readonly servicePath?: string | undefined;
  /** Only for `register.cloud`: Restate Cloud reaches the pods through a tunnel. */
  readonly tunnel?: {
    readonly environment: CloudEnvironmentView;
    readonly mode: "external" | "in-process";
  };
}

/** The URL, or why there is none: a sentence that names field and fix. */
export type DeploymentUrlResult =
  | { readonly kind: "url"; readonly url: string }
  | { readonly kind: "refused"; readonly message: string };

const TUNNEL_PORT = 9080;
/** Where an in-process tunnel ends: never dialled, but part of the identity. */
const IN_PROCESS_DESTINATION = "http/in-process/9080";

export function deploymentUrlOf(question: DeploymentUrlQuestion): DeploymentUrlResult {
  const problem =
    question.tunnel === undefined ? undefined : environmentProblem(question.tunnel.environment);
  if (problem !== undefined) {
    return { kind: "refused", message: `spec.restate.register.cloud: ${problem}` };
  }
  const base = `${baseOf(question)}/`;
  const path = appendedPath(question.servicePath ?? "");
  const url = URL.parse(base + path)?.href;
  // What the parser makes of it must be what was put together: nothing resolved away, no other host.
  if (hasDotSegment(path) || url?.toLowerCase().startsWith(base.toLowerCase()) !== true) {
    return {
      kind: "refused",
      message: "spec.restate.servicePath must be a plain URL path such as /v1, without '..'",
    };
  }
  return { kind: "url", url };
}

function baseOf({ version, namespace, clusterDns, tunnel }: DeploymentUrlQuestion): string {
  const host = `${version}.${namespace}.svc.${clusterDns}`;
  if (tunnel === undefined) return `http://${host}:${SERVICE_PORT}`;
  const { environmentId, region, uid } = tunnel.environment;
  const proxy = `https://tunnel.${region}.${CLOUD_DOMAIN}:${TUNNEL_PORT}/${unprefixedId(environmentId)}`;
  return tunnel.mode === "in-process"
    ? `${proxy}/${version}/${IN_PROCESS_DESTINATION}`
    : `${proxy}/${uid}/http/${host}/${SERVICE_PORT}`;
}

/** A path as it is appended: without slashes in front, and with nothing in it that would end the path. */
function appendedPath(servicePath: string): string {
  return servicePath.replace(/^\/+/, "").replaceAll("?", "%3F").replaceAll("#", "%23");
}
