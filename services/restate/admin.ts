/**
 * Client of a Restate admin API. Every call has a deadline and a bounded answer, redirects are errors, and of what went
 * wrong only Restate's own code and the printable head of its message are kept: an answer can come from anywhere.
 */
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

  constructor(status: number, message: string, restateCode?: string) {
    super(message);
    this.status = status;
    this.restateCode = restateCode;
  }
}

export interface AdminOptions {
  /** Without a slash at the end. */
  readonly url: string;
  /** Bearer token, read for every call so that a rotated one is used. */
  readonly token?: () => Promise<string>;
  readonly dial?: Dial;
}

/** A registered deployment, as far as the operator looks. */
export interface RegisteredDeployment {
  readonly id: string;
  readonly uri?: string;
  readonly services: readonly { readonly name: string }[];
}

export class RestateAdmin {
  readonly #options: AdminOptions;
  readonly #agent: Agent;

  constructor(options: AdminOptions) {
    this.#options = options;
    this.#agent = new Agent({
      connectTimeout: CONNECT_TIMEOUT_MS,
      ...(options.dial === undefined ? {} : { connect: connectorOf(options.dial) }),
    });
  }

  /** Rows of an SQL query over the server's own tables. */
  async query<Row>(sql: string): Promise<Row[]> {
    const answer = await this.#call<{ rows: Row[] }>("POST", "/query", { query: sql });
    return answer.rows;
  }

  /** Registers an endpoint. `force` re-registers a known one, which makes it the latest again. */
  registerDeployment(registration: { uri: string; force: boolean }): Promise<{ id: string }> {
    return this.#call("POST", "/deployments", registration);
  }

  async deployments(): Promise<readonly RegisteredDeployment[]> {
    const answer = await this.#call<{ deployments: RegisteredDeployment[] }>("GET", "/deployments");
    return answer.deployments;
  }

  /** Id of the deployment to which new invocations of a service go; `undefined` for an unknown service. */
  async latestDeploymentOf(service: string): Promise<string | undefined> {
    try {
      const path = `/services/${encodeURIComponent(service)}`;
      return (await this.#call<{ deployment_id: string }>("GET", path)).deployment_id;
    } catch (error) {
      if (error instanceof AdminError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** Forgets a deployment. Whatever is pinned to it pauses: only for one that nothing is pinned to. */
  async removeDeployment(id: string): Promise<void> {
    await this.#gone("DELETE", `/deployments/${encodeURIComponent(id)}?force=true`);
  }

  /** Ends an invocation without running its compensation. */
  async killInvocation(id: string): Promise<void> {
    await this.#gone("PATCH", `/invocations/${encodeURIComponent(id)}/kill`);
  }

  async close(): Promise<void> {
    await this.#agent.close();
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
    const { status, text } = await this.#exchange(method, path, body);
    if (status < 200 || status > 299) throw adminErrorOf(`${method} ${path}`, status, text);
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
  ): Promise<{ status: number; text: string }> {
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
      return { status: response.statusCode, text: await boundedText(response.body) };
    } catch (error) {
      if (error instanceof AdminError) throw error;
      const said = error instanceof Error ? error.message : String(error);
      throw new AdminError(0, printable(`${method} ${path} got no answer: ${said}`));
    }
  }
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

function adminErrorOf(request: string, status: number, text: string): AdminError {
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
  return new AdminError(
    status,
    printable(`${request} was refused (${code ?? status})${said}`),
    code,
  );
}

function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7E]+/g, " ").slice(0, MESSAGE_MAX_CHARS);
}
