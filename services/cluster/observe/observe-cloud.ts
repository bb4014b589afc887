/**
 * What is known of a cluster's cloud identities and of the other kinds of other projects that it asks for. A kind is looked at
 * only where the operator is set up to write it, and only while the cluster asks for it, is remembered to have asked, or
 * nothing is remembered: what is not used costs no request and needs no permission.
 */
import type { V1Job } from "@kubernetes/client-node";
import type { RestateCluster } from "../../../crds/restate-cluster.ts";
import { keyOf, type AppliedObjects, type ObservedObject } from "../../core/children.ts";
import type { KubeClient } from "../../kube/client.ts";
import { KubeError } from "../../kube/errors.ts";
import { refTo, type ForeignObject } from "../../kube/kinds.ts";
import { observedObjectOf } from "../../kube/observed.ts";
import type { CanaryName, ClusterConfig, ForeignKind } from "../api.ts";
import {
  CANARY_ATTEMPT_ANNOTATION,
  CANARY_IDENTITY_ANNOTATION,
  CANARY_TEMPLATE_ANNOTATION,
} from "../build/canary.ts";
import { cloudRequestOf, isAskedFor, managedForeignKinds } from "../build/cloud-request.ts";
import { FOREIGN_NAMES } from "../build/foreign-objects.ts";

export interface ObservedCanary {
  readonly name: CanaryName;
  readonly uid: string;
  readonly controllerUid?: string;
  readonly deleting: boolean;
  readonly state: "running" | "complete" | "failed";
  readonly createdAtMs: number;
  /** When it failed. */
  readonly failedAtMs?: number;
  /** Its pod has been given the volume of the identity: the answer is known before the pod has run. */
  readonly injected: boolean;
  /** What it was made for; absent on one of another operator. */
  readonly identity?: string;
  readonly template?: string;
  readonly attempt: number;
}

export interface ObservedCloud {
  /** Kinds that were looked for and are installed. */
  readonly installed: readonly ForeignKind[];
  readonly objects: readonly ObservedObject[];
  /** Kinds whose object its controller has carried out. */
  readonly synced: readonly ForeignKind[];
  readonly canaries: readonly ObservedCanary[];
}

export interface CloudQuestion {
  readonly config: ClusterConfig;
  /** What is remembered of this very resource. */
  readonly applied: AppliedObjects;
}

/** Condition by which a controller says that it has carried out an object. */
const SYNCED_CONDITIONS: Readonly<Partial<Record<ForeignKind, string>>> = {
  PodIdentityAssociation: "ACK.ResourceSynced",
  IAMPolicyMember: "Ready",
};

/** The canary that tries what an object of a kind gives. */
const CANARIES: Readonly<Partial<Record<ForeignKind, CanaryName>>> = {
  PodIdentityAssociation: "restate-pia-canary",
  IAMPolicyMember: "restate-wi-canary",
};
const IDENTITY_TOKEN_VOLUME = "eks-pod-identity-token";
const FORBIDDEN = 403;

export async function observeCloud(
  kube: KubeClient,
  cluster: RestateCluster,
  { config, applied }: CloudQuestion,
): Promise<ObservedCloud> {
  const { name } = cluster.metadata;
  const request = cloudRequestOf(cluster, config);
  const nothingRemembered = Object.keys(applied).length === 0;
  const isRemembered = (kind: "Job" | ForeignKind, object: string): boolean =>
    nothingRemembered || applied[keyOf(refTo(kind, object, name))] !== undefined;
  const looks = managedForeignKinds(config).map(async (kind) => {
    const asked = isAskedFor(kind, request);
    const canary = CANARIES[kind];
    const [found, job] = await Promise.all([
      asked || isRemembered(kind, FOREIGN_NAMES[kind])
        ? lookAt(kube, { kind, namespace: name, asked })
        : NOT_LOOKED,
      canary !== undefined && (asked || isRemembered("Job", canary))
        ? observeCanary(kube, canary, name)
        : undefined,
    ]);
    return { kind, ...found, job };
  });
  const found = await Promise.all(looks);
  return {
    installed: found.flatMap(({ kind, installed }) => (installed ? [kind] : [])),
    objects: found.flatMap(({ kind, live }) =>
      live === undefined ? [] : [observedObjectOf(kind, live)],
    ),
    synced: found.flatMap(({ kind, live }) => (isSynced(kind, live) ? [kind] : [])),
    canaries: found.flatMap(({ job }) => job ?? []),
  };
}

