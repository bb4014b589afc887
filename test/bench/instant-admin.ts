/**
 * An admin API that answers at once: what is measured with it is the operator and Kubernetes, not a Restate under test. It
 * knows deployments, routes and unfinished invocations, and answers exactly the requests that the operator makes.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

type Deployment = {
  readonly id: string;
  readonly uri: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly services: readonly { readonly name: string }[];
};

export type InstantAdmin = {
  readonly url: string;
  /** When each usage query arrived. Milliseconds of `performance.now()`. */
  readonly usageQueriesMs: readonly number[];
  /** One unfinished invocation on every deployment there is now. */
  holdWork(): void;
  /** All of them end. */
  endWork(): void;
  close(): Promise<void>;
};

export async function startInstantAdmin(): Promise<InstantAdmin> {
  const deployments = new Map<string, Deployment>();
  const routes = new Map<string, string>();
  const usageQueriesMs: number[] = [];
  let working: readonly string[] = [];

  const register = (body: {
    uri: string;
    dry_run?: boolean;
    metadata?: Record<string, string>;
  }) => {
    const uri = new URL(body.uri).href;
    const known = [...deployments.values()].find((each) => each.uri === uri);
    // One service per resource: the name of the host without the version's hash.
    const service = /^http:\/\/(.+)-[^-.]+\./.exec(uri)?.[1] ?? "service";
    const id = known?.id ?? `dp_${deployments.size + 1}`;
    const deployment = { id, uri, metadata: body.metadata ?? {}, services: [{ name: service }] };
    if (body.dry_run === true) return deployment;
    deployments.set(id, deployment);
    routes.set(service, id);
    return deployment;
  };

  const query = (sql: string): object[] => {
    const prefix = /starts_with\(endpoint, '([^']*)'\)/.exec(sql)?.[1];
    if (prefix !== undefined) {
      return [...deployments.values()]
        .filter(({ uri }) => uri.startsWith(prefix))
        .map(({ id, uri }) => ({ id, endpoint: uri }));
    }
    const names = /name IN \(([^)]*)\)/.exec(sql)?.[1]?.split(", ") ?? [];
    if (names.length > 0) {
      return names.flatMap((quoted) => {
        const name = quoted.slice(1, -1);
        const id = routes.get(name);
        return id === undefined ? [] : [{ name, id }];
      });
    }
    if (sql.includes("LIMIT 1")) return [];
    if (sql.includes("FROM sys_service GROUP BY")) {
      return [...routes.values()].map((id) => ({ id, services: 1 }));
    }
    usageQueriesMs.push(performance.now());
    return working.map((id) => ({ begun_on: id, invocations: 1, scheduled: 0 }));
  };

  const answer = (method: string, path: string, body: string): object | undefined => {
    if (method === "POST" && path === "/query") {
      return { rows: query((JSON.parse(body) as { query: string }).query) };
    }
    if (method === "POST" && path === "/deployments") return register(JSON.parse(body));
    const id = /^\/deployments\/([^?]+)/.exec(path)?.[1] ?? "";
    if (method === "DELETE") {
      deployments.delete(id);
      return {};
    }
    return deployments.get(id);
  };

  const respond = async (incoming: IncomingMessage, response: ServerResponse) => {
    const body = await textOf(incoming);
    const found = answer(incoming.method ?? "", incoming.url ?? "", body);
    response.writeHead(found === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(found ?? { message: "not found" }));
  };
  const server = createServer((incoming, response) => {
    respond(incoming, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    usageQueriesMs,
    holdWork: () => {
      working = [...deployments.keys()];
    },
    endWork: () => {
      working = [];
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function textOf(incoming: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of incoming) text += String(chunk);
  return text;
}
