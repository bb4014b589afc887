/**
 * The configuration of the services: environment variables, read once, checked, and named in every complaint. Nothing past
 * this file reads the environment.
 */
import { z } from "zod";

/** A variable is missing or has a value that cannot be used. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

const text = z.string().min(1);
const url = z
  .url({ protocol: /^https?$/, error: "must be an http or https URL" })
  .transform((value) => value.replace(/\/+$/, ""));
const port = z.coerce
  .number("must be a port number")
  .int()
  .min(0, "must be 0 to 65535")
  .max(65_535, "must be 0 to 65535");
const flag = z
  .enum(["true", "false"], "must be true or false")
  .transform((value) => value === "true");
const domain = z
  .string()
  .regex(
    /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
    "must be a DNS domain",
  );
const hostAndPort = z
  .string()
  .regex(/^[^:/\s]+:\d{1,5}$/, "must be host:port")
  .transform((value) => {
    const [host = "", number = ""] = value.split(":");
    return { host, port: Number(number) };
  });

const Environment = z.object({
  OPERATOR_NAMESPACE: text.default("restate-operator"),
  OPERATOR_LABEL_NAME: text.default("app.kubernetes.io/name"),
  OPERATOR_LABEL_VALUE: text.default("restate-operator"),
  CLUSTER_DNS: domain.default("cluster.local"),
  MANAGE_NETWORK_POLICIES: flag.default(true),
  MANAGE_SECRET_PROVIDER_CLASSES: flag.default(true),
  AWS_POD_IDENTITY_ASSOCIATION_CLUSTER: text.optional(),
  GCP_WORKLOAD_IDENTITY: flag.default(false),
  CANARY_IMAGE: text.default("alpine:3.21"),
  ALLOW_HOST_ACCESS: flag.default(false),
  BOOTSTRAP_INGRESS_URL: url,
  BOOTSTRAP_ADMIN_URL: url,
  BOOTSTRAP_AUTH_TOKEN_FILE: text.optional(),
  SERVICES_URL: url,
  SERVICES_PORT: port.default(9080),
  HEALTH_PORT: port.default(8080),
  BIND_ADDRESS: text.default("0.0.0.0"),
  REQUEST_IDENTITY_KEY_FILE: text.optional(),
  REQUEST_IDENTITY_PUBLIC_KEYS: text
    .transform((value) => value.split(",").map((key) => key.trim()))
    .pipe(z.array(z.string().startsWith("publickeyv1_", "must be publickeyv1_…, comma separated")))
    .optional(),
  CLUSTER_PROXY: hostAndPort.optional(),
  ADMIN_URL_ALLOWED_HOSTS: text
    .transform((value) => value.split(",").map((host) => host.trim()))
    .optional(),
  LOG_LEVEL: z
    .enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"], "must be a log level")
    .default("info"),
});

/** What the environment says. Empty variables count as unset. */
export type ServicesConfig = z.infer<typeof Environment>;

/** Parses an environment. Throws `ConfigError` naming every variable that is wrong, and how. */
export function parseConfig(
  environment: Readonly<Record<string, string | undefined>>,
): ServicesConfig {
  const set = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ""));
  const parsed = Environment.safeParse(set);
  const problems = parsed.success
    ? []
    : parsed.error.issues.map(({ path, message, code }) => {
        const [name = ""] = path;
        const missing = code === "invalid_type" && set[String(name)] === undefined;
        return `${String(name)} ${missing ? "is missing" : message}`;
      });
  if (
    set["REQUEST_IDENTITY_KEY_FILE"] === undefined &&
    set["REQUEST_IDENTITY_PUBLIC_KEYS"] === undefined
  ) {
    problems.push(
      "REQUEST_IDENTITY_KEY_FILE or REQUEST_IDENTITY_PUBLIC_KEYS is missing: the services answer only a Restate they can recognise",
    );
  }
  if (!parsed.success || problems.length > 0) {
    throw new ConfigError(`the environment cannot be used: ${problems.join("; ")}`);
  }
  return parsed.data;
}

/** The configuration of this process. */
export function readConfig(): ServicesConfig {
  return parseConfig(process.env);
}
