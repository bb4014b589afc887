/**
 * The Service of a version, by which Restate reaches exactly its pods. It belongs to the version's ReplicaSet and goes with
 * it.
 */
import type { V1Service } from "@kubernetes/client-node";
import type { Manifest } from "../../core/manifest.ts";
import type { DeploymentView } from "../api.ts";
import {
  DEPLOYMENT_ID_ANNOTATION,
  LATEST_LABEL,
  ownershipLabels,
  versionOwner,
  type ServedVersion,
} from "./metadata.ts";

/** Port of every version's Service, and of the stable one. */
export const SERVICE_PORT = 9080;
const PORT_NAME = "restate";

/** What a version's Service says about the version beside leading to it. */
export interface VersionServiceOptions {
  /** uid of the version's ReplicaSet, which must exist before its Service. */
  readonly replicaSetUid: string;
  readonly latest: boolean;
  /** Restate's id of the version, while it is registered. */
  readonly deploymentId?: string;
}

export function buildVersionService(
  deployment: DeploymentView,
  version: ServedVersion,
  { replicaSetUid, latest, deploymentId }: VersionServiceOptions,
): Manifest<V1Service> {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: version.name,
      namespace: deployment.namespace,
      labels: {
        ...deployment.labels,
        ...ownershipLabels(deployment),
        ...(latest ? { [LATEST_LABEL]: "true" } : {}),
      },
      annotations: {
        ...deployment.annotations,
        ...(deploymentId === undefined ? {} : { [DEPLOYMENT_ID_ANNOTATION]: deploymentId }),
      },
      ownerReferences: [versionOwner(version, replicaSetUid)],
    },
    spec: {
      selector: version.matchLabels,
      ports: [servicePort(version)],
    },
  };
}

export function servicePort({ targetPort }: Pick<ServedVersion, "targetPort">) {
  return { name: PORT_NAME, port: SERVICE_PORT, targetPort };
}

/** The container port named `restate`, else the first port, else 9080. */
export function targetPortOf(podSpec: unknown): number {
  const ports = containerPorts(podSpec);
  const target = ports.find(({ name }) => name === PORT_NAME) ?? ports[0];
  return target?.containerPort ?? SERVICE_PORT;
}

interface ContainerPort {
  readonly name: unknown;
  readonly containerPort: number;
}

function containerPorts(podSpec: unknown): ContainerPort[] {
  return listIn(podSpec, "containers")
    .flatMap((container) => listIn(container, "ports"))
    .flatMap(({ name, containerPort }) =>
      typeof containerPort === "number" ? [{ name, containerPort }] : [],
    );
}

function listIn(value: unknown, member: string): Readonly<Record<string, unknown>>[] {
  if (!isObject(value)) return [];
  const list = value[member];
  return Array.isArray(list) ? list.filter(isObject) : [];
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
