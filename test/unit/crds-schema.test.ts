/** What is generated is a structural schema, and what is read is parsed with null as absent and unknown fields left out. */
import { execFileSync, spawnSync } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { buildCustomResourceDefinition } from "../../crds/custom-resource-definition.ts";
import { CUSTOM_RESOURCES } from "../../crds/custom-resources.ts";
import { asHelmTemplate } from "../../crds/helm.ts";
import { RestateCloudEnvironment } from "../../crds/restate-cloud-environment.ts";
import { RestateCluster } from "../../crds/restate-cluster.ts";
import { RestateDeployment } from "../../crds/restate-deployment.ts";

type Schema = { readonly [keyword: string]: unknown };

/** https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema */
const ALLOWED = new Set([
  "type",
  "format",
  "description",
  "nullable",
  "default",
  "enum",
  "pattern",
  "minLength",
  "maxLength",
  "minimum",
  "maximum",
  "maxItems",
  "required",
  "properties",
  "items",
  "additionalProperties",
  "x-kubernetes-int-or-string",
  "x-kubernetes-list-map-keys",
  "x-kubernetes-list-type",
  "x-kubernetes-map-type",
  "x-kubernetes-preserve-unknown-fields",
  "x-kubernetes-validations",
]);

const isSchema = (value: unknown): value is Schema =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function violationsOf(schema: Schema, at: string): string[] {
  const own = Object.keys(schema)
    .filter((keyword) => !ALLOWED.has(keyword))
    .map((keyword) => `${at}: ${keyword}`);
  const hasType =
    typeof schema["type"] === "string" ||
    schema["x-kubernetes-int-or-string"] === true ||
    schema["x-kubernetes-preserve-unknown-fields"] === true;
  if (!hasType) own.push(`${at}: no type`);
  if (schema["properties"] !== undefined && schema["additionalProperties"] !== undefined) {
    own.push(`${at}: properties beside additionalProperties`);
  }
  const children = [
    ...Object.entries(isSchema(schema["properties"]) ? schema["properties"] : {}),
    ["[]", schema["items"]],
    ["{}", schema["additionalProperties"]],
  ] as const;
  return [
    ...own,
    ...children.flatMap(([name, child]) =>
      child === undefined
        ? []
        : isSchema(child)
          ? violationsOf(child, `${at}.${name}`)
          : [`${at}.${name}: not a schema`],
    ),
  ];
}

describe("CustomResourceDefinitions", () => {
  test.each(CUSTOM_RESOURCES)("$kind.kind is structural", (resource) => {
    const [version] = buildCustomResourceDefinition(resource).spec.versions;
    expect(violationsOf(version!.schema.openAPIV3Schema, "")).toEqual([]);
  });

  test.each(CUSTOM_RESOURCES)("$kind.kind documents every field of its own", (resource) => {
    const undocumented = (schema: Schema, at: string): string[] => {
      const properties = isSchema(schema["properties"]) ? schema["properties"] : {};
      return Object.entries(properties).flatMap(([name, child]) =>
        !isSchema(child) || at === ".metadata"
          ? []
          : [
              ...(typeof child["description"] === "string" ? [] : [`${at}.${name}`]),
              ...undocumented(child, `${at}.${name}`),
              ...(isSchema(child["items"]) ? undocumented(child["items"], `${at}.${name}[]`) : []),
            ],
      );
    };
    const [version] = buildCustomResourceDefinition(resource).spec.versions;
    const { metadata: _, ...properties } = version!.schema.openAPIV3Schema["properties"] as Schema;
    expect(undocumented({ properties }, "")).toEqual([]);
  });

  test("the README has every field of a RestateDeployment", () => {
    /** Explained in one row, with what is in them. */
    const whole = /(^|\.)(template|selector|strategy|autoscaling|knative|service|manual|http|job)$/;
    const fieldsOf = (schema: Schema, at: string): string[] =>
      Object.entries((schema["properties"] as Record<string, Schema>) ?? {}).flatMap(
        ([name, child]) => {
          const field = `${at}${name}`;
          const inside = fieldsOf(child, `${field}.`);
          return whole.test(field) || inside.length === 0 ? [field] : inside;
        },
      );
    const deployment = CUSTOM_RESOURCES.find(({ kind }) => kind.kind === "RestateDeployment");
    const [version] = buildCustomResourceDefinition(deployment!).spec.versions;
    const { spec } = version!.schema.openAPIV3Schema["properties"] as { spec: Schema };
    const readme = readFileSync(path.join(import.meta.dirname, "../../README.md"), "utf8");
    const fields = fieldsOf(spec, "");
    expect(fields).toContain("restate.drain.onMaxAge");
    expect(fields.filter((field) => !readme.includes(`\`${field}\``))).toEqual([]);
  });

  test.each(CUSTOM_RESOURCES)("$kind.kind fits into an annotation of kubectl apply", (resource) => {
    const bytes = Buffer.byteLength(JSON.stringify(buildCustomResourceDefinition(resource)));
    expect(bytes).toBeLessThan(262_144);
  });
});

