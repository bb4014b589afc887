/**
 * Types of the Kubernetes API as they appear inside a CustomResourceDefinition: every reference inlined, quantities and
 * ports as integer-or-string.
 *
 * List and map types, defaults and enumerations of the originals are left out: the API server applies them when the operator
 * writes a pod, and repeating them here would refuse or rewrite what users have stored (an environment variable given twice
 * in a sidecar, for example).
 */
import kubernetes from "./kubernetes-openapi.json" with { type: "json" };
import type { JsonSchema } from "./json-schema.ts";
import { mapChildren, omit } from "./json-schema.ts";

const REF_PREFIX = "#/definitions/";
const DROPPED = new Set([
  "default",
  "enum",
  "$ref",
  "x-kubernetes-group-version-kind",
  "x-kubernetes-list-map-keys",
  "x-kubernetes-list-type",
  "x-kubernetes-map-type",
  "x-kubernetes-patch-merge-key",
  "x-kubernetes-patch-strategy",
  "x-kubernetes-unions",
]);

const INT_OR_STRING = new Set([
  "io.k8s.apimachinery.pkg.api.resource.Quantity",
  "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
]);

const definitions: Readonly<Record<string, JsonSchema>> = kubernetes.definitions;

const inline = (schema: JsonSchema): JsonSchema => {
  const { $ref } = schema;
  const target = typeof $ref === "string" ? kubernetesType($ref.slice(REF_PREFIX.length)) : {};
  return { ...target, ...omit(mapChildren(schema, inline), DROPPED) };
};

/**
 * The schema of a Kubernetes type, for example `io.k8s.api.core.v1.Affinity`. Throws if kubernetes-openapi.json does not have
 * it.
 */
export function kubernetesType(name: string): JsonSchema {
  const definition = definitions[name];
  if (definition === undefined) {
    throw new Error(
      `crds/kubernetes-openapi.json has no ${name}: run \`node crds/kubernetes-openapi.ts\``,
    );
  }
  if (!INT_OR_STRING.has(name)) return inline(definition);
  return { description: definition["description"], "x-kubernetes-int-or-string": true };
}
