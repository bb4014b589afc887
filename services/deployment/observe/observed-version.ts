/** One version, projected from its ReplicaSet, its autoscaler and what Restate says, to what decides. */
import type { V1ReplicaSet } from "@kubernetes/client-node";
import { z } from "zod";
import type { RestateDeployment } from "../../../crds/restate-deployment.ts";
import {
  fingerprintOf,
  keyOf,
  type AppliedObjects,
  type ObservedObject,
} from "../../core/children.ts";
import { digestOf } from "../../core/digest.ts";
import { inherited } from "../../core/inherit.ts";
import { ANNOTATIONS_MANAGER, FIELD_MANAGER } from "../../kube/field-managers.ts";
import { annotationsOf } from "../../kube/managed-fields.ts";
import type {
  DeploymentConfig,
  GateView,
  ObservedVersion,
  Rejection,
  VersionRegistration,
} from "../api.ts";
import { buildHpa } from "../build/horizontal-pod-autoscaler.ts";
import {
  ABORT_ANNOTATION,
  ADMIN_URL_ANNOTATION,
  ALLOW_PREFIX,
  DEPLOYMENT_ID_ANNOTATION,
  GATE_CHECKED_ANNOTATION,
  GATE_PASSED_ANNOTATION,
  LATEST_LABEL,
  POD_TEMPLATE_ANNOTATION,
  POD_TEMPLATE_HASH_LABEL,
  PROMOTE_ANNOTATION,
  REJECTED_ANNOTATION,
  REMOVE_VERSION_AT_ANNOTATION,
  SERVED_ANNOTATION,
  type ServedVersion,
} from "../build/metadata.ts";
import { targetPortOf } from "../build/service.ts";
import { podTemplateJson } from "../plan/version-hash.ts";
import { deploymentViewOf } from "../plan/view.ts";
import { adminTargetOf } from "./admin-target.ts";
import { refusedTarget } from "./refused-target.ts";
import type { Registry } from "./registry.ts";

/** A version's ReplicaSet, as far as more than its version is needed of it. */
export interface VersionObject extends ServedVersion {
  readonly uid: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** Keys of the annotations that it has from the resource. */
  readonly inherited: readonly string[];
  /** Admin API of the Restate that the version is, or would be, registered with. */
  readonly adminUrl?: string;
}

/** The ReplicaSet of a version. `adminUrl`: of the Restate that has it, or would. */
export function versionObjectOf(live: V1ReplicaSet, adminUrl: string | undefined): VersionObject {
  const { name = "", uid = "", labels = {}, annotations = {} } = live.metadata ?? {};
  const managed = annotationsOf(live.metadata ?? {}, [FIELD_MANAGER, ANNOTATIONS_MANAGER]);
  return {
    name,
    uid,
    hash: labels[POD_TEMPLATE_HASH_LABEL] ?? "",
    annotations,
    inherited: managed.filter((key) => key in inherited(annotations)),
    matchLabels: live.spec?.selector.matchLabels ?? {},
    targetPort: targetPortOf(live.spec?.template?.spec),
    ...(adminUrl === undefined ? {} : { adminUrl }),
  };
}

/**
 * Where an older version was registered: as noted on it, or as the label for its cluster says (of a version that was made
 * before the operator noted it).
 */
export function registeredAt(
  { metadata }: V1ReplicaSet,
  { clusterDns, targets }: DeploymentConfig,
): string | undefined {
  const noted = metadata?.annotations?.[ADMIN_URL_ANNOTATION];
  if (noted !== undefined) return refusedTarget(noted, targets) === undefined ? noted : undefined;
  const label = Object.keys(metadata?.labels ?? {}).find((key) => key.startsWith(ALLOW_PREFIX));
  if (label === undefined) return undefined;
  const result = adminTargetOf({ cluster: label.slice(ALLOW_PREFIX.length) }, { clusterDns });
  return result.kind === "target" ? result.target.url : undefined;
}

/**
 * Whether a version is registered with another Restate than the one the resource names by now. It cannot be the version that
 * is asked for: its work is there, and has to be waited for there (V2). With `register.cluster` this cannot be, because the
 * name of the cluster is part of the version's name.
 */
export function isElsewhere(
  { metadata }: V1ReplicaSet,
  { spec }: RestateDeployment,
  adminUrl: string | undefined,
): boolean {
  const { annotations = {} } = metadata ?? {};
  const noted = annotations[ADMIN_URL_ANNOTATION];
  return (
    spec.restate.register.cluster === undefined &&
    annotations[DEPLOYMENT_ID_ANNOTATION] !== undefined &&
    noted !== undefined &&
    adminUrl !== undefined &&
    noted !== adminUrl
  );
}

/** uid of the controller of a ReplicaSet. */
export function controllerOf({ metadata }: V1ReplicaSet): string | undefined {
  return metadata?.ownerReferences?.find(({ controller }) => controller === true)?.uid;
}

/** Whether a version has ever been registered. */
export function hasServed({ metadata }: V1ReplicaSet): boolean {
  const { annotations = {} } = metadata ?? {};
  return (
    annotations[SERVED_ANNOTATION] === "true" || annotations[DEPLOYMENT_ID_ANNOTATION] !== undefined
  );
}

