/** The sender (W1-W4 in watcher/wake.ts) against a real HTTP server that plays the ingress. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../../watcher/clock.ts";
import { connectIngress, wakeUrl } from "../../watcher/ingress.ts";
import type { WakeKey } from "../../watcher/owners.ts";
import { WakeSender } from "../../watcher/wake.ts";
import { VirtualClock } from "../simulation/watcher-clock.ts";

const A: WakeKey = "ClusterReconciler/a";
const B: WakeKey = "ClusterReconciler/b";

interface Received {
  readonly path: string;
  readonly why: string;
}

type Answer = (received: Received, response: ServerResponse) => void;

/** An ingress that records what it gets and answers as told. */
class Peer {
  readonly received: Received[] = [];
  readonly headers: IncomingMessage["headers"][] = [];
  answer: Answer = (_, response) => response.writeHead(202).end('{"invocationId":"inv_1"}');
  outstanding = 0;
  outstandingMost = 0;
  #server: Server = createServer();
  #port = 0;

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async start(): Promise<void> {
    this.#server = createServer((request, response) => void this.#accept(request, response));
    await new Promise<void>((resolve) => {
      this.#server.listen(this.#port, "127.0.0.1", resolve);
    });
    const address = this.#server.address();
    if (typeof address === "object" && address !== null) this.#port = address.port;
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #accept(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    this.outstanding += 1;
    this.outstandingMost = Math.max(this.outstandingMost, this.outstanding);
    response.once("close", () => (this.outstanding -= 1));
    const { why } = JSON.parse(body) as { why: string };
    const received = { path: `${request.method} ${request.url}`, why };
    this.received.push(received);
    this.headers.push(request.headers);
    this.answer(received, response);
  }
}

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function start(options: { concurrency?: number; authTokenFile?: string } = {}) {
  const concurrency = options.concurrency ?? 4;
  const peer = new Peer();
  await peer.start();
  cleanups.push(() => peer.stop());
  const ingress = connectIngress({
    url: peer.url,
    authTokenFile: options.authTokenFile,
    concurrency,
  });
  cleanups.push(() => ingress.close());
  const failures: string[] = [];
  const accepted: string[] = [];
  const sender = new WakeSender({
    send: ingress.send,
    clock: systemClock,
    concurrency,
    report: {
      accepted: (key) => accepted.push(key),
      failed: (key, result) =>
        failures.push(
          `${key} ${result.kind === "refused" ? `status ${result.status}` : result.reason}`,
        ),
    },
  });
  return { peer, ingress, sender, failures, accepted };
}

describe("one wake", () => {
  test.each<[WakeKey, string]>([
    ["ClusterReconciler/a", "http://r/ClusterReconciler/a/wake/send"],
    ["DeploymentReconciler/ns/a", "http://r/DeploymentReconciler/ns%2Fa/wake/send"],
    ["CloudEnvironmentReconciler/a?b", "http://r/CloudEnvironmentReconciler/a%3Fb/wake/send"],
  ])("%s → %s", (key, expected) => {
    expect(wakeUrl("http://r", key)).toBe(expected);
  });

  test("is a one-way send under the constant idempotency key, with its cause", async () => {
    const { peer, sender } = await start();
    sender.wake("DeploymentReconciler/ns/a", "listed at start");
    expect(await sender.drain(5_000)).toBe(true);
    expect(peer.received).toEqual([
      { path: "POST /DeploymentReconciler/ns%2Fa/wake/send", why: "listed at start" },
    ]);
    expect(peer.headers[0]).toMatchObject({
      "idempotency-key": "wake",
      "content-type": "application/json",
    });
    expect(peer.headers[0]).not.toHaveProperty("authorization");
  });

  test("carries the bearer token of the file", async () => {
    const folder = await mkdtemp(join(tmpdir(), "watcher-"));
    cleanups.push(() => rm(folder, { recursive: true }));
    const authTokenFile = join(folder, "token");
    await writeFile(authTokenFile, "key_123\n");
    const { peer, sender } = await start({ authTokenFile });
    sender.wake(A, "x");
    await sender.drain(5_000);
    expect(peer.headers[0]).toMatchObject({ authorization: "Bearer key_123" });
  });

  test("a token file that is not there yet is waited for", async () => {
    const folder = await mkdtemp(join(tmpdir(), "watcher-"));
    cleanups.push(() => rm(folder, { recursive: true }));
    const authTokenFile = join(folder, "token");
    const { sender, failures } = await start({ authTokenFile });
    sender.wake(A, "x");
    expect(await sender.drain(100)).toBe(false);
    await writeFile(authTokenFile, "t");
    expect(await sender.drain(5_000)).toBe(true);
    expect(failures[0]).toBe(`${A} ENOENT`);
  });
});

