/**
 * A RestateCluster of five lines becomes a cluster: three real Restate servers, with the environment of its pods, find each
 * other, are provisioned, keep two copies, and say in its status how they are. One that has lost its data stops every
 * disruption. What was made before the operator knew how to do that is left as it is.
 */
import { execFile } from "node:child_process";
import { connect } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nativeBinary } from "../../bootstrap/restate/server.ts";
import { RestateCluster } from "../../crds/restate-cluster.ts";
import { buildNamespace } from "../../services/cluster/build/namespace.ts";
import { buildServiceAccount } from "../../services/cluster/build/service-account.ts";
import { buildStatefulSet } from "../../services/cluster/build/stateful-set.ts";
import { clusterViewOf } from "../../services/cluster/plan/plan.ts";
import { queryCluster } from "../../services/restate/cluster-query.ts";
import { startClusterProxy, type ClusterProxy } from "../harness/cluster-proxy.ts";
import { CONFIG } from "../unit/cluster-samples.ts";
import {
  MINIMAL,
  applyCluster,
  dropCluster,
  untilReady,
  type ClusterSpec,
  type Condition,
} from "../harness/clusters.ts";
import { sharedControlPlane, testRunDir } from "../harness/kubernetes.ts";
import { Objects, type KubeObject } from "../harness/objects.ts";
import { startTestOperator, type TestOperator } from "../harness/operator.ts";
import { startRestateNodes, type RestateNode } from "../harness/restate-nodes.ts";
import { until } from "../harness/until.ts";

const START_TIMEOUT_MS = 1_500_000;
/** A cluster that is asked every ten seconds, and what follows from the answer. */
const SEEN_WITHIN_MS = 40_000;
const NAME = "formed";
const FIVE_LINES: ClusterSpec = { ...MINIMAL, compute: { ...MINIMAL.compute, replicas: 3 } };
const QUERY = "/restate.cluster_ctrl.ClusterCtrlSvc/Query";

const run = promisify(execFile);
const dir = join(testRunDir(), "cluster-formation");
let operator: TestOperator;
let objects: Objects;
let proxy: ClusterProxy;
let nodes: RestateNode[] = [];

beforeAll(async () => {
  const cluster = await sharedControlPlane();
  objects = new Objects(cluster);
  proxy = await startClusterProxy();
  const env = { CLUSTER_PROXY: proxy.address };
  operator = await startTestOperator({ cluster, dir: join(dir, "operator"), env });
}, START_TIMEOUT_MS);

afterAll(async () => {
  await operator.stop();
  await objects.close();
  await proxy.close();
  for (const node of nodes) await node.stop();
});

type Status = {
  readonly provisioned?: boolean;
  readonly replicas?: number;
  readonly readyReplicas?: number;
  readonly version?: string;
  readonly nodes?: readonly { readonly [member: string]: unknown }[];
  readonly conditions?: readonly Condition[];
};

const statusOf = async (name = NAME) =>
  ((await objects.get("RestateCluster", name))?.["status"] ?? {}) as Status;

const conditionOf = ({ conditions }: Status, type: string) =>
  conditions?.find((condition) => condition.type === type);

async function untilCondition(type: string, reason: string): Promise<Status> {
  return until(
    `${type} has reason ${reason}`,
    async () => {
      const status = await statusOf();
      const found = conditionOf(status, type);
      if (found?.reason !== reason) throw new Error(JSON.stringify(found));
      return status;
    },
    { timeoutMs: SEEN_WITHIN_MS },
  );
}

const statefulSet = (name = NAME) => objects.get("StatefulSet", "restate", name);

const specOf = (object: KubeObject | undefined) => object?.["spec"];

/** A manifest as it is sent: what is undefined is absent. */
const asSent = (manifest: object) =>
  JSON.parse(JSON.stringify(manifest)) as Parameters<Objects["apply"]>[1];

async function ctl(...args: string[]): Promise<string> {
  const address = `http://127.0.0.1:${nodes[0]?.nodePort}`;
  const answer = await run(nativeBinary("restatectl"), ["--address", address, ...args]);
  return answer.stdout;
}

const questions = () => proxy.calls.filter(({ path }) => path === QUERY).length;

const uidsOfPods = async () =>
  (await objects.list("Pod", NAME)).map(({ metadata }) => metadata.uid).toSorted();

