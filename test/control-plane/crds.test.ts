/**
 * The generated CustomResourceDefinitions on a real API server: they are established (every CEL rule compiles within its cost
 * limit), they accept and refuse what rows.ts says, and what was stored before a rule can still be changed and deleted.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Agent, request } from "undici";
import { parse } from "yaml";
import { CUSTOM_RESOURCES } from "../../crds/custom-resources.ts";
import type { CustomResourceKind } from "../../crds/resource.ts";
import { sharedControlPlane } from "../harness/kubernetes.ts";
import type { Json, Manifest } from "./crds/manifests.ts";
import { cluster, deployment, environment } from "./crds/manifests.ts";
import { CREATE_ROWS, STORED_BEFORE_THE_RULES, UPDATE_ROWS } from "./crds/rows.ts";

const CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/** A field that a schema lacks is an error, so that nothing passes for the wrong reason. */
const STRICT = "fieldValidation=Strict";
const REFERENCE = path.join(import.meta.dirname, "../fixtures/reference-crds");

interface Answer {
  readonly status: number;
  /** The server's message when it refuses, "" when it accepts. */
  readonly message: string;
  readonly object: Json;
}

interface Call {
  readonly method: "GET" | "POST" | "PATCH" | "PUT" | "DELETE";
  readonly path: string;
  readonly body?: Json;
  readonly contentType?: string;
}

let send: (call: Call) => Promise<Answer>;
let dispatcher: Agent;

const kinds: Readonly<Record<string, CustomResourceKind>> = Object.fromEntries(
  CUSTOM_RESOURCES.map(({ kind }) => [kind.kind, kind]),
);

const collectionOf = ({ kind, metadata }: Manifest): string => {
  const { apiVersion, plural, scope } = kinds[kind]!;
  const namespace = scope === "Namespaced" ? `/namespaces/${String(metadata["namespace"])}` : "";
  return `/apis/${apiVersion}${namespace}/${plural}`;
};
const pathOf = (manifest: Manifest): string =>
  `${collectionOf(manifest)}/${String(manifest.metadata["name"])}`;

const create = (manifest: Manifest, options = ""): Promise<Answer> =>
  send({
    method: "POST",
    path: `${collectionOf(manifest)}?${STRICT}${options}`,
    body: manifest,
  });

const remove = async (manifest: Manifest): Promise<void> => {
  await send({ method: "DELETE", path: pathOf(manifest) });
};

const withName = (manifest: Manifest, name: string): Manifest => ({
  ...manifest,
  metadata: { name, ...manifest.metadata },
});

/** Throws the server's message: for what a test needs before it begins. */
const accepted = (answer: Answer): Answer => {
  if (answer.message !== "") throw new Error(answer.message);
  return answer;
};

/** Replaces the definition whole, whoever applied which part of it before. */
const installDefinition = async (definition: Json): Promise<void> => {
  const metadata = definition["metadata"] as Json;
  const at = `${CRDS}/${String(metadata["name"])}`;
  const present = await send({ method: "GET", path: at });
  if (present.status === 404) {
    accepted(await send({ method: "POST", path: `${CRDS}?${STRICT}`, body: definition }));
    return;
  }
  const { resourceVersion } = accepted(present).object["metadata"] as Json;
  const body = { ...definition, metadata: { ...metadata, resourceVersion } };
  accepted(await send({ method: "PUT", path: `${at}?${STRICT}`, body }));
};

const readDefinitions = (folder: string): Json[] =>
  CUSTOM_RESOURCES.map(({ kind }) =>
    parse(readFileSync(path.join(folder, `${kind.plural}.yaml`), "utf8")),
  );

/** The API server takes a moment to serve what a changed definition says: `probe` tells when. */
const until = async (probe: () => Promise<boolean>, what: string): Promise<void> => {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (await probe()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`timed out: ${what}`);
};

const served = async (): Promise<boolean> => {
  const answers = await Promise.all(
    [cluster(), deployment(), environment()].map((manifest) =>
      create(withName(manifest, "probe"), "&dryRun=All"),
    ),
  );
  return answers.every(({ status }) => status === 201);
};

const isRuleInForce = async (): Promise<boolean> => {
  const answers = await Promise.all([
    create(withName(cluster(), "default"), "&dryRun=All"),
    create(withName(deployment(), "a.b"), "&dryRun=All"),
    create(withName(environment({ region: "" }), "probe"), "&dryRun=All"),
  ]);
  return answers.every(({ status }) => status === 422);
};

const generated = path.join(import.meta.dirname, "../../crds/generated");
const stored = STORED_BEFORE_THE_RULES.map((manifest, index) =>
  withName(manifest, `stored-${index}`),
);

