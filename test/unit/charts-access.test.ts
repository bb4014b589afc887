/**
 * Who may do what: the permissions of the three identities and the connections between their pods, as the chart grants
 * them. A permission that no code uses is a finding, and so is one that is missing.
 */
import type {
  V1NetworkPolicyPeer,
  V1NetworkPolicyPort,
  V1PolicyRule,
} from "@kubernetes/client-node";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { childKinds, RESOURCES, type WatchedKind } from "../../watcher/kinds.ts";
import {
  BUILD_TIMEOUT_MS,
  HELM_TIMEOUT_MS,
  RELEASE,
  renderChart,
  type RenderedChart,
} from "../harness/charts.ts";

vi.setConfig({ testTimeout: HELM_TIMEOUT_MS });

let defaults: RenderedChart;

beforeAll(async () => {
  defaults = await renderChart();
}, BUILD_TIMEOUT_MS);

/** `verb resource.group`, sorted. */
function grantsOf(rules: readonly V1PolicyRule[]): string[] {
  const grants = rules.flatMap(({ apiGroups = [], resources = [], verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) =>
        verbs.map((verb) => `${verb} ${group === "" ? resource : `${resource}.${group}`}`),
      ),
    ),
  );
  return grants.toSorted();
}

const rulesOf = (chart: RenderedChart): string[] =>
  grantsOf(chart.get("ClusterRole", "restate-operator").rules ?? []);

const each = (verbs: readonly string[], resources: readonly string[]): string[] =>
  resources.flatMap((resource) => verbs.map((verb) => `${verb} ${resource}`));

function isOfOwnNamespace(kind: WatchedKind): boolean {
  return "namespace" in kind;
}

