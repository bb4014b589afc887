/**
 * The charts as tables of facts: which objects, under which names, with which environment, and what is refused. Rendered by
 * the helm that the project builds.
 */
import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { V1Container, V1PodSpec, V1PodTemplateSpec } from "@kubernetes/client-node";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { parse } from "yaml";
import {
  BUILD_TIMEOUT_MS,
  HELM_TIMEOUT_MS,
  chartDir,
  crdChartDir,
  helm,
  renderChart,
  type RenderedChart,
} from "../harness/charts.ts";

vi.setConfig({ testTimeout: HELM_TIMEOUT_MS });

const PUBLIC_KEY = "publickeyv1_GpszWWkc1Uc1ckph5vpiqmGvofQ9SPENCSgbWHJJyiMX";
const EXTERNAL = {
  enabled: false,
  ingressUrl: "https://example.test:8080/",
  adminUrl: "https://example.test:9070/",
  publicKeys: [PUBLIC_KEY, PUBLIC_KEY],
  authTokenSecret: { name: "restate-cloud" },
};

const WORKLOADS = [
  { kind: "Deployment", name: "restate-operator" },
  { kind: "Deployment", name: "restate-operator-watcher" },
  { kind: "StatefulSet", name: "restate-operator-bootstrap" },
] as const;

let defaults: RenderedChart;
let external: RenderedChart;

beforeAll(async () => {
  defaults = await renderChart();
  external = await renderChart({ bootstrap: EXTERNAL });
}, BUILD_TIMEOUT_MS);

function podTemplateOf(chart: RenderedChart, workload: (typeof WORKLOADS)[number]) {
  const { spec } = chart.get(workload.kind, workload.name);
  return spec!.template as V1PodTemplateSpec & { spec: V1PodSpec };
}

function containerOf(chart: RenderedChart, workload: (typeof WORKLOADS)[number]): V1Container {
  return podTemplateOf(chart, workload).spec.containers[0]!;
}

/** `NAME=value`, or `NAME<-field` for what the pod says of itself. */
function environmentOf(chart: RenderedChart, workload: (typeof WORKLOADS)[number]): string[] {
  return (containerOf(chart, workload).env ?? []).map(({ name, value, valueFrom }) =>
    valueFrom === undefined ? `${name}=${value}` : `${name}<-${valueFrom.fieldRef?.fieldPath}`,
  );
}

