/**
 * The API server as a test sees it: the administrator's view, by plain HTTP, so that what the operator's own client does
 * wrong does not go unseen. Objects are what the server answered.
 */
import { Agent, request } from "undici";
import type { ClusterAccess } from "../../bootstrap/kubernetes/cluster.ts";

/** An object as the API server serves it; tests look into it as they need. */
export type KubeObject = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly generation?: number;
    readonly resourceVersion: string;
    readonly deletionTimestamp?: string;
    readonly finalizers?: readonly string[];
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly { readonly uid: string; readonly kind: string }[];
    readonly managedFields?: readonly { readonly manager: string; readonly operation: string }[];
  };
  // What is below depends on the kind.
  readonly [member: string]: unknown;
};

/** Where kinds live: path below `/api` or `/apis`, with `*` for the namespace of a namespaced kind. */
const COLLECTIONS = {
  ConfigMap: "/api/v1/namespaces/*/configmaps",
  Deployment: "/apis/apps/v1/namespaces/*/deployments",
  Event: "/api/v1/namespaces/*/events",
  HorizontalPodAutoscaler: "/apis/autoscaling/v2/namespaces/*/horizontalpodautoscalers",
  Job: "/apis/batch/v1/namespaces/*/jobs",
  Namespace: "/api/v1/namespaces",
  NetworkPolicy: "/apis/networking.k8s.io/v1/namespaces/*/networkpolicies",
  PersistentVolumeClaim: "/api/v1/namespaces/*/persistentvolumeclaims",
  Pod: "/api/v1/namespaces/*/pods",
  PodDisruptionBudget: "/apis/policy/v1/namespaces/*/poddisruptionbudgets",
  ReplicaSet: "/apis/apps/v1/namespaces/*/replicasets",
  RestateCloudEnvironment: "/apis/restate.dev/v1beta1/restatecloudenvironments",
  RestateCluster: "/apis/restate.dev/v1/restateclusters",
  RestateDeployment: "/apis/restate.dev/v1beta1/namespaces/*/restatedeployments",
  Service: "/api/v1/namespaces/*/services",
  ServiceAccount: "/api/v1/namespaces/*/serviceaccounts",
  StatefulSet: "/apis/apps/v1/namespaces/*/statefulsets",
  ValidatingWebhookConfiguration:
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
} as const;

export type ObjectKind = keyof typeof COLLECTIONS;

/** Kinds of which a RestateCluster has children in its namespace. */
export const CHILD_KINDS = [
  "ConfigMap",
  "NetworkPolicy",
  "PodDisruptionBudget",
  "Service",
  "ServiceAccount",
  "StatefulSet",
] as const satisfies readonly ObjectKind[];

const FIELD_MANAGER = "test";
const TIMEOUT_MS = 15_000;

/** Reads and writes as the administrator. Every method throws with what the server said when it refuses. */
export class Objects {
  readonly #access: ClusterAccess;
  readonly #agent: Agent;

  constructor(access: ClusterAccess) {
    this.#access = access;
    this.#agent = new Agent({ connect: { ca: access.certificate }, headersTimeout: TIMEOUT_MS });
  }

  async get(kind: ObjectKind, name: string, namespace?: string): Promise<KubeObject | undefined> {
    const { status, text } = await this.#call("GET", pathOf(kind, namespace, name));
    if (status === 404) return undefined;
    return expectOk(status, text) as KubeObject;
  }

  /** All of a namespace (or cluster-wide ones), in the order of their names; kind and apiVersion filled in. */
  async list(kind: ObjectKind, namespace?: string): Promise<KubeObject[]> {
    const { status, text } = await this.#call("GET", pathOf(kind, namespace));
    const { items, apiVersion } = expectOk(status, text) as {
      items: KubeObject[];
      apiVersion: string;
    };
    return items.map((item) => ({ ...item, kind, apiVersion }));
  }

  /** Creates or changes, as `kubectl apply --server-side`. */
  async apply(kind: ObjectKind, manifest: AppliedManifest): Promise<KubeObject> {
    const { name, namespace } = manifest.metadata;
    const { status, text } = await this.#call(
      "PATCH",
      `${pathOf(kind, namespace, name)}?fieldManager=${FIELD_MANAGER}&force=true`,
      { type: "application/apply-patch+yaml", content: { kind, ...manifest } },
    );
    return expectOk(status, text) as KubeObject;
  }

  /** What would come of `apply`; nothing is written, and a field that the server does not know is an error. */
  async dryRun(kind: ObjectKind, manifest: AppliedManifest): Promise<KubeObject> {
    const { name, namespace } = manifest.metadata;
    const options = `fieldManager=${FIELD_MANAGER}&force=true&dryRun=All&fieldValidation=Strict`;
    const { status, text } = await this.#call(
      "PATCH",
      `${pathOf(kind, namespace, name)}?${options}`,
      { type: "application/apply-patch+yaml", content: { kind, ...manifest } },
    );
    return expectOk(status, text) as KubeObject;
  }

  /** JSON merge patch; `undefined` when there is no such object. */
  async patch(
    kind: ObjectKind,
    which: { readonly name: string; readonly namespace?: string },
    content: object,
  ): Promise<KubeObject | undefined> {
    const path = `${pathOf(kind, which.namespace, which.name)}?fieldManager=${FIELD_MANAGER}`;
    const { status, text } = await this.#call("PATCH", path, {
      type: "application/merge-patch+json",
      content,
    });
    if (status === 404) return undefined;
    return expectOk(status, text) as KubeObject;
  }

  /** Deletes; one that is gone is fine. */
  async remove(kind: ObjectKind, name: string, namespace?: string): Promise<void> {
    const { status, text } = await this.#call("DELETE", pathOf(kind, namespace, name));
    if (status !== 404) expectOk(status, text);
  }

  close(): Promise<void> {
    return this.#agent.close();
  }

  async #call(
    method: "GET" | "PATCH" | "DELETE",
    path: string,
    body?: { readonly type: string; readonly content: object },
  ): Promise<{ status: number; text: string }> {
    const response = await request(`${this.#access.server}${path}`, {
      dispatcher: this.#agent,
      method,
      headers: {
        authorization: `Bearer ${this.#access.adminToken}`,
        "user-agent": FIELD_MANAGER,
        ...(body === undefined ? {} : { "content-type": body.type }),
      },
      body: body === undefined ? null : JSON.stringify(body.content),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return { status: response.statusCode, text: await response.body.text() };
  }
}

/** What `Objects.apply` takes. */
export type AppliedManifest = {
  readonly apiVersion: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [member: string]: unknown;
};

function pathOf(kind: ObjectKind, namespace: string | undefined, name?: string): string {
  const collection: string = COLLECTIONS[kind];
  if (collection.includes("*") && namespace === undefined) {
    throw new Error(`${kind} needs a namespace`);
  }
  const path = collection.replace("*", namespace ?? "");
  return name === undefined ? path : `${path}/${name}`;
}

function expectOk(status: number, text: string): unknown {
  if (status > 299) throw new Error(`the API server said ${status}: ${text.slice(0, 600)}`);
  return JSON.parse(text);
}
