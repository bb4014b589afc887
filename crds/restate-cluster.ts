/**
 * RestateCluster: a Restate server or cluster. Cluster-scoped; its objects live in the namespace of the same name.
 * Field descriptions are the user's documentation (`kubectl explain restatecluster.spec`).
 */
import type {
  V1Affinity,
  V1Container,
  V1EnvVar,
  V1Lifecycle,
  V1LocalObjectReference,
  V1NetworkPolicyPeer,
  V1NetworkPolicyPort,
  V1PodDNSConfig,
  V1ResourceRequirements,
  V1Toleration,
  V1TopologySpreadConstraint,
  V1Volume,
  V1VolumeMount,
} from "@kubernetes/client-node";
import { z } from "zod";
import {
  DNS_POLICIES,
  IMAGE_PULL_POLICIES,
  dnsSubdomain,
  onCreate,
  oneOfNames,
  relativePath,
  secretKey,
} from "./admission.ts";
import type { CustomResourceKind } from "./resource.ts";
import { AGE, GROUP, ObjectMeta } from "./resource.ts";
import { RestateClusterStatus } from "./restate-cluster-status.ts";
import {
  flag,
  int32,
  int64,
  kubernetes,
  list,
  nullable,
  object,
  rules,
  stringMap,
  text,
} from "./schema.ts";

const API_VERSION = "restate.dev/v1";
const KIND = "RestateCluster";

/** A ConfigMap holds 1 MiB at most. */
const CONFIG_LENGTH_MAX = 1_048_576;
/** A pod with more volumes than this does not start. */
const CA_CERTS_MAX = 1000;

const Compute = object("How the Restate pods run.", {
  replicas: nullable(int32("Number of Restate nodes. Defaults to 1.", { minimum: 0 })),
  image: text("Container image of the Restate server.", { minLength: 1 }),
  imagePullPolicy: nullable(
    text(
      "When the image is pulled: `Always`, `Never` or `IfNotPresent`. Kubernetes chooses `Always` for the tag `latest` and `IfNotPresent` for others.",
      oneOfNames("spec.compute.imagePullPolicy", IMAGE_PULL_POLICIES),
    ),
  ),
  imagePullSecrets: nullable(
    list(
      "Secrets in the cluster's namespace with credentials for the image's registry.",
      kubernetes<V1LocalObjectReference>("io.k8s.api.core.v1.LocalObjectReference"),
    ),
  ),
  command: nullable(
    list("Replaces the entry point of the image. It is not run in a shell.", z.string()),
  ),
  args: nullable(list("Replaces the arguments of the image's entry point.", z.string())),
  env: nullable(
    list(
      "Environment variables of the Restate container. One with the name of a variable of the operator's takes its place.",
      kubernetes<V1EnvVar>("io.k8s.api.core.v1.EnvVar"),
      { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] },
    ),
  ),
  labels: nullable(
    stringMap("Labels of the Restate pods, beside those the operator sets. The operator's win."),
  ),
  annotations: nullable(
    stringMap(
      "Annotations of the Restate pods, beside those the operator sets. The operator's win.",
    ),
  ),
  resources: nullable(
    kubernetes<V1ResourceRequirements>(
      "io.k8s.api.core.v1.ResourceRequirements",
      "CPU and memory of the Restate container.",
    ),
  ),
  lifecycle: nullable(
    kubernetes<V1Lifecycle>(
      "io.k8s.api.core.v1.Lifecycle",
      "Hooks of the Restate container. `postStart` runs beside the Restate process, in no order with its start; to run something before Restate starts, wrap it in `command`.",
    ),
  ),
  terminationGracePeriodSeconds: nullable(
    int64("Seconds a pod may take to stop. Defaults to 60; 0 kills it at once, without `preStop`."),
  ),
  sidecars: nullable(
    list(
      "Containers beside Restate in its pods. Each starts before Restate and stops after it: they are init containers whose `restartPolicy` the operator sets to `Always` (Kubernetes 1.29 or newer).",
      kubernetes<V1Container>("io.k8s.api.core.v1.Container"),
    ),
  ),
  extraVolumes: nullable(
    list(
      "Volumes of the Restate pods, beside the operator's. These names are the operator's: `storage`, `tmp`, `config`; `combined-ca-certs` and `trusted-ca-<n>` with `trustedCaCerts`; `request-signing-private-key-secret` and `request-signing-private-key-secret-provider` with `requestSigningPrivateKey`.",
      kubernetes<V1Volume>("io.k8s.api.core.v1.Volume"),
    ),
  ),
  extraVolumeMounts: nullable(
    list(
      "Where the Restate container mounts volumes of `extraVolumes` or of the operator.",
      kubernetes<V1VolumeMount>("io.k8s.api.core.v1.VolumeMount"),
    ),
  ),
  dnsPolicy: nullable(
    text(
      "DNS policy of the pods: `ClusterFirst` (default), `ClusterFirstWithHostNet`, `Default` or `None`.",
      oneOfNames("spec.compute.dnsPolicy", DNS_POLICIES),
    ),
  ),
  dnsConfig: nullable(
    kubernetes<V1PodDNSConfig>(
      "io.k8s.api.core.v1.PodDNSConfig",
      "DNS parameters of the pods, merged with what `dnsPolicy` gives.",
    ),
  ),
  nodeSelector: stringMap("Labels a node must have to run a Restate pod.", {
    "x-kubernetes-map-type": "atomic",
  }).optional(),
  affinity: nullable(
    kubernetes<V1Affinity>("io.k8s.api.core.v1.Affinity", "Scheduling affinity of the pods."),
  ),
  tolerations: nullable(
    list(
      "Taints of nodes that the pods tolerate.",
      kubernetes<V1Toleration>("io.k8s.api.core.v1.Toleration"),
    ),
  ),
  topologySpreadConstraints: nullable(
    list(
      "How the pods spread over zones, nodes or other domains.",
      kubernetes<V1TopologySpreadConstraint>("io.k8s.api.core.v1.TopologySpreadConstraint"),
    ),
  ),
  priorityClassName: nullable(text("The PriorityClass of the pods.")),
});