function versionIn(file: string): string {
  const text = readFileSync(join(chartDir, "../..", file), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

function privateKeyOf(chart: RenderedChart): string {
  const { data } = chart.get("Secret", "restate-operator-request-identity");
  return Buffer.from(data!["private.pem"]!, "base64").toString("utf8");
}

const [SERVICES, WATCHER, BOOTSTRAP] = WORKLOADS;

const CRDS = [
  "CustomResourceDefinition restatecloudenvironments.restate.dev",
  "CustomResourceDefinition restateclusters.restate.dev",
  "CustomResourceDefinition restatedeployments.restate.dev",
];

const IDENTITY_OF_POD = [
  "OPERATOR_NAMESPACE<-metadata.namespace",
  "OPERATOR_POD_NAME<-metadata.name",
  "OPERATOR_POD_UID<-metadata.uid",
];

describe("objects", () => {
  it("by default: three identities, the bootstrap and the CRDs", () => {
    expect(defaults.names).toEqual([
      "ClusterRole restate-operator",
      "ClusterRole restate-operator-watcher",
      "ClusterRoleBinding restate-operator",
      "ClusterRoleBinding restate-operator-watcher",
      "ConfigMap restate-operator-bootstrap",
      ...CRDS,
      "Deployment restate-operator",
      "Deployment restate-operator-watcher",
      "NetworkPolicy restate-operator",
      "NetworkPolicy restate-operator-bootstrap",
      "NetworkPolicy restate-operator-watcher",
      "Role restate-operator-watcher",
      "RoleBinding restate-operator-watcher",
      "Secret restate-operator-request-identity",
      "Service restate-operator",
      "Service restate-operator-bootstrap",
      "ServiceAccount restate-operator",
      "ServiceAccount restate-operator-bootstrap",
      "ServiceAccount restate-operator-watcher",
      "StatefulSet restate-operator-bootstrap",
    ]);
  });

  it.each([
    {
      name: "installCrds: false leaves out the CRDs",
      values: { installCrds: false },
      without: CRDS,
      plus: [],
    },
    {
      name: "bootstrap.enabled: false leaves out all of the bootstrap",
      values: { bootstrap: EXTERNAL },
      without: [
        "ConfigMap restate-operator-bootstrap",
        "NetworkPolicy restate-operator-bootstrap",
        "Secret restate-operator-request-identity",
        "Service restate-operator-bootstrap",
        "ServiceAccount restate-operator-bootstrap",
        "StatefulSet restate-operator-bootstrap",
      ],
      plus: [],
    },
    {
      name: "serviceAccount.create: false leaves out the accounts, not the permissions",
      values: { serviceAccount: { create: false } },
      without: [
        "ServiceAccount restate-operator",
        "ServiceAccount restate-operator-bootstrap",
        "ServiceAccount restate-operator-watcher",
      ],
      plus: [],
    },
    {
      name: "networkPolicies.enabled: false leaves out the policies",
      values: { networkPolicies: { enabled: false } },
      without: [
        "NetworkPolicy restate-operator",
        "NetworkPolicy restate-operator-bootstrap",
        "NetworkPolicy restate-operator-watcher",
      ],
      plus: [],
    },
    {
      name: "a request identity of one's own replaces the generated one",
      values: { bootstrap: { requestIdentitySecret: "mine" } },
      without: ["Secret restate-operator-request-identity"],
      plus: [],
    },
    {
      name: "serviceMonitor.enabled adds the monitor and a Service for the watcher",
      values: { serviceMonitor: { enabled: true } },
      without: [],
      plus: ["Service restate-operator-watcher", "ServiceMonitor restate-operator"],
    },
  ])("$name", async ({ values, without, plus }) => {
    const removed = new Set<string>(without);
    const expected = [...defaults.names.filter((name) => !removed.has(name)), ...plus];
    expect((await renderChart(values)).names).toEqual(expected.toSorted());
  });

  it("nameOverride renames everything but the CRDs", async () => {
    const renamed = await renderChart({ nameOverride: "other" });
    expect(renamed.names).toEqual(
      defaults.names.map((name) => name.replace(/ restate-operator(?=-|$)/, " other")).toSorted(),
    );
  });

  it("objects with a namespace are in the release's", () => {
    const clusterScoped = /^(ClusterRole|ClusterRoleBinding|CustomResourceDefinition)$/;
    const namespaces = defaults.objects
      .filter(({ kind }) => !clusterScoped.test(kind))
      .map(({ metadata }) => metadata.namespace);
    expect(new Set(namespaces)).toEqual(new Set(["restate-operator"]));
  });

  it("what must outlive an uninstall is kept", () => {
    const kept = defaults.objects
      .filter(({ metadata }) => metadata.annotations?.["helm.sh/resource-policy"] === "keep")
      .map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    expect(kept.toSorted()).toEqual([...CRDS, "Secret restate-operator-request-identity"]);
  });
});

describe("pods", () => {
  it.each(WORKLOADS)("$name meets the restricted Pod Security standard", (workload) => {
    const { spec } = podTemplateOf(defaults, workload);
    expect({
      pod: spec.securityContext,
      containers: spec.containers.map(({ securityContext }) => securityContext),
      init: spec.initContainers,
      host: [spec.hostNetwork, spec.hostPID, spec.hostIPC],
      volumes: (spec.volumes ?? []).flatMap((volume) =>
        Object.keys(volume).filter((key) => key !== "name"),
      ),
    }).toEqual({
      pod: {
        fsGroup: 2000,
        fsGroupChangePolicy: "OnRootMismatch",
        seccompProfile: { type: "RuntimeDefault" },
      },
      containers: [
        {
          allowPrivilegeEscalation: false,
          capabilities: { drop: ["ALL"] },
          readOnlyRootFilesystem: true,
          runAsNonRoot: true,
          runAsUser: 1000,
          runAsGroup: 3000,
        },
      ],
      init: undefined,
      host: [undefined, undefined, undefined],
      volumes: {
        "restate-operator": ["secret"],
        "restate-operator-watcher": [],
        "restate-operator-bootstrap": ["emptyDir", "configMap", "secret"],
      }[workload.name],
    });
  });

  it.each([
    { workload: SERVICES, account: "restate-operator", token: true },
    { workload: WATCHER, account: "restate-operator-watcher", token: true },
    { workload: BOOTSTRAP, account: "restate-operator-bootstrap", token: false },
  ])("$workload.name runs as $account (token: $token)", ({ workload, account, token }) => {
    const { spec } = podTemplateOf(defaults, workload);
    expect([spec.serviceAccountName, spec.automountServiceAccountToken]).toEqual([account, token]);
    expect(spec.enableServiceLinks).toBe(false);
  });

  it.each(WORKLOADS)("$name has a memory limit and requests", (workload) => {
    expect(containerOf(defaults, workload).resources).toMatchObject({
      requests: { cpu: expect.any(String) as string, memory: expect.any(String) as string },
      limits: { memory: expect.any(String) as string },
    });
  });

  it("an installation of an earlier operator of this name can be upgraded: same selector", () => {
    const { spec } = defaults.get("Deployment", "restate-operator");
    expect(spec?.selector).toEqual({ matchLabels: { app: "restate-operator" } });
    expect(spec?.template.metadata?.labels).toEqual({
      app: "restate-operator",
      "app.kubernetes.io/name": "restate-operator",
      "app.kubernetes.io/part-of": "restate-operator",
    });
  });

  it("old and new services serve side by side, and are found before they are ready", () => {
    const { spec } = defaults.get("Deployment", "restate-operator");
    expect(spec?.strategy).toEqual({
      type: "RollingUpdate",
      rollingUpdate: { maxSurge: 1, maxUnavailable: 0 },
    });
    const service = defaults.get("Service", "restate-operator");
    expect(service.spec).toEqual({
      type: "ClusterIP",
      selector: { app: "restate-operator" },
      publishNotReadyAddresses: true,
      ports: [
        {
          name: "services",
          port: 9080,
          targetPort: "services",
          appProtocol: "kubernetes.io/h2c",
        },
        { name: "http", port: 80, targetPort: "http", appProtocol: "http" },
      ],
    });
  });
});

describe("what the processes are told", () => {
  it("services", () => {
    const container = containerOf(defaults, SERVICES);
    expect(container.command).toEqual(["node", "/app/services.js"]);
    expect(environmentOf(defaults, SERVICES)).toEqual([
      ...IDENTITY_OF_POD,
      "LOG_LEVEL=info",
      "HEALTH_PORT=8080",
      "BOOTSTRAP_INGRESS_URL=http://restate-operator-bootstrap.restate-operator.svc.cluster.local:8080",
      "OPERATOR_LABEL_NAME=app.kubernetes.io/name",
      "OPERATOR_LABEL_VALUE=restate-operator",
      "BOOTSTRAP_ADMIN_URL=http://restate-operator-bootstrap.restate-operator.svc.cluster.local:9070",
      "SERVICES_URL=http://restate-operator.restate-operator.svc.cluster.local:9080",
      "SERVICES_PORT=9080",
      "REQUEST_IDENTITY_KEY_FILE=/signing-key/private.pem",
    ]);
    expect(container.volumeMounts).toEqual([
      { name: "request-identity", mountPath: "/signing-key", readOnly: true },
    ]);
  });

  it("watcher", () => {
    const container = containerOf(defaults, WATCHER);
    expect(container.command).toEqual(["node", "--max-semi-space-size=2", "/app/watcher.js"]);
    expect(environmentOf(defaults, WATCHER)).toEqual([
      ...IDENTITY_OF_POD,
      "LOG_LEVEL=info",
      "HEALTH_PORT=8080",
      "BOOTSTRAP_INGRESS_URL=http://restate-operator-bootstrap.restate-operator.svc.cluster.local:8080",
    ]);
    expect(container.volumeMounts).toBeUndefined();
  });

  it("bootstrap", () => {
    expect(environmentOf(defaults, BOOTSTRAP)).toEqual([
      "RESTATE_CONFIG=/config/bootstrap.toml",
      "RESTATE_BASE_DIR=/restate-data",
      "RESTATE_WORKER__INVOKER__REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE=/signing-key/private.pem",
      "MALLOC_CONF=narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0,background_thread:true",
    ]);
  });

  it("of a Restate elsewhere: its URLs without trailing slash, keys and token", () => {
    expect(environmentOf(external, SERVICES)).toEqual([
      ...IDENTITY_OF_POD,
      "LOG_LEVEL=info",
      "HEALTH_PORT=8080",
      "BOOTSTRAP_INGRESS_URL=https://example.test:8080",
      "BOOTSTRAP_AUTH_TOKEN_FILE=/bootstrap-token/token",
      "OPERATOR_LABEL_NAME=app.kubernetes.io/name",
      "OPERATOR_LABEL_VALUE=restate-operator",
      "BOOTSTRAP_ADMIN_URL=https://example.test:9070",
      "SERVICES_URL=http://restate-operator.restate-operator.svc.cluster.local:9080",
      "SERVICES_PORT=9080",
      `REQUEST_IDENTITY_PUBLIC_KEYS=${PUBLIC_KEY},${PUBLIC_KEY}`,
    ]);
    for (const workload of [SERVICES, WATCHER]) {
      expect(podTemplateOf(external, workload).spec.volumes).toEqual([
        {
          name: "bootstrap-token",
          secret: {
            secretName: "restate-cloud",
            defaultMode: 0o440,
            items: [{ key: "token", path: "token" }],
          },
        },
      ]);
    }
  });

  it.each([
    { filter: "info", level: "info" },
    { filter: "info,restate=debug", level: "info" },
    { filter: "restate=debug, warn", level: "warn" },
    { filter: "off", level: "silent" },
  ])("logging.env_filter $filter → LOG_LEVEL $level", async ({ filter, level }) => {
    const chart = await renderChart({ logging: { env_filter: filter } });
    expect(environmentOf(chart, SERVICES)).toContain(`LOG_LEVEL=${level}`);
    expect(environmentOf(chart, WATCHER)).toContain(`LOG_LEVEL=${level}`);
  });

  it("values of a user reach the pods", async () => {
    const chart = await renderChart({
      version: "9.9.9",
      image: { repository: "example.test/operator", pullPolicy: "Always" },
      imagePullSecrets: [{ name: "pull" }],
      podAnnotations: { team: "a" },
      awsPodIdentityAssociationCluster: "eks",
      gcpWorkloadIdentity: true,
      clusterDns: "example.internal",
      canaryImage: "example.test/canary:1",
      env: [{ name: "MANAGE_NETWORK_POLICIES", value: "false" }],
      nodeSelector: { disk: "ssd" },
      tolerations: [{ key: "only-operators" }],
      bootstrap: { nodeSelector: { disk: "nvme" }, retention: "2d" },
    });
    const services = podTemplateOf(chart, SERVICES);
    expect(services.spec.containers[0]).toMatchObject({
      image: "example.test/operator:9.9.9",
      imagePullPolicy: "Always",
    });
    expect(services.metadata?.annotations).toMatchObject({ team: "a" });
    expect(environmentOf(chart, SERVICES).slice(-5)).toEqual([
      "AWS_POD_IDENTITY_ASSOCIATION_CLUSTER=eks",
      "GCP_WORKLOAD_IDENTITY=true",
      "CLUSTER_DNS=example.internal",
      "CANARY_IMAGE=example.test/canary:1",
      "MANAGE_NETWORK_POLICIES=false",
    ]);
    expect(environmentOf(chart, SERVICES)).toContain(
      "SERVICES_URL=http://restate-operator.restate-operator.svc.example.internal:9080",
    );
    expect(environmentOf(chart, BOOTSTRAP).slice(-2)).toEqual([
      "RESTATE_DEFAULT_JOURNAL_RETENTION=2d",
      "RESTATE_DEFAULT_IDEMPOTENCY_RETENTION=2d",
    ]);
    const placement = WORKLOADS.map((workload) => {
      const { nodeSelector, tolerations, imagePullSecrets } = podTemplateOf(chart, workload).spec;
      return { nodeSelector, tolerations, imagePullSecrets };
    });
    const common = {
      tolerations: [{ key: "only-operators" }],
      imagePullSecrets: [{ name: "pull" }],
    };
    expect(placement).toEqual([
      { nodeSelector: { disk: "ssd" }, ...common },
      { nodeSelector: { disk: "ssd" }, ...common },
      { nodeSelector: { disk: "nvme" }, ...common },
    ]);
  });
});

describe("refused values", () => {
  it.each([
    { values: { replicaCount: "two" }, message: "'/replicaCount': got string, want integer" },
    { values: { replicacount: 2 }, message: "additional properties 'replicacount' not allowed" },
    { values: { image: { pullPolicy: "Sometimes" } }, message: "'/image/pullPolicy'" },
    { values: { logging: { env_filter: "verbose" } }, message: "'/logging/env_filter'" },
    { values: { clusterDns: "Cluster.Local" }, message: "'/clusterDns'" },
    { values: { env: [{ value: "x" }] }, message: "'/env/0'" },
    { values: { nameOverride: "n".repeat(41) }, message: "'/nameOverride'" },
    { values: { service: { port: 9080 } }, message: "'/service/port'" },
    { values: { bootstrap: { retention: "0" } }, message: "'/bootstrap/retention'" },
    { values: { bootstrap: { storage: { size: "lots" } } }, message: "'/bootstrap/storage/size'" },
    { values: { bootstrap: { enabled: false } }, message: "'/bootstrap/ingressUrl'" },
    { values: { bootstrap: { enabled: false } }, message: "'/bootstrap/publicKeys'" },
    { values: { bootstrap: { ...EXTERNAL, enabled: true } }, message: "'/bootstrap/adminUrl'" },
    {
      values: { bootstrap: { ...EXTERNAL, publicKeys: ["publickeyv1_0OIl"] } },
      message: "'/bootstrap/publicKeys/0'",
    },
    {
      values: { bootstrap: { ...EXTERNAL, adminUrl: "ftp://example.test" } },
      message: "'/bootstrap/adminUrl'",
    },
    { values: { "restate-operator-crds": { x: 1 } }, message: "additional properties 'x'" },
  ])("$values → $message", async ({ values, message }) => {
    await expect(renderChart(values)).rejects.toThrow(message);
  });
});

describe("request identity", () => {
  it("is an ed25519 key in PKCS8, another one for every installation", async () => {
    expect(createPrivateKey(privateKeyOf(defaults)).asymmetricKeyType).toBe("ed25519");
    expect(privateKeyOf(await renderChart())).not.toBe(privateKeyOf(defaults));
  });
});

describe("versions", () => {
  it("charts, dependency and image have the version of package.json", async () => {
    const version = versionIn("package.json");
    const chart: unknown = parse(readFileSync(join(chartDir, "Chart.yaml"), "utf8"));
    const crds: unknown = parse(readFileSync(join(crdChartDir, "Chart.yaml"), "utf8"));
    expect(chart).toMatchObject({ version, appVersion: version, dependencies: [{ version }] });
    expect(crds).toMatchObject({ version, appVersion: version });
    expect(containerOf(defaults, SERVICES).image).toBe(
      `ghcr.io/restatedev/restate-operator:${version}`,
    );
  });

  it("the bootstrap is the Restate that tests run", () => {
    const version = versionIn("node_modules/@restatedev/restate-server/package.json");
    expect(containerOf(defaults, BOOTSTRAP).image).toBe(`restatedev/restate:${version}`);
  });

  it.each([
    { name: "restate-operator-helm", dir: chartDir },
    { name: "restate-operator-crds", dir: crdChartDir },
  ])("helm lint finds nothing in $name", async ({ dir }) => {
    await expect(helm(["lint", "--strict", dir])).resolves.toContain("0 chart(s) failed");
  });
});
