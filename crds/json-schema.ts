/** JSON Schema as data, for the generator: a bag of keywords, looked at one by one. */

export type JsonSchema = { readonly [keyword: string]: unknown };

export const isJsonSchema = (value: unknown): value is JsonSchema =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Applies `change` to every schema directly below `schema`: properties, items and the values of a map. */
export const mapChildren = (
  schema: JsonSchema,
  change: (child: JsonSchema) => JsonSchema,
): JsonSchema => {
  const { properties, items, additionalProperties } = schema;
  return {
    ...schema,
    ...(isJsonSchema(properties)
      ? {
          properties: Object.fromEntries(
            Object.entries(properties).map(([name, child]) => [
              name,
              isJsonSchema(child) ? change(child) : child,
            ]),
          ),
        }
      : {}),
    ...(isJsonSchema(items) ? { items: change(items) } : {}),
    ...(isJsonSchema(additionalProperties)
      ? { additionalProperties: change(additionalProperties) }
      : {}),
  };
};

export const omit = (schema: JsonSchema, keywords: ReadonlySet<string>): JsonSchema =>
  Object.fromEntries(Object.entries(schema).filter(([keyword]) => !keywords.has(keyword)));
