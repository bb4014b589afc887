/**
 * The Job that decides whether a version takes over. It has the version's name, belongs to the version's ReplicaSet, and is
 * told where the version is; what it does there is its user's.
 */
import type { V1Job, V1PodSpec } from "@kubernetes/client-node";
import type { Manifest } from "../../core/manifest.ts";
import type { DeploymentView } from "../api.ts";
import { allowLabel, ownershipLabels, versionOwner, type VersionView } from "./metadata.ts";

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
  const podSpec = {
    restartPolicy: "Never",
    ...spec,
    containers: containersOf(spec).map((container) => withVariables(container, variables)),
  };
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
        // A pod spec is the user's: passed through, and looked at by the API server alone.
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion
        spec: podSpec as object as Manifest<V1PodSpec>,
      },
    },
  };
}

type Container = Readonly<Record<string, unknown>>;

function containersOf({ containers }: Readonly<Record<string, unknown>>): Container[] {
  return Array.isArray(containers) ? containers.filter(isContainer) : [];
}

function isContainer(value: unknown): value is Container {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Before the user's own, so that those can refer to them. */
function withVariables(container: Container, variables: readonly object[]): Container {
  const { env } = container;
  return { ...container, env: [...variables, ...(Array.isArray(env) ? (env as unknown[]) : [])] };
}
