/**
 * The API server's audit log as records: who did what to which object, when, and with which result. It is the ground truth
 * for "how many writes did the operator make".
 */
import { open } from "node:fs/promises";

/** One answered request. Watches appear when they end. */
export type AuditRecord = {
  /** User name: `system:serviceaccount:restate-operator:restate-operator`. */
  readonly user: string;
  readonly verb: string;
  readonly apiGroup: string;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
  /** HTTP status. */
  readonly code: number;
  /** When the request arrived, milliseconds since the epoch, with fractions down to the microsecond. */
  readonly receivedAtMs: number;
  /** When the answer was complete, in the same unit. */
  readonly answeredAtMs: number;
  readonly userAgent: string;
};

/** Verbs that change something. */
const WRITES = new Set(["create", "update", "patch", "delete", "deletecollection"]);

export function isWrite(record: AuditRecord): boolean {
  return WRITES.has(record.verb);
}

/** A position in the log: records after it are those of what happened after it was taken. Bytes. */
export type AuditPosition = number;

/** The end of the log as it is now. */
export async function auditPosition(file: string): Promise<AuditPosition> {
  const log = await open(file);
  try {
    return (await log.stat()).size;
  } finally {
    await log.close();
  }
}

/** The records from a position (default: the beginning) to the end. A line that is being written is left out. */
export async function readAudit(file: string, from: AuditPosition = 0): Promise<AuditRecord[]> {
  const log = await open(file);
  try {
    const { size } = await log.stat();
    const buffer = Buffer.alloc(Math.max(0, size - from));
    await log.read(buffer, 0, buffer.length, from);
    const text = buffer.toString("utf8");
    return text
      .slice(0, text.lastIndexOf("\n") + 1)
      .split("\n")
      .filter((line) => line !== "")
      .map(parseAuditLine);
  } finally {
    await log.close();
  }
}

type AuditLine = {
  verb: string;
  userAgent?: string;
  user: { username: string };
  objectRef?: {
    resource?: string;
    namespace?: string;
    name?: string;
    subresource?: string;
    apiGroup?: string;
  };
  responseStatus?: { code?: number };
  requestReceivedTimestamp: string;
  stageTimestamp: string;
};

export function parseAuditLine(line: string): AuditRecord {
  const event = JSON.parse(line) as AuditLine;
  return {
    user: event.user.username,
    verb: event.verb,
    apiGroup: event.objectRef?.apiGroup ?? "",
    resource: event.objectRef?.resource ?? "",
    namespace: event.objectRef?.namespace ?? "",
    name: event.objectRef?.name ?? "",
    subresource: event.objectRef?.subresource ?? "",
    code: event.responseStatus?.code ?? 0,
    receivedAtMs: millisecondsOf(event.requestReceivedTimestamp),
    answeredAtMs: millisecondsOf(event.stageTimestamp),
    userAgent: event.userAgent ?? "",
  };
}

/** Date.parse drops what is below a millisecond. */
function millisecondsOf(timestamp: string): number {
  const fraction = /\.(\d+)Z$/.exec(timestamp)?.[1] ?? "0";
  return Date.parse(timestamp.replace(/\.\d+Z$/, "Z")) + Number(`0.${fraction}`) * 1_000;
}
