/**
 * RestateCluster as the operator speaks of it: the condition reasons (contract, section 2), the actions a plan can hold,
 * and the view of the resource the builders work from.
 */
import type { RestateClusterSpec, RestateClusterStatus } from "../../crds/restate-cluster.ts";
import type { ChildAction } from "../core/children.ts";

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
  | "NotServedYet"
  | "NamespaceTerminating"
  | "FailedReconcile";

export type ClusterAction =
  | ChildAction
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

/** A RestateCluster as its children are built from it. */
export interface ClusterView {
  /** Also the name of its namespace. */
  readonly name: string;
  readonly uid: string;
  /** What every child carries of the resource's own labels and annotations. */
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: RestateClusterSpec;
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
  /** Image with grep and wget. */
  readonly canaryImage: string;
}
