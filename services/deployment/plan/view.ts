/** The resource as the builders of its children see it, and its spec with every default in its place. */
import type { RestateDeployment, RestateDeploymentSpec } from "../../../crds/restate-deployment.ts";
import { inherited } from "../../core/inherit.ts";
import type { DeploymentView, GateKind } from "../api.ts";

/** The resource as builders see it. */
export function deploymentViewOf({ metadata, spec }: RestateDeployment): DeploymentView {
  return {
    name: metadata.name,
    namespace: metadata.namespace,
    uid: metadata.uid,
    labels: inherited(metadata.labels),
    annotations: inherited(metadata.annotations),
    spec,
  };
}

const DRAIN_DELAY_SECONDS = 300;
const MAX_VERSIONS = 20;
const PROGRESS_DEADLINE_SECONDS = 600;
const DRAIN_TIMEOUT_SECONDS = 3600;

/** What versions are decided by. */
export function versionSettings(spec: RestateDeploymentSpec) {
  const { restate, replicas, revisionHistoryLimit, autoscaling } = spec;
  const gate = gateOf(spec);
  const { maxAgeSeconds, onMaxAge } = restate.drain ?? {};
  return {
    replicas,
    revisionHistoryLimit,
    drainDelaySeconds: restate.drainDelaySeconds ?? DRAIN_DELAY_SECONDS,
    autoscaling: autoscaling !== undefined,
    maxVersions: restate.maxVersions ?? MAX_VERSIONS,
    paused: spec.paused ?? false,
    progressDeadlineSeconds: spec.progressDeadlineSeconds ?? PROGRESS_DEADLINE_SECONDS,
    ...(gate === undefined ? {} : { gate }),
    ...(maxAgeSeconds == null ? {} : { remedy: { action: onMaxAge ?? "alert", maxAgeSeconds } }),
  };
}

/** What a new version waits for; a gated rollout without a gate waits for a person. */
export function gateOf({ restate: { rollout } }: RestateDeploymentSpec): GateKind | undefined {
  if (rollout?.strategy !== "gated") return undefined;
  if (rollout.gate?.job !== undefined) return "job";
  return rollout.gate?.http === undefined ? "manual" : "http";
}

/** What a deletion is decided by. */
export function deletionPolicy({ restate: { deletePolicy, drain } }: RestateDeploymentSpec) {
  return {
    deletePolicy: deletePolicy ?? "drain",
    timeoutSeconds: drain?.timeoutSeconds ?? DRAIN_TIMEOUT_SECONDS,
    onTimeout: drain?.onTimeout ?? "hold",
    onUnreachable: drain?.onUnreachable ?? "hold",
  } as const;
}
