/**
 * What is measured, one function per scenario. All run on the same control plane with pods played by kwok, so what is
 * measured is the operator and the API server, not containers.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { readAudit, type AuditRecord } from "../harness/audit.ts";
import { applyCluster, readyOf, removeCluster, untilReady } from "../harness/clusters.ts";
import type { Objects } from "../harness/objects.ts";
import { IDENTITIES, type TestOperator } from "../harness/operator.ts";
import { until } from "../harness/until.ts";
import { runningProcesses } from "../../bootstrap/processes.ts";
import type { InstantAdmin } from "./instant-admin.ts";
import {
  byKind,
  cpuSeconds,
  delaysFromCreation,
  ownCpuSeconds,
  percentiles,
  perResource,
  residentMiB,
} from "./measure.ts";

export type Bench = {
  readonly objects: Objects;
  readonly operator: TestOperator;
  /** How many RestateClusters, or plain StatefulSets, at once. */
  readonly clusters: number;
  /** How many RestateDeployments, or plain Deployments, at once. */
  readonly deployments: number;
  /** What they register with. */
  readonly admin: InstantAdmin;
  readonly say: (line: string) => void;
};

const ALONE = 20;
const SETTLED_MS = 60_000;
const ALL_READY_TIMEOUT_MS = 600_000;
/** Seldom: a list of a hundred resources costs the API server more than a reconcile. Times are taken from the audit log. */
const POLL_MS = 2_000;

const isServices = ({ user }: AuditRecord) => user === IDENTITIES.services;
const isFirstWrite = (record: AuditRecord, name: string) =>
  isServices(record) && record.verb === "patch" && record.name === name;
const isStatefulSet = (record: AuditRecord, name: string) =>
  isServices(record) &&
  record.resource === "statefulsets" &&
  record.verb === "patch" &&
  record.namespace === name;

/** One RestateCluster after the other: how long after its creation things happen. Milliseconds. */
export async function alone({ objects, operator, say }: Bench) {
  const names = Array.from({ length: ALONE }, (_, index) => `alone-${index}`);
  const mark = await operator.mark();
  const readyMs: number[] = [];
  for (const name of names) {
    const startedAt = performance.now();
    await applyCluster(objects, name);
    await untilReady(objects, name, { intervalMs: 20 });
    readyMs.push(performance.now() - startedAt);
    await operator.idle();
  }
  const records = await readAudit(operator.cluster.auditLog, mark);
  say(`${ALONE} clusters one after the other are Ready`);
  const result = {
    clusters: ALONE,
    createdToFirstWriteMs: percentiles(delaysFromCreation(records, names, isFirstWrite)),
    createdToStatefulSetMs: percentiles(delaysFromCreation(records, names, isStatefulSet)),
    createdToReadyMs: percentiles(readyMs),
    perCluster: perResource(records.filter(isServices), ALONE),
  };
  await Promise.all(names.map((name) => removeCluster(objects, name)));
  return result;
}

/**
 * One RestateCluster made and removed: code is compiled, and the garbage collector of Kubernetes, which looks for new kinds
 * every 30 seconds only, knows ours. Until then it asks the API server for the owner of everything that is created.
 */
export async function warmUp({ objects, operator }: Bench): Promise<void> {
  await applyCluster(objects, "warm-up");
  await untilReady(objects, "warm-up");
  await removeCluster(objects, "warm-up");
  await operator.idle();
}

/** Many RestateClusters at once, and the memory and writes when they are settled. */
export async function atOnce({ objects, operator, clusters, say }: Bench) {
  const memoryIdleMiB = await memoryOf(operator);
  const names = Array.from({ length: clusters }, (_, index) => `at-once-${index}`);
  const mark = await operator.mark();
  const cpuBefore = await cpuSecondsOf(operator);
  await Promise.all(names.map((name) => applyCluster(objects, name)));
  await until(
    `${clusters} RestateClusters are Ready`,
    async () => {
      const seen = (await objects.list("RestateCluster")).filter(
        (cluster) => readyOf(cluster)?.status === "True",
      );
      return seen.length === clusters;
    },
    { timeoutMs: ALL_READY_TIMEOUT_MS, intervalMs: POLL_MS },
  );
  await operator.idle();
  const records = await readAudit(operator.cluster.auditLog, mark);
  const cpuAfter = await cpuSecondsOf(operator);
  const readySeconds = secondsToLastStatus(records);
  say(`${clusters} clusters are Ready after ${readySeconds} s`);
  const services = records.filter(isServices);
  const watcher = records.filter(({ user }) => user === IDENTITIES.watcher);
  const memoryLoadedMiB = await memoryOf(operator);
  const settled = await operator.mark();
  await sleep(SETTLED_MS);
  const settledWritesPerMinute = (await operator.writesSince(settled)).length;
  const memorySettledMiB = await memoryOf(operator);
  say(`removing ${clusters} clusters`);
  await Promise.all(names.map((name) => objects.remove("RestateCluster", name)));
  await untilNamespacesAreGone(objects, names);
  return {
    clusters,
    readySeconds,
    createdToFirstWriteMs: percentiles(delaysFromCreation(records, names, isFirstWrite)),
    createdToStatefulSetMs: percentiles(delaysFromCreation(records, names, isStatefulSet)),
    perCluster: {
      services: perResource(services, clusters),
      watcher: perResource(watcher, clusters),
    },
    requestsOfServices: byKind(services),
    cpuSeconds: difference(cpuAfter, cpuBefore),
    memoryIdleMiB,
    memoryLoadedMiB,
    memorySettledMiB,
    settledWritesPerMinute,
  };
}

