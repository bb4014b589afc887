/**
 * Provisioning against real Restate servers that wait for it: done once, whatever happens to the answer, and taken up again
 * when a node that could not be reached can be.
 *
 * Pods are played, so each first pod's name leads to a server of this machine (CLUSTER_PROXY).
 */
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { provisionCluster } from "../../services/restate/node-control.ts";
import { startClusterProxy, type ClusterProxy, type Route } from "../harness/cluster-proxy.ts";
import {
  applyCluster,
  MINIMAL,
  dropCluster,
  untilReady,
  untilReason,
  type ClusterSpec,
} from "../harness/clusters.ts";
import { sharedControlPlane, testRunDir } from "../harness/kubernetes.ts";
import { Objects } from "../harness/objects.ts";
import { startTestOperator, type TestOperator } from "../harness/operator.ts";
import {
  startUnprovisionedRestate,
  type UnprovisionedRestate,
} from "../harness/unprovisioned-restate.ts";
import { until } from "../harness/until.ts";

const START_TIMEOUT_MS = 1_500_000;
const GRPC_OK = "0";
const GRPC_ALREADY_EXISTS = "6";

const SPEC: ClusterSpec = {
  ...MINIMAL,
  cluster: { autoProvision: true },
  config: "auto-provision = false\n",
};

const dir = join(testRunDir(), "cluster-provisioning");
let operator: TestOperator;
let objects: Objects;
let proxy: ClusterProxy;
const servers: UnprovisionedRestate[] = [];

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
  for (const server of servers) await server.stop();
});

const firstPodOf = (name: string) => `restate-0.restate-cluster.${name}.svc.cluster.local:5122`;

/** A server for the cluster's first pod; its name leads there only once it is routed. */
async function serverOf(name: string): Promise<UnprovisionedRestate> {
  const server = await startUnprovisionedRestate(join(dir, name));
  servers.push(server);
  expect(await server.isProvisioned()).toBe(false);
  return server;
}

function route(name: string, { nodePort }: UnprovisionedRestate, more: Partial<Route> = {}): void {
  proxy.route(firstPodOf(name), { port: nodePort, ...more });
}

/** gRPC statuses of the calls to a cluster's first pod. */
const answersOf = (name: string) =>
  proxy.calls
    .filter(({ authority }) => authority === firstPodOf(name))
    .map(({ grpcStatus }) => grpcStatus);

async function untilProvisioned(name: string): Promise<void> {
  const cluster = await untilReady(objects, name);
  expect(cluster["status"]).toMatchObject({ provisioned: true });
}

test("once, and never again, whatever else changes", async () => {
  const name = "provisioned";
  const server = await serverOf(name);
  route(name, server);
  await applyCluster(objects, name, { spec: SPEC });
  await untilProvisioned(name);
  await until("the server has taken up work", server.isProvisioned);
  const compute = { ...MINIMAL.compute, image: "restatedev/restate:1.7.13" };
  await applyCluster(objects, name, { spec: { ...SPEC, compute } });
  await untilProvisioned(name);
  await operator.wake("ClusterReconciler", name);
  await operator.idle();
  expect(answersOf(name)).toEqual([GRPC_OK]);
  await dropCluster(objects, name);
});

test("a cluster that somebody else has provisioned is provisioned", async () => {
  const name = "provisioned-already";
  const server = await serverOf(name);
  const { nodePort } = server;
  const dial = () => connect({ host: "127.0.0.1", port: nodePort });
  const answer = await provisionCluster(dial, { host: "127.0.0.1", port: nodePort });
  expect(answer).toEqual({ kind: "provisioned" });
  route(name, server);
  await applyCluster(objects, name, { spec: SPEC });
  await untilProvisioned(name);
  expect(answersOf(name)).toEqual([GRPC_ALREADY_EXISTS]);
  await dropCluster(objects, name);
});

test("an answer that is lost is asked for again", async () => {
  const name = "answer-lost";
  const server = await serverOf(name);
  route(name, server, { losesFirstAnswer: true });
  await applyCluster(objects, name, { spec: SPEC });
  await untilProvisioned(name);
  expect(answersOf(name)).toEqual([GRPC_OK, GRPC_ALREADY_EXISTS]);
  await dropCluster(objects, name);
});

test("a node that does not answer: waited for while it starts, then a failure, until it answers", async () => {
  const name = "unreachable";
  const server = await serverOf(name);
  await applyCluster(objects, name, { spec: SPEC });
  expect(await untilReason(objects, name, "ProvisioningPodNotRunning")).toMatchObject({
    status: "False",
  });
  const failed = await untilReason(objects, name, "ProvisioningFailed");
  expect(failed).toMatchObject({
    status: "False",
    message: expect.stringMatching(/^provisioning: /),
  });
  expect(await server.isProvisioned()).toBe(false);
  route(name, server);
  await untilProvisioned(name);
  expect(answersOf(name).filter((status) => status !== undefined)).toEqual([GRPC_OK]);
  await dropCluster(objects, name);
});
