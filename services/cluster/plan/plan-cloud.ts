/**
 * Cloud identities of a cluster, decided: what is made and removed for them, what the cluster's pods wait for meanwhile, and
 * what of the specification cannot be carried out here and is said to be ignored. A pure function of what was observed.
 *
 * I1 The StatefulSet is not written before its controller has carried out the identity and a canary has got it: a pod that
 *    starts without keeps running without. I2 A canary that failed is made again later each time, never at once: 30 s after
 *    its failure, then twice as long, up to ten minutes; meanwhile it stays, to be looked into. I3 A canary counts for the
 *    identity it tried. I4 What pods rely on already is not taken from them because the kind it came from is gone: that
 *    would restart them, and without their key.
 */
import { CHANGED, type ChildAction } from "../../core/children.ts";
import { timestampOf } from "../../core/conditions.ts";
import type { Waiting } from "../../core/outcome.ts";
import type { EventClaim } from "../../core/plan.ts";
import type { ObjectRef } from "../../core/resource.ts";
import {
  FOREIGN_KINDS,
  type CanaryName,
  type ClusterAction,
  type ClusterConfig,
  type ClusterReason,
  type ForeignKind,
} from "../api.ts";
import { wantedCanary, type CanaryWanted } from "../build/canary.ts";
import { cloudRequestOf, isAskedFor } from "../build/cloud-request.ts";
import type { ObservedCanary, ObservedCloud } from "../observe/observe-cloud.ts";
import type { ObservedCluster } from "../observe/observe.ts";

/** As every waiting cluster (contract, section 2). */
const WAITING_MS = 60_000;
/** A canary that runs is looked at again after half its age, within these bounds: its pods are not watched. */
const CANARY_POLL_MIN_MS = 2_000;
const CANARY_POLL_MAX_MS = 30_000;
const DELETING_MS = 2_000;
/** When what a controller says of an object that was changed is looked at: it says nothing of which version it means. */
const CHANGED_MS = 5_000;
const CANARY_BACKOFF_MS = 30_000;
const CANARY_BACKOFF_MAX_MS = 600_000;

export interface CloudQuestion {
  readonly observed: ObservedCluster;
  readonly config: ClusterConfig;
  readonly nowMs: number;
}

/** Something of the specification that is left out, as condition and event say it. */
export interface Ignored {
  readonly reason: string;
  readonly message: string;
}

export interface CloudPlan {
  /** To be carried out before anything else: objects and Jobs that are no longer asked for. */
  readonly removals: readonly ChildAction[];
  /** To be carried out after the children: canaries. */
  readonly canaries: readonly ClusterAction[];
  /** What the pods wait for (I1). */
  readonly waiting?: Waiting<ClusterReason>;
  readonly ignored: readonly Ignored[];
}

const NOTHING_OBSERVED: ObservedCloud = { installed: [], objects: [], synced: [], canaries: [] };

function cloudOf({ cloud }: ObservedCluster): ObservedCloud {
  return cloud ?? NOTHING_OBSERVED;
}

/** Kinds that pods may rely on: the installed ones, and what they rely on already (I4). */
export function kindsInPods(observed: ObservedCluster): ForeignKind[] {
  const relied = observed.statefulSet?.reliesOn ?? [];
  const { installed } = cloudOf(observed);
  return FOREIGN_KINDS.filter((kind) => installed.includes(kind) || relied.includes(kind));
}

/** What the user must change about cloud identities before anything is written. */
export function cloudProblem(
  { cluster }: Pick<ObservedCluster, "cluster">,
  config: ClusterConfig,
): { readonly reason: ClusterReason; readonly message: string } | undefined {
  const { workloadIdentity } = cloudRequestOf(cluster, config);
  if (workloadIdentity !== undefined && workloadIdentity.project === undefined) {
    return {
      reason: "InvalidRestateConfig",
      message:
        "spec.security.serviceAccountAnnotations: iam.gke.io/gcp-service-account names no project; write <name>@<project>.iam.gserviceaccount.com",
    };
  }
  const provided = cluster.spec.security?.requestSigningPrivateKey?.secretProvider;
  if (provided != null && !config.manageSecretProviderClasses) {
    return {
      reason: "SecretProviderClassesDisabled",
      message:
        "spec.security.requestSigningPrivateKey.secretProvider: this operator does not manage SecretProviderClasses (MANAGE_SECRET_PROVIDER_CLASSES); switch that on, or use a Secret",
    };
  }
  return undefined;
}

/** `changes`: the children that are going to be written, so that nothing is concluded from what they were. */
export function planCloud(question: CloudQuestion, changes: readonly ClusterAction[]): CloudPlan {
  const identities = [
    planIdentity(question, changes, AWS_IDENTITY),
    planIdentity(question, changes, GCP_IDENTITY),
  ];
  const waiting = identities.find((identity) => identity.waiting !== undefined)?.waiting;
  return {
    removals: planRemovals(question),
    canaries: identities.flatMap(({ actions }) => actions),
    ...(waiting === undefined ? {} : { waiting }),
    ignored: ignoredOf(question),
  };
}

