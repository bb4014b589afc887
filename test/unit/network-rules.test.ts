/** What the enforcer of the node tests makes of NetworkPolicies: rows of rules, and the connections that they allow. */
import type { V1Namespace, V1Pod } from "@kubernetes/client-node";
import { describe, expect, test } from "vitest";
import { isolationsOf, renderRules, type Policy } from "../harness/network-rules.ts";

const NAMESPACES: V1Namespace[] = [
  { metadata: { name: "a", labels: { team: "one" } } },
  { metadata: { name: "b", labels: { team: "two" } } },
];

const aPod = (place: string, podIP: string, more: object = {}): V1Pod => {
  const [namespace = "", app = ""] = place.split("/");
  return {
    metadata: { namespace, name: app, labels: { app } },
    spec: { containers: [{ name: app, ports: [{ name: "web", containerPort: 8000 }] }] },
    status: { phase: "Running", podIP },
    ...more,
  };
};

const PODS: V1Pod[] = [
  aPod("a/server", "10.0.0.1"),
  aPod("a/client", "10.0.0.2"),
  aPod("b/client", "10.0.0.3"),
  aPod("b/other", "10.0.0.4"),
  aPod("b/client", "10.0.0.5", { status: { phase: "Succeeded", podIP: "10.0.0.5" } }),
  aPod("b/client", "10.0.0.6", {
    spec: { containers: [], hostNetwork: true },
  }),
];

type Spec = Policy["spec"];

/** What the pods of app `server` may still do under one policy for them. */
const accessesUnder = (spec: Omit<Spec, "podSelector">) =>
  isolationsOf({
    policies: [
      {
        metadata: { namespace: "a" },
        spec: { podSelector: { matchLabels: { app: "server" } }, ...spec },
      },
    ],
    pods: PODS,
    namespaces: NAMESPACES,
  });

const TCP = (ports: string) => ({ protocol: "TCP", ports });
const from = (cidr: string) => ({ peer: { cidr } });
const CLIENT = { matchLabels: { app: "client" } };
const TEAM_TWO = { matchLabels: { team: "two" } };

describe("ingress", () => {
  test.each<[string, NonNullable<Spec["ingress"]>, object[]]>([
    ["no rule: nobody", [], []],
    ["an empty rule: everybody, everywhere", [{}], [{}]],
    ["a port: everybody, there", [{ ports: [{ port: 80 }] }], [{ port: TCP("80") }]],
    [
      "ports by range, by protocol, and by the name that the receiver gives them",
      [
        {
          ports: [
            { port: 80, endPort: 90 },
            { protocol: "UDP", port: 53 },
            { protocol: "SCTP" },
            { port: "web" },
            { port: "unknown" },
          ],
        },
      ],
      [
        { port: TCP("80-90") },
        { port: { protocol: "UDP", ports: "53" } },
        { port: { protocol: "SCTP" } },
        { port: TCP("8000") },
      ],
    ],
    [
      "a podSelector alone: pods of the policy's own namespace",
      [{ from: [{ podSelector: CLIENT }] }],
      [from("10.0.0.2")],
    ],
    [
      "a namespaceSelector alone: every pod there that runs in the pod network",
      [{ from: [{ namespaceSelector: TEAM_TWO }] }],
      [from("10.0.0.3"), from("10.0.0.4")],
    ],
    [
      "both in one peer: such pods of such namespaces",
      [{ from: [{ namespaceSelector: TEAM_TWO, podSelector: CLIENT }] }],
      [from("10.0.0.3")],
    ],
    [
      "both as two peers: either",
      [{ from: [{ namespaceSelector: TEAM_TWO }, { podSelector: CLIENT }] }],
      [from("10.0.0.3"), from("10.0.0.4"), from("10.0.0.2")],
    ],
    [
      "expressions",
      [
        {
          from: [
            {
              namespaceSelector: { matchExpressions: [{ key: "team", operator: "Exists" }] },
              podSelector: {
                matchExpressions: [
                  { key: "app", operator: "In", values: ["client", "other"] },
                  { key: "app", operator: "NotIn", values: ["other"] },
                  { key: "gone", operator: "DoesNotExist" },
                ],
              },
            },
          ],
        },
      ],
      [from("10.0.0.2"), from("10.0.0.3")],
    ],
    [
      "a block of addresses with exceptions; one of IPv6 is nobody here",
      [
        {
          from: [
            { ipBlock: { cidr: "10.0.0.0/8", except: ["10.9.0.0/16"] } },
            { ipBlock: { cidr: "fd00::/8" } },
          ],
        },
      ],
      [{ peer: { cidr: "10.0.0.0/8", except: ["10.9.0.0/16"] } }],
    ],
    [
      "a selector that selects nobody is not everybody",
      [{ from: [{ podSelector: TEAM_TWO }] }],
      [],
    ],
  ])("%s", (_, ingress, accesses) => {
    expect(accessesUnder({ policyTypes: ["Ingress"], ingress })).toEqual([
      { ip: "10.0.0.1", direction: "Ingress", accesses },
    ]);
  });
});

