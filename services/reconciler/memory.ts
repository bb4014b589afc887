/**
 * The state of one virtual object, readable with `restate kv get`: the uid it belongs to, what was applied, what assistants
 * have reported, the timers that are armed and what the last reconcile came to. Losing it costs a delay and a few writes that change nothing.
 */
import type { ObjectContext, ObjectSharedContext } from "@restatedev/restate-sdk";
import type { AppliedObjects } from "../core/children.ts";
import type { Outcome } from "../core/outcome.ts";

/** Version of the state's shape; state of another version is forgotten. */
const SCHEMA_VERSION = 2;

/** An armed short timer; `n` tells the newest from older ones that fire late. */
export interface RetryTimer {
  readonly n: number;
  readonly dueAtMs: number;
  readonly invocationId: string;
}

/** Timers this object has armed. */
export interface Timers {
  /** Invocation id of the periodic one. */
  readonly resync?: string;
  readonly retry?: RetryTimer;
  /** The last `n` used, so that no number is used twice. */
  readonly lastN?: number;
}

/** The last reconcile, for `describe`. */
export interface LastReconcile {
  readonly outcome:
    | Outcome
    | { readonly kind: "superseded" }
    | { readonly kind: "failed"; readonly message: string };
  readonly generation?: number;
  readonly at: string;
}

export interface Memory {
  uid?: string;
  applied: AppliedObjects;
  timers: Timers;
  /** What each assistant that was started and not stopped has last reported, by its name. */
  assistants?: Readonly<Record<string, unknown>>;
  /** Failures in a row, and when the first of them was; absent: the last reconcile did not fail. */
  failing?: { readonly times: number; readonly sinceMs: number };
  last?: LastReconcile;
}

interface Stored extends Memory {
  schema: number;
}

const MEMORY = "memory";

/** What this object remembers; an empty memory when nothing is stored or its shape is another release's. */
export async function readMemory(ctx: ObjectContext | ObjectSharedContext): Promise<Memory> {
  const stored = await ctx.get<Stored>(MEMORY);
  if (stored?.schema !== SCHEMA_VERSION) return { applied: {}, timers: {} };
  const { schema: _, ...memory } = stored;
  return memory;
}

export function writeMemory(ctx: ObjectContext, memory: Memory): void {
  ctx.set<Stored>(MEMORY, { schema: SCHEMA_VERSION, ...memory });
}

/** What was applied, with what an action has changed; `null`: it is forgotten. */
export function withApplied(
  before: Memory["applied"],
  changes: Readonly<Record<string, Memory["applied"][string] | null>>,
): Memory["applied"] {
  const entries = Object.entries({ ...before, ...changes });
  return Object.fromEntries(
    entries.flatMap(([key, value]) => (value === null ? [] : [[key, value]])),
  );
}