/** What Kubernetes itself takes for as many StatefulSets of one pod and one volume, in namespaces of their own. */
export async function floor({ objects, clusters, say }: Bench) {
  const names = Array.from({ length: clusters }, (_, index) => `floor-${index}`);
  const startedAt = performance.now();
  await Promise.all(
    names.map(async (name) => {
      await objects.apply("Namespace", { apiVersion: "v1", metadata: { name } });
      await objects.apply("StatefulSet", plainStatefulSet(name));
    }),
  );
  await Promise.all(
    names.map((name) =>
      until(
        `StatefulSet of ${name} is ready`,
        async () => {
          const set = await objects.get("StatefulSet", "plain", name);
          return (set?.["status"] as { readyReplicas?: number } | undefined)?.readyReplicas === 1;
        },
        { timeoutMs: ALL_READY_TIMEOUT_MS, intervalMs: 1_000 },
      ),
    ),
  );
  const readySeconds = secondsSince(startedAt);
  say(`${clusters} plain StatefulSets are ready after ${readySeconds} s`);
  await Promise.all(names.map((name) => objects.remove("Namespace", name)));
  await untilNamespacesAreGone(objects, names);
  return { statefulSets: clusters, readySeconds };
}

/** Kubernetes empties many namespaces for a minute, and would do so at the expense of what is measured next. */
async function untilNamespacesAreGone(objects: Objects, names: readonly string[]): Promise<void> {
  await until(
    `${names.length} namespaces are gone`,
    async () => {
      const left = await objects.list("Namespace");
      return left.every(({ metadata }) => !names.includes(metadata.name));
    },
    { timeoutMs: ALL_READY_TIMEOUT_MS, intervalMs: POLL_MS },
  );
}

/** From the arrival of the first RestateCluster to the last status that was written: the one that says Ready. */
function secondsToLastStatus(records: readonly AuditRecord[]): number {
  const first = records.find(
    ({ resource, code }) => resource === "restateclusters" && code === 201,
  );
  const last = records.findLast((record) => isServices(record) && record.subresource === "status");
  return Math.round(((last?.answeredAtMs ?? NaN) - (first?.receivedAtMs ?? NaN)) / 100) / 10;
}

/** Resident memory of the operator's processes. */
export async function memoryOf(operator: TestOperator) {
  return {
    services: await residentMiB(operator.pidOf("services")),
    watcher: await residentMiB(operator.pidOf("watcher")),
    restate: await residentMiB(operator.pidOf("restate")),
  };
}

/** Processor time that each process has used so far: the machine is shared by all of them. */
async function cpuSecondsOf(operator: TestOperator): Promise<Record<string, number>> {
  const kubernetes = await runningProcesses(operator.cluster.dir);
  const parts = (["services", "watcher", "restate"] as const).map((name) => ({
    name,
    pid: operator.pidOf(name),
  }));
  const all = [...parts, ...kubernetes].map(async ({ name, pid }): Promise<[string, number]> => [
    name,
    await cpuSeconds(pid),
  ]);
  return Object.fromEntries([...(await Promise.all(all)), ["bench", ownCpuSeconds()]]);
}

function difference(after: Record<string, number>, before: Record<string, number>) {
  const entries = Object.entries(after).map(([name, seconds]) => [name, seconds - before[name]!]);
  return Object.fromEntries(
    entries.map(([name, seconds]) => [name, Math.round(Number(seconds) * 10) / 10]),
  ) as Record<string, number>;
}

function secondsSince(startedAt: number): number {
  return Math.round((performance.now() - startedAt) / 100) / 10;
}

function plainStatefulSet(namespace: string) {
  const labels = { app: "plain" };
  return {
    apiVersion: "apps/v1",
    metadata: { name: "plain", namespace },
    spec: {
      replicas: 1,
      serviceName: "plain",
      podManagementPolicy: "Parallel",
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          containers: [
            {
              name: "plain",
              image: "example/plain:1",
              volumeMounts: [{ name: "storage", mountPath: "/data" }],
            },
          ],
        },
      },
      volumeClaimTemplates: [
        {
          metadata: { name: "storage" },
          spec: {
            accessModes: ["ReadWriteOnce"],
            resources: { requests: { storage: "1Gi" } },
          },
        },
      ],
    },
  };
}
