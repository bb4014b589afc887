/** What a RestateCluster's spec makes of its children: rows of a spec and the part of the manifests it decides. */
import { describe, expect, test } from "vitest";
import type { RestateCluster } from "../../crds/restate-cluster.ts";
import { refOf } from "../../services/core/children.ts";
import { titleOf } from "../../services/core/resource.ts";
import { configMapName } from "../../services/cluster/build/config-map.ts";
import { CONFIG, aCluster, manifestsOf } from "./cluster-samples.ts";

interface Container {
  readonly env: { readonly name: string; readonly value?: string }[];
  readonly [field: string]: unknown;
}

interface StatefulSet {
  readonly metadata: Record<string, unknown>;
  readonly spec: {
    readonly replicas: number;
    readonly template: {
      readonly metadata: { readonly labels: object; readonly annotations: object };
      readonly spec: { readonly containers: [Container]; readonly [field: string]: unknown };
    };
    readonly volumeClaimTemplates: [{ readonly metadata: object; readonly spec: object }];
  };
}

/** One manifest as it is sent. */
function sent(cluster: RestateCluster, title: string): unknown {
  const manifest = manifestsOf(cluster).find((candidate) => titleOf(refOf(candidate)) === title);
  return manifest === undefined ? undefined : JSON.parse(JSON.stringify(manifest));
}

const statefulSetOf = (cluster: RestateCluster) =>
  sent(cluster, "StatefulSet restate") as StatefulSet;
const containerOf = (cluster: RestateCluster): Container =>
  statefulSetOf(cluster).spec.template.spec.containers[0];

const DEFAULT_ENV = [
  ["POD_NAME", undefined],
  ["POD_ZONE", undefined],
  ["POD_REGION", undefined],
  ["RESTATE_LOG_FORMAT", "json"],
  ["RESTATE_CLUSTER_NAME", "c"],
  ["RESTATE_BASE_DIR", "/restate-data"],
  ["RUST_BACKTRACE", "1"],
  ["RUST_LIB_BACKTRACE", "0"],
  ["RESTATE_CONFIG", "/config/config.toml"],
  ["RESTATE_ADVERTISED_ADDRESS", "http://$(POD_NAME).restate-cluster:5122"],
  ["RESTATE_NODE_NAME", "$(POD_NAME)"],
];
const without = (...names: string[]) =>
  DEFAULT_ENV.filter(([name]) => !names.includes(String(name)));

describe("environment", () => {
  test.each([
    { name: "none of the user's", cluster: aCluster(), expected: DEFAULT_ENV },
    {
      name: "a variable of the user's takes the place of ours and moves to the end",
      cluster: aCluster({
        compute: {
          env: [
            { name: "RUST_BACKTRACE", value: "full" },
            { name: "EXTRA", value: "1" },
            { name: "POD_NAME", value: "fixed" },
          ],
        },
      }),
      expected: [
        ...without("RUST_BACKTRACE", "POD_NAME"),
        ["RUST_BACKTRACE", "full"],
        ["EXTRA", "1"],
        ["POD_NAME", "fixed"],
      ],
    },
    {
      name: "clusterName names the cluster",
      cluster: aCluster({ spec: { clusterName: "theirs" } }),
      expected: DEFAULT_ENV.map(([name, value]) => [
        name,
        name === "RESTATE_CLUSTER_NAME" ? "theirs" : value,
      ]),
    },
  ])("$name", ({ cluster, expected }) => {
    expect(containerOf(cluster).env.map(({ name, value }) => [name, value])).toEqual(expected);
  });
});

describe("labels and annotations", () => {
  const cluster = aCluster({
    metadata: {
      labels: {
        team: "resource",
        "app.kubernetes.io/name": "mine",
        "applyset.kubernetes.io/part-of": "x",
      },
      annotations: {
        note: "resource",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "restate.dev/reconcile": "enabled",
      },
    },
    compute: {
      labels: { team: "pod", tier: "pod", "app.kubernetes.io/instance": "mine" },
      annotations: { note: "pod", scrape: "pod" },
    },
    spec: {
      security: {
        serviceAccountAnnotations: { role: "a", note: "account" },
        serviceAnnotations: { balancer: "b" },
      },
    },
  });
  const instance = { "app.kubernetes.io/name": "restate", "app.kubernetes.io/instance": "c" };

  test("pods: the user's pod labels below the resource's below ours", () => {
    expect(statefulSetOf(cluster).spec.template.metadata).toEqual({
      labels: { team: "resource", tier: "pod", ...instance },
      annotations: { note: "resource", scrape: "pod" },
    });
  });

  test("selectors and claims carry the instance labels and nothing else, as they can never change", () => {
    const { spec } = sent(cluster, "StatefulSet restate") as { spec: { selector: object } };
    expect(spec.selector).toEqual({ matchLabels: instance });
    expect(statefulSetOf(cluster).spec.volumeClaimTemplates[0].metadata).toEqual({
      name: "storage",
      labels: instance,
    });
  });

  test.each([
    ["Namespace c", { note: "resource" }],
    ["ServiceAccount restate", { note: "account", role: "a" }],
    ["Service restate", { note: "resource", balancer: "b" }],
    ["Service restate-cluster", { note: "resource" }],
    ["StatefulSet restate", { note: "resource" }],
  ])("%s", (title, annotations) => {
    const namespace = title === "Namespace c" ? {} : { namespace: "c" };
    expect(sent(cluster, title)).toMatchObject({
      metadata: { labels: { team: "resource", ...instance }, annotations, ...namespace },
    });
    const { metadata } = sent(cluster, title) as {
      metadata: { labels: object; annotations: object };
    };
    expect(metadata.labels).toEqual({ team: "resource", ...instance });
    expect(metadata.annotations).toEqual(annotations);
  });

  test("every child is controlled by the cluster, and blocks nothing", () => {
    const owners = manifestsOf(cluster).map(
      (manifest) => (manifest.metadata as { ownerReferences?: unknown }).ownerReferences,
    );
    expect(new Set(owners.map((owner) => JSON.stringify(owner)))).toEqual(
      new Set([
        JSON.stringify([
          {
            apiVersion: "restate.dev/v1",
            kind: "RestateCluster",
            name: "c",
            uid: "uid-c",
            controller: true,
          },
        ]),
      ]),
    );
  });
});

