/**
 * Client of a Restate admin API. Every call has a deadline and a bounded answer, redirects are errors, and of what went
 * wrong only Restate's own code and the printable head of its message are kept: an answer can come from anywhere.
 */
import type { LookupFunction } from "node:net";
import { Agent, request as send, type Dispatcher } from "undici";
import type { Dial } from "./dial.ts";

const CONNECT_TIMEOUT_MS = 5_000;
const CALL_TIMEOUT_MS = 15_000;
const BODY_MAX_BYTES = 1024 * 1024;
const MESSAGE_MAX_CHARS = 256;

/** The admin API refused a request, or gave no usable answer (`status` 0). */
export class AdminError extends Error {
  override readonly name = "AdminError";
  readonly status: number;
  /** Restate's code, such as `META0006`. */
  readonly restateCode: string | undefined;
  /** From the header `Retry-After`, where that holds seconds. */
  readonly retryAfterMs: number | undefined;

  constructor(
    status: number,
    message: string,
    details: { readonly restateCode?: string; readonly retryAfterMs?: number } = {},
  ) {
    super(message);
    this.status = status;
    this.restateCode = details.restateCode;
    this.retryAfterMs = details.retryAfterMs;
  }
}

export interface AdminOptions {
  /** Without a slash at the end. */
  readonly url: string;
  /** Bearer token, read for every call so that a rotated one is used. */
  readonly token?: () => Promise<string>;
  readonly dial?: Dial;
  /** Resolves the host; ignored where there is a `dial`. */
  readonly lookup?: LookupFunction;
}

/** A registered deployment, as far as the operator looks. */
export interface RegisteredDeployment {
  readonly id: string;
  readonly uri?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly services: readonly { readonly name: string }[];
}

/** What to register, and how. */
export interface Registration {
  readonly uri: string;
  /** Re-registers a known one, which makes it the latest again and replaces its metadata. */
  readonly force: boolean;
  /** Answers what a registration would, and registers nothing. */
  readonly dryRun?: boolean;
  readonly useHttp11?: boolean;
  /** Whether the type of a service may change. */
  readonly breaking?: boolean;
  readonly metadata?: Readonly<Record<string, string>>;
}

export class RestateAdmin {
  readonly #options: AdminOptions;
  readonly #agent: Agent;

  constructor(options: AdminOptions) {
    this.#options = options;
    this.#agent = agentOf(options);
  }

  /** Rows of an SQL query over the server's own tables. */
  async query<Row>(sql: string): Promise<Row[]> {
    const answer = await this.#call<{ rows: Row[] }>("POST", "/query", { query: sql });
    return answer.rows;
  }

