/**
 * The Kubernetes client of the services: the few verbs they use, fresh on every call. No cache, no informer, nothing
 * that could be stale. Every request has a deadline and is named, so that an error says what was tried.
 */
import {
  HttpMethod,
  KubeConfig,
  RequestContext,
  type KubernetesObject,
  type V1ObjectMeta,
} from "@kubernetes/client-node";
import { request, type Dispatcher } from "undici";
import type { AnyManifest } from "../core/manifest.ts";
import { titleOf, type ObjectRef } from "../core/resource.ts";
import { refOf } from "../core/children.ts";
import { kubeErrorOf, kubeErrorWithoutAnswer } from "./errors.ts";
import { Discovery } from "./discovery.ts";
import { FIELD_MANAGER } from "./field-managers.ts";
import { collectionPath, objectPath, refTo, type Kind, type KindTypes } from "./kinds.ts";
import { limiter } from "./limit.ts";

/**
 * Deadline of one request, connecting included. Generous, because an API server that is asked to give up late has done
 * the work already and is asked for it again.
 */
const REQUEST_TIMEOUT_MS = 15_000;
/** Requests under way at once. At a usual 5 ms each that is 3,000 per second, more than a reconciler can think of. */
const REQUESTS_AT_ONCE = 16;
/** For how long credentials and connections are used: a rotated token, certificate or authority counts from the next ones on. */
const ACCESS_KEPT_MS = 60_000;
/** Objects asked for per page of a list. */
const LIST_PAGE_SIZE = 500;

/**
 * By default the API server looks for fields it does not know, to warn of them; nobody would read the warnings, and they are
 * a quarter of what a write costs it (measured). What it does with such fields is the same: it drops them.
 */
const UNCHECKED = { fieldValidation: "Ignore" } as const;

const METADATA_LIST =
  "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/** An object whose metadata is all that was asked for. */
export interface MetadataOnly {
  readonly metadata?: V1ObjectMeta;
}

export interface ListQuery<K extends Kind = Kind> {
  readonly kind: K;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface RemoveOptions {
  /** Only an object with this uid is removed. */
  readonly uid: string;
  readonly propagation?: "Background" | "Foreground" | "Orphan";
}

export interface MergePatch {
  readonly subresource?: "status";
  readonly body: unknown;
}

interface Call {
  readonly method: HttpMethod;
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** What this is, for errors: `apply StatefulSet restate`. */
  readonly title: string;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** What a request needs to get through: credentials, and connections that trust the server. */
interface Access {
  readonly headers: Readonly<Record<string, string>>;
  readonly dispatcher: Dispatcher | undefined;
}

/** Verbs as kubectl has them; all throw `KubeError`. */
export class KubeClient {
  readonly #config: KubeConfig;
  readonly #limited = limiter(REQUESTS_AT_ONCE);
  readonly #discovery = new Discovery((path) => this.#discover(path));
  #clusterUid: Promise<string> | undefined;
  #kept: { readonly access: Promise<Access>; readonly sinceMs: number } | undefined;

  constructor(config: KubeConfig) {
    this.#config = config;
  }

  /** One object, or `undefined` when there is none. */
  async get<K extends Kind>(
    kind: K,
    name: string,
    namespace?: string,
  ): Promise<KindTypes[K] | undefined> {
    const ref = refTo(kind, name, namespace);
    const title = `get ${titleOf(ref)}`;
    const answer = await this.#send({ method: HttpMethod.GET, path: objectPath(ref), title });
    return answer.status === 404 ? undefined : (answer.expectOk() as KindTypes[K]);
  }

  /** What tells this Kubernetes cluster from every other: the uid of its namespace `kube-system`. It never changes. */
  async clusterUid(): Promise<string> {
    const asked = this.#clusterUid ?? this.#readClusterUid();
    this.#clusterUid = asked;
    try {
      return await asked;
    } catch (error) {
      this.#clusterUid = undefined;
      throw error;
    }
  }