describe("permissions", () => {
  it("roles exist for the services and the watcher only", () => {
    expect(defaults.names.filter((name) => /^(Cluster)?Role /.test(name))).toEqual([
      "ClusterRole restate-operator",
      "ClusterRole restate-operator-watcher",
      "Role restate-operator-watcher",
    ]);
  });

  it("services: write what belongs to the three kinds, and no Secrets", () => {
    expect(grantsOf(defaults.get("ClusterRole", "restate-operator").rules ?? [])).toEqual(
      [
        ...each(
          ["get", "list", "patch"],
          ["restateclusters.restate.dev", "restatedeployments.restate.dev"],
        ),
        ...each(["get", "list"], ["restatecloudenvironments.restate.dev"]),
        ...each(
          ["patch"],
          [
            "restateclusters/status.restate.dev",
            "restatedeployments/status.restate.dev",
            "restatecloudenvironments/status.restate.dev",
          ],
        ),
        ...each(["get", "create", "patch"], ["namespaces"]),
        ...each(["list", "create", "patch"], ["serviceaccounts", "poddisruptionbudgets.policy"]),
        ...each(["get", "list", "create", "patch"], ["services"]),
        ...each(["get", "create"], ["jobs.batch"]),
        ...each(["get", "list", "create", "patch", "delete"], ["replicasets.apps"]),
        ...each(
          ["list", "create", "patch", "delete"],
          [
            "configmaps",
            "networkpolicies.networking.k8s.io",
            "horizontalpodautoscalers.autoscaling",
          ],
        ),
        ...each(["get", "create", "patch", "delete"], ["statefulsets.apps"]),
        ...each(["list", "patch"], ["persistentvolumeclaims"]),
        ...each(["get", "list"], ["pods"]),
        ...each(["create"], ["events"]),
      ].toSorted(),
    );
  });

  const CLOUDS = { awsPodIdentityAssociationCluster: "eks", gcpWorkloadIdentity: true };
  const CSI = "secrets-store.csi.x-k8s.io/v1/SecretProviderClass";
  const VPC = "vpcresources.k8s.aws/v1beta1/SecurityGroupPolicy";
  const WRITES = ["get", "create", "patch", "delete"];
  it.each<{ name: string; values?: object; apis?: string[]; added: string[]; without?: string[] }>([
    { name: "nothing of other projects, in a plain cluster", added: [] },
    {
      name: "EKS: associations, and Jobs that try them",
      values: { awsPodIdentityAssociationCluster: "eks" },
      added: [
        ...each(WRITES, ["podidentityassociations.eks.services.k8s.aws"]),
        "delete jobs.batch",
      ],
    },
    {
      name: "Google: policy members, and Jobs that try them",
      values: { gcpWorkloadIdentity: true },
      added: [...each(WRITES, ["iampolicymembers.iam.cnrm.cloud.google.com"]), "delete jobs.batch"],
    },
    {
      name: "what is installed when the chart is",
      apis: [CSI, VPC],
      added: each(WRITES, [
        "secretproviderclasses.secrets-store.csi.x-k8s.io",
        "securitygrouppolicies.vpcresources.k8s.aws",
      ]),
    },
    {
      name: "what is going to be installed",
      values: { secretProviderClasses: true, securityGroupPolicies: true },
      added: each(WRITES, [
        "secretproviderclasses.secrets-store.csi.x-k8s.io",
        "securitygrouppolicies.vpcresources.k8s.aws",
      ]),
    },
    {
      name: "not what is switched off, by value",
      values: { secretProviderClasses: false, securityGroupPolicies: false },
      apis: [CSI, VPC],
      added: [],
    },
    {
      name: "not what is switched off, by variable",
      values: {
        env: [
          { name: "MANAGE_SECRET_PROVIDER_CLASSES", value: "false" },
          { name: "MANAGE_NETWORK_POLICIES", value: "false" },
        ],
      },
      apis: [CSI],
      added: [],
      without: each(["list", "create", "patch", "delete"], ["networkpolicies.networking.k8s.io"]),
    },
  ])("services: $name", async ({ values, apis, added, without = [] }) => {
    const expected = [...rulesOf(defaults), ...added].filter((grant) => !without.includes(grant));
    expect(rulesOf(await renderChart(values, apis))).toEqual(expected.toSorted());
  });

  it("what the services do not write is not watched, and the watcher is told the same", async () => {
    const env = [{ name: "MANAGE_NETWORK_POLICIES", value: "false" }];
    const chart = await renderChart({ ...CLOUDS, env });
    const variables = ["restate-operator", "restate-operator-watcher"].map((name) =>
      (chart.get("Deployment", name).spec?.template.spec?.containers[0]?.env ?? []).filter(
        (variable) => /^(?:AWS|GCP|MANAGE)_/.test(variable.name),
      ),
    );
    const told = [
      { name: "AWS_POD_IDENTITY_ASSOCIATION_CLUSTER", value: "eks" },
      { name: "GCP_WORKLOAD_IDENTITY", value: "true" },
      ...env,
    ];
    expect(variables).toEqual([told, told]);
    const managed = { networkPolicies: false, podIdentity: true, workloadIdentity: true };
    const watched = childKinds(RELEASE, managed).filter((kind) => !isOfOwnNamespace(kind));
    const expected = [...Object.values(RESOURCES), ...watched].flatMap(({ group, plural }) =>
      grantsOf([{ apiGroups: [group], resources: [plural], verbs: ["list", "watch"] }]),
    );
    expect(grantsOf(chart.get("ClusterRole", "restate-operator-watcher").rules ?? [])).toEqual(
      [...new Set(expected)].toSorted(),
    );
  });

  it("watcher: lists and watches exactly the kinds of watcher/kinds.ts", () => {
    const watched: WatchedKind[] = [...Object.values(RESOURCES), ...childKinds(RELEASE)];
    const grants = (kinds: WatchedKind[]) =>
      grantsOf(
        kinds.map(({ group, plural }) => ({
          apiGroups: [group],
          resources: [plural],
          verbs: ["list", "watch"],
        })),
      );
    const clusterWide = new Set(grants(watched.filter((kind) => !isOfOwnNamespace(kind))));
    const ownNamespace = grants(watched.filter(isOfOwnNamespace));
    const { rules } = defaults.get("ClusterRole", "restate-operator-watcher");
    expect(grantsOf(rules ?? [])).toEqual([...clusterWide].toSorted());
    expect(grantsOf(defaults.get("Role", "restate-operator-watcher").rules ?? [])).toEqual(
      [
        "create events.events.k8s.io",
        ...ownNamespace.filter((grant) => !clusterWide.has(grant)),
      ].toSorted(),
    );
  });

  it("nobody: wildcards, Secrets, exec, or a way to more permissions", async () => {
    const everything = await renderChart({
      ...CLOUDS,
      secretProviderClasses: true,
      securityGroupPolicies: true,
      serviceMonitor: { enabled: true },
    });
    const rules = everything.objects.flatMap((object) =>
      object.kind === "ClusterRole" || object.kind === "Role"
        ? (everything.get(object.kind, object.metadata.name).rules ?? [])
        : [],
    );
    expect(rules.flatMap(({ nonResourceURLs = [] }) => nonResourceURLs)).toEqual([]);
    const dangerous =
      /\*|secrets(?!-store)|escalate|bind|impersonate|exec|attach|portforward|\/proxy|\/token/;
    expect(grantsOf(rules).filter((grant) => dangerous.test(grant))).toEqual([]);
  });
});

