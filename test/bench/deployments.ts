/**
 * RestateDeployments in numbers: many at once beside as many plain Deployments, drains of many versions, and a restart of the
 * operator among them. Pods are played, and the admin API answers at once.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { readAudit, type AuditRecord } from "../harness/audit.ts";
import { applyDeployment, readyOf, statusOf } from "../harness/deployments.ts";
import type { Objects } from "../harness/objects.ts";
import { IDENTITIES } from "../harness/operator.ts";
import { until } from "../harness/until.ts";
import { byKind, percentiles, perResource } from "./measure.ts";
import { memoryOf, type Bench } from "./scenarios.ts";

const NAMESPACE = "bench";
const TIMEOUT_MS = 900_000;
const POLL_MS = 2_000;
const SETTLED_MS = 60_000;
const AT_ONCE = 20;
const DRAINING = 200;
const REGISTERED_MS = 60_000;

const isServices = ({ user }: AuditRecord) => user === IDENTITIES.services;
const isWatcher = ({ user }: AuditRecord) => user === IDENTITIES.watcher;

/** All that is measured about RestateDeployments, one after the other on the same resources. */
export async function deployments(bench: Bench) {
  const { objects, operator, say } = bench;
  const names = Array.from({ length: bench.deployments }, (_, index) => `greeter-${index}`);
  await objects.apply("Namespace", { apiVersion: "v1", metadata: { name: NAMESPACE } });
  const floor = await plainDeployments(bench);
  const created = await createAll(bench, names);
  const settled = await writesIn(bench, SETTLED_MS);
  const memorySettledMiB = await memoryOf(operator);
  const restart = await restartAll(bench);
  const drains = await drainSome(bench, names.slice(0, Math.min(DRAINING, names.length)));
  say("removing them");
  await inParallel(names, (name) => objects.remove("RestateDeployment", name, NAMESPACE));
  return {
    resources: names.length,
    floor,
    created,
    settledWritesPerMinute: settled,
    memorySettledMiB,
    restart,
    drains,
  };
}

/** As many plain Deployments, to Available. */
async function plainDeployments({ objects, deployments: count, say }: Bench) {
  const names = Array.from({ length: count }, (_, index) => `plain-${index}`);
  const startedAt = performance.now();
  await inParallel(names, (name) => objects.apply("Deployment", plain(name)));
  await until(
    `${count} Deployments are Available`,
    async () =>
      (await objects.list("Deployment", NAMESPACE)).filter(
        ({ status }) => (status as { availableReplicas?: number }).availableReplicas === 1,
      ).length === count,
    { timeoutMs: TIMEOUT_MS, intervalMs: POLL_MS },
  );
  const availableSeconds = secondsSince(startedAt);
  say(`${count} plain Deployments are Available after ${availableSeconds} s`);
  await inParallel(names, (name) => objects.remove("Deployment", name, NAMESPACE));
  await until("they are gone", async () => (await objects.list("Pod", NAMESPACE)).length === 0, {
    timeoutMs: TIMEOUT_MS,
    intervalMs: POLL_MS,
  });
  return { availableSeconds };
}

async function createAll({ objects, operator, admin, say }: Bench, names: readonly string[]) {
  const mark = await operator.mark();
  const startedAt = performance.now();
  await inParallel(names, (name) => applyGreeter(objects, admin.url, { name, image: "greeter:1" }));
  await untilAll(objects, names.length);
  const readySeconds = secondsSince(startedAt);
  await operator.idle();
  const records = await readAudit(operator.cluster.auditLog, mark);
  say(`${names.length} RestateDeployments are Ready after ${readySeconds} s`);
  const services = records.filter(isServices);
  return {
    readySeconds,
    perDeployment: {
      services: perResource(services, names.length),
      watcher: perResource(records.filter(isWatcher), names.length),
    },
    requestsOfServices: byKind(services),
  };
}

async function untilAll(objects: Objects, count: number): Promise<void> {
  await until(
    `${count} RestateDeployments are Ready`,
    async () => {
      const ready = (await objects.list("RestateDeployment", NAMESPACE)).filter((deployment) => {
        const status = statusOf(deployment);
        return status !== undefined && readyOf(status)?.status === "True";
      });
      return ready.length === count;
    },
    { timeoutMs: TIMEOUT_MS, intervalMs: POLL_MS },
  );
}