describe("generate", () => {
  const root = mkdtempSync(path.join(tmpdir(), "crds-"));
  afterAll(() => rmSync(root, { recursive: true }));
  const script = path.join(import.meta.dirname, "../../crds/generate.ts");
  const files = ["crds/generated", "charts/restate-operator-crds/templates"].flatMap((folder) =>
    CUSTOM_RESOURCES.map(({ kind }) => `${folder}/${kind.plural}.yaml`),
  );
  const check = () =>
    spawnSync(process.execPath, [script, "--check", "--root", root], { encoding: "utf8" });

  test(
    "--check names what is missing or changed, and passes after a run",
    { timeout: 60_000 },
    () => {
      const missing = check();
      expect(missing.status).toBe(1);
      for (const file of files) expect(missing.stderr).toContain(file);
      execFileSync(process.execPath, [script, "--root", root]);
      expect(check()).toMatchObject({ status: 0, stdout: "", stderr: "" });
      const [edited] = files;
      appendFileSync(path.join(root, edited!), "# edited\n");
      expect(check()).toMatchObject({
        status: 1,
        stderr: `${edited} is stale: run \`npm run generate\`\n`,
      });
    },
  );

  test("what is written is what is built, kept by helm when the chart is removed", () => {
    execFileSync(process.execPath, [script, "--root", root]);
    const folder = path.join(root, "crds/generated");
    const written = readdirSync(folder).map((file) =>
      parse(readFileSync(path.join(folder, file), "utf8")),
    );
    const built = CUSTOM_RESOURCES.map(buildCustomResourceDefinition);
    expect(new Set(written.map((crd) => crd.metadata.name))).toEqual(
      new Set(built.map((crd) => crd.metadata.name)),
    );
    for (const crd of written) {
      expect(crd).toEqual(built.find(({ metadata }) => metadata.name === crd.metadata.name));
      expect(crd.metadata.annotations).toEqual({ "helm.sh/resource-policy": "keep" });
    }
  });

  test("text that looks like a template action reaches the reader", () => {
    expect(asHelmTemplate("use {{name}} or {{ .Values }}")).toBe(
      'use {{ "{{" }}name}} or {{ "{{" }} .Values }}',
    );
  });
});

const metadata = {
  name: "a",
  uid: "8e0b2f5e-0000-4000-8000-000000000001",
  resourceVersion: "7",
  generation: 1,
  creationTimestamp: "2026-01-01T00:00:00Z",
};

describe("parsing", () => {
  test("RestateCluster: null is absent, unknown fields are left out, Kubernetes types pass", () => {
    const affinity = { nodeAffinity: { unknownToUs: [1] } };
    expect(
      RestateCluster.parse({
        apiVersion: "restate.dev/v1",
        kind: "RestateCluster",
        metadata: { ...metadata, managedFields: [{ manager: "kubectl" }] },
        spec: {
          clusterName: null,
          compute: { image: "restate", affinity, tolerations: null, later: true },
          storage: { storageRequestBytes: 1 },
          security: null,
          cluster: {},
        },
        status: null,
      }),
    ).toEqual({
      apiVersion: "restate.dev/v1",
      kind: "RestateCluster",
      metadata,
      spec: {
        compute: { image: "restate", affinity },
        storage: { storageRequestBytes: 1 },
        cluster: { autoProvision: false },
      },
    });
  });

  test("RestateDeployment: the pod spec is passed on with its nulls and unknown fields", () => {
    const spec = { containers: [{ name: "s", env: null }], timeoutSeconds: 5 };
    const parsed = RestateDeployment.parse({
      apiVersion: "restate.dev/v1beta1",
      kind: "RestateDeployment",
      metadata: { ...metadata, namespace: "n" },
      spec: {
        restate: { register: { cluster: "c" }, servicePath: null },
        template: { metadata: { labels: null }, spec },
      },
    });
    expect(parsed.spec).toEqual({
      replicas: 1,
      revisionHistoryLimit: 10,
      restate: { register: { cluster: "c" } },
      template: { metadata: {}, spec },
    });
    expect(JSON.stringify(parsed.spec.template)).toBe(JSON.stringify({ metadata: {}, spec }));
  });

  test("an object that admission would refuse today can still be read", () => {
    const parsed = RestateCloudEnvironment.parse({
      apiVersion: "restate.dev/v1beta1",
      kind: "RestateCloudEnvironment",
      metadata,
      spec: {
        environmentId: "env_x",
        region: "eu/stored-before-the-rule",
        signingPublicKey: "k",
        authentication: { secret: { name: "S", key: "../k" } },
      },
    });
    expect(parsed.spec.region).toBe("eu/stored-before-the-rule");
  });

  test("a missing field is named", () => {
    const result = RestateCluster.safeParse({
      apiVersion: "restate.dev/v1",
      kind: "RestateCluster",
      metadata,
      spec: { compute: {}, storage: { storageRequestBytes: 1 } },
    });
    expect(result.error?.issues.map(({ path: at }) => at.join("."))).toEqual([
      "spec.compute.image",
    ]);
  });
});
