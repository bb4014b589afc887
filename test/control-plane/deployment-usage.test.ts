/**
 * The count of unfinished work, on a real Restate: every status an invocation can have, and which deployment each counts for
 * while another version is the latest. What has begun counts for where it began, everything else for where it would begin.
 */
import { createServer, type Http2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import * as restate from "@restatedev/restate-sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startRestateServer, type RestateServer } from "../../bootstrap/restate/server.ts";
import { isUsed, readUsage } from "../../services/deployment/drain/usage.ts";
import { RestateAdmin } from "../../services/restate/admin.ts";
import { testRunDir } from "../harness/kubernetes.ts";
import { until } from "../harness/until.ts";
import { WORK_KINDS, Worker, type Work, type WorkKind } from "../harness/work.ts";

let server: RestateServer;
let admin: RestateAdmin;
let worker: Worker;
const endpoints: Http2Server[] = [];

beforeAll(async () => {
  server = await startRestateServer({ dir: join(testRunDir(), "usage"), name: "usage" });
  admin = new RestateAdmin({ url: server.adminUrl });
  worker = new Worker(server, admin);
});

afterAll(async () => {
  for (const endpoint of endpoints) endpoint.close();
  await admin.close();
  await server.stop();
});

async function register(name: string, version: string): Promise<string> {
  const services = worker.services(name, version);
  const endpoint = createServer(
    restate.createEndpointHandler({ services, logger: () => undefined }),
  );
  endpoint.on("session", (session) => session.on("error", () => session.destroy()));
  await new Promise<void>((resolve) => {
    endpoint.listen(0, "127.0.0.1", resolve);
  });
  endpoints.push(endpoint);
  const { port } = endpoint.address() as AddressInfo;
  const { id } = await admin.registerDeployment({ uri: `http://127.0.0.1:${port}`, force: false });
  return id;
}

const NONE = { pinned: 0, unpinned: 0, scheduled: 0 };

/** What each kind of work counts as, for the version it was started on and for the latest. */
const COUNTED: Record<WorkKind, { readonly first: object; readonly latest: object }> = {
  suspended: { first: { pinned: 1 }, latest: {} },
  suspendedUnbegun: { first: {}, latest: { unpinned: 1 } },
  running: { first: { pinned: 1 }, latest: {} },
  runningUnbegun: { first: { pinned: 1 }, latest: {} },
  backingOff: { first: { pinned: 1 }, latest: {} },
  backingOffUnbegun: { first: {}, latest: { unpinned: 1 } },
  paused: { first: { pinned: 1 }, latest: {} },
  scheduled: { first: {}, latest: { unpinned: 1, scheduled: 1 } },
  // behind one that has begun
  queued: { first: { pinned: 1 }, latest: { unpinned: 1 } },
};
/** Where each ends: where it began, or where it begins. */
const ENDS_ON: Record<WorkKind, unknown> = {
  suspended: "v1",
  suspendedUnbegun: "v2",
  running: "v1",
  runningUnbegun: "v1",
  backingOff: "v1",
  backingOffUnbegun: "v2",
  paused: "v1",
  scheduled: expect.stringMatching(/killed/i),
  queued: "v2",
};

test.for(Object.keys(WORK_KINDS) as WorkKind[])("%s", async (kind) => {
  const name = `Usage${kind}`;
  const first = await register(name, "v1");
  const work: Work = await worker.start(kind, name);
  const alone = (await readUsage(admin))[first];
  expect({ ...NONE, ...alone }).toMatchObject({ routed: 2, oldest: expect.any(String) });
  expect((alone?.pinned ?? 0) + (alone?.unpinned ?? 0)).toBe(kind === "queued" ? 2 : 1);
  const latest = await register(name, "v2");

  const counted = COUNTED[kind];
  await until("it is counted", async () => {
    const usage = await readUsage(admin);
    expect({ ...NONE, routed: 0, ...usage[first] }).toMatchObject({
      ...NONE,
      routed: 0,
      ...counted.first,
    });
    expect(usage[latest]).toMatchObject({ ...NONE, routed: 2, ...counted.latest });
    return true;
  });
  const begun = Object.keys(counted.first).length > 0;
  expect(await isUsed(admin, first, { routed: true })).toBe(begun);
  expect(await isUsed(admin, latest, { routed: false })).toBe(
    Object.keys(counted.latest).length > 0,
  );
  expect(await isUsed(admin, latest, { routed: true })).toBe(true);

  expect(await work.finish()).toEqual(ENDS_ON[kind]);
  await until("nothing is unfinished", async () => {
    const usage = await readUsage(admin);
    expect(usage[first]).toBeUndefined();
    expect(usage[latest]).toEqual({ ...NONE, routed: 2 });
    return true;
  });
  expect(await isUsed(admin, first, { routed: true })).toBe(false);
});
