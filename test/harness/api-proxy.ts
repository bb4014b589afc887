/**
 * A proxy between the services and the API server that sees every request and can do to it what a network, a crash or a
 * busy server does: keep it from arriving, or let it take effect and lose the answer.
 *
 * It listens without TLS on loopback, and passes the caller's own token on: RBAC and audit log see the caller.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Agent, request as send } from "undici";
import type { ClusterAccess } from "../../bootstrap/kubernetes/cluster.ts";

export type ProxiedRequest = {
  readonly method: string;
  /** Path without the query. */
  readonly path: string;
  readonly isWrite: boolean;
};

/**
 * What becomes of a request. `before`: runs before it is passed on; `after`: after it took effect and before it is answered.
 * `lose`: it is never passed on (`before`) or never answered (`after`): the connection breaks. `answer`: the API server does
 * not see it, and this is the answer.
 */
export type Fault = {
  readonly before?: () => Promise<void>;
  readonly after?: () => Promise<void>;
  readonly lose?: "before" | "after";
  readonly answer?: { readonly status: number; readonly body: string };
};

export type ApiProxy = {
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  /** All requests so far, in the order of their arrival. */
  readonly seen: readonly ProxiedRequest[];
  /** Decides about each request from now on; `undefined` passes it on. */
  setFaults(decide: Decide): void;
  close(): Promise<void>;
};

const WRITES = new Set(["POST", "PUT", "PATCH", "DELETE"]);

type Decide = (proxied: ProxiedRequest) => Fault | undefined;

const passOn: Decide = () => undefined;

export async function startApiProxy(cluster: ClusterAccess): Promise<ApiProxy> {
  const agent = new Agent({ connect: { ca: cluster.certificate } });
  const seen: ProxiedRequest[] = [];
  let decide = passOn;
  const server = createServer((incoming, response) => {
    const path = (incoming.url ?? "").replace(/\?.*/, "");
    const method = incoming.method ?? "";
    const proxied = { method, path, isWrite: WRITES.has(method) };
    seen.push(proxied);
    pass({ incoming, response, server: cluster.server, agent }, decide(proxied) ?? {}).catch(() =>
      response.destroy(),
    );
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${portOf(server)}`,
    seen,
    setFaults: (next) => {
      decide = next;
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
      await agent.destroy();
    },
  };
}

async function pass(
  exchange: {
    readonly incoming: IncomingMessage;
    readonly response: ServerResponse;
    readonly server: string;
    readonly agent: Agent;
  },
  fault: Fault,
): Promise<void> {
  const { incoming, response, server, agent } = exchange;
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  await fault.before?.();
  if (fault.lose === "before") {
    response.destroy();
    return;
  }
  if (fault.answer !== undefined) {
    response.writeHead(fault.answer.status, { "content-type": "application/json" });
    response.end(fault.answer.body);
    return;
  }
  const { host: _, connection: __, ...headers } = incoming.headers;
  const answer = await send(`${server}${incoming.url ?? ""}`, {
    dispatcher: agent,
    method: incoming.method ?? "GET",
    headers,
    body: chunks.length === 0 ? null : Buffer.concat(chunks),
  });
  const body = Buffer.from(await answer.body.arrayBuffer());
  await fault.after?.();
  if (fault.lose === "after") {
    response.destroy();
    return;
  }
  response.writeHead(answer.statusCode, {
    "content-type": String(answer.headers["content-type"] ?? "application/json"),
  });
  response.end(body);
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
