/**
 * zod → CustomResourceDefinition. The schema a kind is parsed with is the schema it is served with; what the API server does
 * not allow in a structural schema is taken out here and nowhere else.
 */
import { z } from "zod";
import type { CustomResource } from "./custom-resources.ts";
import type { JsonSchema } from "./json-schema.ts";
import { isJsonSchema, mapChildren, omit } from "./json-schema.ts";
import { kubernetesType } from "./kubernetes-types.ts";
import type { Column } from "./resource.ts";
import { DEFINITION } from "./schema.ts";

/** What must not stand beside `x-kubernetes-preserve-unknown-fields` in an object that is passed on as it is. */
const MEMBERS = new Set(["additionalProperties", "propertyNames"]);

/** `io: "input"`: a field with a default is optional to the user, and unknown fields are not an error but pruned. */
const jsonSchemaOf = (schema: z.ZodType): JsonSchema => ({
  ...z.toJSONSchema(schema, {
    target: "openapi-3.0",
    io: "input",
    reused: "inline",
    cycles: "throw",
    unrepresentable: "throw",
  }),
});

const structural = (schema: JsonSchema): JsonSchema => {
  const definition = schema[DEFINITION];
  if (typeof definition === "string") {
    return { ...kubernetesType(definition), ...omit(schema, new Set([DEFINITION])) };
  }
  if (schema["x-kubernetes-preserve-unknown-fields"] === true) {
    return omit(schema, MEMBERS);
  }
  return mapChildren(schema, structural);
};

/** Names of the Kubernetes types that a schema embeds. */
export function embeddedDefinitions(schema: z.ZodType): string[] {
  const found: string[] = [];
  const visit = (child: JsonSchema): JsonSchema => {
    const definition = child[DEFINITION];
    if (typeof definition === "string") found.push(definition);
    return mapChildren(child, visit);
  };
  visit(jsonSchemaOf(schema));
  return found;
}

const member = (schema: JsonSchema, name: string): JsonSchema => {
  const { properties } = schema;
  const found = isJsonSchema(properties) ? properties[name] : undefined;
  if (!isJsonSchema(found)) throw new Error(`the schema has no member ${name}`);
  return found;
};

const printerColumn = ({ name, type, jsonPath, priority }: Column) => ({
  name,
  type,
  jsonPath,
  ...(priority === undefined ? {} : { priority }),
});

const rootSchema = ({ kind, schema }: CustomResource): JsonSchema => {
  const resource = jsonSchemaOf(schema);
  const { name } = kind;
  return {
    type: "object",
    description: kind.description,
    required: name === undefined ? ["spec"] : ["metadata", "spec"],
    properties: {
      ...(name === undefined
        ? {}
        : { metadata: { type: "object", properties: { name: { type: "string", ...name } } } }),
      spec: structural(member(resource, "spec")),
      status: structural(member(resource, "status")),
    },
    ...kind.root,
  };
};

/** The CustomResourceDefinition of a kind, as it is applied to a cluster. */
export function buildCustomResourceDefinition({ kind, schema }: CustomResource) {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${kind.plural}.${kind.group}`,
      annotations: { "helm.sh/resource-policy": "keep" },
    },
    spec: {
      group: kind.group,
      names: {
        kind: kind.kind,
        plural: kind.plural,
        singular: kind.singular,
        shortNames: [...kind.shortNames],
      },
      scope: kind.scope,
      versions: [
        {
          name: kind.version,
          served: true,
          storage: true,
          additionalPrinterColumns: kind.columns.map(printerColumn),
          subresources: {
            status: {},
            ...(kind.scale === undefined ? {} : { scale: kind.scale }),
          },
          schema: { openAPIV3Schema: rootSchema({ kind, schema }) },
        },
      ],
    },
  };
}