const Storage = object(
  "The volume of each Restate node.",
  {
    storageClassName: nullable(
      text("The StorageClass of the volumes; the cluster's default when absent. Immutable.", {
        maxLength: 253,
      }),
    ),
    storageRequestBytes: int64("Size of each volume in bytes. It can grow, not shrink.", {
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
      ...rules({
        rule: "self >= oldSelf",
        message:
          "spec.storage.storageRequestBytes must not shrink: a volume can only grow; create a new cluster to use smaller ones",
      }),
    }),
    volumeAttributesClassName: nullable(text("The VolumeAttributesClass of the volumes.")),
  },
  rules({
    rule: "!has(oldSelf.storageClassName) || (has(self.storageClassName) && self.storageClassName == oldSelf.storageClassName)",
    message:
      "spec.storage.storageClassName is immutable: put back the value the cluster was created with",
  }),
);

const RequestSigningPrivateKey = object(
  "The private key that signs requests to services.",
  {
    version: text("Version of request signing; `v1`.", {
      maxLength: 16,
      ...rules({
        rule: "self == 'v1'",
        message: "spec.security.requestSigningPrivateKey.version must be v1",
      }),
    }),
    secret: nullable(
      object("A Secret in the cluster's namespace that holds the key.", {
        secretName: text(
          "Name of the Secret.",
          dnsSubdomain("spec.security.requestSigningPrivateKey.secret.secretName"),
        ),
        key: text(
          "Key in the Secret that holds the PEM.",
          secretKey("spec.security.requestSigningPrivateKey.secret.key"),
        ),
      }),
    ),
    secretProvider: nullable(
      object("A provider of the Secrets Store CSI driver; the operator makes its class.", {
        provider: nullable(text("Name of the provider.")),
        parameters: nullable(stringMap("Parameters of the provider.")),
        path: text(
          "Path of the key's file below the mounted volume.",
          relativePath("spec.security.requestSigningPrivateKey.secretProvider.path"),
        ),
      }),
    ),
  },
  rules({
    rule: "has(self.secret) != has(self.secretProvider)",
    message:
      "spec.security.requestSigningPrivateKey must have exactly one of secret and secretProvider",
  }),
);

const peers = (description: string) =>
  nullable(
    list(
      description,
      kubernetes<V1NetworkPolicyPeer>("io.k8s.api.networking.v1.NetworkPolicyPeer"),
      {
        "x-kubernetes-list-type": "atomic",
      },
    ),
  );

const NetworkEgressRule = object("Destinations the cluster may connect to.", {
  ports: nullable(
    list(
      "Ports of the destinations; every port when absent or empty.",
      kubernetes<V1NetworkPolicyPort>("io.k8s.api.networking.v1.NetworkPolicyPort"),
      { "x-kubernetes-list-type": "atomic" },
    ),
  ),
  to: peers("The destinations; every destination when absent or empty."),
});

