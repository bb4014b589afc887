/**
 * Kinds of other projects, as far as the operator uses them: their CustomResourceDefinitions with the fields it writes and
 * reads, strict about both, and their controllers, played.
 */
import type { ClusterAccess } from "../../bootstrap/kubernetes/cluster.ts";
import type { KubeObject } from "./objects.ts";
import { kubectl } from "./kubernetes.ts";

interface ForeignCrd {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly spec: object;
}

const text = { type: "string" } as const;
const texts = { type: "object", additionalProperties: text } as const;
const selector = { type: "object", properties: { matchLabels: texts } } as const;

/** By how a test calls them. */
const CRDS = {
  podIdentityAssociations: {
    group: "eks.services.k8s.aws",
    version: "v1alpha1",
    plural: "podidentityassociations",
    kind: "PodIdentityAssociation",
    spec: {
      type: "object",
      required: ["namespace", "serviceAccount"],
      properties: { clusterName: text, namespace: text, roleARN: text, serviceAccount: text },
    },
  },
  securityGroupPolicies: {
    group: "vpcresources.k8s.aws",
    version: "v1beta1",
    plural: "securitygrouppolicies",
    kind: "SecurityGroupPolicy",
    spec: {
      type: "object",
      properties: {
        podSelector: selector,
        securityGroups: {
          type: "object",
          properties: { groupIds: { type: "array", minItems: 1, maxItems: 5, items: text } },
        },
      },
    },
  },
  iamPolicyMembers: {
    group: "iam.cnrm.cloud.google.com",
    version: "v1beta1",
    plural: "iampolicymembers",
    kind: "IAMPolicyMember",
    spec: {
      type: "object",
      required: ["resourceRef", "role"],
      properties: {
        member: text,
        role: text,
        resourceRef: {
          type: "object",
          required: ["kind"],
          properties: { kind: text, external: text, name: text, namespace: text },
        },
      },
    },
  },
  secretProviderClasses: {
    group: "secrets-store.csi.x-k8s.io",
    version: "v1",
    plural: "secretproviderclasses",
    kind: "SecretProviderClass",
    spec: { type: "object", properties: { provider: text, parameters: texts } },
  },
} as const satisfies Record<string, ForeignCrd>;

export type ForeignCrdName = keyof typeof CRDS;

const crdNameOf = ({ plural, group }: ForeignCrd): string => `${plural}.${group}`;

const CONDITIONS = {
  type: "object",
  properties: {
    conditions: {
      type: "array",
      items: { type: "object", properties: { type: text, status: text } },
    },
  },
} as const;

function manifestOf(crd: ForeignCrd): object {
  const { group, version, plural, kind, spec } = crd;
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: crdNameOf(crd) },
    spec: {
      group,
      scope: "Namespaced",
      names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List` },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: {
            openAPIV3Schema: { type: "object", properties: { spec, status: CONDITIONS } },
          },
        },
      ],
    },
  };
}

/** Installs a kind; resolves when it is served. */
export async function installForeignCrd(
  cluster: ClusterAccess,
  name: ForeignCrdName,
): Promise<void> {
  const crd = CRDS[name];
  await kubectl(cluster, ["apply", "--server-side", "-f", "-"], JSON.stringify(manifestOf(crd)));
  const established = ["wait", "--for=condition=Established", "--timeout=30s"];
  await kubectl(cluster, [...established, `crd/${crdNameOf(crd)}`]);
}

/** Removes a kind, and all objects of it. */
export async function removeForeignCrd(
  cluster: ClusterAccess,
  name: ForeignCrdName,
): Promise<void> {
  await kubectl(cluster, ["delete", `crd/${crdNameOf(CRDS[name])}`, "--ignore-not-found"]);
}

export async function removeForeignCrds(cluster: ClusterAccess): Promise<void> {
  for (const name of Object.keys(CRDS) as ForeignCrdName[]) await removeForeignCrd(cluster, name);
}

/** The objects of a kind in a namespace. */
export async function foreignObjects(
  cluster: ClusterAccess,
  name: ForeignCrdName,
  namespace: string,
): Promise<KubeObject[]> {
  const which = [crdNameOf(CRDS[name]), `--namespace=${namespace}`, "--output=json"];
  return (JSON.parse(await kubectl(cluster, ["get", ...which])) as { items: KubeObject[] }).items;
}

/** Says for a kind's controller that it has carried out the one object in a namespace. */
export async function carryOut(
  cluster: ClusterAccess,
  name: "podIdentityAssociations" | "iamPolicyMembers",
  namespace: string,
): Promise<void> {
  const [object] = await foreignObjects(cluster, name, namespace);
  if (object === undefined) throw new Error(`there is no object of ${name} in ${namespace}`);
  const type = name === "podIdentityAssociations" ? "ACK.ResourceSynced" : "Ready";
  const patch = JSON.stringify({ status: { conditions: [{ type, status: "True" }] } });
  const which = [`${crdNameOf(CRDS[name])}/${object.metadata.name}`, `--namespace=${namespace}`];
  const how = ["--subresource=status", "--type=merge", `--patch=${patch}`];
  await kubectl(cluster, ["patch", ...which, ...how]);
}
