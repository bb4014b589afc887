/**
 * Lists and watches of the API server over HTTP. It owns credentials and connections to Kubernetes: the only file here that
 * knows the Kubernetes client, of which it uses the kubeconfig and its authentication. Of owned kinds the API server is
 * asked for metadata only.
 */
import { HttpMethod, KubeConfig, RequestContext } from "@kubernetes/client-node";
import { request } from "undici";
import type { Dispatcher } from "undici";
import { z } from "zod";
import { SourceFailure } from "./follow.ts";
import type { ListPage, Source, WatchEvent } from "./follow.ts";
import type { WatchedKind } from "./kinds.ts";
import { WatchedObject } from "./objects.ts";

/** Where credentials come from: a file, the KUBECONFIG variable, or the pod's service account. */
export type Credentials =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "environment" }
  | { readonly kind: "serviceAccount" };

/** Objects in full can be large, metadata is not; a page is what memory must hold at once. */
const PAGE_SIZE = { resource: 50, child: 250 } as const;
/** Also the time to connect; the API server sends the headers of a watch at once. */
const HEADERS_TIMEOUT_MS = 15_000;
const BODY_TIMEOUT_MS = 30_000;
/** The API server ends a watch after this time, 5 to 10 minutes, so that watches spread over several API servers. */
const WATCH_SECONDS_MIN = 300;
/** One object of a watch is at most what etcd stores, 1.5 MiB, and a little more as JSON. */
const LINE_LENGTH_MAX = 8 * 1024 * 1024;
const METADATA_ONLY = "g=meta.k8s.io;v=v1";

const List = z.object({
  metadata: z.object({
    resourceVersion: z.string(),
    continue: z.string().optional(),
  }),
  // An empty list of metadata has null here.
  items: z.array(WatchedObject).nullable(),
});

const Event = z.discriminatedUnion("type", [
  z.object({ type: z.enum(["ADDED", "MODIFIED", "DELETED"]), object: WatchedObject }),
  z.object({
    type: z.literal("BOOKMARK"),
    object: z.object({ metadata: z.object({ resourceVersion: z.string() }) }),
  }),
  z.object({ type: z.literal("ERROR"), object: z.object({ code: z.number().catch(500) }) }),
]);

/** Requests to one API server, with the credentials of a kubeconfig or of the pod. */
export class KubernetesApi {
  readonly #config: KubeConfig;
  readonly #server: string;
  #dispatcher: Dispatcher | undefined;

  /** Throws when the kubeconfig cannot be read or names no cluster. */
  constructor(credentials: Credentials) {
    this.#config = new KubeConfig();
    if (credentials.kind === "file") this.#config.loadFromFile(credentials.path);
    else if (credentials.kind === "environment") this.#config.loadFromDefault();
    else this.#config.loadFromCluster();
    const cluster = this.#config.getCurrentCluster();
    if (cluster === null) throw new Error("the kubeconfig has no current context with a cluster");
    this.#server = cluster.server.replace(/\/+$/, "");
  }

