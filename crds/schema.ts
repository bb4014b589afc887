/**
 * The vocabulary the three kinds are written in: zod for the shape, `.meta()` for what only the API server enforces
 * (patterns, ranges, CEL rules, list types). The division is deliberate: parsing accepts every object that is stored, also
 * one from before a rule was tightened, and admission refuses bad input with a message that names field and fix.
 */
import { z } from "zod";

/** OpenAPI keywords that reach the CustomResourceDefinition as they are. */
export interface Keywords {
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly format?: string;
  readonly maxItems?: number;
  readonly "x-kubernetes-list-type"?: "atomic" | "map";
  readonly "x-kubernetes-list-map-keys"?: readonly string[];
  readonly "x-kubernetes-map-type"?: "atomic";
  readonly "x-kubernetes-validations"?: readonly Rule[];
}

/** A CEL rule; the API server prints the path of the field in front of `message`. */
export interface Rule {
  readonly rule: string;
  readonly message: string;
  /** Evaluate on create as well, `oldSelf` being an optional: `!oldSelf.hasValue()` then says "on create only". */
  readonly optionalOldSelf?: true;
}

/** Keyword under which a schema names the Kubernetes type it stands for; the generator replaces it by that type. */
export const DEFINITION = "x-kubernetes-definition";

/** `rules(…)` reads better in a field's keywords than the name OpenAPI gives them. */
export const rules = (...list: readonly Rule[]): Keywords => ({ "x-kubernetes-validations": list });

export const text = (description: string, keywords: Keywords = {}): z.ZodString =>
  z.string().meta({ description, ...keywords });

export const flag = (description: string): z.ZodBoolean => z.boolean().meta({ description });

export const int32 = (description: string, keywords: Keywords = {}): z.ZodNumber =>
  z.number().meta({ description, type: "integer", format: "int32", ...keywords });

export const int64 = (description: string, keywords: Keywords = {}): z.ZodNumber =>
  z.number().meta({ description, type: "integer", format: "int64", ...keywords });

/** RFC 3339, as the API server hands it out. */
export const instant = (description: string): z.ZodString =>
  z.string().meta({ description, format: "date-time" });

export const choice = <const T extends readonly [string, ...string[]]>(
  description: string,
  values: T,
  keywords: Keywords = {},
) => z.enum(values).meta({ description, ...keywords });

export const list = <T extends z.ZodType>(
  description: string,
  items: T,
  keywords: Keywords = {},
): z.ZodArray<T> => z.array(items).meta({ description, ...keywords });

export const stringMap = (description: string, keywords: Keywords = {}) =>
  z.record(z.string(), z.string()).meta({ description, ...keywords });

export const object = <T extends z.ZodRawShape>(
  description: string,
  shape: T,
  keywords: Keywords = {},
) => z.object(shape).meta({ description, ...keywords });

/** An object that is passed on as it is, nulls included: no schema below this point. */
export const freeForm = (description: string) =>
  z
    .record(z.string(), z.unknown())
    .meta({ description, "x-kubernetes-preserve-unknown-fields": true });

/** As `freeForm`, but without a type in the schema served: the API server then accepts any JSON, as it always has. */
export const untyped = (description: string) =>
  z
    .any()
    .pipe(z.record(z.string(), z.unknown()))
    .meta({ description, "x-kubernetes-preserve-unknown-fields": true });

/** A field that may be absent or null; null reads as absent. */
export const nullable = <T extends z.ZodType>(schema: T) =>
  z
    .preprocess((value) => value ?? undefined, schema.optional())
    .optional()
    .meta({ nullable: true });

/**
 * A type of the Kubernetes API, `T` being its model in the client library. The API server has validated what is read, so
 * parsing passes it on.
 */
export const kubernetes = <T extends object>(
  definition: string,
  description?: string,
): z.ZodType<T> =>
  z
    .any()
    .pipe(z.custom<T>())
    .meta({
      [DEFINITION]: definition,
      ...(description === undefined ? {} : { description }),
    });