/** Without these, what follows in the plan is not to be concluded: they come first. */
function planRemovals({ observed, config }: CloudQuestion): ChildAction[] {
  const { cluster } = observed;
  const { uid, name } = cluster.metadata;
  const { canaries, objects } = cloudOf(observed);
  const request = cloudRequestOf(cluster, config);
  const foreign = objects
    .filter(
      ({ ref }) => !FOREIGN_KINDS.some((kind) => kind === ref.kind && isAskedFor(kind, request)),
    )
    .filter(({ controllerUid, deleting }) => controllerUid === uid && !deleting)
    .map((object) => remove(object.ref, object.uid, "is no longer asked for"));
  const jobs = canaries
    .filter((canary) => wantedCanary(cluster, config, canary.name) === undefined)
    .filter(({ controllerUid, deleting }) => controllerUid === uid && !deleting)
    .map((canary) => remove(jobRef(canary.name, name), canary.uid, "is no longer asked for"));
  return [...foreign, ...jobs];
}

function remove(target: ObjectRef, uid: string, why: string): ChildAction {
  return { kind: "removeObject", target, uid, because: `${target.kind} ${target.name} ${why}` };
}

function jobRef(name: string, namespace: string): ObjectRef {
  return { apiVersion: "batch/v1", kind: "Job", namespace, name };
}

/** How one cloud gives pods an identity, and the words for it. */
interface Identity {
  readonly kind: ForeignKind;
  readonly canary: CanaryName;
  readonly missing: { readonly reason: ClusterReason; readonly message: string };
  readonly notSynced: { readonly reason: ClusterReason; readonly message: string };
  readonly pending: ClusterReason;
  readonly failed: ClusterReason;
  /** What a failed canary means. */
  readonly meaning: string;
}

const AWS_IDENTITY: Identity = {
  kind: "PodIdentityAssociation",
  canary: "restate-pia-canary",
  missing: {
    reason: "PodIdentityAssociationNotSynced",
    message:
      "the CRD podidentityassociations.eks.services.k8s.aws is not installed: install the EKS controller of AWS Controllers for Kubernetes",
  },
  notSynced: {
    reason: "PodIdentityAssociationNotSynced",
    message:
      "PodIdentityAssociation restate: AWS Controllers for Kubernetes have not carried it out (condition ACK.ResourceSynced)",
  },
  pending: "PodIdentityAssociationCanaryPending",
  failed: "PodIdentityAssociationCanaryFailed",
  meaning: "its pod got no Pod Identity credentials",
};

const GCP_IDENTITY: Identity = {
  kind: "IAMPolicyMember",
  canary: "restate-wi-canary",
  missing: {
    reason: "IAMPolicyMemberCRDNotFound",
    message:
      "the CRD iampolicymembers.iam.cnrm.cloud.google.com is not installed: install Config Connector",
  },
  notSynced: {
    reason: "IAMPolicyMemberNotReady",
    message:
      "IAMPolicyMember restate-workload-identity: Config Connector has not carried it out (condition Ready)",
  },
  pending: "WorkloadIdentityCanaryPending",
  failed: "WorkloadIdentityCanaryFailed",
  meaning:
    "its pod got no token of the Google service account; see whether Workload Identity is on and the binding is right",
};

interface IdentityPlan {
  readonly actions: readonly ClusterAction[];
  readonly waiting?: Waiting<ClusterReason>;
}

function planIdentity(
  { observed, config, nowMs }: CloudQuestion,
  changes: readonly ClusterAction[],
  identity: Identity,
): IdentityPlan {
  const { cluster } = observed;
  const wanted = wantedCanary(cluster, config, identity.canary);
  if (wanted === undefined) return { actions: [] };
  const { installed, synced, canaries } = cloudOf(observed);
  if (!installed.includes(identity.kind)) return waits(identity.missing, WAITING_MS);
  const changed = changes.some(
    (action) =>
      action.kind === "applyObject" &&
      action.target.kind === identity.kind &&
      action.because === CHANGED,
  );
  if (changed) return waits(identity.notSynced, CHANGED_MS);
  if (!synced.includes(identity.kind)) return waits(identity.notSynced, WAITING_MS);
  return planCanary({
    identity,
    wanted,
    canary: canaries.find(({ name }) => name === identity.canary),
    owner: cluster.metadata,
    nowMs,
  });
}

interface CanaryQuestion {
  readonly identity: Identity;
  readonly wanted: CanaryWanted;
  readonly canary: ObservedCanary | undefined;
  readonly owner: { readonly name: string; readonly uid: string };
  readonly nowMs: number;
}