  async #readClusterUid(): Promise<string> {
    const uid = (await this.get("Namespace", "kube-system"))?.metadata?.uid;
    if (uid === undefined) throw new Error("there is no namespace kube-system");
    return uid;
  }

  /** Whether the kind is installed; an answer of the last seconds counts, a no only where it is not `asked` for. */
  serves(kind: Kind, { asked }: { readonly asked: boolean }): Promise<boolean> {
    return this.#discovery.serves(kind, { asked });
  }

  async #discover(path: string): Promise<readonly string[]> {
    const answer = await this.#send({ method: HttpMethod.GET, path, title: `discover ${path}` });
    if (answer.status === 404) return [];
    const { resources } = answer.expectOk() as { resources?: readonly { name: string }[] };
    return (resources ?? []).map(({ name }) => name);
  }

  /** All objects of a kind that carry the labels, whole. */
  list<K extends Kind>(query: ListQuery<K>): Promise<KindTypes[K][]> {
    return this.#listPages<KindTypes[K]>(query, {});
  }

  /** The same, metadata only: a tenth of the bytes, and nothing of a spec or of data is read. */
  listMetadata(query: ListQuery): Promise<MetadataOnly[]> {
    return this.#listPages<MetadataOnly>(query, { accept: METADATA_LIST });
  }