beforeAll(async () => {
  const access = await sharedControlPlane();
  dispatcher = new Agent({ connect: { ca: access.certificate } });
  send = async ({ method, path: at, body, contentType = "application/json" }) => {
    const response = await request(`${access.server}${at}`, {
      dispatcher,
      method,
      headers: { authorization: `Bearer ${access.adminToken}`, "content-type": contentType },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.body.text();
    // a path that is not served yet is answered in plain text
    const object: Json = text.startsWith("{") ? JSON.parse(text) : { message: text };
    const refused = response.statusCode >= 400;
    return {
      status: response.statusCode,
      message: refused ? String(object["message"]) : "",
      object,
    };
  };
  // first the schemas in use, with objects that only they accept; then ours over them, as an upgrade does it
  for (const definition of readDefinitions(REFERENCE)) {
    await installDefinition(definition);
  }
  await until(served, "the schemas in use are served");
  for (const manifest of stored) accepted(await create(manifest));
  for (const definition of readDefinitions(generated)) {
    await installDefinition(definition);
  }
  await until(isRuleInForce, "the generated schemas are served");
});

afterAll(async () => {
  await dispatcher.close();
});

describe("CustomResourceDefinitions", () => {
  test.each(CUSTOM_RESOURCES)("$kind.kind is established", async ({ kind }) => {
    const { object } = await send({ method: "GET", path: `${CRDS}/${kind.plural}.${kind.group}` });
    const { conditions } = object["status"] as {
      readonly conditions: readonly { readonly type: string; readonly status: string }[];
    };
    const isTrue = conditions.filter(({ status }) => status === "True").map(({ type }) => type);
    expect(isTrue.toSorted()).toEqual(["Established", "NamesAccepted"]);
  });

  test("there are no two rows of one name", () => {
    const names = [...CREATE_ROWS, ...UPDATE_ROWS].map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });
});

describe("create", () => {
  test.each(CREATE_ROWS)("$name", async ({ manifest, refused = "" }) => {
    const { status, message } = await create(withName(manifest, "row"), "&dryRun=All");
    expect(message).toContain(refused);
    expect([status, message === ""]).toEqual(refused === "" ? [201, true] : [422, false]);
  });

  test("a field of a Deployment that there is not here is refused by name", async () => {
    const manifest = deployment({ paused: true, deadlineSeconds: 600 });
    const { status, message } = await create(withName(manifest, "row"), "&dryRun=All");
    expect(message).toContain('unknown field "spec.deadlineSeconds"');
    expect(status).toBe(400);
  });
});

describe("update", () => {
  test.each(UPDATE_ROWS)("$name", async ({ before, after, refused = "" }) => {
    const [old, changed] = [withName(before, "update"), withName(after, "update")];
    const { object } = await create(old);
    const { resourceVersion } = object["metadata"] as { readonly resourceVersion: string };
    try {
      const { status, message } = await send({
        method: "PUT",
        path: `${pathOf(changed)}?${STRICT}`,
        body: { ...changed, metadata: { ...changed.metadata, resourceVersion } },
      });
      expect(message).toContain(refused);
      expect([status, message === ""]).toEqual(refused === "" ? [200, true] : [422, false]);
    } finally {
      await remove(old);
    }
  });
});

describe("stored before the rules", () => {
  const merge = "application/merge-patch+json";

  test.each(stored)("$kind $metadata.name can be changed, reported on and deleted", async (it) => {
    const at = pathOf(it);
    const patch = (body: Json, subresource = "") =>
      send({ method: "PATCH", path: at + subresource, body, contentType: merge });
    const conditions = [{ type: "Ready", status: "False", reason: "Stored", message: null }];
    const status = { conditions, ...(it.kind === "RestateDeployment" ? { replicas: 0 } : {}) };
    expect(await patch({ metadata: { finalizers: ["restate.dev/test"] } })).toMatchObject({
      message: "",
    });
    expect(await patch({ status }, "/status")).toMatchObject({ message: "" });
    expect(await send({ method: "DELETE", path: at })).toMatchObject({ message: "" });
    expect(await patch({ metadata: { finalizers: [] } })).toMatchObject({ message: "" });
    expect(await send({ method: "GET", path: at })).toMatchObject({ status: 404 });
  });
});

describe("status", () => {
  test("every field of the contract is kept", async () => {
    const instant = "2026-01-01T00:00:00Z";
    const conditions = [
      { type: "Ready", status: "True", reason: "R", message: "m", lastTransitionTime: instant },
    ];
    const common = { conditions, observedGeneration: 1, reconciliation: "Disabled" };
    const written: readonly (readonly [Manifest, Json])[] = [
      [
        withName(cluster(), "status"),
        { ...common, replicas: 3, readyReplicas: 2, provisioned: true },
      ],
      [
        withName(deployment(), "status"),
        {
          ...common,
          replicas: 1,
          desiredReplicas: 1,
          readyReplicas: 1,
          availableReplicas: 1,
          unavailableReplicas: 0,
          collisionCount: 1,
          labelSelector: "app=greeter",
          deploymentId: "dp_1",
          versions: [
            {
              name: "status-4",
              phase: "Draining",
              since: instant,
              replicas: 1,
              readyReplicas: 1,
              remedy: { action: "kill", at: instant, done: 1, remaining: 2, message: "m" },
            },
          ],
          knative: { configurationName: "c", routeName: "r", url: "u", latestRevision: "l" },
          deletion: {
            policy: "drain",
            phase: "Overdue",
            startedAt: instant,
            deadline: instant,
            onTimeout: "hold",
            message: "m",
            totalPendingInvocations: 3,
            pendingInvocations: [
              { version: "status-4", deploymentId: "dp_1", pinned: 1, unpinned: 2 },
            ],
          },
        },
      ],
      [withName(environment(), "status"), common],
    ];
    for (const [manifest, status] of written) {
      await create(manifest);
      const { message, object } = await send({
        method: "PATCH",
        path: `${pathOf(manifest)}/status?${STRICT}`,
        body: { status },
        contentType: "application/merge-patch+json",
      });
      await remove(manifest);
      expect({ message, status: object["status"] }).toEqual({ message: "", status });
    }
  });

  test("a RestateDeployment scales by its scale subresource", async () => {
    const manifest = withName(deployment(), "scaled");
    await create(manifest);
    const { message } = await send({
      method: "PATCH",
      path: `${pathOf(manifest)}/scale`,
      body: { spec: { replicas: 4 } },
      contentType: "application/merge-patch+json",
    });
    const { object } = await send({ method: "GET", path: pathOf(manifest) });
    await remove(manifest);
    expect([message, (object["spec"] as Json)["replicas"]]).toEqual(["", 4]);
  });
});
