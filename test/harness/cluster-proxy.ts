/**
 * Names of the Kubernetes cluster for processes outside it: a proxy that looks at the authority of a request, HTTP/1.1 or
 * HTTP/2 without TLS, and forwards it to a port of this machine. The services reach it by CLUSTER_PROXY, a Restate server by
 * its invoker's proxy setting. A name that leads nowhere is answered 502.
 */
import {
  createServer as createHttp1Server,
  request as sendHttp1,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import {
  connect,
  createServer,
  type ClientHttp2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";

export type ForwardedCall = {
  readonly authority: string;
  readonly path: string;
  /** gRPC status of the answer ("0": success, "6": already exists); absent where nobody answered. */
  grpcStatus?: string;
};

/** Where an authority leads. */
export type Route = {
  /** Port of this machine. */
  readonly port: number;
  /** The first answer is lost: the call takes effect and its caller never hears of it. */
  readonly losesFirstAnswer?: boolean;
};

export type ClusterProxy = {
  /** `127.0.0.1:<port>` */
  readonly address: string;
  /** All calls so far, in the order of their arrival. */
  readonly calls: readonly ForwardedCall[];
  /** From now on `host:port` leads there; `undefined`: to nowhere. */
  route(authority: string, to: Route | undefined): void;
  close(): Promise<void>;
};

export async function startClusterProxy(): Promise<ClusterProxy> {
  const routes = new Map<string, Route>();
  const calls: ForwardedCall[] = [];
  const sessions = new Set<ServerHttp2Session>();
  const http2 = createServer();
  http2.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => session.destroy());
    session.on("close", () => sessions.delete(session));
  });
  http2.on("stream", (stream, headers) => {
    const authority = headers[":authority"] ?? "";
    const call: ForwardedCall = { authority, path: headers[":path"] ?? "" };
    const isFirst = calls.every((earlier) => earlier.authority !== authority);
    calls.push(call);
    const route = routes.get(authority);
    const losesAnswer = isFirst && route?.losesFirstAnswer === true;
    forward(stream, headers, { call, port: route?.port, losesAnswer });
  });
  const http1 = createHttp1Server((incoming, response) => {
    const authority = incoming.headers.host ?? "";
    calls.push({ authority, path: incoming.url ?? "" });
    forwardHttp1(incoming, response, routes.get(authority)?.port);
  });
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    socket.once("data", (head) => {
      socket.pause();
      socket.unshift(head);
      const isHttp2 = head.toString("latin1").startsWith(HTTP2_PREFACE);
      (isHttp2 ? http2 : http1).emit("connection", socket);
      process.nextTick(() => socket.resume());
    });
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
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

const HTTP2_PREFACE = "PRI ";

function forwardHttp1(
  incoming: IncomingMessage,
  response: ServerResponse,
  port: number | undefined,
): void {
  const refuse = () => {
    if (response.headersSent) response.destroy();
    else response.writeHead(502).end();
  };
  if (port === undefined) {
    incoming.resume();
    refuse();
    return;
  }
  const { method, url, headers } = incoming;
  const upstream = sendHttp1({ port, host: "127.0.0.1", method, path: url, headers });
  upstream.on("error", refuse);
  upstream.on("response", (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  incoming.pipe(upstream);
}

/** One connection per call: this carries a handful. */
function forward(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  to: {
    readonly call: ForwardedCall;
    readonly port: number | undefined;
    readonly losesAnswer: boolean;
  },
): void {
  const { call, port, losesAnswer } = to;
  stream.on("error", () => undefined);
  const refuse = (session?: ClientHttp2Session) => {
    session?.destroy();
    if (stream.destroyed) return;
    if (!stream.headersSent) stream.respond({ ":status": 502 });
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
  let trailers: IncomingHttpHeaders = {};
  upstream.on("trailers", (sent) => {
    trailers = sent;
    noteStatus(call, sent);
  });
  upstream.on("response", (answer) => {
    noteStatus(call, answer);
    if (losesAnswer) {
      upstream.resume();
      upstream.on("end", () => stream.session?.destroy());
      return;
    }
    stream.respond(answer, { waitForTrailers: true });
    upstream.pipe(stream);
  });
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  stream.on("close", () => session.close());
}

/** An error without a body has its status among the headers. */
function noteStatus(call: ForwardedCall, headers: IncomingHttpHeaders): void {
  const status = headers["grpc-status"];
  if (typeof status === "string") call.grpcStatus = status;
}
