/**
 * Canaries: Jobs that run as the cluster's ServiceAccount and succeed when a pod of it gets its cloud identity. What a Job was
 * made for is noted on it, so that a later reconcile knows whether its answer still counts.
 */
import type { V1Job } from "@kubernetes/client-node";
import { digestOf } from "../../core/digest.ts";
import type { Manifest } from "../../core/manifest.ts";
import type { CanaryName, ClusterConfig, ClusterView } from "../api.ts";
import { cloudRequestOf } from "./cloud-request.ts";
import { childMetadata } from "./metadata.ts";

/** Digest of the identity that was tried. */
export const CANARY_IDENTITY_ANNOTATION = "restate.dev/canary-identity";
/** Digest of how it was tried: another image or other tolerations may have another result. */
export const CANARY_TEMPLATE_ANNOTATION = "restate.dev/canary-template";
/** How many Jobs in a row this is, from 1. */
export const CANARY_ATTEMPT_ANNOTATION = "restate.dev/canary-attempt";

const ACTIVE_DEADLINE_SECONDS = 300;
const METADATA_TOKEN_URL =
  "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token";

const COMMANDS: Readonly<Record<CanaryName, readonly string[]>> = {
  "restate-pia-canary": [
    "grep",
    "-q",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "/proc/self/environ",
  ],
  "restate-wi-canary": [
    "wget",
    "--header",
    "Metadata-Flavor: Google",
    "-q",
    "-O",
    "/dev/null",
    METADATA_TOKEN_URL,
  ],
};

/** A canary as it is to be made now. */
export interface CanaryWanted {
  readonly name: CanaryName;
  readonly identity: string;
  readonly template: string;
}

/** `undefined` where the cluster does not ask for the identity that this canary tries. */
export function wantedCanary(
  cluster: Pick<ClusterView, "spec">,
  config: ClusterConfig,
  name: CanaryName,
): CanaryWanted | undefined {
  const { podIdentity, workloadIdentity } = cloudRequestOf(cluster, config);
  const identity = name === "restate-pia-canary" ? podIdentity : workloadIdentity;
  if (identity === undefined) return undefined;
  return {
    name,
    identity: digestOf(identity),
    template: digestOf([config.canaryImage, cluster.spec.compute.tolerations ?? []]),
  };
}

/** The Job; `undefined` where it is not asked for. */
export function buildCanary(
  cluster: ClusterView,
  config: ClusterConfig,
  { name, attempt }: { readonly name: CanaryName; readonly attempt: number },
): Manifest<V1Job> | undefined {
  const wanted = wantedCanary(cluster, config, name);
  if (wanted === undefined) return undefined;
  const metadata = childMetadata(cluster, {
    name,
    annotations: {
      [CANARY_IDENTITY_ANNOTATION]: wanted.identity,
      [CANARY_TEMPLATE_ANNOTATION]: wanted.template,
      [CANARY_ATTEMPT_ANNOTATION]: String(attempt),
    },
  });
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { ...metadata, labels: { ...metadata.labels, "app.kubernetes.io/name": name } },
    spec: {
      backoffLimit: 1,
      activeDeadlineSeconds: ACTIVE_DEADLINE_SECONDS,
      template: {
        spec: {
          serviceAccountName: "restate",
          restartPolicy: "Never",
          tolerations: cluster.spec.compute.tolerations ?? undefined,
          containers: [{ name: "canary", image: config.canaryImage, command: COMMANDS[name] }],
        },
      },
    },
  };
}
