/**
 * What is watched, as a table: the three kinds of the API in full, what they own as metadata and behind a label selector.
 * A row here is a `list` and a `watch` that the watcher's service account must be granted. Refused: Secrets, and anything
 * cluster-wide without a selector.
 */

/** The kinds that have a reconciler. */
export type ResourceKind = "RestateCluster" | "RestateDeployment" | "RestateCloudEnvironment";

/** The virtual objects that are woken. */
export type ReconcilerName =
  "ClusterReconciler" | "DeploymentReconciler" | "CloudEnvironmentReconciler";

/** Which reconciler answers for which kind. */
export const RECONCILER_OF: Readonly<Record<ResourceKind, ReconcilerName>> = {
  RestateCluster: "ClusterReconciler",
  RestateDeployment: "DeploymentReconciler",
  RestateCloudEnvironment: "CloudEnvironmentReconciler",
};

/** The API group of the three kinds. */
export const RESTATE_GROUP = "restate.dev";

interface Watched {
  /** Unique; the `watch` label of metrics and log lines. */
  readonly name: string;
  /** API group, "" for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
}

/** One of the three kinds. */
export interface WatchedResource extends Watched {
  readonly role: "resource";
  readonly kind: ResourceKind;
  /** Name of its CustomResourceDefinition. */
  readonly crd: string;
}

/** A kind whose objects belong to a resource of kind `of`; only metadata is read. */
export interface WatchedChild extends Watched {
  readonly role: "child";
  readonly of: ResourceKind;
  readonly labelSelector: string;
  readonly fieldSelector?: string;
  /** Absent: all namespaces. */
  readonly namespace?: string;
  /** An extension that need not be installed: its absence is nothing to report. */
  readonly optional?: true;
}

export type WatchedKind = WatchedResource | WatchedChild;

function resource(kind: ResourceKind, version: string): WatchedResource {
  const plural = `${kind.toLowerCase()}s`;
  const crd = `${plural}.${RESTATE_GROUP}`;
  return { role: "resource", name: plural, group: RESTATE_GROUP, version, plural, kind, crd };
}

/** The three kinds. */
export const RESOURCES: Readonly<Record<ResourceKind, WatchedResource>> = {
  RestateCluster: resource("RestateCluster", "v1"),
  RestateDeployment: resource("RestateDeployment", "v1beta1"),
  RestateCloudEnvironment: resource("RestateCloudEnvironment", "v1beta1"),
};

type ChildKind = Pick<WatchedChild, "group" | "version" | "plural" | "kind" | "fieldSelector">;

const CHILD_KINDS_OF_CLUSTER: readonly ChildKind[] = [
  { group: "", version: "v1", plural: "namespaces", kind: "Namespace" },
  { group: "", version: "v1", plural: "serviceaccounts", kind: "ServiceAccount" },
  { group: "", version: "v1", plural: "configmaps", kind: "ConfigMap" },
  { group: "", version: "v1", plural: "services", kind: "Service" },
  { group: "", version: "v1", plural: "persistentvolumeclaims", kind: "PersistentVolumeClaim" },
  { group: "apps", version: "v1", plural: "statefulsets", kind: "StatefulSet" },
  { group: "policy", version: "v1", plural: "poddisruptionbudgets", kind: "PodDisruptionBudget" },
  { group: "networking.k8s.io", version: "v1", plural: "networkpolicies", kind: "NetworkPolicy" },
  // Of pods only this decides: a cluster is provisioned once its first pod runs.
  {
    group: "",
    version: "v1",
    plural: "pods",
    kind: "Pod",
    fieldSelector: "metadata.name=restate-0,status.phase=Running",
  },
];

/** What others than Kubernetes itself carry out for a cluster; watched only where it is used. */
const POD_IDENTITY: ChildKind = {
  group: "eks.services.k8s.aws",
  version: "v1alpha1",
  plural: "podidentityassociations",
  kind: "PodIdentityAssociation",
};
const WORKLOAD_IDENTITY: ChildKind = {
  group: "iam.cnrm.cloud.google.com",
  version: "v1beta1",
  plural: "iampolicymembers",
  kind: "IAMPolicyMember",
};
const CANARIES: ChildKind = { group: "batch", version: "v1", plural: "jobs", kind: "Job" };

/** What the services are set up to do, as far as it decides what is watched. */
export interface Managed {
  readonly networkPolicies: boolean;
  /** EKS Pod Identity. */
  readonly podIdentity: boolean;
  /** Workload Identity of Google Cloud. */
  readonly workloadIdentity: boolean;
}

/** As the services are without being told. */
export const MANAGED: Managed = {
  networkPolicies: true,
  podIdentity: false,
  workloadIdentity: false,
};

const CHILD_KINDS_OF_DEPLOYMENT: readonly ChildKind[] = [
  { group: "apps", version: "v1", plural: "replicasets", kind: "ReplicaSet" },
  { group: "batch", version: "v1", plural: "jobs", kind: "Job" },
  { group: "", version: "v1", plural: "services", kind: "Service" },
];

const KNATIVE_KINDS_OF_DEPLOYMENT: readonly ChildKind[] = [
  { group: "serving.knative.dev", version: "v1", plural: "configurations", kind: "Configuration" },
  { group: "serving.knative.dev", version: "v1", plural: "routes", kind: "Route" },
];

const CHILD_KINDS_OF_ENVIRONMENT: readonly ChildKind[] = [
  { group: "apps", version: "v1", plural: "deployments", kind: "Deployment" },
  { group: "", version: "v1", plural: "services", kind: "Service" },
];

/** Watches for cloud identities: their objects, and the Jobs that try them. */
function identityKinds({ podIdentity, workloadIdentity }: Managed): WatchedChild[] {
  const ofCluster = { role: "child", of: "RestateCluster" } as const;
  const objects = [
    ...(podIdentity ? [POD_IDENTITY] : []),
    ...(workloadIdentity ? [WORKLOAD_IDENTITY] : []),
  ];
  const named = (kind: ChildKind) => ({ ...ofCluster, ...kind, name: `cluster/${kind.plural}` });
  const canaries = {
    ...named(CANARIES),
    labelSelector: "app.kubernetes.io/name in (restate-pia-canary,restate-wi-canary)",
  };
  return [
    ...objects.map((kind) => ({ ...named(kind), labelSelector: CLUSTER, optional: true as const })),
    ...(objects.length === 0 ? [] : [canaries]),
  ];
}

const CLUSTER = "app.kubernetes.io/name=restate";

/**
 * What the three kinds own. Tunnels run in the operator's namespace, so with `operatorNamespace` their objects need no
 * cluster-wide permission.
 */
export function childKinds(
  operatorNamespace: string | undefined,
  managed: Managed = MANAGED,
): readonly WatchedChild[] {
  const scope = operatorNamespace === undefined ? {} : { namespace: operatorNamespace };
  const ofCluster = { role: "child", of: "RestateCluster" } as const;
  const ofDeployment = { role: "child", of: "RestateDeployment" } as const;
  const ofEnvironment = { role: "child", of: "RestateCloudEnvironment" } as const;
  const deployment = "app.kubernetes.io/managed-by=restate-operator";
  const environment = "app.kubernetes.io/name=restate-cloud-tunnel-client";
  return [
    ...CHILD_KINDS_OF_CLUSTER.filter(
      ({ kind }) => managed.networkPolicies || kind !== "NetworkPolicy",
    ).map((kind) => ({
      ...ofCluster,
      ...kind,
      name: `cluster/${kind.plural}`,
      labelSelector: CLUSTER,
    })),
    ...identityKinds(managed),
    ...CHILD_KINDS_OF_DEPLOYMENT.map((kind) => ({
      ...ofDeployment,
      ...kind,
      name: `deployment/${kind.plural}`,
      labelSelector: deployment,
    })),
    ...KNATIVE_KINDS_OF_DEPLOYMENT.map((kind) => ({
      ...ofDeployment,
      ...kind,
      name: `deployment/${kind.plural}`,
      labelSelector: deployment,
      optional: true as const,
    })),
    ...CHILD_KINDS_OF_ENVIRONMENT.map((kind) => ({
      ...ofEnvironment,
      ...kind,
      ...scope,
      name: `environment/${kind.plural}`,
      labelSelector: environment,
    })),
  ];
}

/** `restateclusters.restate.dev`, `services`: how Kubernetes names a resource in its messages and in RBAC. */
export function qualifiedResource(kind: WatchedKind): string {
  return kind.group === "" ? kind.plural : `${kind.plural}.${kind.group}`;
}
