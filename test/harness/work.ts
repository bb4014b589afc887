/**
 * Unfinished invocations of every kind that Restate knows, on a real server: begun and not begun, and in each status. A test
 * starts one, sees it in its status, and finishes it; the answer is the version that it ended on.
 */
import * as restate from "@restatedev/restate-sdk";
import { request } from "undici";
import type { RestateAdmin } from "../../services/restate/admin.ts";
import { until } from "./until.ts";

/** `begun`: its journal has entries, so that it is pinned to the deployment it began on. */
export const WORK_KINDS = {
  suspended: { status: "suspended", begun: true },
  suspendedUnbegun: { status: "suspended", begun: false },
  running: { status: "running", begun: true },
  runningUnbegun: { status: "running", begun: false },
  backingOff: { status: "backing-off", begun: true },
  backingOffUnbegun: { status: "backing-off", begun: false },
  paused: { status: "paused", begun: true },
  scheduled: { status: "scheduled", begun: false },
  queued: { status: "pending", begun: false },
} as const;
export type WorkKind = keyof typeof WORK_KINDS;

export type Work = {
  readonly id: string;
  /** Lets it end; resolves with the version it ended on. */
  finish(): Promise<unknown>;
  /** After it has ended: the same again, as a new invocation on the very deployment it ran on. */
  startAgain(): Promise<Work>;
};

type Image = Parameters<typeof restate.createEndpointHandler>[0]["services"];

const RETRY_MS = 2_000;
/** Nothing is suspended or ended by the server while a test looks at it. */
const PATIENT = { inactivityTimeout: { hours: 1 }, abortTimeout: { hours: 1 } } as const;
const SUSPENDED_SOON = { inactivityTimeout: 100 } as const;
const RETRIED = {
  retryPolicy: { initialInterval: RETRY_MS, maxInterval: RETRY_MS, maxAttempts: 1_000 },
} as const;
const PAUSED_AT_ONCE = { retryPolicy: { maxAttempts: 1, onMaxAttempts: "pause" } } as const;

const begin = (ctx: restate.Context) => ctx.run("begin", () => undefined);

export class Worker {
  readonly #ingressUrl: string;
  readonly #adminUrl: string;
  readonly #admin: RestateAdmin;
  /** What each invocation that waits for an awakeable is woken by. */
  readonly #awakeables = new Map<string, string>();
  /** Invocations that wait inside their code, and those that fail. */
  readonly #gates = new Map<
    string,
    { readonly opened: Promise<void>; readonly open: () => void }
  >();
  #started = 0;

  constructor(
    server: { readonly ingressUrl: string; readonly adminUrl: string },
    admin: RestateAdmin,
  ) {
    this.#ingressUrl = server.ingressUrl;
    this.#adminUrl = server.adminUrl;
    this.#admin = admin;
  }

  /** Services `<name>` and `<name>Queue` of a version. */
  services(name: string, version: string): Image {
    const { handler } = restate.handlers;
    const fails = (what: string) => {
      if (this.#gates.has(what)) throw new Error("it fails until it is told to go on");
      return version;
    };
    const service = restate.service({
      name,
      handlers: {
        suspended: handler(SUSPENDED_SOON, async (ctx: restate.Context, what: string) => {
          await begin(ctx);
          await this.#awakened(ctx, what);
          return version;
        }),
        suspendedUnbegun: handler(SUSPENDED_SOON, async (ctx: restate.Context, what: string) => {
          await this.#awakened(ctx, what);
          return version;
        }),
        running: handler(PATIENT, async (ctx: restate.Context, what: string) => {
          await begin(ctx);
          await this.#gates.get(what)?.opened;
          return version;
        }),
        runningUnbegun: handler(PATIENT, async (_: restate.Context, what: string) => {
          await this.#gates.get(what)?.opened;
          return version;
        }),
        backingOff: handler(RETRIED, async (ctx: restate.Context, what: string) => {
          await begin(ctx);
          return fails(what);
        }),
        backingOffUnbegun: handler(RETRIED, async (_: restate.Context, what: string) =>
          fails(what),
        ),
        paused: handler(PAUSED_AT_ONCE, async (ctx: restate.Context, what: string) => {
          await begin(ctx);
          return fails(what);
        }),
        scheduled: async () => version,
      },
    });
    const queue = restate.object({
      name: `${name}Queue`,
      handlers: {
        suspended: restate.handlers.object.exclusive(
          SUSPENDED_SOON,
          async (ctx: restate.ObjectContext, what: string) => {
            await begin(ctx);
            await this.#awakened(ctx, what);
            return version;
          },
        ),
        queued: async () => version,
      },
    });
    return [service, queue];
  }

  /** Starts an invocation and resolves when it is in its status. `queued`: behind one that is `suspended`. */
  async start(kind: WorkKind, service: string): Promise<Work> {
    if (kind === "queued") return this.#startQueued(service);
    this.#started += 1;
    const what = `${kind}-${this.#started}`;
    this.#close(what);
    const delay = kind === "scheduled" ? "?delay=1h" : "";
    return this.#begin(kind, { path: `${service}/${kind}/send${delay}`, what });
  }

  async #startQueued(service: string): Promise<Work> {
    this.#started += 1;
    const key = `key-${this.#started}`;
    const path = `${service}Queue/${key}`;
    const held = await this.#begin("suspended", { path: `${path}/suspended/send`, what: key });
    const next = { path: `${path}/queued/send`, what: `${key}-queued` };
    const queued = await this.#begin("queued", next);
    return {
      ...queued,
      finish: async () => {
        await held.finish();
        return queued.finish();
      },
    };
  }

