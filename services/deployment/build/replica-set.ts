/**
 * The ReplicaSet of a version, and with it the pod template. Created once and never changed but for its scale and its own
 * annotations and labels: template and selector are what the version is.
 *
 * It refuses (`replicaSetProblem`) what the API server or the pods would refuse later and less clearly.
 */
import type { V1ReplicaSet } from "@kubernetes/client-node";
import type { Manifest } from "../../core/manifest.ts";
import type { DeploymentView, InProcessTunnel } from "../api.ts";
import { podTemplateJson } from "../plan/version-hash.ts";
import {
  POD_TEMPLATE_ANNOTATION,
  POD_TEMPLATE_HASH_LABEL,
  TUNNEL_NAME_ANNOTATION,
  allowLabel,
  ownerOf,
  ownershipLabels,
  versionLabels,
  type VersionView,
} from "./metadata.ts";
import { podSpecWith, variablesOf } from "./pod-spec.ts";

const IN_PROCESS = "in-process";

/** Variables by which pods that hold their own tunnel learn who they are. */
const TUNNEL_VARIABLES = [
  "RESTATE_INPROC_TUNNEL_NAME",
  "RESTATE_INPROC_ENVIRONMENT_ID",
  "RESTATE_INPROC_CLOUD_REGION",
  "RESTATE_INPROC_SIGNING_PUBLIC_KEY",
] as const;

export interface ReplicaSetOptions {
  readonly version: VersionView;
  readonly replicas: number;
  /** Only in tunnel mode `in-process`. */
  readonly tunnel?: InProcessTunnel;
}

export function buildReplicaSet(
  deployment: DeploymentView,
  { version, replicas, tunnel }: ReplicaSetOptions,
): Manifest<V1ReplicaSet> {
  const { spec } = deployment;
  const { template } = spec;
  const ofVersion = { [POD_TEMPLATE_HASH_LABEL]: version.hash, ...allowLabel(deployment) };
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: {
      name: version.name,
      namespace: deployment.namespace,
      labels: { ...template.metadata?.labels, ...ownershipLabels(deployment), ...ofVersion },
      annotations: {
        ...deployment.annotations,
        [POD_TEMPLATE_ANNOTATION]: podTemplateJson(template),
        ...(tunnel === undefined ? {} : { [TUNNEL_NAME_ANNOTATION]: version.name }),
      },
      ownerReferences: [ownerOf(deployment)],
    },
    spec: {
      replicas,
      minReadySeconds: spec.minReadySeconds ?? undefined,
      selector: {
        matchLabels: versionLabels(deployment, version),
        matchExpressions: spec.selector?.matchExpressions,
      },
      template: {
        metadata: {
          annotations: template.metadata?.annotations ?? undefined,
          labels: { ...template.metadata?.labels, ...ofVersion },
        },
        spec: podSpecWith(template.spec, tunnelVariables(version, tunnel)),
      },
    },
  };
}

/** What stands in the way of making this version at all: names the field and the fix. */
export function replicaSetProblem(
  deployment: DeploymentView,
  tunnel: InProcessTunnel | undefined,
): string | undefined {
  const { selector, template } = deployment.spec;
  const labels = template.metadata?.labels ?? {};
  const missing = Object.entries(selector?.matchLabels ?? {}).find(
    ([key, value]) => labels[key] !== value,
  );
  if (missing !== undefined) {
    return `spec.selector.matchLabels: the pods do not have ${missing[0]}=${missing[1]}; add it to spec.template.metadata.labels`;
  }
  if (tunnel === undefined) return undefined;
  const set = variablesOf(template.spec);
  const taken = TUNNEL_VARIABLES.find((variable) => set.includes(variable));
  return taken === undefined
    ? undefined
    : `spec.template.spec: ${taken} is set by the operator in tunnel mode ${IN_PROCESS}; remove it`;
}

function tunnelVariables(
  version: VersionView,
  tunnel: InProcessTunnel | undefined,
): readonly object[] {
  if (tunnel === undefined) return [];
  const { environmentId, region, signingPublicKey } = tunnel;
  const values = [version.name, environmentId, region, signingPublicKey];
  return TUNNEL_VARIABLES.map((name, index) => ({ name, value: values[index] }));
}