describe("what is passed through to pods", () => {
  const compute = {
    replicas: 3,
    imagePullPolicy: "Always",
    imagePullSecrets: [{ name: "pull" }],
    command: ["restate"],
    args: ["--x"],
    resources: { limits: { memory: "1Gi" } },
    lifecycle: { preStop: { exec: { command: ["sleep", "1"] } } },
    terminationGracePeriodSeconds: 0,
    nodeSelector: { disk: "fast" },
    affinity: { nodeAffinity: {} },
    tolerations: [{ key: "k", operator: "Exists" }],
    topologySpreadConstraints: [
      { maxSkew: 1, topologyKey: "zone", whenUnsatisfiable: "DoNotSchedule" },
    ],
    priorityClassName: "high",
    dnsPolicy: "None",
    dnsConfig: { nameservers: ["10.0.0.1"] },
  };

  test("everything that is set, as it is set", () => {
    const { imagePullPolicy, command, args, resources, lifecycle, replicas, ...pod } = compute;
    const set = statefulSetOf(aCluster({ compute }));
    expect(set.spec.replicas).toBe(replicas);
    expect(set.spec.template.spec).toMatchObject(pod);
    expect(set.spec.template.spec.containers[0]).toMatchObject({
      imagePullPolicy,
      command,
      args,
      resources,
      lifecycle,
    });
  });

  test("nothing that is not set", () => {
    const { containers: _, ...pod } = statefulSetOf(aCluster()).spec.template.spec;
    expect(Object.keys(pod)).toEqual([
      "serviceAccountName",
      "automountServiceAccountToken",
      "terminationGracePeriodSeconds",
      "securityContext",
      "volumes",
    ]);
    expect(Object.keys(containerOf(aCluster()))).toEqual([
      "name",
      "image",
      "env",
      "ports",
      "readinessProbe",
      "securityContext",
      "volumeMounts",
    ]);
  });

  test("storage: class, attributes class, bytes as a plain number", () => {
    const storage = {
      storageClassName: "fast",
      volumeAttributesClassName: "gold",
      storageRequestBytes: 1e15,
    };
    expect(
      statefulSetOf(aCluster({ spec: { storage } })).spec.volumeClaimTemplates[0].spec,
    ).toEqual({
      accessModes: ["ReadWriteOnce"],
      storageClassName: "fast",
      volumeAttributesClassName: "gold",
      resources: { requests: { storage: "1000000000000000" } },
    });
  });
});

describe("configuration", () => {
  // Names seen at users, and one whose hash begins with a zero: it is not padded.
  test.each([
    ["", "restate-config-42c4b0e3"],
    ["auto-provision = false", "restate-config-4509593"],
    ["é", "restate-config-7e55994a"],
  ])("%j is kept in %s", (config, name) => {
    expect(configMapName(config)).toBe(name);
    const cluster = aCluster({ spec: { config } });
    expect(sent(cluster, `ConfigMap ${name}`)).toMatchObject({ data: { "config.toml": config } });
    expect(statefulSetOf(cluster).spec.template.spec["volumes"]).toContainEqual({
      name: "config",
      configMap: { name },
    });
  });
});

const titles = (cluster: RestateCluster, options: Parameters<typeof manifestsOf>[1] = {}) =>
  manifestsOf(cluster, options).map((manifest) => titleOf(refOf(manifest)));

describe("which children", () => {
  const policies = [
    "NetworkPolicy deny-all",
    "NetworkPolicy allow-egress-to-dns",
    "NetworkPolicy allow-restate-egress-to-public-internet",
    "NetworkPolicy allow-restate-egress",
    "NetworkPolicy allow-ingress-access",
    "NetworkPolicy allow-admin-access",
    "NetworkPolicy allow-metrics-access",
  ];
  const others = [
    "ConfigMap restate-config-42c4b0e3",
    "Service restate",
    "Service restate-cluster",
    "PodDisruptionBudget restate",
    "StatefulSet restate",
  ];
  const quiet = ["Namespace c", "ServiceAccount restate", ...others];

  test.each([
    ["all", titles(aCluster()), ["Namespace c", "ServiceAccount restate", ...policies, ...others]],
    [
      "a namespace that is not ours is no child",
      titles(aCluster(), { ownsNamespace: false }),
      ["ServiceAccount restate", ...policies, ...others],
    ],
    [
      "disableNetworkPolicies",
      titles(aCluster({ spec: { security: { disableNetworkPolicies: true } } })),
      quiet,
    ],
    [
      "the operator does not manage NetworkPolicies",
      titles(aCluster(), { config: { ...CONFIG, manageNetworkPolicies: false } }),
      quiet,
    ],
    [
      "with a role, its agent may be reached",
      titles(aCluster({ spec: { security: { awsPodIdentityAssociationRoleArn: "arn" } } })).filter(
        (title) => title.includes("aws"),
      ),
      ["NetworkPolicy allow-restate-egress-to-aws-pod-identity"],
    ],
  ])("%s", (_, found, expected) => {
    expect(found).toEqual(expected);
  });
});
