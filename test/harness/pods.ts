/**
 * What RestateDeployments run: a real Restate server that they register with, and, in place of the pods that kwok only plays,
 * endpoints of the SDK in this process. Names of the cluster lead to them as the Services of Kubernetes would: only while a
 * version has pods that are ready.
 */
import { createServer, type Http2Server } from "node:http2";
import { join } from "node:path";
import { createServer as createTcpServer, type AddressInfo, type Server } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import * as restate from "@restatedev/restate-sdk";
import { request } from "undici";
import { startRestateServer, type RestateServer } from "../../bootstrap/restate/server.ts";
import { RestateAdmin } from "../../services/restate/admin.ts";
import { startClusterProxy, type ClusterProxy } from "./cluster-proxy.ts";
import type { Objects } from "./objects.ts";
import { until } from "./until.ts";

const SYNC_MS = 50;
const SERVICE_PORT = 9080;
const ADMIN_PORT = 9070;

/** What an image serves. */
export type Image = Parameters<typeof restate.createEndpointHandler>[0]["services"];

export type PodWorldOptions = {
  readonly dir: string;
  readonly objects: Objects;
  /** Namespaces of the RestateDeployments. */
  readonly namespaces: readonly string[];
};

/** How the admin API answers: as it does, not at all (502, as a Service without pods behind a proxy), or never. */
export type AdminAnswers = "answers" | "is down" | "hangs";

/** Where the versions of a namespace run, and the Restate that calls them. */
export class PodWorld {
  readonly proxy: ClusterProxy;
  readonly admin: RestateAdmin;
  readonly #restate: RestateServer;
  readonly #options: PodWorldOptions;
  readonly #endpoints = new Map<string, { server: Http2Server; port: number }>();
  readonly #silence: Server;
  readonly #stopping = new AbortController();
  readonly #synced: Promise<void>;
  /** Awakeables of invocations that hold, by the name they were given. */
  readonly #held = new Map<string, string>();

  private constructor(
    options: PodWorldOptions,
    parts: { proxy: ClusterProxy; server: RestateServer; silence: Server },
  ) {
    const { proxy, server, silence } = parts;
    this.#options = options;
    this.proxy = proxy;
    this.#restate = server;
    this.#silence = silence;
    this.admin = new RestateAdmin({ url: server.adminUrl });
    this.admins(new URL(server.adminUrl).host, "answers");
    this.#synced = this.#keepRouting();
  }

  static async start(options: PodWorldOptions): Promise<PodWorld> {
    const proxy = await startClusterProxy();
    const server = await startRestateServer({
      dir: join(options.dir, "target"),
      name: "target",
      env: { RESTATE_WORKER__INVOKER__HTTP_PROXY: `http://${proxy.address}` },
    });
    const silence = createTcpServer((socket) => socket.on("error", () => socket.destroy()));
    await new Promise<void>((resolve) => {
      silence.listen(0, "127.0.0.1", resolve);
    });
    return new PodWorld(options, { proxy, server, silence });
  }

  get adminUrl(): string {
    return this.#restate.adminUrl;
  }

  get ingressUrl(): string {
    return this.#restate.ingressUrl;
  }

  /** What the operator finds at the admin API that it knows by this `host:port`. */
  admins(authority: string, how: AdminAnswers): void {
    const port =
      how === "hangs"
        ? (this.#silence.address() as AddressInfo).port
        : Number(new URL(this.adminUrl).port);
    this.proxy.route(authority, how === "is down" ? undefined : { port });
  }

  /** The same for RestateDeployments that register by `url`. */
  adminByUrl(how: AdminAnswers): void {
    this.admins(new URL(this.adminUrl).host, how);
  }

  /** The same for those that register by `cluster`. */
  adminOfCluster(name: string, how: AdminAnswers): void {
    this.admins(`restate.${name}.svc.cluster.local:${ADMIN_PORT}`, how);
  }

  /** What pods of this image serve. */
  async addImage(image: string, services: Image): Promise<void> {
    const handler = restate.createEndpointHandler({ services, logger: () => undefined });
    const server = createServer(handler);
    server.on("session", (session) => session.on("error", () => session.destroy()));
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    this.#endpoints.set(image, { server, port: (server.address() as AddressInfo).port });
  }

  /** A service whose invocations answer with the version, or hold until they are told to go on. */
  greeter(name: string, version: string): Image[number] {
    const held = this.#held;
    return restate.service({
      name,
      handlers: {
        greet: async () => `hello from ${version}`,
        hold: async (ctx: restate.Context, what: string) => {
          const { id, promise } = ctx.awakeable<void>();
          await ctx.run("hold", () => {
            held.set(what, id);
          });
          await promise;
          return `${what} ends on ${version}`;
        },
      },
    });
  }

  /** Calls a handler and answers what it says. */
  async call(path: string, body: unknown): Promise<unknown> {
    const answer = await request(`${this.ingressUrl}/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const text = await answer.body.text();
    if (answer.statusCode > 299) throw new Error(`${path}: ${answer.statusCode} ${text}`);
    return JSON.parse(text);
  }

  /** Starts an invocation that holds; resolves, once it does, with a way to see its answer. */
  async hold(service: string, what: string): Promise<{ answer: Promise<unknown> }> {
    const answer = this.call(`${service}/hold`, what);
    answer.catch(() => undefined);
    await until(`${what} holds`, () => this.#held.has(what));
    return { answer };
  }

  async letGo(what: string): Promise<void> {
    const id = this.#held.get(what) ?? "";
    const answer = await request(`${this.ingressUrl}/restate/awakeables/${id}/resolve`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "null",
    });
    await answer.body.dump();
    this.#held.delete(what);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#synced;
    await this.admin.close();
    await this.#restate.stop();
    await this.proxy.close();
    this.#silence.close();
    for (const { server } of this.#endpoints.values()) server.close();
  }

  async #keepRouting(): Promise<void> {
    const routed = new Set<string>();
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#route(routed);
      } catch {
        // the API server is away for a moment
      }
      await sleep(SYNC_MS);
    }
  }

  async #route(routed: Set<string>): Promise<void> {
    const { objects, namespaces } = this.#options;
    const wanted = new Map<string, number>();
    for (const namespace of namespaces) {
      for (const set of await objects.list("ReplicaSet", namespace)) {
        const { spec, status } = set as unknown as ReplicaSet;
        const port = this.#endpoints.get(spec.template.spec.containers[0].image)?.port;
        if (port === undefined || (status.readyReplicas ?? 0) === 0) continue;
        wanted.set(`${set.metadata.name}.${namespace}.svc.cluster.local:${SERVICE_PORT}`, port);
      }
    }
    for (const authority of routed) {
      if (!wanted.has(authority)) this.proxy.route(authority, undefined);
    }
    routed.clear();
    for (const [authority, port] of wanted) {
      this.proxy.route(authority, { port });
      routed.add(authority);
    }
  }
}

type ReplicaSet = {
  readonly spec: {
    readonly template: { readonly spec: { readonly containers: readonly [{ image: string }] } };
  };
  readonly status: { readonly readyReplicas?: number };
};