describe("five lines", { timeout: START_TIMEOUT_MS }, () => {
  test("become a provisioned cluster of three nodes that keeps two copies", async () => {
    await applyCluster(objects, NAME, { spec: FIVE_LINES });
    const set = await until("the StatefulSet is there", () => statefulSet());
    nodes = await startRestateNodes(join(dir, "nodes"), set);
    for (const { name, nodePort } of nodes) {
      proxy.route(`${name}.restate-cluster.${NAME}.svc.cluster.local:5122`, { port: nodePort });
    }
    // What the Service would choose: any node can say how all of them are.
    const last = nodes.at(-1)?.nodePort ?? 0;
    proxy.route(`restate.${NAME}.svc.cluster.local:5122`, { port: last });

    await untilReady(objects, NAME);
    const status = await untilCondition("Available", "Serving");
    expect(status).toMatchObject({
      provisioned: true,
      replicas: 3,
      readyReplicas: 3,
      version: "1.7.12",
    });
    expect(status.nodes?.map(({ name }) => name).toSorted()).toEqual([
      "restate-0",
      "restate-1",
      "restate-2",
    ]);
    for (const node of status.nodes ?? []) {
      expect(node).toMatchObject({
        alive: true,
        version: "1.7.12",
        roles: ["admin", "http-ingress", "log-server", "metadata-server", "worker"],
        workerState: "active",
      });
    }
    const dial = () => connect({ host: "127.0.0.1", port: last });
    const [segments] = await queryCluster(dial, { host: "127.0.0.1", port: last }, [
      "SELECT DISTINCT replication FROM logs_tail_segments",
    ]);
    expect(segments).toEqual([{ replication: "{node: 2}" }]);
  });

  test("data loss: said, and no pod is replaced or evicted until it is over", async () => {
    await ctl(
      "nodes",
      "set-storage-state",
      "--nodes",
      "N2",
      "--storage-state",
      "data-loss",
      "--yes",
      "--force",
    );
    const status = await untilCondition("Stalled", "StorageDataLoss");
    expect(conditionOf(status, "Stalled")).toMatchObject({ status: "True" });
    const before = await uidsOfPods();
    const image = "restatedev/restate:1.7.13";
    await applyCluster(objects, NAME, {
      spec: { ...FIVE_LINES, compute: { ...FIVE_LINES.compute, image } },
    });
    await until("the new revision is written down", async () =>
      JSON.stringify(specOf(await statefulSet())).includes(image),
    );
    const budget = await objects.get("PodDisruptionBudget", "restate", NAME);
    expect(specOf(budget)).toMatchObject({ maxUnavailable: 0 });
    await operator.idle();
    expect(await uidsOfPods()).toEqual(before);

    await ctl(
      "nodes",
      "set-storage-state",
      "--nodes",
      "N2",
      "--storage-state",
      "read-write",
      "--yes",
      "--force",
    );
    await untilCondition("Stalled", "NotStalled");
    await untilReady(objects, NAME);
    expect(await uidsOfPods()).not.toEqual(before);
    expect(specOf(await objects.get("PodDisruptionBudget", "restate", NAME))).toMatchObject({
      maxUnavailable: 1,
    });
  });

  test("settled: nothing is written, and however often it is reconciled it is not asked again", async () => {
    await until(
      "it is asked once a minute",
      async () => {
        const [row] = await operator.admin.query<{ value: string }>(
          `SELECT value_utf8 AS value FROM state
           WHERE service_name = 'ClusterSurvey' AND service_key = '${NAME}'`,
        );
        return (JSON.parse(row?.value ?? "{}") as { intervalMs?: number }).intervalMs === 60_000;
      },
      { timeoutMs: SEEN_WITHIN_MS },
    );
    await operator.idle();
    const mark = await operator.mark();
    const asked = questions();
    for (let times = 0; times < 5; times += 1) {
      await operator.wake("ClusterReconciler", NAME);
      await operator.idle();
    }
    expect(await operator.writesSince(mark)).toEqual([]);
    expect(questions()).toBe(asked);
  });

  test("deleted: nobody asks any more", async () => {
    await dropCluster(objects, NAME);
    await operator.untilForgotten(NAME);
    await until(
      "the survey is over",
      async () => (await operator.remainsOf("ClusterSurvey", NAME)).length === 0,
    );
  });
});

test("three nodes that were made without generated settings are taken over as they are", async () => {
  const name = "taken-over";
  const made = await applyCluster(objects, name, {
    spec: FIVE_LINES,
    annotations: { "restate.dev/reconcile": "disabled" },
  });
  // As the operator of the seed has made them.
  const view = clusterViewOf({ cluster: RestateCluster.parse(made) });
  await objects.apply("Namespace", asSent(buildNamespace(view)));
  await objects.apply("ServiceAccount", asSent(buildServiceAccount(view)));
  await objects.apply("StatefulSet", asSent(buildStatefulSet(view, CONFIG, [])));
  await until("its pods run", async () => {
    const status = (await statefulSet(name))?.["status"] as { readyReplicas?: number } | undefined;
    return status?.readyReplicas === 3;
  });
  const before = specOf(await statefulSet(name));

  await applyCluster(objects, name, { spec: FIVE_LINES, annotations: {} });
  await untilReady(objects, name);
  expect(specOf(await statefulSet(name))).toEqual(before);
  expect(JSON.stringify(before)).not.toContain("RESTATE_METADATA_CLIENT");
  await dropCluster(objects, name);
});
