/**
 * Probes and metrics over HTTP. `/health` says that the process serves, and nothing about CRDs on purpose: restarting the
 * pod does not install one. `/ready` names the kinds that are not watched yet.
 */
import { createServer } from "node:http";
import type { RequestListener, Server, ServerResponse } from "node:http";
import type { Registry } from "prom-client";

export interface HealthOptions {
  readonly bindAddress: string;
  /** 0: any free port. */
  readonly port: number;
  /** Kinds whose CRD is missing or that are not listed yet. */
  readonly pendingControllers: () => readonly string[];
  readonly registry: Registry;
}

export interface HealthServer {
  /** The port it listens on. */
  readonly port: number;
  readonly close: () => Promise<void>;
}

/** Starts listening. Rejects when the address cannot be used. */
export async function serveHealth(options: HealthOptions): Promise<HealthServer> {
  const server = createServer(listenerOf(options));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.bindAddress, resolve);
  });
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : options.port;
  return { port, close: () => closed(server) };
}

function listenerOf(options: HealthOptions): RequestListener {
  return (request, response) => {
    const json = (status: number, body: object): void => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(`${JSON.stringify(body)}\n`);
    };
    const path: string = request.url ?? "";
    switch (path) {
      case "/health":
        json(200, { status: "ok" });
        return;
      case "/ready": {
        const pendingControllers = options.pendingControllers();
        if (pendingControllers.length === 0) json(200, { status: "ready" });
        else json(503, { status: "waiting", pendingControllers });
        return;
      }
      case "/metrics":
        void writeMetrics(options.registry, response);
        return;
      default:
        json(404, { status: "not found", paths: ["/health", "/ready", "/metrics"] });
    }
  };
}

async function writeMetrics(registry: Registry, response: ServerResponse): Promise<void> {
  const text = await registry.metrics().catch(() => undefined);
  response.writeHead(text === undefined ? 500 : 200, { "content-type": registry.contentType });
  response.end(text ?? "metrics are not available\n");
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
