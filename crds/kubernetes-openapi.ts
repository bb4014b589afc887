/**
 * Takes from the API server's own OpenAPI document the definitions that the three kinds embed (affinity, containers, volumes,
 * …) and writes them to kubernetes-openapi.json. Run it after raising the version below, or when a kind embeds another type:
 *
 *   go mod download k8s.io/kubernetes@v1.36.3 && node crds/kubernetes-openapi.ts
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Command } from "commander";
import { CUSTOM_RESOURCES } from "./custom-resources.ts";
import type { JsonSchema } from "./json-schema.ts";
import { isJsonSchema } from "./json-schema.ts";
import { embeddedDefinitions } from "./custom-resource-definition.ts";

const MODULE = "k8s.io/kubernetes";
const VERSION = "v1.36.3";
const DOCUMENT = "api/openapi-spec/swagger.json";
const TARGET = path.join(import.meta.dirname, "kubernetes-openapi.json");
const REF_PREFIX = "#/definitions/";

const sourceFile = (): string => {
  const cache = execFileSync("go", ["env", "GOMODCACHE"], { encoding: "utf8" }).trim();
  return path.join(cache, `${MODULE}@${VERSION}`, DOCUMENT);
};

/** The definitions a schema refers to, by name. */
const referencesOf = (schema: unknown): string[] => {
  if (Array.isArray(schema)) return schema.flatMap(referencesOf);
  if (!isJsonSchema(schema)) return [];
  const own = typeof schema["$ref"] === "string" ? [schema["$ref"].slice(REF_PREFIX.length)] : [];
  return [...own, ...Object.values(schema).flatMap(referencesOf)];
};

/** `roots` and everything they refer to, sorted by name. */
const closure = (
  definitions: Record<string, JsonSchema>,
  roots: readonly string[],
): Record<string, JsonSchema> => {
  const needed = new Set<string>();
  const queue = [...roots];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    if (needed.has(name)) continue;
    const definition = definitions[name];
    if (definition === undefined) throw new Error(`${DOCUMENT} of ${VERSION} has no ${name}`);
    needed.add(name);
    queue.push(...referencesOf(definition));
  }
  return Object.fromEntries([...needed].toSorted().map((name) => [name, definitions[name] ?? {}]));
};

const trimmed = (source: string): string => {
  const { definitions } = JSON.parse(readFileSync(source, "utf8"));
  const roots = CUSTOM_RESOURCES.flatMap(({ schema }) => embeddedDefinitions(schema));
  const content = {
    source: `${MODULE}@${VERSION}/${DOCUMENT}`,
    definitions: closure(definitions, roots),
  };
  return `${JSON.stringify(content, undefined, 1)}\n`;
};

const MISSING = `the module is not on this machine: run \`go mod download ${MODULE}@${VERSION}\`\n`;

const run = ({ check }: { check: boolean }): void => {
  const source = sourceFile();
  if (!existsSync(source)) {
    process.stderr.write(MISSING);
    process.exitCode = check ? 0 : 1;
    return;
  }
  const content = trimmed(source);
  if (!check) {
    writeFileSync(TARGET, content);
  } else if (readFileSync(TARGET, "utf8") !== content) {
    process.stderr.write(`${TARGET} is stale: run \`node crds/kubernetes-openapi.ts\`\n`);
    process.exitCode = 1;
  }
};

new Command("kubernetes-openapi")
  .description("take the Kubernetes types that the CustomResourceDefinitions embed")
  .option("--check", "write nothing; exit 1 if the file is stale and the module is there", false)
  .action(run)
  .parse();