  /** Registers an endpoint. A known one is answered too, and nothing of it changes unless forced. */
  registerDeployment(registration: Registration): Promise<RegisteredDeployment> {
    const { uri, force, dryRun, useHttp11, breaking, metadata } = registration;
    return this.#call("POST", "/deployments", {
      uri,
      force,
      dry_run: dryRun,
      use_http_11: useHttp11,
      breaking,
      metadata,
    });
  }

  /** One deployment, or `undefined` when there is none of this id. */
  deployment(id: string): Promise<RegisteredDeployment | undefined> {
    return this.#find<RegisteredDeployment>(`/deployments/${encodeURIComponent(id)}`);
  }

  async deployments(): Promise<readonly RegisteredDeployment[]> {
    const answer = await this.#call<{ deployments: RegisteredDeployment[] }>("GET", "/deployments");
    return answer.deployments;
  }

  /** Id of the deployment to which new invocations of a service go; `undefined` for an unknown service. */
  async latestDeploymentOf(service: string): Promise<string | undefined> {
    const path = `/services/${encodeURIComponent(service)}`;
    return (await this.#find<{ deployment_id: string }>(path))?.deployment_id;
  }

  /** Forgets a deployment. Whatever is pinned to it pauses: only for one that nothing is pinned to. */
  async removeDeployment(id: string): Promise<void> {
    await this.#gone("DELETE", `/deployments/${encodeURIComponent(id)}?force=true`);
  }

  /** Ends an invocation without running its compensation. */
  async killInvocation(id: string): Promise<void> {
    await this.#gone("PATCH", `/invocations/${encodeURIComponent(id)}/kill`);
  }

  /**
   * Asks for a change of an invocation; one that is not (any more) in a state for it is left as it is. `resume` goes on with a
   * paused or suspended one: where it is, or on another `deployment`, an id or `latest` (of its service).
   */
  async changeInvocation(
    id: string,
    change: "pause" | "resume" | "cancel" | "kill",
    deployment?: string,
  ): Promise<void> {
    const on = deployment === undefined ? "" : `?deployment=${encodeURIComponent(deployment)}`;
    await this.#gone("PATCH", `/invocations/${encodeURIComponent(id)}/${change}${on}`);
  }

  async close(): Promise<void> {
    await this.#agent.close();
  }

  async #find<T>(path: string): Promise<T | undefined> {
    try {
      return await this.#call<T>("GET", path);
    } catch (error) {
      if (error instanceof AdminError && error.status === 404) return undefined;
      throw error;
    }
  }

  async #gone(method: "DELETE" | "PATCH", path: string): Promise<void> {
    try {
      await this.#call(method, path);
    } catch (error) {
      if (!(error instanceof AdminError) || (error.status !== 404 && error.status !== 409))
        throw error;
    }
  }

  async #call<T>(method: Dispatcher.HttpMethod, path: string, body?: object): Promise<T> {
    const answer = await this.#exchange(method, path, body);
    const { status, text } = answer;
    if (status < 200 || status > 299) throw adminErrorOf(`${method} ${path}`, answer);
    try {
      // Answers are those of Restate's own API; what is taken from them is looked at where it is used.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      return (text === "" ? {} : JSON.parse(text)) as T;
    } catch {
      throw new AdminError(0, `${method} ${path}: the answer is not JSON`);
    }
  }

  async #exchange(
    method: Dispatcher.HttpMethod,
    path: string,
    body: object | undefined,
  ): Promise<Answer> {
    const token = await this.#options.token?.();
    try {
      const response = await send(this.#options.url + path, {
        method,
        headers: {
          accept: "application/json",
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
        body: body === undefined ? null : JSON.stringify(body),
        dispatcher: this.#agent,
        signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
      });
      const retryAfter = response.headers["retry-after"];
      return {
        status: response.statusCode,
        text: await boundedText(response.body),
        ...(typeof retryAfter === "string" ? { retryAfter } : {}),
      };
    } catch (error) {
      if (error instanceof AdminError) throw error;
      const said = error instanceof Error ? error.message : String(error);
      throw new AdminError(0, printable(`${method} ${path} got no answer: ${said}`));
    }
  }
}

/** Connections as the options have it. */
export function agentOf({ dial, lookup }: Pick<AdminOptions, "dial" | "lookup">): Agent {
  const connect =
    dial !== undefined ? connectorOf(dial) : lookup === undefined ? undefined : { lookup };
  return new Agent({
    connectTimeout: CONNECT_TIMEOUT_MS,
    ...(connect === undefined ? {} : { connect }),
  });
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly retryAfter?: string;
}

function connectorOf(dial: Dial): NonNullable<Agent.Options["connect"]> {
  return ({ hostname, port }, callback) => {
    const socket = dial(hostname, Number(port === "" ? 80 : port));
    socket.once("connect", () => callback(null, socket));
    socket.once("error", (error) => callback(error, null));
  };
}

async function boundedText(body: Dispatcher.ResponseData["body"]): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    // An undici body yields buffers; its type says `any`.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    const buffer = Buffer.from(chunk as Uint8Array);
    bytes += buffer.length;
    if (bytes > BODY_MAX_BYTES)
      throw new AdminError(0, `the answer has more than ${BODY_MAX_BYTES} bytes`);
    chunks.push(buffer);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function adminErrorOf(request: string, { status, text, retryAfter }: Answer): AdminError {
  let code: string | undefined;
  let message = "";
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null) {
      if ("restate_code" in parsed && typeof parsed.restate_code === "string")
        code = parsed.restate_code;
      if ("message" in parsed && typeof parsed.message === "string") message = parsed.message;
    }
  } catch {
    // Not Restate's words: nothing of them is repeated.
  }
  const said = message === "" ? "" : `: ${message}`;
  const seconds = Number(retryAfter ?? NaN);
  return new AdminError(status, printable(`${request} was refused (${code ?? status})${said}`), {
    ...(code === undefined ? {} : { restateCode: code }),
    ...(Number.isFinite(seconds) ? { retryAfterMs: seconds * 1000 } : {}),
  });
}

function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7E]+/g, " ").slice(0, MESSAGE_MAX_CHARS);
}