  async #begin(
    kind: WorkKind,
    { path, what }: { readonly path: string; readonly what: string },
  ): Promise<Work> {
    const sent = await this.#post(`${this.#ingressUrl}/${path}`, what);
    return this.#watched(kind, { id: (sent as { invocationId: string }).invocationId, what });
  }

  async #watched(
    kind: WorkKind,
    { id, what }: { readonly id: string; readonly what: string },
  ): Promise<Work> {
    const answer = this.#answerOf(id);
    answer.catch(() => undefined);
    const { status, begun } = WORK_KINDS[kind];
    await until(`${what} is ${status}`, async () => {
      const [row] = await this.#admin.query<{ status: string; pinned?: string | null }>(
        `SELECT status, pinned_deployment_id AS pinned FROM sys_invocation WHERE id = '${id}'`,
      );
      if (row?.status === status && (row.pinned != null) === begun) return true;
      throw new Error(JSON.stringify(row ?? "no such invocation"));
    });
    return {
      id,
      finish: async () => {
        await this.#end(kind, id, what);
        return answer;
      },
      startAgain: async () => {
        const again = await this.#patch(`invocations/${id}/restart-as-new?deployment=keep`);
        const { new_invocation_id: next } = again as { new_invocation_id: string };
        return this.#watched(kind, { id: next, what });
      },
    };
  }

  async #end(kind: WorkKind, id: string, what: string): Promise<void> {
    switch (kind) {
      case "suspended":
      case "suspendedUnbegun": {
        const awakeable = this.#awakeables.get(what) ?? "";
        await this.#post(`${this.#ingressUrl}/restate/awakeables/${awakeable}/resolve`, null);
        return;
      }
      case "scheduled":
        await this.#patch(`invocations/${id}/kill`);
        return;
      case "paused":
        this.#open(what);
        await this.#patch(`invocations/${id}/resume`);
        return;
      default:
        this.#open(what);
    }
  }

  #awakened(ctx: restate.Context, what: string): Promise<void> {
    const { id, promise } = ctx.awakeable<void>();
    this.#awakeables.set(what, id);
    return promise;
  }

  #close(what: string): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gates.set(what, { opened: promise, open: resolve });
  }

  #open(what: string): void {
    const gate = this.#gates.get(what);
    this.#gates.delete(what);
    gate?.open();
  }

  async #answerOf(id: string): Promise<unknown> {
    const answer = await request(`${this.#ingressUrl}/restate/invocation/${id}/attach`, {
      headersTimeout: 0,
    });
    const text = await answer.body.text();
    return answer.statusCode > 299
      ? `${answer.statusCode}: ${text}`
      : (JSON.parse(text) as unknown);
  }

  async #post(url: string, body: unknown): Promise<unknown> {
    const answer = await request(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const text = await answer.body.text();
    if (answer.statusCode > 299) throw new Error(`${url}: ${answer.statusCode} ${text}`);
    return text === "" ? undefined : (JSON.parse(text) as unknown);
  }

  async #patch(path: string): Promise<unknown> {
    const answer = await request(`${this.#adminUrl}/${path}`, { method: "PATCH" });
    const text = await answer.body.text();
    if (answer.statusCode > 299) throw new Error(`${path}: ${answer.statusCode} ${text}`);
    return text === "" ? undefined : (JSON.parse(text) as unknown);
  }
}
