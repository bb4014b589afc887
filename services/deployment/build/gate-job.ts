/**
 * The Job that decides whether a version takes over. It has the version's name, belongs to the version's ReplicaSet, and is
 * told where the version is; what it does there is its user's.
 */
import type { V1Job } from "@kubernetes/client-node";
import type { Manifest } from "../../core/manifest.ts";
import type { DeploymentView } from "../api.ts";
import { allowLabel, ownershipLabels, versionOwner, type VersionView } from "./metadata.ts";
import { podSpecWith } from "./pod-spec.ts";

export interface GateJobOptions {
  readonly version: VersionView;
  /** uid of the version's ReplicaSet. */
  readonly replicaSetUid: string;
  /** URL of the version's pods. */
  readonly url: string;
}

/** `undefined` where `spec.restate.rollout.gate.job` is absent. */
export function buildGateJob(
  deployment: DeploymentView,
  { version, replicaSetUid, url }: GateJobOptions,
): Manifest<V1Job> | undefined {
  const job = deployment.spec.restate.rollout?.gate?.job;
  if (job === undefined) return undefined;
  const { metadata, spec } = job.template;
  const variables = [
    { name: "RESTATE_VERSION", value: version.name },
    { name: "RESTATE_VERSION_URL", value: url },
  ];
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: version.name,
      namespace: deployment.namespace,
      labels: { ...deployment.labels, ...ownershipLabels(deployment) },
      annotations: deployment.annotations,
      ownerReferences: [versionOwner(version, replicaSetUid)],
    },
    spec: {
      backoffLimit: job.backoffLimit ?? 0,
      template: {
        metadata: {
          annotations: metadata?.annotations ?? undefined,
          labels: { ...metadata?.labels, ...allowLabel(deployment) },
        },
        spec: podSpecWith({ restartPolicy: "Never", ...spec }, variables),
      },
    },
  };
}