  /** One request; rejects when there is no answer, resolves with any status. */
  async request(path: string, options: ApiRequest): Promise<Dispatcher.ResponseData> {
    const url = `${this.#server}${path}`;
    const { headers, dispatcher } = await this.#authenticated(url);
    try {
      const response = await request(url, {
        method: options.body === undefined ? "GET" : "POST",
        headers: { ...headers, accept: options.accept, "content-type": "application/json" },
        body: options.body ?? null,
        ...(dispatcher === undefined ? {} : { dispatcher }),
        headersTimeout: HEADERS_TIMEOUT_MS,
        bodyTimeout: options.bodyTimeoutMs,
        signal: options.signal,
      });
      if (response.statusCode === 401) this.#renew(dispatcher);
      return response;
    } catch (error) {
      if (!options.signal.aborted) this.#renew(dispatcher);
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#dispatcher?.destroy();
  }

  /**
   * Headers for this request, with a token that the client reads again when it is due. The client makes a new pool of
   * connections each time; the first is kept, until it fails or is not recognised any more.
   */
  async #authenticated(
    url: string,
  ): Promise<{ headers: Record<string, string>; dispatcher: Dispatcher | undefined }> {
    const context = new RequestContext(url, HttpMethod.GET);
    await this.#config.applySecurityAuthentication(context);
    this.#dispatcher ??= context.getDispatcher();
    return { headers: context.getHeaders(), dispatcher: this.#dispatcher };
  }

  /** The next request reads certificates afresh; requests under way finish on the old connections. */
  #renew(failed: Dispatcher | undefined): void {
    if (failed === undefined || failed !== this.#dispatcher) return;
    this.#dispatcher = undefined;
    void failed.close().catch(() => {});
  }
}

export interface ApiRequest {
  readonly accept: string;
  readonly signal: AbortSignal;
  /** The longest silence inside a body; 0 for a watch, whose silence the follower limits. */
  readonly bodyTimeoutMs: number;
  /** JSON to POST; absent for a GET. */
  readonly body?: string;
}

/** List and watch of one kind. `random` spreads the ends of watches, see `WATCH_SECONDS_MIN`. */
export function sourceOf(api: KubernetesApi, kind: WatchedKind, random: () => number): Source {
  return {
    list: (continueToken, signal) => list(api, kind, { continueToken, signal }),
    watch: async (resourceVersion, signal) => {
      const query = selectorsOf(kind);
      query.set("watch", "true");
      query.set("allowWatchBookmarks", "true");
      query.set("resourceVersion", resourceVersion);
      query.set("timeoutSeconds", `${Math.round(WATCH_SECONDS_MIN * (1 + random()))}`);
      const accept = acceptOf(kind, "PartialObjectMetadata");
      const path = `${pathOf(kind)}?${query.toString()}`;
      const response = await api.request(path, { accept, signal, bodyTimeoutMs: 0 });
      await refuseFailure(response, "watch");
      return eventsOf(response.body);
    },
  };
}

async function list(
  api: KubernetesApi,
  kind: WatchedKind,
  page: { readonly continueToken: string | undefined; readonly signal: AbortSignal },
): Promise<ListPage> {
  const query = selectorsOf(kind);
  query.set("limit", `${PAGE_SIZE[kind.role]}`);
  if (page.continueToken !== undefined) query.set("continue", page.continueToken);
  const response = await api.request(`${pathOf(kind)}?${query.toString()}`, {
    accept: acceptOf(kind, "PartialObjectMetadataList"),
    signal: page.signal,
    bodyTimeoutMs: BODY_TIMEOUT_MS,
  });
  await refuseFailure(response, "list");
  const { items, metadata } = List.parse(await response.body.json());
  const { resourceVersion, continue: continueToken } = metadata;
  return {
    items: items ?? [],
    resourceVersion,
    continueToken: continueToken === "" ? undefined : continueToken,
  };
}

async function refuseFailure(
  response: Dispatcher.ResponseData,
  verb: "list" | "watch",
): Promise<void> {
  const { statusCode: status, headers } = response;
  if (status === 200) return;
  await response.body.dump();
  const retryAfter = Number(headers["retry-after"]);
  const retryAfterMs = Number.isFinite(retryAfter) ? retryAfter * 1_000 : 0;
  throw new SourceFailure({ verb, status, retryAfterMs });
}

/** Each line of a watch is one event. A line that was cut off is dropped: its event comes again after the resume. */
async function* eventsOf(body: Dispatcher.ResponseData["body"]): AsyncGenerator<WatchEvent> {
  body.setEncoding("utf8");
  let rest = "";
  for await (const chunk of body) {
    const lines = `${rest}${String(chunk)}`.split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > LINE_LENGTH_MAX) throw new Error("a watch event is too long");
    for (const line of lines) {
      if (line !== "") yield eventOf(line);
    }
  }
}

function eventOf(line: string): WatchEvent {
  const event = Event.parse(JSON.parse(line));
  if (event.type === "ERROR") {
    throw new SourceFailure({ verb: "watch", status: event.object.code, retryAfterMs: 0 });
  }
  if (event.type === "BOOKMARK") {
    return { type: "bookmark", resourceVersion: event.object.metadata.resourceVersion };
  }
  return { type: event.type === "DELETED" ? "removed" : "observed", object: event.object };
}

function pathOf(kind: WatchedKind): string {
  const group = kind.group === "" ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
  const namespace = kind.role === "child" ? kind.namespace : undefined;
  return `${group}${namespace === undefined ? "" : `/namespaces/${namespace}`}/${kind.plural}`;
}

function selectorsOf(kind: WatchedKind): URLSearchParams {
  if (kind.role === "resource") return new URLSearchParams();
  const query = new URLSearchParams({ labelSelector: kind.labelSelector });
  if (kind.fieldSelector !== undefined) query.set("fieldSelector", kind.fieldSelector);
  return query;
}

function acceptOf(kind: WatchedKind, as: string): string {
  return kind.role === "resource"
    ? "application/json"
    : `application/json;as=${as};${METADATA_ONLY}`;
}
