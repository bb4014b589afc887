/**
 * The charts on a real API server: a plain `helm install` from the repository, what upgrades and uninstalls keep, and an
 * upgrade of an installation of the operator that had this name before.
 */
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Cluster } from "../../bootstrap/kubernetes/cluster.ts";
import { startControlPlane } from "../../bootstrap/kubernetes/control-plane.ts";
import { chartDir, crdChartDir, helm, RELEASE } from "../harness/charts.ts";
import { kubectl, logProgress, testRunDir } from "../harness/kubernetes.ts";

const BUILD_TIMEOUT_MS = 1_500_000;
const CRD_RELEASE = "restate-operator-crds";

/** One of its own: on the others, operators have installed the CRDs already. */
let cluster: Cluster;

beforeAll(async () => {
  cluster = await startControlPlane({ dir: join(testRunDir(), "charts"), log: logProgress });
}, BUILD_TIMEOUT_MS);

afterAll(() => cluster.stop());

/** The CRDs are another test's, so these releases leave them alone. */
const WITHOUT_CRDS = ["--set", "installCrds=false"];

async function helmOn(namespace: string, args: readonly string[]): Promise<string> {
  return helm(["--kubeconfig", cluster.kubeconfig, "--namespace", namespace, ...args]);
}

async function readField(args: readonly string[], path: string): Promise<string> {
  return kubectl(cluster, ["get", ...args, `--output=jsonpath=${path}`]);
}

const signingKey = async (namespace: string) =>
  readField(
    ["secret", "restate-operator-request-identity", `--namespace=${namespace}`],
    String.raw`{.data.private\.pem}`,
  );

describe("operator", () => {
  let namespace: string;

  beforeEach(async ({ task }) => {
    namespace = `charts-${task.id.replaceAll(/[^a-z0-9]+/g, "-")}`;
    await kubectl(cluster, ["create", "namespace", namespace]);
  });

  // whoever installs the chart next needs its ClusterRoles, which have one name per cluster
  afterEach(async () => {
    await helmOn(namespace, ["uninstall", RELEASE, "--ignore-not-found"]);
    await kubectl(cluster, ["delete", "namespace", namespace, "--wait=false"]);
  });

  it("the request-identity key survives an upgrade, an uninstall and the next installation", async () => {
    const restricted = "pod-security.kubernetes.io/enforce=restricted";
    await kubectl(cluster, ["label", "namespace", namespace, restricted]);
    await helmOn(namespace, ["install", RELEASE, chartDir, ...WITHOUT_CRDS]);
    const key = await signingKey(namespace);
    expect(key).not.toBe("");

    await helmOn(namespace, [
      "upgrade",
      RELEASE,
      chartDir,
      ...WITHOUT_CRDS,
      "--set=replicaCount=2",
    ]);
    expect(await signingKey(namespace)).toBe(key);
    const replicas = ["deployment", "restate-operator", `--namespace=${namespace}`];
    expect(await readField(replicas, "{.spec.replicas}")).toBe("2");

    await helmOn(namespace, ["uninstall", RELEASE, "--wait"]);
    expect(await signingKey(namespace)).toBe(key);

    await helmOn(namespace, ["install", RELEASE, chartDir, ...WITHOUT_CRDS]);
    expect(await signingKey(namespace)).toBe(key);
    await expectPodsAdmitted(namespace);
  });

  it("upgrades a release of the operator that had this name before: its Deployment selects by app", async () => {
    const earlierChart = await mkdtemp(join(tmpdir(), "earlier-chart-"));
    await mkdir(join(earlierChart, "templates"));
    const metadata = { apiVersion: "v2", name: "restate-operator-helm", version: "3.1.0" };
    const deployment = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "restate-operator" },
      spec: {
        replicas: 1,
        selector: { matchLabels: { app: "restate-operator" } },
        template: {
          metadata: { labels: { app: "restate-operator" } },
          spec: { containers: [{ name: "restate-operator", image: "example.test/earlier:1" }] },
        },
      },
    };
    await writeFile(join(earlierChart, "Chart.yaml"), JSON.stringify(metadata));
    await writeFile(join(earlierChart, "templates/all.yaml"), JSON.stringify(deployment));
    // as helm 3 did
    await helmOn(namespace, ["install", RELEASE, earlierChart, "--server-side=false"]);
    await helmOn(namespace, ["upgrade", RELEASE, chartDir, ...WITHOUT_CRDS]);
    const containers = ["deployment", "restate-operator", `--namespace=${namespace}`];
    expect(await readField(containers, "{.spec.template.spec.containers[*].name}")).toBe(
      "services",
    );
  });
});

/** Pods that the restricted standard refuses are an event on their controller, never a pod. */
async function expectPodsAdmitted(namespace: string): Promise<void> {
  const names = ["restate-operator", "restate-operator-watcher", "restate-operator-bootstrap"];
  await expect
    .poll(
      async () => {
        const apps = await readField(
          ["pods", `--namespace=${namespace}`],
          "{.items[*].metadata.labels.app}",
        );
        return [...new Set(apps.split(" "))].toSorted();
      },
      { timeout: 60_000, interval: 500 },
    )
    .toEqual(names.toSorted());
}

describe("custom resources", () => {
  it("the chart of the CRDs alone installs and upgrades them, and leaves them when it goes", async () => {
    const crds = ["crd", "restateclusters.restate.dev"];
    const takeOwnership = "--take-ownership";
    await helmOn("default", ["upgrade", "--install", CRD_RELEASE, crdChartDir, takeOwnership]);
    const uid = await readField(crds, "{.metadata.uid}");
    await helmOn("default", ["upgrade", CRD_RELEASE, crdChartDir]);
    await helmOn("default", ["uninstall", CRD_RELEASE]);
    expect(await readField(crds, "{.metadata.uid}")).toBe(uid);
    expect(await readField(crds, "{.spec.versions[*].name}")).toBe("v1");
  });
});
