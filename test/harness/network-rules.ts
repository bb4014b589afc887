/**
 * What NetworkPolicies mean for the pods there are, as data and as rules for nftables: the pure half of the enforcer.
 *
 * A pod that a policy selects for a direction is isolated in it: what no rule of such a policy allows is dropped. Selectors
 * are resolved to addresses, and named ports to the numbers that the receiving pod gives them. Knows IPv4 only, as the node
 * of the tests has nothing else; pods in the node's own network are never isolated, as with real network plugins.
 */
import type { V1LabelSelector, V1Namespace, V1Pod } from "@kubernetes/client-node";

type Port = {
  readonly protocol?: string;
  readonly port?: number | string;
  readonly endPort?: number;
};

type Peer = {
  readonly podSelector?: V1LabelSelector;
  readonly namespaceSelector?: V1LabelSelector;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
};

/** A NetworkPolicy as the API server writes it (the client's model spells `from` and `except` differently). */
export type Policy = {
  readonly metadata: { readonly namespace: string };
  readonly spec: {
    readonly podSelector: V1LabelSelector;
    readonly policyTypes: readonly string[];
    readonly ingress?: readonly {
      readonly from?: readonly Peer[];
      readonly ports?: readonly Port[];
    }[];
    readonly egress?: readonly {
      readonly to?: readonly Peer[];
      readonly ports?: readonly Port[];
    }[];
  };
};

/** The objects that decide. */
export type Network = {
  readonly policies: readonly Policy[];
  readonly pods: readonly V1Pod[];
  readonly namespaces: readonly V1Namespace[];
};

type Direction = "Ingress" | "Egress";

/** Allowed connections: with whom (absent: everybody), and to which port of the receiving end (absent: every one). */
type Access = {
  readonly peer?: { readonly cidr: string; readonly except?: readonly string[] };
  /** `ports`: a number or `first-last`; absent: all of the protocol. */
  readonly port?: { readonly protocol: string; readonly ports?: string };
};

/** A pod that is isolated in a direction. */
export type Isolation = {
  readonly ip: string;
  readonly direction: Direction;
  readonly accesses: readonly Access[];
};

/** Every isolated pod with what it may do all the same, ingress first, in the order of the pods. */
export function isolationsOf(network: Network): Isolation[] {
  const pods = network.pods.filter(isInPodNetwork);
  return (["Ingress", "Egress"] as const).flatMap((direction) =>
    pods.flatMap((pod) => isolationOf(pod, direction, { ...network, pods })),
  );
}

function isolationOf(pod: V1Pod, direction: Direction, network: Network): Isolation[] {
  const selecting = network.policies.filter(
    ({ metadata, spec }) =>
      metadata.namespace === pod.metadata?.namespace &&
      spec.policyTypes.includes(direction) &&
      isSelected(spec.podSelector, pod.metadata.labels),
  );
  if (selecting.length === 0) return [];
  const accesses = selecting.flatMap(({ metadata, spec }) => {
    const { namespace } = metadata;
    if (direction === "Egress") {
      return (spec.egress ?? []).flatMap(({ to = [], ports = [] }) =>
        receiversOf(to, namespace, network).flatMap((receiver) => accessesTo(receiver, ports)),
      );
    }
    return (spec.ingress ?? []).flatMap(({ from = [], ports = [] }) =>
      receiversOf(from, namespace, network).flatMap(({ peer }) =>
        accessesTo({ ...(peer === undefined ? {} : { peer }), pod }, ports),
      ),
    );
  });
  return [{ ip: ipOf(pod), direction, accesses }];
}

/** The other end of connections, and the pod that is there, if one is. */
type End = { readonly peer?: NonNullable<Access["peer"]>; readonly pod?: V1Pod };

function receiversOf(peers: readonly Peer[], namespace: string, network: Network): End[] {
  if (peers.length === 0) return [{}];
  return peers.flatMap(({ ipBlock, podSelector = {}, namespaceSelector }): End[] => {
    if (ipBlock !== undefined) return ipBlock.cidr.includes(":") ? [] : [{ peer: ipBlock }];
    const namespaces = network.namespaces.flatMap(({ metadata }) =>
      (
        namespaceSelector === undefined
          ? metadata?.name === namespace
          : isSelected(namespaceSelector, metadata?.labels)
      )
        ? [metadata?.name]
        : [],
    );
    return network.pods
      .filter(
        ({ metadata }) =>
          namespaces.includes(metadata?.namespace) && isSelected(podSelector, metadata?.labels),
      )
      .map((pod) => ({ peer: { cidr: ipOf(pod) }, pod }));
  });
}

