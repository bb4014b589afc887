/** Numbers of a benchmark: percentiles, memory, and what the audit log says about a span of time. */
import { readFile } from "node:fs/promises";
import { isWrite, type AuditRecord } from "../harness/audit.ts";

export type Percentiles = { readonly p50: number; readonly p99: number; readonly max: number };

/** Of milliseconds, rounded to whole ones. */
export function percentiles(valuesMs: readonly number[]): Percentiles {
  const sorted = valuesMs.toSorted((a, b) => a - b);
  const at = (fraction: number) =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? NaN);
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** Resident memory of a process in MiB. Linux. */
export async function residentMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Math.round(Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? NaN) / 1024);
}

const CLOCK_TICKS_PER_SECOND = 100;

/** Processor time a process has used so far, in seconds. Linux. */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  // proc(5): user and system time are the 14th and 15th field; the second, a name, may contain spaces
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_SECOND;
}

/** The same of this process. */
export function ownCpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

export type RequestCounts = { readonly requests: number; readonly writes: number };

/** Requests and writes, divided by a number of resources, to one decimal. */
export function perResource(records: readonly AuditRecord[], resources: number): RequestCounts {
  const each = (count: number) => Math.round((count / resources) * 10) / 10;
  return { requests: each(records.length), writes: each(records.filter(isWrite).length) };
}

/** `verb resource` → how often, most frequent first. */
export function byKind(records: readonly AuditRecord[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const { verb, resource, subresource } of records) {
    const key = `${verb} ${resource}${subresource === "" ? "" : `/${subresource}`}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return Object.fromEntries([...counts].toSorted(([, a], [, b]) => b - a));
}

/** Milliseconds from the answer to whoever created a RestateCluster to the first record that matches, by cluster. */
export function delaysFromCreation(
  records: readonly AuditRecord[],
  names: readonly string[],
  isEnd: (record: AuditRecord, name: string) => boolean,
): number[] {
  return names.flatMap((name) => {
    const created = records.find(
      (record) =>
        record.resource === "restateclusters" && record.name === name && record.code === 201,
    );
    const end = records.find((record) => isEnd(record, name));
    return created === undefined || end === undefined
      ? []
      : [end.answeredAtMs - created.answeredAtMs];
  });
}
