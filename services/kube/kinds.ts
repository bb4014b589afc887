/**
 * The Kubernetes kinds the operator reads or writes, and how their URLs are made. A table rather than discovery: these
 * kinds are known, and discovery would cost requests and go stale. Whether a kind of another project is installed at all is
 * asked of the API server (`KubeClient.serves`).
 */
import type {
  CoreV1Event,
  V1ConfigMap,
  V1Job,
  V1Namespace,
  V1NetworkPolicy,
  V1ObjectMeta,
  V1PersistentVolumeClaim,
  V1Pod,
  V1PodDisruptionBudget,
  V1ReplicaSet,
  V1Service,
  V1ServiceAccount,
  V1StatefulSet,
  V2HorizontalPodAutoscaler,
} from "@kubernetes/client-node";
import type { ObjectRef } from "../core/resource.ts";

interface KindInfo {
  readonly apiVersion: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

const KINDS = {
  ConfigMap: { apiVersion: "v1", plural: "configmaps", namespaced: true },
  CustomResourceDefinition: {
    apiVersion: "apiextensions.k8s.io/v1",
    plural: "customresourcedefinitions",
    namespaced: false,
  },
  Event: { apiVersion: "v1", plural: "events", namespaced: true },
  HorizontalPodAutoscaler: {
    apiVersion: "autoscaling/v2",
    plural: "horizontalpodautoscalers",
    namespaced: true,
  },
  IAMPolicyMember: {
    apiVersion: "iam.cnrm.cloud.google.com/v1beta1",
    plural: "iampolicymembers",
    namespaced: true,
  },
  Job: { apiVersion: "batch/v1", plural: "jobs", namespaced: true },
  Namespace: { apiVersion: "v1", plural: "namespaces", namespaced: false },
  NetworkPolicy: {
    apiVersion: "networking.k8s.io/v1",
    plural: "networkpolicies",
    namespaced: true,
  },
  PersistentVolumeClaim: { apiVersion: "v1", plural: "persistentvolumeclaims", namespaced: true },
  Pod: { apiVersion: "v1", plural: "pods", namespaced: true },
  PodDisruptionBudget: {
    apiVersion: "policy/v1",
    plural: "poddisruptionbudgets",
    namespaced: true,
  },
  PodIdentityAssociation: {
    apiVersion: "eks.services.k8s.aws/v1alpha1",
    plural: "podidentityassociations",
    namespaced: true,
  },
  ReplicaSet: { apiVersion: "apps/v1", plural: "replicasets", namespaced: true },
  RestateCloudEnvironment: {
    apiVersion: "restate.dev/v1beta1",
    plural: "restatecloudenvironments",
    namespaced: false,
  },
  RestateCluster: { apiVersion: "restate.dev/v1", plural: "restateclusters", namespaced: false },
  RestateDeployment: {
    apiVersion: "restate.dev/v1beta1",
    plural: "restatedeployments",
    namespaced: true,
  },
  SecretProviderClass: {
    apiVersion: "secrets-store.csi.x-k8s.io/v1",
    plural: "secretproviderclasses",
    namespaced: true,
  },
  SecurityGroupPolicy: {
    apiVersion: "vpcresources.k8s.aws/v1beta1",
    plural: "securitygrouppolicies",
    namespaced: true,
  },
  Service: { apiVersion: "v1", plural: "services", namespaced: true },
  ServiceAccount: { apiVersion: "v1", plural: "serviceaccounts", namespaced: true },
  StatefulSet: { apiVersion: "apps/v1", plural: "statefulsets", namespaced: true },
} as const satisfies Record<string, KindInfo>;

/** A kind of the table above. */
export type Kind = keyof typeof KINDS;

/** An object of another project's kind, as far as anybody here looks into it. */
export interface ForeignObject {
  readonly metadata?: V1ObjectMeta;
  readonly status?: {
    readonly conditions?: readonly { readonly type?: string; readonly status?: string }[];
  };
}

/** What the API server answers for each kind. Our own kinds are parsed by whoever reads them, so they are unknown here. */
export interface KindTypes {
  readonly ConfigMap: V1ConfigMap;
  readonly CustomResourceDefinition: object;
  readonly Event: CoreV1Event;
  readonly HorizontalPodAutoscaler: V2HorizontalPodAutoscaler;
  readonly IAMPolicyMember: ForeignObject;
  readonly Job: V1Job;
  readonly Namespace: V1Namespace;
  readonly NetworkPolicy: V1NetworkPolicy;
  readonly PersistentVolumeClaim: V1PersistentVolumeClaim;
  readonly Pod: V1Pod;
  readonly PodDisruptionBudget: V1PodDisruptionBudget;
  readonly PodIdentityAssociation: ForeignObject;
  readonly ReplicaSet: V1ReplicaSet;
  readonly RestateCloudEnvironment: object;
  readonly RestateCluster: object;
  readonly RestateDeployment: object;
  readonly SecretProviderClass: ForeignObject;
  readonly SecurityGroupPolicy: ForeignObject;
  readonly Service: V1Service;
  readonly ServiceAccount: V1ServiceAccount;
  readonly StatefulSet: V1StatefulSet;
}

const isKind = (kind: string): kind is Kind => Object.hasOwn(KINDS, kind);

function infoOf(kind: string): KindInfo {
  if (!isKind(kind)) throw new Error(`${kind} is not a kind this operator reads or writes`);
  return KINDS[kind];
}

/** A reference by kind alone: the apiVersion comes from the table. */
export function refTo(kind: string, name: string, namespace?: string): ObjectRef {
  return {
    apiVersion: infoOf(kind).apiVersion,
    kind,
    ...(namespace === undefined ? {} : { namespace }),
    name,
  };
}

/** Where the API server says which kinds of a group and version it serves, and how this kind is called there. */
export function discoveryOf(kind: string): { readonly path: string; readonly plural: string } {
  const { apiVersion, plural } = infoOf(kind);
  return { path: rootOf(apiVersion), plural };
}

function rootOf(apiVersion: string): string {
  return apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
}

/** Path of a collection: of one namespace, or of the whole cluster when none is given. */
export function collectionPath(kind: string, namespace?: string): string {
  const { apiVersion, plural, namespaced } = infoOf(kind);
  const root = rootOf(apiVersion);
  const scope =
    namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  return `${root}${scope}/${plural}`;
}

/** Path of one object. Throws for a namespaced kind without a namespace: that would address another object. */
export function objectPath(ref: ObjectRef): string {
  const { apiVersion, namespaced } = infoOf(ref.kind);
  if (apiVersion !== ref.apiVersion) {
    throw new Error(`${ref.kind} is served as ${apiVersion}, not as ${ref.apiVersion}`);
  }
  if (namespaced !== (ref.namespace !== undefined)) {
    throw new Error(
      `${ref.kind} ${ref.name}: the namespace is ${namespaced ? "missing" : "too much"}`,
    );
  }
  return `${collectionPath(ref.kind, ref.namespace)}/${encodeURIComponent(ref.name)}`;
}
