/**
 * The watcher's configuration: the environment, read once and checked. Nothing else here reads the environment, but for the
 * Kubernetes client, which resolves KUBECONFIG. An empty variable counts as absent.
 */
import { z } from "zod";
import type { Managed } from "./kinds.ts";
import { LOG_LEVELS } from "./log.ts";
import type { Credentials } from "./watch.ts";

const integer = (fallback: number, min: number, max: number) =>
  z
    .string()
    .regex(/^\d+$/, "must be a whole number")
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be between ${min} and ${max}`)
    .default(fallback);

const flag = z
  .enum(["true", "false"], "must be true or false")
  .transform((value) => value === "true");

const httpUrl = z
  .url({ protocol: /^https?$/, error: "must be an http:// or https:// URL" })
  .transform((url) => url.replace(/\/+$/, ""));

const dnsLabel = z
  .string()
  .regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, "must be the name of a namespace")
  .optional();

const Environment = z.object({
  BOOTSTRAP_INGRESS_URL: httpUrl,
  BOOTSTRAP_AUTH_TOKEN_FILE: z.string().optional(),
  BIND_ADDRESS: z.string().default("0.0.0.0"),
  HEALTH_PORT: integer(8080, 0, 65_535),
  LOG_LEVEL: z.enum(LOG_LEVELS).default("info"),
  OPERATOR_NAMESPACE: dnsLabel,
  OPERATOR_POD_NAME: z.string().optional(),
  OPERATOR_POD_UID: z.string().optional(),
  MANAGE_NETWORK_POLICIES: flag.default(true),
  AWS_POD_IDENTITY_ASSOCIATION_CLUSTER: z.string().optional(),
  GCP_WORKLOAD_IDENTITY: flag.default(false),
  RESYNC_SECONDS: integer(600, 1, 86_400),
  WATCH_IDLE_SECONDS: integer(100, 1, 3_600),
  WAKE_CONCURRENCY: integer(16, 1, 256),
  KUBECONFIG: z.string().optional(),
  KUBERNETES_SERVICE_HOST: z.string().optional(),
});

/** The pod this process runs in, for events. */
export interface OperatorPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface WatcherConfig {
  /** Without a slash at the end. */
  readonly ingressUrl: string;
  readonly authTokenFile: string | undefined;
  readonly bindAddress: string;
  /** 0: any free port. */
  readonly healthPort: number;
  readonly logLevel: z.infer<typeof Environment>["LOG_LEVEL"];
  readonly operatorNamespace: string | undefined;
  readonly operatorPod: OperatorPod | undefined;
  readonly managed: Managed;
  readonly resyncMs: number;
  readonly idleMs: number;
  readonly concurrency: number;
  readonly credentials: Credentials;
}

/** A variable is missing or wrong; the message names each, and what it should be. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** Reads the configuration. Throws a `ConfigError` that names every variable that is wrong. */
export function parseConfig(
  environment: Readonly<Record<string, string | undefined>>,
  kubeconfig: string | undefined,
): WatcherConfig {
  const given = Object.entries(environment).filter(([, value]) => value !== "");
  const parsed = Environment.safeParse(Object.fromEntries(given));
  if (!parsed.success) {
    const problems = parsed.error.issues.map(
      (issue) => `${issue.path.join(".")}: ${problem(issue)}`,
    );
    throw new ConfigError(`invalid environment: ${problems.join("; ")}`);
  }
  const env = parsed.data;
  return {
    ingressUrl: env.BOOTSTRAP_INGRESS_URL,
    authTokenFile: env.BOOTSTRAP_AUTH_TOKEN_FILE,
    bindAddress: env.BIND_ADDRESS,
    healthPort: env.HEALTH_PORT,
    logLevel: env.LOG_LEVEL,
    operatorNamespace: env.OPERATOR_NAMESPACE,
    operatorPod: operatorPodOf(env),
    managed: {
      networkPolicies: env.MANAGE_NETWORK_POLICIES,
      podIdentity: env.AWS_POD_IDENTITY_ASSOCIATION_CLUSTER !== undefined,
      workloadIdentity: env.GCP_WORKLOAD_IDENTITY,
    },
    resyncMs: env.RESYNC_SECONDS * 1_000,
    idleMs: env.WATCH_IDLE_SECONDS * 1_000,
    concurrency: env.WAKE_CONCURRENCY,
    credentials: credentialsOf(env, kubeconfig),
  };
}

/** The configuration of this process. */
export function readConfig(kubeconfig: string | undefined): WatcherConfig {
  return parseConfig(process.env, kubeconfig);
}

function problem(issue: z.core.$ZodIssue): string {
  return issue.input === undefined && issue.code === "invalid_type" ? "is required" : issue.message;
}

function operatorPodOf(env: z.infer<typeof Environment>): OperatorPod | undefined {
  const { OPERATOR_NAMESPACE: namespace, OPERATOR_POD_NAME: name, OPERATOR_POD_UID: uid } = env;
  if (namespace === undefined || name === undefined || uid === undefined) return undefined;
  return { namespace, name, uid };
}

function credentialsOf(
  env: z.infer<typeof Environment>,
  kubeconfig: string | undefined,
): Credentials {
  if (kubeconfig !== undefined) return { kind: "file", path: kubeconfig };
  if (env.KUBECONFIG !== undefined) return { kind: "environment" };
  if (env.KUBERNETES_SERVICE_HOST !== undefined) return { kind: "serviceAccount" };
  throw new ConfigError(
    "no Kubernetes credentials: pass --kubeconfig FILE, set KUBECONFIG, or run in a pod",
  );
}
