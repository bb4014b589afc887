/**
 * The NetworkPolicies of a cluster: everything denied, then what it needs and what its owner allows (contract, section 2).
 *
 * For inbound ports three spellings mean three things and are kept apart: absent → a policy without a rule (nobody new
 * gets in), `[]` → a rule without `from` (everybody), a list → that list.
 */
import type {
  V1NetworkPolicy,
  V1NetworkPolicyEgressRule,
  V1NetworkPolicyPeer,
} from "@kubernetes/client-node";
import type { Manifest } from "../../core/manifest.ts";
import type { ClusterConfig, ClusterView } from "../api.ts";
import { childMetadata, instanceLabels } from "./metadata.ts";

type Peers = readonly Manifest<V1NetworkPolicyPeer>[] | null | undefined;

/** All of them, or none when the resource or the operator says so. */
export function buildNetworkPolicies(
  cluster: ClusterView,
  config: ClusterConfig,
): Manifest<V1NetworkPolicy>[] {
  const security = cluster.spec.security;
  if (!config.manageNetworkPolicies || security?.disableNetworkPolicies === true) return [];
  const peers = security?.networkPeers;
  const toAdmin = security?.allowOperatorAccessToAdmin ?? true;
  const { provisions } = cluster.settings;
  return [
    policy(cluster, "deny-all", { policyTypes: ["Egress", "Ingress"] }),
    egress(cluster, "allow-egress-to-dns", [dnsRule()]),
    egress(cluster, "allow-restate-egress-to-public-internet", [publicInternetRule()]),
    ...(security?.awsPodIdentityAssociationRoleArn == null
      ? []
      : [egress(cluster, "allow-restate-egress-to-aws-pod-identity", [podIdentityRule()])]),
    egress(cluster, "allow-restate-egress", [
      ...(security?.networkEgressRules ?? []),
      { to: [ownPods(cluster)], ports: [{ protocol: "TCP", port: 5122 }] },
      { to: [{ namespaceSelector: {}, podSelector: { matchLabels: allowLabel(cluster) } }] },
    ]),
    ingress(cluster, "allow-ingress-access", { port: 8080, peers: peers?.ingress, added: [] }),
    ingress(cluster, "allow-admin-access", {
      port: 9070,
      peers: peers?.admin,
      added: toAdmin ? [operatorPods(config)] : [],
    }),
    ingress(cluster, "allow-metrics-access", {
      port: 5122,
      peers: peers?.node ?? peers?.metrics,
      added: [ownPods(cluster), ...(provisions ? [operatorPods(config)] : [])],
    }),
  ];
}

function policy(
  cluster: ClusterView,
  name: string,
  rules: Omit<Manifest<NonNullable<V1NetworkPolicy["spec"]>>, "podSelector">,
): Manifest<V1NetworkPolicy> {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: childMetadata(cluster, { name }),
    spec: { podSelector: { matchLabels: instanceLabels(cluster.name) }, ...rules },
  };
}

function egress(
  cluster: ClusterView,
  name: string,
  rules: readonly Manifest<V1NetworkPolicyEgressRule>[],
): Manifest<V1NetworkPolicy> {
  return policy(cluster, name, { policyTypes: ["Egress"], egress: rules });
}

function ingress(
  cluster: ClusterView,
  name: string,
  access: {
    readonly port: number;
    readonly peers: Peers;
    readonly added: readonly Manifest<V1NetworkPolicyPeer>[];
  },
): Manifest<V1NetworkPolicy> {
  const { port, peers, added } = access;
  const everybody = peers != null && peers.length === 0;
  const from = [...(peers ?? []), ...added];
  const rule = { from: everybody ? undefined : from, ports: [{ protocol: "TCP", port }] };
  return policy(cluster, name, {
    policyTypes: ["Ingress"],
    ingress: everybody || from.length > 0 ? [rule] : undefined,
  });
}

function ownPods(cluster: ClusterView): Manifest<V1NetworkPolicyPeer> {
  return {
    namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": cluster.name } },
    podSelector: { matchLabels: instanceLabels(cluster.name) },
  };
}

function operatorPods(config: ClusterConfig): Manifest<V1NetworkPolicyPeer> {
  const { operatorNamespace, operatorLabel } = config;
  return {
    namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": operatorNamespace } },
    podSelector: { matchLabels: { [operatorLabel.name]: operatorLabel.value } },
  };
}

/** Pods of services that registered with the cluster carry this label, in whatever namespace they are. */
function allowLabel(cluster: ClusterView): Record<string, string> {
  return { [`allow.restate.dev/${cluster.name}`]: "true" };
}

function dnsRule(): Manifest<V1NetworkPolicyEgressRule> {
  return {
    to: [
      {
        namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "kube-system" } },
        podSelector: { matchLabels: { "k8s-app": "kube-dns" } },
      },
      // NodeLocal DNSCache listens on this link-local address of every node.
      { ipBlock: { cidr: "169.254.20.10/32" } },
    ],
    ports: [
      { protocol: "UDP", port: 53 },
      { protocol: "TCP", port: 53 },
    ],
  };
}

/** Everything but private and link-local ranges, in two halves: some network plugins reject 0.0.0.0/0 with exceptions. */
function publicInternetRule(): Manifest<V1NetworkPolicyEgressRule> {
  return {
    to: [
      { ipBlock: { cidr: "0.0.0.0/1", except: ["10.0.0.0/8"] } },
      {
        ipBlock: {
          cidr: "128.0.0.0/1",
          except: ["192.168.0.0/16", "172.16.0.0/12", "169.254.0.0/16"],
        },
      },
    ],
  };
}

/** The agent of EKS Pod Identity, on a link-local address of every node. */
function podIdentityRule(): Manifest<V1NetworkPolicyEgressRule> {
  return {
    to: [{ ipBlock: { cidr: "169.254.170.23/32" } }],
    ports: [{ protocol: "TCP", port: 80 }],
  };
}
