/**
 * What can go wrong between us and the API server, and which of it a retry can cure.
 *
 * The text of an error ends up in journals, conditions and events, so it carries what the API server says about fields
 * but never a value of one: a refused StatefulSet quotes the environment variables it refuses (safety, section 3.13).
 */

/** Longest text taken from an API server's answer. */
const MESSAGE_MAX_CHARS = 512;

/** Nothing can be made any more in a namespace that is being deleted. */
export const NAMESPACE_TERMINATING = "NamespaceTerminating";

/** Statuses that say nothing about a request when the API server, or what it writes to, is just coming or going. */
const PASSING_STATUSES = new Set([403, 404]);

/** Statuses that a later attempt of the same request can turn into success. */
const RETRYABLE_STATUSES = new Set([408, 409, 429, 500, 502, 503, 504]);

/** A request the API server refused, or that got no answer (`status` 0). */
export class KubeError extends Error {
  override readonly name = "KubeError";
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** `reason` of the API server's Status, such as `Invalid` or `Forbidden`; or `NamespaceTerminating`, which is the cause of one. */
  readonly reason: string;

  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }

  /** Whether the same request can succeed later without anybody changing anything. */
  get retryable(): boolean {
    return this.status === 0 || RETRYABLE_STATUSES.has(this.status);
  }

  /**
   * Whether it can say nothing about the request at all: besides what is retryable, a 403, with which an API server that has
   * just started answers everything until it has read who may do what (measured: for a second or two), and a 404 for what is
   * made where namespace or kind have gone since they were seen: the next plan knows.
   */
  get mayPass(): boolean {
    return this.retryable || PASSING_STATUSES.has(this.status);
  }
}

interface StatusBody {
  readonly reason?: string;
  readonly message?: string;
  readonly details?: {
    readonly causes?: readonly {
      readonly field?: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
  };
}

/** The error for an answer of the API server. `request` names what was asked: `apply StatefulSet restate`. */
export function kubeErrorOf(request: string, status: number, body: string): KubeError {
  const parsed = parseStatus(body);
  const reason = parsed.reason ?? `HTTP ${status}`;
  const causes = (parsed.details?.causes ?? []).map(
    ({ field, reason: cause, message }) =>
      `${field ?? "?"}: ${withoutValues(message ?? cause ?? "")}`,
  );
  // What is forbidden is told by names alone; every other answer can quote what was sent.
  const message = parsed.message ?? "";
  const plain = status === 403 ? message : withoutValues(message);
  const said = causes.length > 0 ? causes.join("; ") : plain;
  const cause = parsed.details?.causes?.find((each) => each.reason === NAMESPACE_TERMINATING);
  return new KubeError(
    status,
    cause === undefined ? reason : NAMESPACE_TERMINATING,
    printable(`${request} was refused (${status} ${reason})${said === "" ? "" : `: ${said}`}`),
  );
}

/** The error for a request without an answer: refused connection, timeout, broken body. */
export function kubeErrorWithoutAnswer(request: string, cause: unknown): KubeError {
  const said = cause instanceof Error ? (codeOf(cause) ?? cause.message) : String(cause);
  return new KubeError(0, "NoAnswer", printable(`${request} got no answer: ${said}`));
}

function codeOf(error: Error): string | undefined {
  if (error.name === "TimeoutError") return "timeout";
  const code: unknown = "code" in error ? error.code : undefined;
  if (typeof code === "string") return code;
  return error.cause instanceof Error ? codeOf(error.cause) : undefined;
}

function parseStatus(body: string): StatusBody {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === "object" && parsed !== null ? parsed : {};
  } catch {
    return {};
  }
}

/** `Invalid value: "secret": must be x` → `Invalid value: …: must be x`; objects and lists likewise. */
function withoutValues(message: string): string {
  return message
    .replaceAll(/"(?:[^"\\]|\\.)*"/g, "…")
    .replaceAll(/Invalid value: (?:\{.*\}|\[.*\]|[^:…]*)/gs, "Invalid value: …");
}

function printable(text: string): string {
  const cleaned = text.replaceAll(/[^\x20-\x7E…]+/g, " ");
  return cleaned.length > MESSAGE_MAX_CHARS
    ? `${cleaned.slice(0, MESSAGE_MAX_CHARS - 1)}…`
    : cleaned;
}
