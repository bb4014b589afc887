/**
 * The Restate SDK's log lines in ours: same format, same levels. What it says of a handler's arguments or results stays
 * unsaid; its own messages name services, handlers and invocation ids only.
 */
import type { LoggerTransport } from "@restatedev/restate-sdk";
import type { Level, Logger } from "pino";

/**
 * Levels by the SDK's names for them; it declares an enum of these strings and does not export it. Its `info` tells of every
 * invocation that starts and ends, which Restate shows already.
 */
const LEVELS: Readonly<Record<string, Level>> = {
  trace: "trace",
  debug: "debug",
  info: "debug",
  warn: "warn",
  error: "error",
};

/** A transport for `createEndpointHandler`. */
export function sdkLogger(log: Logger): LoggerTransport {
  return ({ level, replaying, context }, message, ...details) => {
    if (replaying) return;
    const fields = {
      invocation: context?.invocationTarget,
      id: context?.invocationId,
      error: details.find((detail) => detail instanceof Error)?.message,
    };
    const text = String(message);
    const name: string = level;
    log[LEVELS[name] ?? "debug"](fields, text);
  };
}
