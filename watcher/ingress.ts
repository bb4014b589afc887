/**
 * One wake as one HTTP request to the ingress of the bootstrap Restate. It owns the protocol of a wake: a one-way send under
 * the constant idempotency key, so that a burst collapses into one queued wake there. It refuses redirects, and reads
 * nothing of an answer but its status.
 */
import { readFile } from "node:fs/promises";
import { Agent, request } from "undici";
import type { WakeKey } from "./owners.ts";
import type { Send, SendResult } from "./wake.ts";

const IDEMPOTENCY_KEY = "wake";
/** The ingress acknowledges in milliseconds; a send that takes longer is sent again. */
const SEND_TIMEOUT_MS = 5_000;
/** How long a token that was read is used: short enough to follow a rotation. */
const TOKEN_LIFETIME_MS = 10_000;

export interface IngressOptions {
  /** Without a slash at the end. */
  readonly url: string;
  /** File with a bearer token, for a bootstrap on Restate Cloud. */
  readonly authTokenFile: string | undefined;
  readonly concurrency: number;
  /** How long one send may take. */
  readonly timeoutMs?: number;
}

/** Delivers wakes; `close` ends its connections. */
export interface Ingress {
  readonly send: Send;
  readonly close: () => Promise<void>;
}

export function connectIngress(options: IngressOptions): Ingress {
  const { timeoutMs = SEND_TIMEOUT_MS, concurrency } = options;
  const agent = new Agent({ connections: concurrency, connect: { timeout: timeoutMs } });
  const token = tokenReader(options.authTokenFile);
  const post = async (key: WakeKey, why: string): Promise<SendResult> => {
    const response = await request(wakeUrl(options.url, key), {
      method: "POST",
      dispatcher: agent,
      headers: {
        "content-type": "application/json",
        "idempotency-key": IDEMPOTENCY_KEY,
        ...(await token()),
      },
      body: JSON.stringify({ why }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    await response.body.dump();
    const { statusCode: status } = response;
    return status >= 200 && status < 300 ? { kind: "accepted" } : { kind: "refused", status };
  };
  return {
    send: async (key, why) => {
      try {
        return await post(key, why);
      } catch (error) {
        return { kind: "unreachable", reason: reasonOf(error) };
      }
    },
    close: () => agent.destroy(),
  };
}

/** `<url>/<reconciler>/<key>/wake/send`; a key may contain a slash. */
export function wakeUrl(ingressUrl: string, key: WakeKey): string {
  const slash = key.indexOf("/");
  const encoded = encodeURIComponent(key.slice(slash + 1));
  return `${ingressUrl}/${key.slice(0, slash)}/${encoded}/wake/send`;
}

function tokenReader(file: string | undefined): () => Promise<Record<string, string>> {
  let headers: Record<string, string> = {};
  let staleAtMs = 0;
  return async () => {
    if (file === undefined || performance.now() < staleAtMs) return headers;
    headers = { authorization: `Bearer ${(await readFile(file, "utf8")).trim()}` };
    staleAtMs = performance.now() + TOKEN_LIFETIME_MS;
    return headers;
  };
}

/** A code such as ECONNREFUSED where there is one; never a message, which may contain what was sent. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  if ("code" in error && typeof error.code === "string") return error.code;
  return error.cause === undefined ? error.name : reasonOf(error.cause);
}