test("egress: a named port is the receiver's, and no number outside of pods", () => {
  const to = [{ podSelector: CLIENT }, { ipBlock: { cidr: "0.0.0.0/1" } }];
  const egress = [{ to, ports: [{ port: "web" }, { port: 443 }] }];
  expect(accessesUnder({ policyTypes: ["Egress"], egress })).toEqual([
    {
      ip: "10.0.0.1",
      direction: "Egress",
      accesses: [
        { peer: { cidr: "10.0.0.2" }, port: TCP("8000") },
        { peer: { cidr: "10.0.0.2" }, port: TCP("443") },
        { peer: { cidr: "0.0.0.0/1" }, port: TCP("443") },
      ],
    },
  ]);
});

const policyOfAll = (spec: Omit<Spec, "podSelector">): Policy => ({
  metadata: { namespace: "a" },
  spec: { podSelector: {}, ...spec },
});

test("a direction that no policy speaks of stays open; policies of one pod add up", () => {
  const network = { pods: PODS, namespaces: NAMESPACES };
  expect(isolationsOf({ policies: [], ...network })).toEqual([]);
  const policies = [
    policyOfAll({ policyTypes: ["Egress", "Ingress"] }),
    policyOfAll({ policyTypes: ["Ingress"], ingress: [{ ports: [{ port: 80 }] }] }),
  ];
  const port = { port: TCP("80") };
  expect(isolationsOf({ policies, ...network })).toEqual([
    { ip: "10.0.0.1", direction: "Ingress", accesses: [port] },
    { ip: "10.0.0.2", direction: "Ingress", accesses: [port] },
    { ip: "10.0.0.1", direction: "Egress", accesses: [] },
    { ip: "10.0.0.2", direction: "Egress", accesses: [] },
  ]);
});

test("the rules take the place of those before, and end with a drop for each isolated pod", () => {
  const isolations = accessesUnder({
    policyTypes: ["Ingress", "Egress"],
    ingress: [
      {
        from: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["10.9.0.0/16"] } }],
        ports: [{ port: 80, endPort: 90 }, { protocol: "UDP" }],
      },
    ],
  });
  expect(renderRules(isolations)).toBe(`add table inet network_policies
delete table inet network_policies
table inet network_policies {
  chain ingress_10_0_0_1 {
    ip saddr 10.0.0.1 return;
    ip saddr 10.0.0.0/8 ip saddr != 10.9.0.0/16 tcp dport 80-90 return;
    ip saddr 10.0.0.0/8 ip saddr != 10.9.0.0/16 meta l4proto udp return;
    drop;
  }
  chain egress_10_0_0_1 {
    ip daddr 10.0.0.1 return;
    drop;
  }
  chain egress {
    ip saddr 10.0.0.1 jump egress_10_0_0_1;
  }
  chain ingress {
    ip daddr 10.0.0.1 jump ingress_10_0_0_1;
  }
  chain between_pods {
    type filter hook forward priority -10;
    ct state established,related accept;
    jump egress;
    jump ingress;
  }
  chain to_node {
    type filter hook input priority -10;
    ct state established,related accept;
    jump egress;
  }
}
`);
});