/** Writes of the operator in a span of time in which nothing happens. */
async function writesIn({ operator }: Bench, spanMs: number): Promise<number> {
  const mark = await operator.mark();
  await sleep(spanMs);
  return (await operator.writesSince(mark)).length;
}

/** Every process of the operator is killed and started again: how long until it is quiet, and what it wrote. */
async function restartAll({ operator, say }: Bench) {
  const mark = await operator.mark();
  for (const part of ["watcher", "services", "restate"] as const) await operator.kill(part);
  const startedAt = performance.now();
  for (const part of ["restate", "services", "watcher"] as const) await operator.start(part);
  await operator.registered();
  await until("every resource was looked at", async () => isQuiet(operator), {
    timeoutMs: REGISTERED_MS * 5,
    intervalMs: 500,
  });
  const quietSeconds = secondsSince(startedAt);
  say(`quiet ${quietSeconds} s after a restart`);
  const writes = (await operator.writesSince(mark)).length;
  return { quietSeconds, writes, memoryMiB: await memoryOf(operator) };
}

/** Nothing was under way at two looks in a row, a second apart. */
async function isQuiet(operator: Bench["operator"]): Promise<boolean> {
  for (let look = 0; look < 2; look += 1) {
    const open = (await operator.unfinished()).filter(({ status }) => status !== "scheduled");
    if (open.length > 0) return false;
    await sleep(1_000);
  }
  return true;
}

/** New versions of some, while the versions before have work; then that ends. */
async function drainSome({ objects, operator, admin, say }: Bench, names: readonly string[]) {
  admin.holdWork();
  await inParallel(names, (name) => applyGreeter(objects, admin.url, { name, image: "greeter:2" }));
  await untilPhase(objects, "Draining", names.length);
  say(`${names.length} versions drain`);
  await sleep(SETTLED_MS);
  const before = admin.usageQueriesMs.length;
  const mark = await operator.mark();
  await sleep(SETTLED_MS);
  const usageQueriesPerMinute = admin.usageQueriesMs.length - before;
  const writesPerMinute = (await operator.writesSince(mark)).length;
  admin.endWork();
  const endedAt = performance.now();
  const noticedMs: number[] = [];
  await until(
    "every drain has noticed",
    async () => {
      const noticed = names.length - (await inPhase(objects, "Draining"));
      while (noticedMs.length < noticed) noticedMs.push(performance.now() - endedAt);
      return noticed === names.length;
    },
    { timeoutMs: TIMEOUT_MS, intervalMs: 250 },
  );
  return {
    versions: names.length,
    usageQueriesPerMinute,
    writesPerMinute,
    noticedMs: percentiles(noticedMs),
  };
}

async function untilPhase(objects: Objects, phase: string, count: number): Promise<void> {
  const what = `${count} versions are ${phase}`;
  await until(what, async () => (await inPhase(objects, phase)) === count, {
    timeoutMs: TIMEOUT_MS,
    intervalMs: POLL_MS,
  });
}

async function inPhase(objects: Objects, phase: string): Promise<number> {
  const all = await objects.list("RestateDeployment", NAMESPACE);
  return all.filter((each) => statusOf(each)?.versions?.some((version) => version.phase === phase))
    .length;
}

async function inParallel<T>(all: readonly T[], call: (one: T) => Promise<unknown>): Promise<void> {
  const left = [...all];
  const worker = async () => {
    for (let one = left.pop(); one !== undefined; one = left.pop()) await call(one);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

function applyGreeter(
  objects: Objects,
  url: string,
  { name, image }: { readonly name: string; readonly image: string },
) {
  const restate = { register: { url } };
  return applyDeployment(objects, { namespace: NAMESPACE, name }, { image, restate });
}

function plain(name: string) {
  const labels = { app: name };
  return {
    apiVersion: "apps/v1",
    metadata: { name, namespace: NAMESPACE },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { containers: [{ name: "plain", image: "example/plain:1" }] },
      },
    },
  };
}

function secondsSince(startedAt: number): number {
  return Math.round((performance.now() - startedAt) / 100) / 10;
}