interface Look {
  readonly installed: boolean;
  readonly live?: ForeignObject | undefined;
}

const NOT_LOOKED: Look = { installed: false };

/** Where the object is only looked for to be removed, an operator that may not look at it has not made it either. */
async function lookAt(
  kube: KubeClient,
  which: { readonly kind: ForeignKind; readonly namespace: string; readonly asked: boolean },
): Promise<Look> {
  const { kind, namespace, asked } = which;
  if (!(await kube.serves(kind, { asked }))) return NOT_LOOKED;
  try {
    return { installed: true, live: await kube.get(kind, FOREIGN_NAMES[kind], namespace) };
  } catch (error) {
    if (!asked && error instanceof KubeError && error.status === FORBIDDEN) return NOT_LOOKED;
    throw error;
  }
}

function isSynced(kind: ForeignKind, live: ForeignObject | undefined): boolean {
  const type = SYNCED_CONDITIONS[kind];
  return (live?.status?.conditions ?? []).some(
    (condition) => condition.type === type && condition.status === "True",
  );
}

async function observeCanary(
  kube: KubeClient,
  name: CanaryName,
  namespace: string,
): Promise<ObservedCanary | undefined> {
  const job = await kube.get("Job", name, namespace);
  if (job === undefined) return undefined;
  const canary = observedCanaryOf(name, job);
  if (canary.state !== "running" || name !== "restate-pia-canary") return canary;
  const labels = { "batch.kubernetes.io/controller-uid": canary.uid };
  const pods = await kube.list({ kind: "Pod", namespace, labels });
  const injected = pods.some(({ spec }) =>
    (spec?.volumes ?? []).some((volume) => volume.name === IDENTITY_TOKEN_VOLUME),
  );
  return { ...canary, injected };
}

function observedCanaryOf(name: CanaryName, job: V1Job): ObservedCanary {
  const { uid, controllerUid, deleting, annotations } = observedObjectOf("Job", job);
  const ended = (type: string) =>
    job.status?.conditions?.find(
      (condition) => condition.type === type && condition.status === "True",
    );
  const failed = ended("Failed");
  const createdAtMs = timeOf(job.metadata?.creationTimestamp) ?? 0;
  const identity = annotations[CANARY_IDENTITY_ANNOTATION];
  const template = annotations[CANARY_TEMPLATE_ANNOTATION];
  return {
    name,
    uid,
    ...(controllerUid === undefined ? {} : { controllerUid }),
    deleting,
    state:
      ended("Complete") !== undefined ? "complete" : failed === undefined ? "running" : "failed",
    createdAtMs,
    ...(failed === undefined
      ? {}
      : { failedAtMs: timeOf(failed.lastTransitionTime) ?? createdAtMs }),
    injected: false,
    ...(identity === undefined ? {} : { identity }),
    ...(template === undefined ? {} : { template }),
    attempt: attemptOf(annotations[CANARY_ATTEMPT_ANNOTATION]),
  };
}

/** Anybody can write an annotation: what is no count counts as the first. */
function attemptOf(annotation: string | undefined): number {
  const attempt = Number(annotation);
  return Number.isSafeInteger(attempt) && attempt > 0 ? attempt : 1;
}

/** The client's model says Date, the wire brings text. */
function timeOf(instant: Date | string | undefined): number | undefined {
  return instant === undefined ? undefined : new Date(instant).getTime();
}