  /**
   * Server-side apply, forced, as `fieldManager`. Creates or updates; answers the live object, or with `dryRun` the object
   * that would come of it.
   */
  async apply(
    manifest: AnyManifest,
    fieldManager: string,
    options: { readonly dryRun?: true } = {},
  ): Promise<KubernetesObject> {
    const ref = refOf(manifest);
    const answer = await this.#send({
      method: HttpMethod.PATCH,
      path: objectPath(ref),
      query: {
        fieldManager,
        force: "true",
        ...(options.dryRun === true ? { dryRun: "All" } : {}),
        ...UNCHECKED,
      },
      headers: { "content-type": "application/apply-patch+yaml" },
      body: manifest,
      title: `apply ${titleOf(ref)}`,
    });
    return answer.expectOk() as KubernetesObject;
  }

  /** JSON merge patch of an object or of its status. `undefined` when there is no such object. */
  async patch(ref: ObjectRef, patch: MergePatch): Promise<object | undefined> {
    const suffix = patch.subresource === undefined ? "" : `/${patch.subresource}`;
    const answer = await this.#send({
      method: HttpMethod.PATCH,
      path: objectPath(ref) + suffix,
      query: { fieldManager: FIELD_MANAGER, ...UNCHECKED },
      headers: { "content-type": "application/merge-patch+json" },
      body: patch.body,
      title: `patch ${patch.subresource === undefined ? "" : `${patch.subresource} of `}${titleOf(ref)}`,
    });
    return answer.status === 404 ? undefined : (answer.expectOk() as object);
  }

  /** Removes the object with this uid. Gone already, or another object by now: nothing to do. */
  async remove(ref: ObjectRef, options: RemoveOptions): Promise<void> {
    const answer = await this.#send({
      method: HttpMethod.DELETE,
      path: objectPath(ref),
      body: {
        apiVersion: "v1",
        kind: "DeleteOptions",
        preconditions: { uid: options.uid },
        propagationPolicy: options.propagation ?? "Background",
      },
      title: `remove ${titleOf(ref)}`,
    });
    if (answer.status !== 404 && answer.status !== 409) answer.expectOk();
  }

  /** Creates an object and answers it: one that gets its name from the server (events), or one that must not exist yet. */
  async create(manifest: AnyManifest): Promise<KubernetesObject> {
    const { kind = "", metadata } = manifest;
    const answer = await this.#send({
      method: HttpMethod.POST,
      path: collectionPath(kind, metadata?.namespace),
      query: { fieldManager: FIELD_MANAGER },
      body: manifest,
      title: `create ${kind}`,
    });
    return answer.expectOk() as KubernetesObject;
  }

  async #listPages<T>(query: ListQuery, headers: Readonly<Record<string, string>>): Promise<T[]> {
    const labelSelector = Object.entries(query.labels ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .join(",");
    const items: T[] = [];
    let continueToken = "";
    do {
      const answer = await this.#send({
        method: HttpMethod.GET,
        path: collectionPath(query.kind, query.namespace),
        query: {
          limit: String(LIST_PAGE_SIZE),
          ...(labelSelector === "" ? {} : { labelSelector }),
          ...(continueToken === "" ? {} : { continue: continueToken }),
        },
        headers,
        title: `list ${query.kind}`,
      });
      const page = answer.expectOk() as { items?: T[]; metadata?: { continue?: string } };
      items.push(...(page.items ?? []));
      continueToken = page.metadata?.continue ?? "";
    } while (continueToken !== "");
    return items;
  }

  async #send(call: Call): Promise<{ status: number; expectOk: () => unknown }> {
    const { status, text } = await this.#limited(() => this.#authenticated(call));
    const expectOk = (): unknown => {
      if (status < 200 || status > 299) throw kubeErrorOf(call.title, status, text);
      return JSON.parse(text) as unknown;
    };
    return { status, expectOk };
  }

  /** A token that has expired since it was read is read again, once. */
  async #authenticated(call: Call): Promise<Answer> {
    const access = this.#access();
    const answer = await this.#exchange(await access, call);
    if (answer.status !== 401) return answer;
    this.#forget(access);
    return this.#exchange(await this.#access(), call);
  }

  async #exchange(access: Access, call: Call): Promise<Answer> {
    const query = new URLSearchParams(call.query).toString();
    const url = `${this.#server}${call.path}${query === "" ? "" : `?${query}`}`;
    // Cleared with the answer: a signal of AbortSignal.timeout fires all the same, thousands of them, seconds later.
    const deadline = new AbortController();
    const timer = setTimeout(
      () => deadline.abort(new DOMException("no answer in time", "TimeoutError")),
      REQUEST_TIMEOUT_MS,
    );
    try {
      const response = await request(url, {
        method: call.method,
        headers: {
          accept: "application/json",
          ...(call.body === undefined ? {} : { "content-type": "application/json" }),
          ...access.headers,
          ...call.headers,
        },
        body: call.body === undefined ? null : JSON.stringify(call.body),
        signal: deadline.signal,
        ...(access.dispatcher === undefined ? {} : { dispatcher: access.dispatcher }),
      });
      return { status: response.statusCode, text: await response.body.text() };
    } catch (error) {
      throw kubeErrorWithoutAnswer(call.title, error);
    } finally {
      clearTimeout(timer);
    }
  }

  get #server(): string {
    const cluster = this.#config.getCurrentCluster();
    if (cluster === null) throw new Error("the kubeconfig has no current cluster");
    return cluster.server;
  }

  /**
   * The client library makes a new pool of connections for every request, which would be a TLS handshake each (half of what
   * a reconcile costs); one of them, with its credentials, is used for all until it is old.
   */
  #access(): Promise<Access> {
    const nowMs = performance.now();
    const kept = this.#kept;
    if (kept !== undefined && nowMs - kept.sinceMs < ACCESS_KEPT_MS) return kept.access;
    if (kept !== undefined) this.#forget(kept.access);
    const access = this.#authenticate();
    this.#kept = { access, sinceMs: nowMs };
    access.catch(() => this.#forget(access));
    return access;
  }

  /** Requests that are under way are finished first. */
  #forget(access: Promise<Access>): void {
    if (this.#kept?.access !== access) return;
    this.#kept = undefined;
    void access.then(({ dispatcher }) => dispatcher?.close()).catch(() => undefined);
  }

  async #authenticate(): Promise<Access> {
    const context = new RequestContext(this.#server, HttpMethod.GET);
    await this.#config.applySecurityAuthentication(context);
    return { headers: context.getHeaders(), dispatcher: context.getDispatcher() };
  }
}

/** Credentials: the given file, else `KUBECONFIG`, else the pod's service account. */
export function loadKubeConfig(file?: string): KubeConfig {
  const config = new KubeConfig();
  if (file === undefined) config.loadFromDefault();
  else config.loadFromFile(file);
  return config;
}
