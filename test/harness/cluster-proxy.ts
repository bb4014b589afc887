/**
 * Names of the Kubernetes cluster for processes outside it: an h2c proxy that looks at `:authority` and forwards to a port of
 * this machine. The services reach it by CLUSTER_PROXY, a Restate server by its invoker's proxy setting. A name that leads
 * nowhere is answered 502.
 */
import {
  connect,
  createServer,
  type ClientHttp2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";

export type ForwardedCall = {
  readonly authority: string;
  readonly path: string;
  /** gRPC status from the trailers; absent where there was none. */
  grpcStatus?: string;
};

export type ClusterProxy = {
  /** `127.0.0.1:<port>` */
  readonly address: string;
  readonly calls: readonly ForwardedCall[];
  /** From now on `host:port` leads to this port of the machine; `undefined`: to nowhere. */
  route(authority: string, port: number | undefined): void;
  close(): Promise<void>;
};

export async function startClusterProxy(): Promise<ClusterProxy> {
  const routes = new Map<string, number>();
  const calls: ForwardedCall[] = [];
  const sessions = new Set<ServerHttp2Session>();
  const server = createServer();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => session.destroy());
    session.on("close", () => sessions.delete(session));
  });
  server.on("stream", (stream, headers) => {
    const call = { authority: headers[":authority"] ?? "", path: headers[":path"] ?? "" };
    calls.push(call);
    forward(stream, headers, { call, port: routes.get(call.authority) });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    calls,
    route: (authority, to) => {
      if (to === undefined) routes.delete(authority);
      else routes.set(authority, to);
    },
    close: async () => {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

/** One upstream connection per call: this carries a handful. */
function forward(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  to: { readonly call: ForwardedCall; readonly port: number | undefined },
): void {
  const { call, port } = to;
  stream.on("error", () => undefined);
  const refuse = (session?: ClientHttp2Session) => {
    session?.destroy();
    if (!stream.headersSent && !stream.destroyed) stream.respond({ ":status": 502 });
    stream.end();
  };
  if (port === undefined) {
    refuse();
    return;
  }
  const session = connect(`http://127.0.0.1:${port}`);
  session.on("error", () => refuse(session));
  const upstream = session.request(headers);
  upstream.on("error", () => refuse(session));
  stream.pipe(upstream);
  upstream.on("response", (answer) => {
    call.grpcStatus = textOf(answer["grpc-status"]) ?? call.grpcStatus ?? "";
    stream.respond(answer, { waitForTrailers: true });
    upstream.pipe(stream);
  });
  let trailers: IncomingHttpHeaders = {};
  upstream.on("trailers", (sent) => {
    trailers = sent;
    call.grpcStatus = textOf(sent["grpc-status"]) ?? "";
  });
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  stream.on("close", () => session.close());
}

function textOf(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
