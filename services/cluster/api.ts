/**
 * RestateCluster as the operator speaks of it: the condition reasons (contract, section 2), the actions a plan can hold,
 * and the view of the resource the builders work from.
 */
import type { RestateClusterSpec } from "../../crds/restate-cluster.ts";
import type { RestateClusterStatus } from "../../crds/restate-cluster-status.ts";
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
  | "InvalidRestateConfig"
  | "InvalidName"
  | "NotServedYet"
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
      /** A message to the survey (survey.ts). */
      readonly kind: "survey";
      readonly order: SurveyOrder;
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
}