/** A peer by the pods it selects, or as JSON when it is something else. */
function nameOf(peer: V1NetworkPolicyPeer): string {
  const app = peer.podSelector?.matchLabels?.["app"];
  return app !== undefined && peer.namespaceSelector === undefined ? app : JSON.stringify(peer);
}

/** client-node's type says `_from` where the manifest says `from`. */
function fromOf(rule: object): V1NetworkPolicyPeer[] | undefined {
  return "from" in rule ? (rule.from as V1NetworkPolicyPeer[]) : undefined;
}

function who(peers: readonly V1NetworkPolicyPeer[] | undefined): string {
  return peers === undefined ? "everybody" : peers.map(nameOf).join(" ");
}

function portsOf(ports: readonly V1NetworkPolicyPort[] = []): string {
  return ports.map(({ port }) => port).join(" ");
}

/** `port <- who` of every ingress rule, `port -> whom` of every egress rule, and the directions that are denied otherwise. */
function connectionsOf(chart: RenderedChart, policy: string) {
  const { spec } = chart.get("NetworkPolicy", policy);
  return {
    pods: spec?.podSelector?.matchLabels?.["app"],
    denied: spec?.policyTypes,
    allowed: [
      ...(spec?.ingress ?? []).map((rule) => `${portsOf(rule.ports)} <- ${who(fromOf(rule))}`),
      ...(spec?.egress ?? []).map(({ ports, to }) => `${portsOf(ports)} -> ${who(to)}`),
    ],
  };
}

describe("connections", () => {
  const dns =
    '{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"kube-system"}},' +
    '"podSelector":{"matchLabels":{"k8s-app":"kube-dns"}}} {"ipBlock":{"cidr":"169.254.20.10/32"}}';
  const prometheus = [{ namespaceSelector: { matchLabels: { team: "metrics" } } }];
  const scraper = JSON.stringify(prometheus[0]);

  it.each([
    {
      policy: "restate-operator-bootstrap",
      connections: {
        pods: "restate-operator-bootstrap",
        denied: ["Ingress", "Egress"],
        allowed: [
          "8080 <- restate-operator-watcher restate-operator",
          "9070 <- restate-operator",
          "9080 -> restate-operator",
          `53 53 -> ${dns}`,
        ],
      },
    },
    {
      policy: "restate-operator",
      connections: {
        pods: "restate-operator",
        denied: ["Ingress"],
        allowed: ["9080 <- restate-operator-bootstrap"],
      },
    },
    {
      policy: "restate-operator-watcher",
      connections: { pods: "restate-operator-watcher", denied: ["Ingress"], allowed: [] },
    },
  ])("$policy", ({ policy, connections }) => {
    expect(connectionsOf(defaults, policy)).toEqual(connections);
  });

  it("metricsFrom opens the metrics, and only those", async () => {
    const chart = await renderChart({ networkPolicies: { metricsFrom: prometheus } });
    const added = [
      "restate-operator",
      "restate-operator-watcher",
      "restate-operator-bootstrap",
    ].map((policy) => {
      const before = new Set(connectionsOf(defaults, policy).allowed);
      return connectionsOf(chart, policy).allowed.filter((line) => !before.has(line));
    });
    expect(added).toEqual([[`8080 <- ${scraper}`], [`8080 <- ${scraper}`], [`5122 <- ${scraper}`]]);
  });

  it("a Restate elsewhere may come from anywhere, or from where servicesFrom says", async () => {
    const bootstrap = {
      enabled: false,
      ingressUrl: "https://example.test:8080",
      adminUrl: "https://example.test:9070",
      publicKeys: ["publickeyv1_GpszWWkc1Uc1ckph5vpiqmGvofQ9SPENCSgbWHJJyiMX"],
    };
    const open = await renderChart({ bootstrap });
    const narrow = await renderChart({ bootstrap, networkPolicies: { servicesFrom: prometheus } });
    expect(connectionsOf(open, "restate-operator").allowed).toEqual(["9080 <- everybody"]);
    expect(connectionsOf(narrow, "restate-operator").allowed).toEqual([`9080 <- ${scraper}`]);
  });
});
