/**
 * The life of one RestateCluster, as a script: created, changed three times, deleted, each step taken when the one before has
 * converged. Lived undisturbed it is the reference for lives during which things are killed.
 */
import type { AuditRecord } from "./audit.ts";
import { isWrite } from "./audit.ts";
import {
  applyCluster,
  maskedState,
  MINIMAL,
  playedNodes,
  untilGone,
  untilReady,
} from "./clusters.ts";
import type { ClusterSpec } from "./clusters.ts";
import type { Objects } from "./objects.ts";
import { until } from "./until.ts";

const CONFIG = (level: string) => `log-filter = "${level}"\n`;

/** Specifications, one after the other. */
export const STEPS: readonly ClusterSpec[] = [
  { ...MINIMAL, config: CONFIG("info") },
  { ...MINIMAL, config: CONFIG("info"), compute: { image: "restatedev/restate:1.7.13" } },
  {
    ...playedNodes(2),
    config: CONFIG("debug"),
    compute: { image: "restatedev/restate:1.7.13", replicas: 2 },
  },
  {
    ...playedNodes(2),
    config: CONFIG("debug"),
    compute: {
      image: "restatedev/restate:1.7.13",
      replicas: 2,
      env: [{ name: "GREETING", value: "hello" }],
    },
  },
];

export type Life = {
  readonly name: string;
  /** Masked objects before the deletion; the name is `<name>`. */
  readonly state: unknown;
};

/** Long enough for a step during which things are killed again and again. */
const STEP_TIMEOUT_MS = 240_000;

/** Lives one life. `stepped` is told after each step that has converged. */
export async function live(
  objects: Objects,
  name: string,
  stepped: () => void = () => undefined,
): Promise<Life> {
  for (const spec of STEPS) {
    await retried(`apply ${name}`, () => applyCluster(objects, name, { spec }));
    await untilReady(objects, name, { timeoutMs: STEP_TIMEOUT_MS });
    stepped();
  }
  const state = await until(
    `${name} has one ConfigMap`,
    async () => {
      const seen = await maskedState(objects, name);
      const maps = Object.keys(seen).filter((key) => key.startsWith("ConfigMap "));
      return maps.length === 1 ? seen : undefined;
    },
    { timeoutMs: STEP_TIMEOUT_MS },
  );
  await retried(`remove ${name}`, () => objects.remove("RestateCluster", name));
  await untilGone(objects, name, { timeoutMs: STEP_TIMEOUT_MS });
  stepped();
  return { name, state: withoutName(state, name) };
}

/** Created and deleted again before it can converge. */
export async function liveBriefly(objects: Objects, name: string): Promise<void> {
  await retried(`apply ${name}`, () => applyCluster(objects, name));
  await retried(`remove ${name}`, () => objects.remove("RestateCluster", name));
  await untilGone(objects, name, { timeoutMs: STEP_TIMEOUT_MS });
}

/** What a user does when the API server is away: the same again. */
async function retried(what: string, call: () => Promise<unknown>): Promise<void> {
  await until(what, async () => {
    await call();
    return true;
  });
}

/** How often each object of a cluster was created and deleted, by `verb resource name`; the cluster's name is `<name>`. */
export function lifecycleCounts(
  records: readonly AuditRecord[],
  name: string,
): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const record of records) {
    if (record.resource === "events" || !concerns(record, name)) continue;
    const verb = record.verb === "delete" && record.code === 200 ? "delete" : createdBy(record);
    if (verb === undefined) continue;
    const key = withoutName(`${verb} ${record.resource} ${record.name}`, name) as string;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

/** Writes about a cluster, events aside. */
export function writesAbout(records: readonly AuditRecord[], name: string): AuditRecord[] {
  return records.filter(
    (record) => isWrite(record) && record.resource !== "events" && concerns(record, name),
  );
}

/** Server-side apply is a patch; the answer says whether it created. */
function createdBy({ verb, code }: AuditRecord): "create" | undefined {
  return (verb === "create" || verb === "patch") && code === 201 ? "create" : undefined;
}

const concerns = (record: AuditRecord, name: string): boolean =>
  record.namespace === name || (record.namespace === "" && record.name === name);

/** A value with `<name>` in place of a cluster's name. */
export function withoutName(value: unknown, name: string): unknown {
  const text = JSON.stringify(value).replaceAll(new RegExp(`\\b${name}\\b`, "g"), "<name>");
  return JSON.parse(text);
}
