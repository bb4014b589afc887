/** The two servers of the services, over real connections: h2c for this build only, HTTP/1.1 for probes and metrics. */
import { once } from "node:events";
import { connect, constants, type ClientHttp2Session } from "node:http2";
import { Counter, Registry } from "prom-client";
import { afterEach, describe, expect, test } from "vitest";
import {
  serveEndpoint,
  serveHealth,
  type Listening,
  type Readiness,
} from "../../services/endpoint.ts";

const BUILD = "0.1.0-0123456789ab";
const ANYWHERE = { address: "127.0.0.1", port: 0 };

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function startEndpoint(): Promise<{ listening: Listening; handled: string[] }> {
  const handled: string[] = [];
  const listening = await serveEndpoint(
    BUILD,
    (request, response) => {
      handled.push(request.url);
      response.end("handled");
    },
    ANYWHERE,
  );
  cleanups.push(() => listening.close());
  return { listening, handled };
}

function open(port: number): ClientHttp2Session {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  cleanups.push(() => session.destroy());
  return session;
}

async function get(
  session: ClientHttp2Session,
  path: string,
): Promise<{ status: number; body: string }> {
  const stream = session.request({ [constants.HTTP2_HEADER_PATH]: path });
  let status = 0;
  stream.once("response", (headers) => (status = Number(headers[":status"])));
  let body = "";
  for await (const chunk of stream) body += String(chunk);
  return { status, body };
}

describe("the endpoint", () => {
  test("answers under the path of its build, over one connection", async () => {
    const { listening, handled } = await startEndpoint();
    const session = open(listening.port);
    expect(await get(session, `/${BUILD}/discover`)).toEqual({ status: 200, body: "handled" });
    expect(await get(session, `/${BUILD}/invoke/A/b`)).toEqual({ status: 200, body: "handled" });
    expect(handled).toEqual([`/${BUILD}/discover`, `/${BUILD}/invoke/A/b`]);
    expect(session.closed).toBe(false);
  });

  test.each([
    "/",
    "/discover",
    "/0.1.0-other/discover",
    `/${BUILD}`,
    `/${BUILD}x/discover`,
    `//${BUILD}/discover`,
  ])("another build's path %s: 503, and the connection is closed", async (path) => {
    const { listening, handled } = await startEndpoint();
    const session = open(listening.port);
    const closed = once(session, "close");
    expect(await get(session, path)).toEqual({ status: 503, body: "another build is served here" });
    await closed;
    expect(handled).toEqual([]);
    // The next connection is as good as any.
    expect((await get(open(listening.port), `/${BUILD}/discover`)).status).toBe(200);
  });

  test("closing ends open connections", async () => {
    const { listening } = await startEndpoint();
    const session = open(listening.port);
    await get(session, `/${BUILD}/discover`);
    const closed = once(session, "close");
    await listening.close();
    await closed;
    expect(session.destroyed).toBe(true);
  });

  test("a port that is taken is an error", async () => {
    const { listening } = await startEndpoint();
    const again = serveEndpoint(BUILD, () => {}, { ...ANYWHERE, port: listening.port });
    await expect(again).rejects.toThrow("EADDRINUSE");
  });
});

async function startHealth(registry = new Registry()) {
  const readiness: Readiness = { registered: false };
  const listening = await serveHealth({ readiness, registry }, ANYWHERE);
  cleanups.push(() => listening.close());
  const fetchText = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${listening.port}${path}`);
    const type = response.headers.get("content-type");
    return { status: response.status, type, body: await response.text() };
  };
  return { readiness, fetchText };
}

const cannotCollect = () => Promise.reject(new Error("broken"));

describe("probes and metrics", () => {
  test("/health, /ready before and after the registration, and nothing else", async () => {
    const { readiness, fetchText } = await startHealth();
    const type = "application/json";
    expect(await fetchText("/health")).toEqual({ status: 200, type, body: '{"status":"ok"}' });
    expect(await fetchText("/ready")).toEqual({
      status: 200,
      type,
      body: '{"status":"ready","registered":false}',
    });
    readiness.registered = true;
    expect((await fetchText("/ready")).body).toBe('{"status":"ready","registered":true}');
    expect(await fetchText("/")).toEqual({
      status: 404,
      type,
      body: '{"message":"try /health, /ready or /metrics"}',
    });
  });

  test("/metrics, as Prometheus reads them", async () => {
    const registry = new Registry();
    new Counter({ name: "x_total", help: "h", registers: [registry] }).inc(3);
    const { fetchText } = await startHealth(registry);
    expect(await fetchText("/metrics")).toEqual({
      status: 200,
      type: registry.contentType,
      body: "# HELP x_total h\n# TYPE x_total counter\nx_total 3\n",
    });
  });

  test("a metric that cannot be collected is an error of /metrics alone", async () => {
    const registry = new Registry();
    registry.registerMetric(
      new Counter({ name: "x_total", help: "h", registers: [], collect: cannotCollect }),
    );
    const { fetchText } = await startHealth(registry);
    expect((await fetchText("/metrics")).status).toBe(500);
    expect((await fetchText("/health")).status).toBe(200);
  });
});
