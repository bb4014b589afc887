/**
 * The few requests that bringing a cluster up needs: read, create if absent, replace. Not a Kubernetes client: the full one
 * takes a second to load, which is a fifth of the time a control plane needs.
 */
import { Agent, request } from "undici";

export type ApiClient = {
  /** The object, or undefined if there is none. */
  get(path: string): Promise<unknown>;
  /** Creates an object; one that is there already stays as it is. */
  create(path: string, body: object): Promise<void>;
  /** Server-side apply by the field manager `restate-operator-bootstrap`. */
  apply(path: string, body: object): Promise<void>;
  close(): Promise<void>;
};

export type ApiAddress = {
  readonly server: string;
  /** PEM. */
  readonly certificate: string;
  readonly token: string;
};

const REQUEST_TIMEOUT_MS = 5_000;
const FIELD_MANAGER = "restate-operator-bootstrap";

type Call = {
  readonly method: "GET" | "POST" | "PATCH";
  readonly path: string;
  readonly body?: object;
  readonly contentType?: string;
};

/** @throws (each method) Error with the status and the server's message when it answers anything unexpected. */
export function createApiClient(address: ApiAddress): ApiClient {
  const dispatcher = new Agent({
    connect: { ca: address.certificate, timeout: REQUEST_TIMEOUT_MS },
    headersTimeout: REQUEST_TIMEOUT_MS,
  });
  const call = async ({ method, path, body, contentType = "application/json" }: Call) => {
    const response = await request(`${address.server}${path}`, {
      dispatcher,
      method,
      headers: { authorization: `Bearer ${address.token}`, "content-type": contentType },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.statusCode, text: await response.body.text() };
  };
  const expected = async (details: Call, statuses: readonly number[]) => {
    const { status, text } = await call(details);
    if (statuses.includes(status)) return { status, text };
    throw new Error(`${details.method} ${details.path} → ${status}: ${text.slice(0, 300)}`);
  };
  return {
    async get(path) {
      const { status, text } = await expected({ method: "GET", path }, [200, 404]);
      if (status === 404) return undefined;
      return text.startsWith("{") ? JSON.parse(text) : text;
    },
    async create(path, body) {
      await expected({ method: "POST", path, body }, [201, 409]);
    },
    async apply(path, body) {
      const contentType = "application/apply-patch+yaml";
      const query = `?fieldManager=${FIELD_MANAGER}&force=true`;
      await expected({ method: "PATCH", path: path + query, body, contentType }, [200, 201]);
    },
    close: async () => (dispatcher.closed ? undefined : dispatcher.close()),
  };
}
