/**
 * The two servers of the services: the endpoint that the bootstrap calls (h2c, signed requests, this build's path only), and
 * plain HTTP/1.1 for probes and metrics, which the kubelet and Prometheus speak.
 */
import { createServer as createHttpServer, type Server } from "node:http";
import {
  createServer as createHttp2Server,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";

export interface Listening {
  readonly port: number;
  /** Stops listening and ends open connections. */
  close(): Promise<void>;
}

export interface ListenOptions {
  readonly address: string;
  /** 0: any free port. */
  readonly port: number;
}

type RequestListener = (request: Http2ServerRequest, response: Http2ServerResponse) => void;

/**
 * Serves the endpoint under `/<build>/`. A request for another build reached the wrong pod over a connection that was kept:
 * it is answered 503 and the connection closed, so that the next attempt finds the right one (measured).
 */
export async function serveEndpoint(
  build: string,
  handler: RequestListener,
  options: ListenOptions,
): Promise<Listening> {
  const sessions = new Set<ServerHttp2Session>();
  const server = createHttp2Server((request, response) => {
    if (request.url.startsWith(`/${build}/`)) {
      handler(request, response);
      return;
    }
    response.writeHead(503);
    response.end("another build is served here");
    response.stream.session?.close();
  });
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => session.destroy());
    session.on("close", () => sessions.delete(session));
  });
  return listen(server, options, () => {
    for (const session of sessions) session.destroy();
  });
}

/** What `/ready` says: the operator takes work once this build is registered. */
export interface Readiness {
  registered: boolean;
}

/** Serves `/health`, `/ready` and `/metrics`. Ready means listening: a Service must lead here before Restate can register it. */
export async function serveHealth(
  state: { readonly readiness: Readiness; readonly registry: Registry },
  options: ListenOptions,
): Promise<Listening> {
  const { readiness, registry } = state;
  const server = createHttpServer((request, response) => {
    const answer = (status: number, body: string, type = "application/json") => {
      response.writeHead(status, { "content-type": type });
      response.end(body);
    };
    switch (request.url) {
      case "/health":
        return answer(200, `{"status":"ok"}`);
      case "/ready":
        return answer(200, JSON.stringify({ status: "ready", ...readiness }));
      case "/metrics":
        return void registry.metrics().then(
          (metrics) => answer(200, metrics, registry.contentType),
          () => answer(500, "{}"),
        );
      default:
        return answer(404, `{"message":"try /health, /ready or /metrics"}`);
    }
  });
  return listen(server, options, () => server.closeAllConnections());
}

function listen(
  server: Server | Http2Server,
  options: ListenOptions,
  endConnections: () => void,
): Promise<Listening> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.address, () => {
      const close = () =>
        new Promise<void>((closed) => {
          server.close(() => closed());
          endConnections();
        });
      // A TCP server's address is an object.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      resolve({ port: (server.address() as AddressInfo).port, close });
    });
  });
}
