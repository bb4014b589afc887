/**
 * A proxy in front of an admin API that shows a test every request before it is passed on, and again when it took effect: to
 * let something happen at exactly that moment, to lose the answer, or only to see what was asked.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { request } from "undici";

export type TappedRequest = {
  readonly method: string;
  readonly path: string;
  readonly body: string;
};

export class AdminTap {
  /** Called with every request; the request is passed on when it resolves. */
  before: (tapped: TappedRequest) => Promise<void> = async () => undefined;
  /** Called when a request took effect; the answer is passed on when it resolves, or the connection breaks (`lose`). */
  after: (tapped: TappedRequest) => Promise<"lose" | undefined> = async () => undefined;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(adminUrl: string): Promise<AdminTap> {
    const server = createServer();
    const tap = new AdminTap(server);
    server.on("request", (incoming: IncomingMessage, response) => {
      void tap.#forward(adminUrl, incoming, response);
    });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    return tap;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  async #forward(
    adminUrl: string,
    incoming: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { method = "GET", url: path = "/" } = incoming;
    try {
      const body = await text(incoming);
      await this.before({ method, path, body });
      const answer = await request(adminUrl + path, {
        method: method as "GET",
        headers: { accept: "application/json", "content-type": "application/json" },
        body: body === "" ? null : body,
      });
      const content = await answer.body.text();
      if ((await this.after({ method, path, body })) === "lose") {
        response.destroy();
        return;
      }
      response.writeHead(answer.statusCode, { "content-type": "application/json" }).end(content);
    } catch {
      response.writeHead(502).end();
    }
  }
}
