/** The client of the admin API against a real HTTP server that answers as badly as a server can. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { AdminError, RestateAdmin, type AdminOptions } from "../../services/restate/admin.ts";

interface Received {
  readonly request: string;
  readonly body: string;
  readonly headers: IncomingMessage["headers"];
}

type Answer = (response: ServerResponse, received: Received) => void;

/** An admin API that answers as told and records what it was asked. */
class Peer {
  answer: Answer = (response) => response.end("{}");
  readonly received: Received[] = [];
  readonly #server: Server = createServer(
    (request, response) => void this.#serve(request, response),
  );

  async start(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const received = {
      request: `${request.method} ${request.url}`,
      body,
      headers: request.headers,
    };
    this.received.push(received);
    this.answer(response, received);
  }
}

let peer: Peer;
let admin: RestateAdmin;

beforeEach(async () => {
  peer = new Peer();
  await peer.start();
  admin = new RestateAdmin({ url: peer.url });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all([peer.stop(), admin.close()]);
});

const answers = (status: number, body: string, headers: Record<string, string> = {}): Answer => {
  return (response) => response.writeHead(status, headers).end(body);
};

/** What a call fails with. */
async function failure(call: Promise<unknown>): Promise<Partial<AdminError>> {
  const error = await call.then(
    () => new Error("it did not fail"),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(AdminError);
  const { status, message, restateCode } = error as AdminError;
  return { status, message, restateCode };
}

describe("calls, as they are sent and understood", () => {
  test.each<[string, (client: RestateAdmin) => Promise<unknown>, string, string, Answer, unknown]>([
    [
      "query",
      (client) => client.query("SELECT 1"),
      "POST /query",
      '{"query":"SELECT 1"}',
      answers(200, '{"rows":[{"id":1}]}'),
      [{ id: 1 }],
    ],
    [
      "register",
      (client) => client.registerDeployment({ uri: "http://s/b", force: true }),
      "POST /deployments",
      '{"uri":"http://s/b","force":true}',
      answers(201, '{"id":"dp_1"}'),
      { id: "dp_1" },
    ],
    [
      "deployments",
      (client) => client.deployments(),
      "GET /deployments",
      "",
      answers(200, '{"deployments":[{"id":"dp_1","services":[]}]}'),
      [{ id: "dp_1", services: [] }],
    ],
    [
      "latest",
      (client) => client.latestDeploymentOf("A/B"),
      "GET /services/A%2FB",
      "",
      answers(200, '{"deployment_id":"dp_1"}'),
      "dp_1",
    ],
    [
      "latest, unknown",
      (client) => client.latestDeploymentOf("A"),
      "GET /services/A",
      "",
      answers(404, "{}"),
      undefined,
    ],
    [
      "remove",
      (client) => client.removeDeployment("dp/1"),
      "DELETE /deployments/dp%2F1?force=true",
      "",
      answers(202, ""),
      undefined,
    ],
    [
      "remove, gone",
      (client) => client.removeDeployment("dp_1"),
      "DELETE /deployments/dp_1?force=true",
      "",
      answers(404, "{}"),
      undefined,
    ],
    [
      "kill",
      (client) => client.killInvocation("inv_1"),
      "PATCH /invocations/inv_1/kill",
      "",
      answers(200, ""),
      undefined,
    ],
    [
      "kill, ended already",
      (client) => client.killInvocation("inv_1"),
      "PATCH /invocations/inv_1/kill",
      "",
      answers(409, "{}"),
      undefined,
    ],
  ])("%s", async (...[, call, request, body, answer, expected]) => {
    peer.answer = answer;
    expect(await call(admin)).toEqual(expected);
    expect(peer.received.map((received) => [received.request, received.body])).toEqual([
      [request, body],
    ]);
    expect(peer.received[0]?.headers["authorization"]).toBeUndefined();
  });

  test("the token is read for every call, so that a rotated one is used", async () => {
    let turn = 0;
    const client = new RestateAdmin({ url: peer.url, token: async () => `t${(turn += 1)}` });
    await client.killInvocation("a");
    await client.killInvocation("b");
    expect(peer.received.map(({ headers }) => headers["authorization"])).toEqual([
      "Bearer t1",
      "Bearer t2",
    ]);
    await client.close();
  });

  test("dialled: by another way, to the same name", async () => {
    const dialled: string[] = [];
    const dial: NonNullable<AdminOptions["dial"]> = (host, port) => {
      dialled.push(`${host}:${port}`);
      return connect({ host: "127.0.0.1", port: peer.port });
    };
    const client = new RestateAdmin({ url: "http://restate.c.svc.cluster.local:9070", dial });
    await client.killInvocation("a");
    expect(dialled).toEqual(["restate.c.svc.cluster.local:9070"]);
    expect(peer.received[0]?.headers.host).toBe("restate.c.svc.cluster.local:9070");
    await client.close();
  });
});

describe("refusals", () => {
  test.each<[string, number, string, string, string | undefined]>([
    [
      "Restate's own",
      400,
      '{"message":"bad input","restate_code":"META0006"}',
      "GET /deployments was refused (META0006): bad input",
      "META0006",
    ],
    [
      "a message without a code",
      500,
      '{"message":"out of order"}',
      "GET /deployments was refused (500): out of order",
      undefined,
    ],
    [
      "HTML of something in between: not repeated",
      502,
      "<html>secret</html>",
      "GET /deployments was refused (502)",
      undefined,
    ],
    [
      "JSON of something else: not repeated",
      503,
      '{"error":"secret","message":{"a":"secret"},"restate_code":7}',
      "GET /deployments was refused (503)",
      undefined,
    ],
    [
      "not printable",
      400,
      '{"message":"a\\nb\\u001b[31m\\u202ec"}',
      "GET /deployments was refused (400): a b [31m c",
      undefined,
    ],
    [
      "a conflict is one, where nothing is to be gone",
      409,
      "{}",
      "GET /deployments was refused (409)",
      undefined,
    ],
  ])("%s", async (...[, status, body, message, restateCode]) => {
    peer.answer = answers(status, body);
    expect(await failure(admin.deployments())).toEqual({ status, message, restateCode });
  });

  test("at most 256 characters", async () => {
    peer.answer = answers(400, JSON.stringify({ message: "x".repeat(5_000) }));
    expect((await failure(admin.deployments())).message).toHaveLength(256);
  });

  test("what must be gone and is refused otherwise is an error", async () => {
    peer.answer = answers(403, "{}");
    expect((await failure(admin.removeDeployment("dp_1"))).status).toBe(403);
  });

  test("a redirect is an error, and is not followed", async () => {
    const other = new Peer();
    await other.start();
    for (const status of [301, 302, 303, 307, 308]) {
      peer.answer = answers(status, "", { location: `${other.url}/deployments` });
      expect(await failure(admin.deployments())).toEqual({
        status,
        message: `GET /deployments was refused (${status})`,
        restateCode: undefined,
      });
    }
    expect(other.received).toEqual([]);
    await other.stop();
  });
});

const none = (message: string) => ({ status: 0, message, restateCode: undefined });

describe("answers that are none", () => {
  test("not JSON", async () => {
    peer.answer = answers(200, "<html>");
    expect(await failure(admin.deployments())).toEqual(
      none("GET /deployments: the answer is not JSON"),
    );
  });

  test("more than a mebibyte, and the rest is not read", async () => {
    let sent = 0;
    peer.answer = (response) => {
      const more = () => {
        const piece = Buffer.alloc(64 * 1024, "x");
        while (!response.destroyed && response.write(piece)) sent += piece.length;
        if (!response.destroyed) response.once("drain", more);
      };
      more();
    };
    expect(await failure(admin.deployments())).toEqual(
      none("the answer has more than 1048576 bytes"),
    );
    expect(sent).toBeLessThan(64 * 1024 * 1024);
  });

  test("exactly a mebibyte is read", async () => {
    const rows = JSON.stringify({ rows: [], pad: "" });
    peer.answer = answers(200, rows.replace('""', `"${"x".repeat(1024 * 1024 - rows.length)}"`));
    expect(await admin.query("SELECT 1")).toEqual([]);
  });

  test("a connection that is closed in the middle", async () => {
    peer.answer = (response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("{");
      setTimeout(() => response.destroy(), 20);
    };
    const { status, message } = await failure(admin.deployments());
    expect(status).toBe(0);
    expect(message).toMatch(/^GET \/deployments got no answer: /);
  });

  test("a connection that was dialled and is reset in the middle fails its call, and the next one works", async () => {
    const client = new RestateAdmin({
      url: peer.url,
      dial: (host, port) => connect({ host, port }),
    });
    peer.answer = (response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("{");
      setTimeout(() => response.socket?.resetAndDestroy(), 20);
    };
    expect((await failure(client.deployments())).status).toBe(0);
    peer.answer = answers(200, '{"deployments":[]}');
    expect(await client.deployments()).toEqual([]);
    await client.close();
  });

  test("nobody listens", async () => {
    const closed = new Peer();
    await closed.start();
    const { url } = closed;
    await closed.stop();
    const client = new RestateAdmin({ url });
    expect((await failure(client.deployments())).message).toMatch(
      /^GET \/deployments got no answer: .*ECONNREFUSED/,
    );
    await client.close();
  });
});

describe("deadlines, with a clock a hundred times faster", () => {
  const deadlines: number[] = [];
  beforeEach(() => {
    deadlines.length = 0;
    const timeout = AbortSignal.timeout.bind(AbortSignal);
    vi.spyOn(AbortSignal, "timeout").mockImplementation((ms) => {
      deadlines.push(ms);
      return timeout(ms / 100);
    });
  });

  test.each<[string, Answer]>([
    ["no answer at all", () => {}],
    ["a head without a body", (response) => response.writeHead(200).flushHeaders()],
    [
      "a body of one byte at a time",
      (response) => {
        const drip = setInterval(() => response.write(" "), 20);
        response.once("close", () => clearInterval(drip));
      },
    ],
  ])("%s", async (_, answer) => {
    peer.answer = answer;
    const { status, message } = await failure(admin.deployments());
    expect({ status, deadlines }).toEqual({ status: 0, deadlines: [15_000] });
    expect(message).toMatch(/^GET \/deployments got no answer: .*timeout/);
  });
});