describe("the sender", () => {
  test("W1: refused with any status, it is sent until it is accepted", async () => {
    const { peer, sender, failures, accepted } = await start();
    const statuses = [404, 500, 503, 400, 307, 202];
    peer.answer = (_, response) =>
      response.writeHead(statuses.shift() ?? 202, { location: "http://127.0.0.1:9/x" }).end();
    sender.wake(A, "x");
    expect(await sender.drain(10_000)).toBe(true);
    expect(failures).toEqual([404, 500, 503, 400, 307].map((status) => `${A} status ${status}`));
    expect({ requests: peer.received.length, accepted }).toEqual({ requests: 6, accepted: [A] });
  });

  test("W1: nothing is lost while the bootstrap is down; it comes back and everything arrives", async () => {
    const { peer, sender, failures } = await start();
    await peer.stop();
    const keys = Array.from({ length: 200 }, (_, index): WakeKey => `ClusterReconciler/k${index}`);
    for (const key of keys) sender.wake(key, "x");
    for (const key of keys) sender.wake(key, "again");
    expect(await sender.drain(700)).toBe(false);
    expect(sender.pending).toBe(200);
    // W4: it is probed, not stormed: 4 sends at first, then one per back-off of 25 ms and more.
    expect(failures.length).toBeLessThan(15);
    expect(new Set(failures.map((failure) => failure.split(" ")[1]))).toEqual(
      new Set(["ECONNREFUSED"]),
    );
    await peer.start();
    expect(await sender.drain(8_000)).toBe(true);
    expect(new Set(peer.received.map(({ path }) => path)).size).toBe(200);
    expect(peer.received).toHaveLength(200);
  });

  test("W1: an answer that breaks off is no acceptance", async () => {
    const { peer, sender, failures } = await start();
    let broken = 0;
    peer.answer = (_, response) => {
      broken += 1;
      if (broken <= 2) response.destroy();
      else response.writeHead(202).end();
    };
    sender.wake(A, "x");
    expect(await sender.drain(5_000)).toBe(true);
    expect(failures).toHaveLength(2);
  });

  test("W2, W3: of one key one send is outstanding; many changes meanwhile are one more", async () => {
    const { peer, sender } = await start();
    const held: ServerResponse[] = [];
    peer.answer = (_, response) => held.push(response);
    sender.wake(A, "first");
    await expect.poll(() => held.length).toBe(1);
    for (const why of ["second", "third", "fourth"]) sender.wake(A, why);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(peer.received.map(({ why }) => why)).toEqual(["first"]);
    peer.answer = (_, response) => response.writeHead(202).end();
    held[0]?.writeHead(202).end();
    expect(await sender.drain(5_000)).toBe(true);
    expect(peer.received.map(({ why }) => why)).toEqual(["first", "second"]);
  });

  test("a stop waits for what is outstanding, then ends: no send and no timer is left", async () => {
    const clock = new VirtualClock();
    let sends = 0;
    const sender = new WakeSender({
      send: (key) => {
        sends += 1;
        return Promise.resolve(
          key === A ? { kind: "refused", status: 404 } : { kind: "unreachable", reason: "x" },
        );
      },
      clock,
      concurrency: 2,
      report: { accepted: () => {}, failed: () => {} },
    });
    sender.wake(A, "x");
    sender.wake(B, "x");
    await clock.advance(1_000);
    const stopped = sender.stop(3_000);
    await clock.advance(3_000);
    expect(await stopped).toBe(false);
    const before = sends;
    sender.wake(A, "y");
    await clock.advance(60_000);
    expect({ sends, pending: sender.pending, timers: clock.armed }).toEqual({
      sends: before,
      pending: 0,
      timers: 0,
    });
  });

  test("W4: at most so many sends are outstanding", async () => {
    const { peer, sender } = await start({ concurrency: 3 });
    peer.answer = (_, response) => void setTimeout(() => response.writeHead(202).end(), 10);
    for (let index = 0; index < 30; index += 1) sender.wake(`ClusterReconciler/k${index}`, "x");
    expect(await sender.drain(5_000)).toBe(true);
    expect({ requests: peer.received.length, most: peer.outstandingMost }).toEqual({
      requests: 30,
      most: 3,
    });
  });

  test("W4: a key that is refused delays no other", async () => {
    const { peer, sender, accepted } = await start({ concurrency: 1 });
    peer.answer = ({ path }, response) =>
      response.writeHead(path.includes("/a/") ? 400 : 202).end();
    sender.wake(A, "x");
    await expect.poll(() => peer.received.length).toBeGreaterThan(3);
    const startedMs = performance.now();
    sender.wake(B, "x");
    await expect.poll(() => accepted, { interval: 2 }).toEqual([B]);
    expect(performance.now() - startedMs).toBeLessThan(200);
    peer.answer = (_, response) => response.writeHead(202).end();
    expect(await sender.drain(6_000)).toBe(true);
  });
});

test("a send that is not answered in time is given up, and is no acceptance", async () => {
  const peer = new Peer();
  await peer.start();
  cleanups.push(() => peer.stop());
  peer.answer = () => {};
  const ingress = connectIngress({
    url: peer.url,
    authTokenFile: undefined,
    concurrency: 1,
    timeoutMs: 100,
  });
  cleanups.push(() => ingress.close());
  expect(await ingress.send(A, "x")).toEqual({ kind: "unreachable", reason: "TimeoutError" });
});
