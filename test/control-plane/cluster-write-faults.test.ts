/**
 * Every write the services make in the life of a cluster, one by one: the process dies before it, or after it took effect and
 * before its journal entry; the answer is lost; the API server answers with an error. Each fault is placed exactly, by a
 * proxy between the services and the API server.
 */
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { ClusterAccess } from "../../bootstrap/kubernetes/cluster.ts";
import {
  startApiProxy,
  type ApiProxy,
  type Fault,
  type ProxiedRequest,
} from "../harness/api-proxy.ts";
import { auditPosition, isWrite, type AuditPosition } from "../harness/audit.ts";
import { sharedControlPlane, testRunDir } from "../harness/kubernetes.ts";
import { STEPS, lifecycleCounts, live, writesAbout, type Life } from "../harness/lives.ts";
import { Objects } from "../harness/objects.ts";
import { startTestOperator, type TestOperator } from "../harness/operator.ts";

const TEST_TIMEOUT_MS = 600_000;

let cluster: ClusterAccess;
let objects: Objects;
let proxy: ApiProxy;
let operator: TestOperator;
let reference: {
  readonly life: Life;
  readonly counts: Record<string, number>;
  readonly writes: number;
};

/** Where the audit log was before this operator began. */
let begun: AuditPosition;

beforeAll(async () => {
  cluster = await sharedControlPlane();
  begun = await auditPosition(cluster.auditLog);
  objects = new Objects(cluster);
  proxy = await startApiProxy(cluster);
  operator = await startTestOperator({
    cluster,
    dir: join(testRunDir(), "write-faults"),
    servicesApiUrl: proxy.url,
  });
  const mark = await operator.mark();
  const life = await live(objects, "undisturbed");
  await operator.idle();
  const records = await operator.requestsSince(mark);
  reference = {
    life,
    counts: lifecycleCounts(records, "undisturbed"),
    writes: writesAbout(records, "undisturbed").length,
  };
}, TEST_TIMEOUT_MS);

afterEach(() => proxy.setFaults(() => undefined));

afterAll(async () => {
  await operator.stop();
  await proxy.close();
  await objects.close();
});

/** A fault at the first write of each object of a cluster, and of each different thing written to it; told how many there were. */
function onEachWrite(name: string, fault: (proxied: ProxiedRequest) => Fault): () => number {
  const met = new Set<string>();
  proxy.setFaults((proxied) => {
    const isAbout = proxied.path.includes(`/${name}/`) || proxied.path.endsWith(`/${name}`);
    const key = `${proxied.method} ${proxied.path}`;
    if (!proxied.isWrite || !isAbout || met.has(key)) return undefined;
    met.add(key);
    return fault(proxied);
  });
  return () => met.size;
}

async function killServices(): Promise<void> {
  await operator.kill("services");
  void operator.start("services");
}

/** Lives a life with a fault at each write, and compares it with the undisturbed one (O1, O2). */
async function expectSameLife(
  name: string,
  fault: (proxied: ProxiedRequest) => Fault,
): Promise<void> {
  const mark = await operator.mark();
  const faults = onEachWrite(name, fault);
  const life = await live(objects, name);
  await operator.idle();
  const records = await operator.requestsSince(mark);
  expect(life.state).toEqual(reference.life.state);
  expect(lifecycleCounts(records, name)).toEqual(reference.counts);
  // finalizer on and off, status, namespace, 14 children, one of them in two versions of which one is removed
  expect(faults()).toBeGreaterThanOrEqual(18);
  // O2: at most one write more per fault; and pods on their way may be seen once more in each step of a life
  const most = reference.writes + faults() + STEPS.length;
  expect(writesAbout(records, name).length).toBeLessThanOrEqual(most);
  await operator.untilForgotten(name);
}

describe("at each write", () => {
  test(
    "the services die before it",
    () => expectSameLife("killed-before", () => ({ before: killServices, lose: "before" })),
    TEST_TIMEOUT_MS,
  );

  test(
    "the services die after it, before they could note it",
    () => expectSameLife("killed-after", () => ({ after: killServices, lose: "after" })),
    TEST_TIMEOUT_MS,
  );

  test(
    "the answer is lost",
    () => expectSameLife("answer-lost", () => ({ lose: "after" })),
    TEST_TIMEOUT_MS,
  );

  test.each([409, 503])(
    "the API server answers %i",
    async (status) => {
      const body = JSON.stringify({ kind: "Status", status: "Failure", reason: "Test" });
      await expectSameLife(`answered-${status}`, () => ({ answer: { status, body } }));
    },
    TEST_TIMEOUT_MS,
  );
});

test("no fault left an invocation that is paused or that retries", async () => {
  await operator.idle();
  const written = (await operator.requestsSince(begun)).filter(isWrite);
  expect(written.map(({ code }) => code)).not.toContain(403);
});
