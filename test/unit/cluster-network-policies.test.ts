/** Who may connect to a cluster, and where it may connect to: rows of a spec and the whole rules that follow from it. */
import type { V1NetworkPolicySpec } from "@kubernetes/client-node";
import { describe, expect, test } from "vitest";
import type { RestateClusterSpec } from "../../crds/restate-cluster.ts";
import { aCluster, manifestsOf } from "./cluster-samples.ts";

type Security = NonNullable<RestateClusterSpec["security"]>;

/** Spec of one policy as it is sent, less what all have in common. */
function rulesOf(name: string, security: Security, autoProvision = false): unknown {
  const cluster = aCluster({
    spec: { security, ...(autoProvision ? { cluster: { autoProvision } } : {}) },
  });
  const manifest = manifestsOf(cluster).find(
    ({ kind, metadata }) => kind === "NetworkPolicy" && metadata?.name === name,
  );
  const sent = JSON.parse(JSON.stringify(manifest)) as { spec: V1NetworkPolicySpec };
  const { podSelector, policyTypes: _, ...rules } = sent.spec;
  expect(podSelector).toEqual({
    matchLabels: { "app.kubernetes.io/name": "restate", "app.kubernetes.io/instance": "c" },
  });
  return rules;
}

const OPERATOR = {
  namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "op" } },
  podSelector: { matchLabels: { "app.kubernetes.io/name": "restate-operator" } },
};
const OWN_PODS = {
  namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "c" } },
  podSelector: {
    matchLabels: { "app.kubernetes.io/name": "restate", "app.kubernetes.io/instance": "c" },
  },
};
const FRIEND = { podSelector: { matchLabels: { app: "friend" } } };
const STRANGER = { podSelector: { matchLabels: { app: "stranger" } } };

/** One rule for one port. No peers at all: everybody. */
const rule = (port: number, ...from: object[]) => ({
  ingress: [{ ...(from.length === 0 ? {} : { from }), ports: [{ protocol: "TCP", port }] }],
});
const NOBODY = {};

describe("the three spellings: absent is nobody new, [] is everybody, a list is that list", () => {
  test.each<[string, Security, object]>([
    ["absent", {}, NOBODY],
    ["networkPeers without it", { networkPeers: {} }, NOBODY],
    ["[]", { networkPeers: { ingress: [] } }, rule(8080)],
    ["a list", { networkPeers: { ingress: [FRIEND] } }, rule(8080, FRIEND)],
    ["others' lists do not count", { networkPeers: { admin: [FRIEND], node: [] } }, NOBODY],
  ])("ingress: %s", (_, security, expected) => {
    expect(rulesOf("allow-ingress-access", security)).toEqual(expected);
  });

  test.each<[string, Security, object]>([
    ["absent", {}, rule(9070, OPERATOR)],
    ["[]: adding to it stays everybody", { networkPeers: { admin: [] } }, rule(9070)],
    [
      "a list, and the operator",
      { networkPeers: { admin: [FRIEND] } },
      rule(9070, FRIEND, OPERATOR),
    ],
    ["without the operator: absent", { allowOperatorAccessToAdmin: false }, NOBODY],
    [
      "without the operator: []",
      { allowOperatorAccessToAdmin: false, networkPeers: { admin: [] } },
      rule(9070),
    ],
    [
      "without the operator: a list",
      { allowOperatorAccessToAdmin: false, networkPeers: { admin: [FRIEND] } },
      rule(9070, FRIEND),
    ],
    ["with the operator, said aloud", { allowOperatorAccessToAdmin: true }, rule(9070, OPERATOR)],
  ])("admin: %s", (_, security, expected) => {
    expect(rulesOf("allow-admin-access", security)).toEqual(expected);
  });

  test.each<[string, Security, boolean, object]>([
    ["absent: the cluster's own pods", {}, false, rule(5122, OWN_PODS)],
    ["absent, provisioned by the operator", {}, true, rule(5122, OWN_PODS, OPERATOR)],
    ["[]", { networkPeers: { node: [] } }, true, rule(5122)],
    ["a list", { networkPeers: { node: [FRIEND] } }, false, rule(5122, FRIEND, OWN_PODS)],
    [
      "the deprecated name",
      { networkPeers: { metrics: [FRIEND] } },
      false,
      rule(5122, FRIEND, OWN_PODS),
    ],
    ["the deprecated name, []", { networkPeers: { metrics: [] } }, false, rule(5122)],
    [
      "node wins over metrics",
      { networkPeers: { node: [FRIEND], metrics: [STRANGER] } },
      true,
      rule(5122, FRIEND, OWN_PODS, OPERATOR),
    ],
    [
      "node: [] wins over metrics",
      { networkPeers: { node: [], metrics: [STRANGER] } },
      false,
      rule(5122),
    ],
  ])("node: %s", (...[, security, autoProvision, expected]) => {
    expect(rulesOf("allow-metrics-access", security, autoProvision)).toEqual(expected);
  });
});

describe("egress", () => {
  const own = { to: [OWN_PODS], ports: [{ protocol: "TCP", port: 5122 }] };
  const allowed = {
    to: [
      { namespaceSelector: {}, podSelector: { matchLabels: { "allow.restate.dev/c": "true" } } },
    ],
  };
  const users = {
    to: [{ ipBlock: { cidr: "10.1.0.0/16" } }],
    ports: [{ protocol: "TCP", port: 443 }],
  };

  test.each<[string, Security, object]>([
    ["nothing asked for", {}, { egress: [own, allowed] }],
    [
      "the user's rules come first",
      { networkEgressRules: [users] },
      { egress: [users, own, allowed] },
    ],
    [
      "an empty rule, which is everything",
      { networkEgressRules: [{}] },
      { egress: [{}, own, allowed] },
    ],
    ["an empty list is nothing", { networkEgressRules: [] }, { egress: [own, allowed] }],
  ])("%s", (_, security, expected) => {
    expect(rulesOf("allow-restate-egress", security)).toEqual(expected);
  });

  test("the agent of EKS Pod Identity", () => {
    const security = { awsPodIdentityAssociationRoleArn: "arn" };
    expect(rulesOf("allow-restate-egress-to-aws-pod-identity", security)).toEqual({
      egress: [
        {
          to: [{ ipBlock: { cidr: "169.254.170.23/32" } }],
          ports: [{ protocol: "TCP", port: 80 }],
        },
      ],
    });
  });

  test("everything is denied first", () => {
    expect(rulesOf("deny-all", {})).toEqual({});
  });
});