const Security = object("Identity, keys and network access.", {
  serviceAccountAnnotations: nullable(stringMap("Annotations of the ServiceAccount `restate`.")),
  serviceAnnotations: nullable(stringMap("Annotations of the Service `restate`.")),
  disableNetworkPolicies: nullable(
    flag("Make no NetworkPolicies for this cluster, and remove those made. Defaults to false."),
  ),
  allowOperatorAccessToAdmin: nullable(
    flag(
      "Let the operator reach the admin port, which RestateDeployments need to register. Defaults to true.",
    ),
  ),
  networkPeers: nullable(
    object(
      "Who may connect to the cluster. Absent: nobody. A list: its peers. An empty list: everybody.",
      {
        ingress: peers("Who may connect to the ingress port, 8080."),
        admin: peers("Who may connect to the admin port, 9070."),
        node: peers("Who may connect to the node port, 5122, beside the cluster's own pods."),
        metrics: peers("Deprecated name of `node`, which wins when both are set."),
      },
    ),
  ),
  networkEgressRules: nullable(
    list(
      'Where the cluster may connect to, beside the public internet, DNS and pods labelled `allow.restate.dev/<cluster>: "true"`. One empty rule allows everything.',
      NetworkEgressRule,
    ),
  ),
  awsPodIdentityAssociationRoleArn: nullable(
    text(
      "ARN of an IAM role for the pods, by way of EKS Pod Identity. The operator must know the EKS cluster's name.",
    ),
  ),
  awsPodSecurityGroups: nullable(
    list("EC2 security groups of the pods, by way of a SecurityGroupPolicy.", z.string()),
  ),
  requestSigningPrivateKey: nullable(RequestSigningPrivateKey),
  trustedCaCerts: nullable(
    list(
      "Certificate authorities to trust beside those of the image.",
      object("A certificate authority.", {
        secretName: text(
          "Name of a Secret in the cluster's namespace.",
          dnsSubdomain("spec.security.trustedCaCerts[].secretName"),
        ),
        key: text(
          "Key in the Secret that holds the PEM.",
          secretKey("spec.security.trustedCaCerts[].key"),
        ),
      }),
      { maxItems: CA_CERTS_MAX },
    ),
  ),
});

export const RestateClusterSpec = object("What the cluster should be.", {
  clusterName: nullable(text("Restate's own name of the cluster. Defaults to the object's name.")),
  compute: Compute,
  storage: Storage,
  config: nullable(
    text("The server's configuration file, in TOML.", { maxLength: CONFIG_LENGTH_MAX }),
  ),
  security: nullable(Security),
  cluster: nullable(
    object("Options of the cluster as a whole.", {
      autoProvision: flag(
        "Provision the cluster once its first pod runs; `auto-provision` must not be true in `config`. Defaults to false. Without `cluster`, a cluster of several nodes whose `config` does not say where its metadata is gets provisioned as well.",
      ).default(false),
    }),
  ),
});
export type RestateClusterSpec = z.infer<typeof RestateClusterSpec>;

export const RestateCluster = z.object({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal(KIND),
  metadata: ObjectMeta,
  spec: RestateClusterSpec,
  status: nullable(RestateClusterStatus),
});
export type RestateCluster = z.infer<typeof RestateCluster>;

export const RESTATE_CLUSTER = {
  group: GROUP,
  version: "v1",
  apiVersion: API_VERSION,
  kind: KIND,
  plural: "restateclusters",
  singular: "restatecluster",
  shortNames: ["rsc"],
  scope: "Cluster",
  finalizer: "clusters.restate.dev",
  description: "A Restate server or cluster, in the namespace of the same name.",
  columns: [
    {
      name: "Ready",
      type: "string",
      jsonPath: '.status.conditions[?(@.type=="Ready")].status',
    },
    {
      name: "Status",
      type: "string",
      jsonPath: '.status.conditions[?(@.type=="Ready")].message',
      priority: 1,
    },
    { name: "Replicas", type: "integer", jsonPath: ".status.replicas" },
    { name: "Ready Replicas", type: "integer", jsonPath: ".status.readyReplicas" },
    { name: "Version", type: "string", jsonPath: ".status.version" },
    {
      name: "Available",
      type: "string",
      jsonPath: '.status.conditions[?(@.type=="Available")].status',
      priority: 1,
    },
    AGE,
  ],
  name: {
    minLength: 1,
    maxLength: 63,
    pattern: "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
  },
  root: rules(
    onCreate(
      "self.metadata.name != 'default' && !self.metadata.name.startsWith('kube-')",
      "metadata.name must not be `default` or begin with `kube-`: the cluster's objects live in the namespace of that name; choose a name of its own",
    ),
    onCreate(
      "!self.metadata.name.contains('.')",
      "metadata.name must not contain '.': it is the name of a namespace; use '-' instead",
    ),
  ),
} as const satisfies CustomResourceKind;
