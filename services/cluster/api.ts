/**
 * RestateCluster as the operator speaks of it: the condition reasons (contract, section 2), the actions a plan can hold,
 * and the view of the resource the builders work from.
 */
import type { RestateClusterSpec, RestateClusterStatus } from "../../crds/restate-cluster.ts";
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
  | "InvalidRestateConfig"
  | "InvalidName"
  | "VersionChangeRefused"
  | "StorageCannotShrink"
  | "DeletionProtected"
  | "NotServedYet"
  | "NamespaceTerminating"
  | "FailedReconcile";

export type ClusterAction =
  | ChildAction
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
  | { readonly kind: "addFinalizer"; readonly because: string }
  | { readonly kind: "removeFinalizer"; readonly because: string }
  | {
      readonly kind: "provisionCluster";
      /** Whether no answer yet is to be expected: the pod has only just started. */
      readonly justStarted: boolean;
      readonly because: string;
    };

export type ClusterStatus = RestateClusterStatus;

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
  /** Image of what the operator runs beside Restate: anything with a shell, `cat` and the usual certificates. */
  readonly canaryImage: string;
  /** Whether a cluster's pods may have what gives them their node: host paths, privileged containers. */
  readonly allowHostAccess: boolean;
}