function planCanary(question: CanaryQuestion): IdentityPlan {
  const { identity, wanted, canary, owner, nowMs } = question;
  if (canary === undefined)
    return create(question, 1, "the identity is tried before pods rely on it");
  const { name } = canary;
  if (canary.deleting) return pending(identity, DELETING_MS);
  if (canary.controllerUid !== owner.uid) {
    const message = `Job ${name} is in the way and does not belong to this cluster: remove it`;
    return waits({ reason: identity.pending, message }, WAITING_MS);
  }
  if (canary.identity !== undefined && canary.identity !== wanted.identity) {
    return recreate(question, 1, "it tried another identity"); // I3
  }
  if (canary.state === "complete" || canary.injected) return { actions: [] };
  const another = canary.template !== undefined && canary.template !== wanted.template;
  if (another)
    return recreate(question, canary.attempt, "it was made with another image or tolerations");
  if (canary.state === "running") return pending(identity, pollAfterMs(nowMs - canary.createdAtMs));
  const dueAtMs = (canary.failedAtMs ?? canary.createdAtMs) + backoffMs(canary.attempt); // I2
  if (dueAtMs <= nowMs) return recreate(question, canary.attempt + 1, "it failed and is due again");
  const message = `Job ${name}, attempt ${canary.attempt}, failed: ${identity.meaning}; it is made again at ${timestampOf(dueAtMs)}`;
  return waits({ reason: identity.failed, message }, dueAtMs - nowMs);
}

/** How long after its failure the n-th canary in a row is followed by the next. */
function backoffMs(attempt: number): number {
  return Math.min(CANARY_BACKOFF_MS * 2 ** Math.min(attempt - 1, 10), CANARY_BACKOFF_MAX_MS);
}

function pollAfterMs(ageMs: number): number {
  return Math.min(Math.max(Math.round(ageMs / 2), CANARY_POLL_MIN_MS), CANARY_POLL_MAX_MS);
}

function create(
  { identity, wanted }: CanaryQuestion,
  attempt: number,
  because: string,
): IdentityPlan {
  return {
    actions: [{ kind: "createCanary", canary: wanted.name, attempt, because }],
    waiting: trying(identity, CANARY_POLL_MIN_MS),
  };
}

function recreate(question: CanaryQuestion, attempt: number, because: string): IdentityPlan {
  const { canary, owner } = question;
  const made = create(question, attempt, because);
  if (canary === undefined) return made;
  const removal = remove(jobRef(canary.name, owner.name), canary.uid, `goes: ${because}`);
  return { ...made, actions: [removal, ...made.actions] };
}

function pending(identity: Identity, requeueAfterMs: number): IdentityPlan {
  return { actions: [], waiting: trying(identity, requeueAfterMs) };
}

function trying(identity: Identity, requeueAfterMs: number): Waiting<ClusterReason> {
  const message = `Job ${identity.canary} tries the identity; pods are changed when it has succeeded`;
  return { kind: "waiting", reason: identity.pending, message, requeueAfterMs };
}

function waits(
  claim: { readonly reason: ClusterReason; readonly message: string },
  requeueAfterMs: number,
): IdentityPlan {
  return { actions: [], waiting: { kind: "waiting", ...claim, requeueAfterMs } };
}

function ignoredOf({ observed, config }: CloudQuestion): Ignored[] {
  const { installed } = cloudOf(observed);
  const relied = observed.statefulSet?.reliesOn ?? [];
  const { security } = observed.cluster.spec;
  const request = cloudRequestOf(observed.cluster, config);
  const missing = (kind: ForeignKind): boolean =>
    isAskedFor(kind, request) && !installed.includes(kind);
  const effect = (kind: ForeignKind): string =>
    relied.includes(kind) ? "is left in the pods as it was" : "is ignored";
  return [
    ...(missing("SecretProviderClass")
      ? [
          {
            reason: "SecretProviderClassCRDNotFound",
            message: `spec.security.requestSigningPrivateKey.secretProvider ${effect("SecretProviderClass")}: the Secrets Store CSI driver (CRD secretproviderclasses.secrets-store.csi.x-k8s.io) is not installed`,
          },
        ]
      : []),
    ...(missing("SecurityGroupPolicy")
      ? [
          {
            reason: "SecurityGroupPolicyCRDNotFound",
            message: `spec.security.awsPodSecurityGroups ${effect("SecurityGroupPolicy")}: the CRD securitygrouppolicies.vpcresources.k8s.aws is not installed`,
          },
        ]
      : []),
    ...(security?.awsPodIdentityAssociationRoleArn != null && request.podIdentity === undefined
      ? [
          {
            reason: "PodIdentityAssociationsDisabled",
            message:
              "spec.security.awsPodIdentityAssociationRoleArn is ignored: this operator was not told the name of the EKS cluster (AWS_POD_IDENTITY_ASSOCIATION_CLUSTER)",
          },
        ]
      : []),
  ];
}

/** Events for what a cluster's condition is going to say and did not say before. */
export function cloudEvents(
  said: string,
  { waiting, ignored }: Pick<CloudPlan, "waiting" | "ignored">,
): EventClaim[] {
  const failed =
    waiting?.reason === "PodIdentityAssociationCanaryFailed" ||
    waiting?.reason === "WorkloadIdentityCanaryFailed"
      ? [waiting]
      : [];
  return [...failed, ...ignored]
    .filter(({ message }) => !said.includes(message))
    .map(({ reason, message }) => ({ type: "Warning", reason, message }));
}