function accessesTo({ peer, pod }: End, ports: readonly Port[]): Access[] {
  const whom = peer === undefined ? {} : { peer };
  if (ports.length === 0) return [whom];
  return ports.flatMap(({ protocol = "TCP", port, endPort }): Access[] => {
    if (port === undefined) return [{ ...whom, port: { protocol } }];
    const numbers = typeof port === "number" ? [port] : numbersOf(pod, port, protocol);
    return numbers.map((first) => ({
      ...whom,
      port: { protocol, ports: endPort === undefined ? `${first}` : `${first}-${endPort}` },
    }));
  });
}

/** Numbers that a pod's containers (sidecars among them) give to the name of a port: none outside of pods. */
function numbersOf(pod: V1Pod | undefined, name: string, protocol: string): number[] {
  const { containers = [], initContainers = [] } = pod?.spec ?? {};
  return [...containers, ...initContainers]
    .flatMap(({ ports = [] }) => ports)
    .filter((port) => port.name === name && (port.protocol ?? "TCP") === protocol)
    .map(({ containerPort }) => containerPort);
}

function isSelected(selector: V1LabelSelector, labels: Record<string, string> = {}): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector;
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      const isListed = value !== undefined && values.includes(value);
      switch (operator) {
        case "In":
          return isListed;
        case "NotIn":
          return !isListed;
        case "Exists":
          return value !== undefined;
        case "DoesNotExist":
          return value === undefined;
        default:
          throw new Error(`a label selector has the operator ${operator}`);
      }
    })
  );
}

/** A pod has its address from when it starts until it ends. */
function isInPodNetwork({ spec, status }: V1Pod): boolean {
  const hasEnded = status?.phase === "Succeeded" || status?.phase === "Failed";
  return spec?.hostNetwork !== true && status?.podIP !== undefined && !hasEnded;
}

function ipOf({ status }: V1Pod): string {
  return status?.podIP ?? "";
}

export const TABLE = "inet network_policies";

/**
 * A script for `nft --file`, which puts the rules in the place of those there were in one transaction.
 *
 * Of a connection its first packet is judged, after a service's address was replaced by a pod's: on its way out, then on its
 * way in. What pods send to the node itself is not forwarded, so their way out is looked at there too; what comes from the
 * node (the kubelet's probes, kubectl port-forward) is let through, as Kubernetes demands.
 */
export function renderRules(isolations: readonly Isolation[]): string {
  const jumps = (direction: Direction) =>
    isolations
      .filter((each) => each.direction === direction)
      .map((each) => `ip ${END_OF_POD[direction]} ${each.ip} jump ${chainOf(each)}`);
  const judged = "ct state established,related accept";
  return [
    `add table ${TABLE}`,
    `delete table ${TABLE}`,
    `table ${TABLE} {`,
    ...isolations.map((each) => renderChain(chainOf(each), rulesOf(each))),
    renderChain("egress", jumps("Egress")),
    renderChain("ingress", jumps("Ingress")),
    renderChain("between_pods", [
      "type filter hook forward priority -10",
      judged,
      "jump egress",
      "jump ingress",
    ]),
    renderChain("to_node", ["type filter hook input priority -10", judged, "jump egress"]),
    "}\n",
  ].join("\n");
}

/** Which end of a connection the isolated pod is, and which its peer. */
const END_OF_POD = { Ingress: "daddr", Egress: "saddr" } as const;
const END_OF_PEER = { Ingress: "saddr", Egress: "daddr" } as const;

function rulesOf({ ip, direction, accesses }: Isolation): string[] {
  const peerEnd = END_OF_PEER[direction];
  const allowed = accesses.map(({ peer, port }) =>
    [
      ...(peer === undefined ? [] : [`ip ${peerEnd} ${peer.cidr}`]),
      ...(peer?.except ?? []).map((cidr) => `ip ${peerEnd} != ${cidr}`),
      ...(port === undefined ? [] : [renderPort(port)]),
      "return",
    ].join(" "),
  );
  // a pod reaches itself, by its own service for example, whatever is said of others
  return [...new Set([`ip ${peerEnd} ${ip} return`, ...allowed]), "drop"];
}

function renderPort({ protocol, ports }: NonNullable<Access["port"]>): string {
  const name = protocol.toLowerCase();
  return ports === undefined ? `meta l4proto ${name}` : `${name} dport ${ports}`;
}

function chainOf({ ip, direction }: Isolation): string {
  return `${direction.toLowerCase()}_${ip.replaceAll(".", "_")}`;
}

function renderChain(name: string, rules: readonly string[]): string {
  return [`  chain ${name} {`, ...rules.map((rule) => `    ${rule};`), "  }"].join("\n");
}
