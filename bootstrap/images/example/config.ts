/** What differs from one greeter to the next. */
export type GreeterConfig = {
  /** Part of every answer. */
  readonly version: string;
  readonly port: number;
  /** Public keys of those who may call, as Restate prints them (`publickeyv1_…`); none: everybody may. */
  readonly identityKeys: readonly string[];
};

const PORT_DEFAULT = 9080;
const PORT_MAX = 65_535;

/**
 * Reads GREETER_VERSION (default `v1`), PORT (default 9080) and IDENTITY_KEYS (comma-separated, default none).
 *
 * @throws Error when PORT is not a port.
 */
export function greeterConfig(): GreeterConfig {
  const port = Number(process.env["PORT"] || PORT_DEFAULT);
  if (!Number.isInteger(port) || port < 1 || port > PORT_MAX) {
    throw new Error(`PORT must be a number from 1 to ${PORT_MAX}`);
  }
  return {
    version: process.env["GREETER_VERSION"] || "v1",
    port,
    identityKeys: (process.env["IDENTITY_KEYS"] ?? "").split(",").filter((key) => key !== ""),
  };
}
