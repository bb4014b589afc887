/**
 * RestateCloudEnvironment: an environment of Restate Cloud that RestateDeployments register with, and the pods that tunnel
 * its requests into this Kubernetes cluster. Cluster-scoped. Field descriptions are the user's documentation.
 *
 * `environmentId` and `region` become the host to which the environment's token is sent. Their rules allow what DNS allows
 * in a label and nothing that could end the host early.
 */
import type {
  V1Affinity,
  V1EnvVar,
  V1PodDNSConfig,
  V1ResourceRequirements,
  V1Toleration,
} from "@kubernetes/client-node";
import { z } from "zod";
import {
  DNS_POLICIES,
  IMAGE_PULL_POLICIES,
  dnsSubdomain,
  oneOfNames,
  pattern,
  secretKey,
} from "./admission.ts";
import type { CustomResourceKind } from "./resource.ts";
import { AGE, GROUP, ObjectMeta, conditions, reconciliation } from "./resource.ts";
import {
  flag,
  int32,
  int64,
  kubernetes,
  list,
  nullable,
  object,
  stringMap,
  text,
} from "./schema.ts";

const API_VERSION = "restate.dev/v1beta1";
const KIND = "RestateCloudEnvironment";

const HOST_LABEL = "[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?";
/** `tunnel-` in front of it must fit into the 63 characters of a Service's name. */
const NAME_LENGTH_MAX = 56;

const Tunnel = object("How the tunnel pods run.", {
  replicas: nullable(int32("Number of tunnel pods. Defaults to 1.", { minimum: 0 })),
  image: nullable(
    text(
      "Container image of the tunnel client. Defaults to a release of ghcr.io/restatedev/restate-cloud-tunnel-client that this operator was tested with.",
      { minLength: 1 },
    ),
  ),
  imagePullPolicy: nullable(
    text(
      "When the image is pulled: `Always`, `Never` or `IfNotPresent`. Kubernetes chooses `Always` for the tag `latest` and `IfNotPresent` for others.",
      oneOfNames("spec.tunnel.imagePullPolicy", IMAGE_PULL_POLICIES),
    ),
  ),
  remoteProxy: nullable(
    flag(
      "Serve the environment's ingress (8080) and admin API (9070) in the tunnel pods, without authentication: restrict who can reach them. Defaults to false.",
    ),
  ),
  env: nullable(
    list(
      "Environment variables of the tunnel client. One with the name of a variable of the operator's takes its place.",
      kubernetes<V1EnvVar>("io.k8s.api.core.v1.EnvVar"),
      { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] },
    ),
  ),
  resources: nullable(
    kubernetes<V1ResourceRequirements>(
      "io.k8s.api.core.v1.ResourceRequirements",
      "CPU and memory of the tunnel client.",
    ),
  ),
  dnsPolicy: nullable(
    text(
      "DNS policy of the pods: `ClusterFirst` (default), `ClusterFirstWithHostNet`, `Default` or `None`.",
      oneOfNames("spec.tunnel.dnsPolicy", DNS_POLICIES),
    ),
  ),
  dnsConfig: nullable(
    kubernetes<V1PodDNSConfig>(
      "io.k8s.api.core.v1.PodDNSConfig",
      "DNS parameters of the pods, merged with what `dnsPolicy` gives.",
    ),
  ),
  nodeSelector: stringMap("Labels a node must have to run a tunnel pod.", {
    "x-kubernetes-map-type": "atomic",
  }).optional(),
  affinity: nullable(
    kubernetes<V1Affinity>(
      "io.k8s.api.core.v1.Affinity",
      "Scheduling affinity of the pods. Defaults to different zones; `{}` means none.",
    ),
  ),
  tolerations: nullable(
    list(
      "Taints of nodes that the pods tolerate.",
      kubernetes<V1Toleration>("io.k8s.api.core.v1.Toleration"),
    ),
  ),
});

export const RestateCloudEnvironmentSpec = object("The environment and how to reach it.", {
  environmentId: text(
    "The environment's id, which begins `env_`.",
    pattern(
      67,
      "(env_)?[A-Za-z0-9]([-_A-Za-z0-9]{0,61}[A-Za-z0-9])?",
      "spec.environmentId must be the id of an environment: env_ and then letters and digits, for example env_2a3b4c5d6e7f",
    ),
  ),
  region: text(
    "The environment's region, for example `us` or `eu`.",
    pattern(
      190,
      `${HOST_LABEL}([.]${HOST_LABEL})*`,
      "spec.region must be the name of a region, for example us or eu: letters, digits and '-', in parts separated by '.'",
    ),
  ),
  signingPublicKey: text(
    "The public key the environment signs requests with; it begins `publickeyv1_` and is no secret.",
    pattern(
      1024,
      "publickeyv1_[!-~]+",
      "spec.signingPublicKey must be the environment's public key: it begins with publickeyv1_ and has no spaces",
    ),
  ),
  authentication: object("Where the environment's token is.", {
    secret: object("A Secret in the operator's namespace.", {
      name: text("Name of the Secret.", dnsSubdomain("spec.authentication.secret.name")),
      key: text(
        "Key in the Secret that holds the token.",
        secretKey("spec.authentication.secret.key"),
      ),
    }),
  }),
  tunnel: nullable(Tunnel),
});
export type RestateCloudEnvironmentSpec = z.infer<typeof RestateCloudEnvironmentSpec>;

export const RestateCloudEnvironmentStatus = object(
  "What the environment's tunnel is; written by the operator.",
  {
    observedGeneration: nullable(int64("The generation that this status is about.")),
    conditions,
    reconciliation,
  },
);
export type RestateCloudEnvironmentStatus = z.infer<typeof RestateCloudEnvironmentStatus>;

export const RestateCloudEnvironment = z.object({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal(KIND),
  metadata: ObjectMeta,
  spec: RestateCloudEnvironmentSpec,
  status: nullable(RestateCloudEnvironmentStatus),
});
export type RestateCloudEnvironment = z.infer<typeof RestateCloudEnvironment>;

export const RESTATE_CLOUD_ENVIRONMENT = {
  group: GROUP,
  version: "v1beta1",
  apiVersion: API_VERSION,
  kind: KIND,
  plural: "restatecloudenvironments",
  singular: "restatecloudenvironment",
  shortNames: ["rce"],
  scope: "Cluster",
  finalizer: "cloudenvironments.restate.dev",
  description:
    "An environment of Restate Cloud, and the tunnel by which it reaches this Kubernetes cluster.",
  columns: [
    { name: "Environment", type: "string", jsonPath: ".spec.environmentId" },
    { name: "Region", type: "string", jsonPath: ".spec.region" },
    {
      name: "Ready",
      type: "string",
      jsonPath: '.status.conditions[?(@.type=="Ready")].status',
    },
    AGE,
  ],
  name: {
    minLength: 1,
    maxLength: NAME_LENGTH_MAX,
    pattern: "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
  },
  root: {},
} as const satisfies CustomResourceKind;
