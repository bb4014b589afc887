/**
 * RestateCluster as the operator speaks of it: the condition reasons (contract, section 2), the actions a plan can hold,
 * and the view of the resource the builders work from.
 */
import type { RestateClusterSpec } from "../../crds/restate-cluster.ts";
import type { RestateClusterStatus } from "../../crds/restate-cluster-status.ts";
import type { ChildAction } from "../core/children.ts";
import type { ObjectRef } from "../core/resource.ts";

/** Why a RestateCluster is or is not Ready. Users' alerts know these words. */
export type ClusterReason =
  | "Reconciled"
  | "Provisioned"
  | "ProvisioningFailed"
  | "ProvisioningPodNotRunning"
  | "StatefulSetNoStatus"
  | "StatefulSetScaling"
  | "StatefulSetPodNotReady"
  | "PersistentVolumeClaimNotBound"
  | "PodIdentityAssociationNotSynced"
  | "PodIdentityAssociationCanaryPending"
  | "PodIdentityAssociationCanaryFailed"
  | "IAMPolicyMemberCRDNotFound"
  | "IAMPolicyMemberNotReady"
  | "WorkloadIdentityCanaryPending"
  | "WorkloadIdentityCanaryFailed"
  | "SecretProviderClassesDisabled"
  | "InvalidRestateConfig"
  | "InvalidName"
  | "VersionChangeRefused"
  | "StorageCannotShrink"
  | "DeletionProtected"
  | "NamespaceTerminating"
  | "FailedReconcile";

/** What the children are built from beside the resource: found out when the plan is made, and part of its actions. */
export interface ClusterBuilding {
  /** Settings that make the nodes a cluster are generated, with this replication (settings.ts). */
  readonly formed?: number;
  /** No pod is replaced, taken away or evicted, of at least so many: a node has lost its data. */
  readonly frozenAt?: number;
}

export type ClusterAction =
  | (ChildAction & { readonly building?: ClusterBuilding })
  | {
      /** Removes the StatefulSet alone: its pods stay behind, for the one that is made next. */
      readonly kind: "orphanStatefulSet";
      readonly target: ObjectRef;
      /** Precondition of the delete. */
      readonly uid: string;
      readonly because: string;
    }
  | {
      readonly kind: "changeClaim";
      readonly target: ObjectRef;
      /** Precondition of the change. */
      readonly uid: string;
      /** Size to ask for; absent: it stays. */
      readonly storageBytes?: number;
      /** Class to ask for; absent: it stays. */
      readonly volumeAttributesClassName?: string;
      readonly because: string;
    }
  | {
      /** A message to the survey (survey.ts). */
      readonly kind: "survey";
      readonly order: SurveyOrder;
      readonly because: string;
    }
  | { readonly kind: "addFinalizer"; readonly because: string }
  | { readonly kind: "removeFinalizer"; readonly because: string }
  | {
      readonly kind: "createCanary";
      readonly canary: CanaryName;
      /** Counts from 1; each is later than the one before by more. */
      readonly attempt: number;
      readonly because: string;
    }
  | {
      readonly kind: "provisionCluster";
      /** Whether no answer yet is to be expected: the pod has only just started. */
      readonly justStarted: boolean;
      readonly because: string;
    };

export type ClusterStatus = RestateClusterStatus;

/** What a RestateCluster is spoken of with. */
export interface ClusterTerms {
  readonly action: ClusterAction;
  readonly status: ClusterStatus;
  readonly reason: ClusterReason;
  readonly report: SurveyReport;
}

/** Kinds of other projects that a cluster can ask for. They need not be installed. */
export const FOREIGN_KINDS = [
  "PodIdentityAssociation",
  "SecurityGroupPolicy",
  "IAMPolicyMember",
  "SecretProviderClass",
] as const;
export type ForeignKind = (typeof FOREIGN_KINDS)[number];

/** Jobs that try whether a pod of the cluster gets its cloud identity, before the cluster's own pods rely on it. */
export type CanaryName = "restate-pia-canary" | "restate-wi-canary";

export interface Setting {
  readonly name: string;
  readonly value: string;
}

/** What is generated where a specification is silent. */
export interface Settings {
  /** Variables beside those that every cluster has, in order. */
  readonly env: readonly Setting[];
  /** Whether the operator provisions the cluster. */
  readonly provisions: boolean;
}

/** A RestateCluster as its children are built from it. */
export interface ClusterView {
  /** Also the name of its namespace. */
  readonly name: string;
  readonly uid: string;
  /** What every child carries of the resource's own labels and annotations. */
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: RestateClusterSpec;
  readonly building: ClusterBuilding;
  readonly settings: Settings;
}

/** What is to be surveyed, and whether anybody is there to answer. */
export interface SurveyOrder {
  /** uid of the resource: of another one, nothing is kept. */
  readonly uid: string;
  /** Name of the Service whose node port is asked. */
  readonly host: string;
  readonly asks: boolean;
}

/** A node as the cluster itself sees it. */
export interface SurveyedNode {
  /** Restate's id: `N1`. */
  readonly id: string;
  readonly name: string;
  readonly version?: string;
  readonly alive: boolean;
  readonly roles: readonly string[];
  readonly partitionsLed: number;
  readonly storageState: string;
  readonly workerState: string;
}

/** What a cluster said about itself. */
export interface ClusterSurvey {
  /** By id. */
  readonly nodes: readonly SurveyedNode[];
  readonly partitions: number;
  readonly partitionsWithoutLeader: number;
}

/** What the survey has to say: the order it works by, and the last answer, if there was one. */
export interface SurveyReport extends SurveyOrder {
  readonly survey?: ClusterSurvey;
  /** The last two questions had no answer, and earlier ones had. */
  readonly silent: boolean;
}

/** The operator's own settings that a cluster's children depend on. */
export interface ClusterConfig {
  readonly operatorNamespace: string;
  /** Label by which a NetworkPolicy recognises the operator's pods. */
  readonly operatorLabel: { readonly name: string; readonly value: string };
  /** Domain of the Kubernetes cluster: `cluster.local`. */
  readonly clusterDns: string;
  readonly manageNetworkPolicies: boolean;
  readonly manageSecretProviderClasses: boolean;
  /** Name of this Kubernetes cluster at EKS; absent where Pod Identity is not to be used. */
  readonly awsPodIdentityAssociationCluster?: string;
  /** Whether bindings for Google service accounts are made, by way of Config Connector. */
  readonly gcpWorkloadIdentity: boolean;
  /** Image of what the operator runs beside Restate: a shell, cat, grep, wget, and the usual certificates. */
  readonly canaryImage: string;
  /** Whether a cluster's pods may have what gives them their node: host paths, privileged containers. */
  readonly allowHostAccess: boolean;
}