/** What is to be decided about a version. */
export function observedVersionOf(
  live: V1ReplicaSet,
  deployment: RestateDeployment,
  seen: {
    readonly current: string;
    /** It is registered with another Restate than is asked for. */
    readonly moved: boolean;
    readonly registry: Registry | undefined;
    readonly hpa: ObservedObject | undefined;
    /** Of the current version, where there is one. */
    readonly gateJob?: GateView["job"];
    readonly applied: AppliedObjects;
  },
): ObservedVersion {
  const { metadata, status } = live;
  const { name = "", uid = "", labels = {}, annotations = {} } = metadata ?? {};
  const removeAtMs = Date.parse(annotations[REMOVE_VERSION_AT_ANNOTATION] ?? "");
  const deploymentId = annotations[DEPLOYMENT_ID_ANNOTATION];
  const rejected = abortedBy(name, deployment) ?? rejectionOf(annotations, deployment);
  const { hpa, applied } = seen;
  return {
    name,
    uid,
    createdAtMs: new Date(metadata?.creationTimestamp ?? 0).getTime(),
    isCurrent: name === seen.current,
    podTemplateMatches:
      !seen.moved &&
      annotations[POD_TEMPLATE_ANNOTATION] === podTemplateJson(deployment.spec.template),
    generation: metadata?.generation ?? 0,
    ...(status?.observedGeneration === undefined
      ? {}
      : { observedGeneration: status.observedGeneration }),
    specReplicas: live.spec?.replicas ?? 1,
    statusReplicas: status?.replicas ?? 0,
    readyReplicas: status?.readyReplicas ?? 0,
    availableReplicas: status?.availableReplicas ?? 0,
    deleting: metadata?.deletionTimestamp !== undefined,
    labelledLatest: labels[LATEST_LABEL] === "true",
    ...(deploymentId === undefined ? {} : { deploymentId }),
    ...(Number.isNaN(removeAtMs) ? {} : { removeAtMs }),
    registration: registrationOfVersion(name, seen.registry),
    ...(hpa === undefined
      ? {}
      : {
          hpa: {
            deleting: hpa.deleting,
            upToDate: isHpaUpToDate(deployment, hpa, applied),
          },
        }),
    ...(rejected === undefined ? {} : { rejected }),
    served: hasServed(live),
    gate: {
      checked: annotations[GATE_CHECKED_ANNOTATION] === "true",
      passed:
        annotations[GATE_PASSED_ANNOTATION] === "true" ||
        deployment.metadata.annotations?.[PROMOTE_ANNOTATION] === name,
      ...(seen.gateJob === undefined ? {} : { job: seen.gateJob }),
    },
  };
}

/** Whether an autoscaler is what was applied, and that is what is asked for. */
function isHpaUpToDate(
  deployment: RestateDeployment,
  hpa: ObservedObject,
  applied: AppliedObjects,
): boolean {
  const manifest = buildHpa(deploymentViewOf(deployment), { name: hpa.ref.name });
  const before = applied[keyOf(hpa.ref)];
  return (
    manifest !== undefined &&
    before?.manifest === digestOf(manifest) &&
    before.live === fingerprintOf(hpa, manifest)
  );
}

/** The user's own word on a version. */
function abortedBy(name: string, { metadata }: RestateDeployment): Rejection | undefined {
  if (metadata.annotations?.[ABORT_ANNOTATION] !== name) return undefined;
  const message = `${name} was given up by the annotation ${ABORT_ANNOTATION}`;
  return { reason: "Aborted", atMs: 0, message };
}

/** A refusal that was noted for the present generation. */
function rejectionOf(
  annotations: Readonly<Record<string, string>>,
  { metadata }: RestateDeployment,
): Rejection | undefined {
  const noted = parseRejection(annotations[REJECTED_ANNOTATION]);
  return noted?.generation === metadata.generation
    ? { reason: "AdminCallRejected", atMs: noted.atMs, message: noted.message }
    : undefined;
}

/** What is kept of a refusal on the version it is about. */
const NotedRejection = z.object({ generation: z.number(), atMs: z.number(), message: z.string() });
export type NotedRejection = Readonly<z.infer<typeof NotedRejection>>;

function parseRejection(text: string | undefined): NotedRejection | undefined {
  if (text === undefined) return undefined;
  try {
    return NotedRejection.parse(JSON.parse(text));
  } catch {
    // Not what the operator wrote: as if nothing had been noted.
    return undefined;
  }
}

function registrationOfVersion(name: string, registry: Registry | undefined): VersionRegistration {
  if (registry?.kind !== "read") return { kind: "unknown" };
  const entry = registry.entries.find(({ version }) => version === name);
  if (entry === undefined) return { kind: "absent" };
  const routed = entry.services.filter((service) => registry.routes.get(service) === entry.id);
  return {
    kind: "registered",
    deploymentId: entry.id,
    services: entry.services.length,
    routed: routed.length,
  };
}
