#!/usr/bin/env node
/**
 * The services: the process that reconciles. It serves the reconcilers to the bootstrap Restate, registers itself there,
 * and sweeps what an earlier build left in flight. All it knows is in Kubernetes and in Restate: it can be killed at any
 * moment and started again anywhere.
 */
import { readFile } from "node:fs/promises";
import { createEndpointHandler } from "@restatedev/restate-sdk";
import { Command } from "commander";
import packageJson from "../package.json" with { type: "json" };
import { publicIdentityOf } from "../bootstrap/restate/identity.ts";
import { wakeThroughIngress } from "../bootstrap/restate/wake.ts";
import { buildIdOf } from "./build-id.ts";
import { cloudEnvironmentKind } from "./cloud-environment/reconciler.ts";
import { clusterKind } from "./cluster/reconciler.ts";
import { defineClusterSurvey } from "./cluster/survey/survey.ts";
import { ConfigError, readConfig, type ServicesConfig } from "./config.ts";
import { defineVersionDrain } from "./deployment/drain/drain.ts";
import { deploymentKind } from "./deployment/reconciler.ts";
import { refusedResolution } from "./deployment/observe/refused-target.ts";
import { INVOCATION_USAGE } from "./deployment/drain/drain-api.ts";
import { defineInvocationUsage } from "./deployment/drain/usage.ts";
import { serveEndpoint, serveHealth, type Readiness } from "./endpoint.ts";
import { KubeClient, loadKubeConfig } from "./kube/client.ts";
import type { Kind } from "./kube/kinds.ts";
import { refuseUnmetRequirements } from "./requirements.ts";
import { defineReconciler } from "./reconciler/reconciler.ts";
import { Turns } from "./reconciler/turns.ts";
import { keepRegistered } from "./registration.ts";
import { RestateAdmin } from "./restate/admin.ts";
import { AdminPool } from "./restate/admin-pool.ts";
import { dialer, guardedLookup } from "./restate/dial.ts";
import { sdkLogger } from "./telemetry/sdk-logger.ts";
import { createTelemetry, type Telemetry } from "./telemetry/telemetry.ts";

const ENVIRONMENT_HELP = `
Environment:
  BOOTSTRAP_INGRESS_URL, BOOTSTRAP_ADMIN_URL  the operator's own Restate (required)
  BOOTSTRAP_AUTH_TOKEN_FILE   file with a bearer token for it
  SERVICES_URL                URL by which that Restate reaches this process (required)
  REQUEST_IDENTITY_KEY_FILE   private key (PEM) with which that Restate signs its requests, or
  REQUEST_IDENTITY_PUBLIC_KEYS  its public keys: publickeyv1_…, comma separated
  SERVICES_PORT               port of the endpoint, h2c (9080)
  HEALTH_PORT                 port of /health, /ready and /metrics (8080)
  BIND_ADDRESS                address to listen on (0.0.0.0)
  OPERATOR_NAMESPACE          namespace of the operator (restate-operator)
  OPERATOR_LABEL_NAME, OPERATOR_LABEL_VALUE  label of these pods, which NetworkPolicies of clusters let in
  CLUSTER_DNS                 domain of the Kubernetes cluster (cluster.local)
  CLUSTER_PROXY               host:port of a proxy that reaches names of the cluster, when this runs outside it
  ADMIN_URL_ALLOWED_HOSTS     hosts or host:port, comma separated, that register.url may name although they lead to this
                              machine or another place that is refused otherwise
  MANAGE_NETWORK_POLICIES     whether NetworkPolicies are looked at, written and removed (true)
  MANAGE_SECRET_PROVIDER_CLASSES  the same of SecretProviderClasses, where the Secrets Store CSI driver is installed (true)
  AWS_POD_IDENTITY_ASSOCIATION_CLUSTER  name of this Kubernetes cluster at EKS: PodIdentityAssociations are made for clusters
                              that ask for a role; needs the EKS controller of AWS Controllers for Kubernetes
  GCP_WORKLOAD_IDENTITY       whether IAMPolicyMembers are made for clusters that name a Google service account (false)
  CANARY_IMAGE                image of what runs beside Restate: a shell, cat, grep, wget, certificates (alpine:3.21)
  ALLOW_HOST_ACCESS           whether pods of a RestateCluster may have host paths and privileged containers (false)
  LOG_LEVEL                   trace, debug, info, warn, error or silent (info)
  KUBECONFIG                  credentials, when neither --kubeconfig nor a pod gives them
`;

async function run(kubeconfig: string | undefined): Promise<void> {
  const config = readConfig();
  const telemetry = createTelemetry(config.LOG_LEVEL);
  const build = buildIdOf(process.argv[1] ?? "", packageJson.version);
  const kube = new KubeClient(loadKubeConfig(kubeconfig));
  await refuseUnmetRequirements(kube, config);
  const reconcilers = reconcilersOf(config, telemetry, kube);
  const handler = createEndpointHandler({
    services: reconcilers.services,
    identityKeys: await identityKeysOf(config),
    logger: sdkLogger(telemetry.log),
  });
  const readiness: Readiness = { registered: false };
  const address = config.BIND_ADDRESS;
  const health = await serveHealth(
    { readiness, registry: telemetry.registry },
    { address, port: config.HEALTH_PORT },
  );
  const endpoint = await serveEndpoint(build, handler, { address, port: config.SERVICES_PORT });
  telemetry.log.info({ build, port: endpoint.port, healthPort: health.port }, "services started");

  const stopping = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stopping.abort());
  const stopped = new Promise<void>((resolve) => {
    stopping.signal.addEventListener("abort", () => resolve());
  });
  const { signal } = stopping;
  await Promise.race([
    takeUpWork({ config, telemetry, build, reconcilers, readiness, signal }),
    stopped,
  ]);
  await stopped;
  await Promise.all([endpoint.close(), health.close()]);
  telemetry.log.info("services stopped");
}

type Reconcilers = ReturnType<typeof reconcilersOf>;

/** The services, and every resource they reconcile. */
function reconcilersOf(config: ServicesConfig, telemetry: Telemetry, kube: KubeClient) {
  const cluster = {
    operatorNamespace: config.OPERATOR_NAMESPACE,
    operatorLabel: { name: config.OPERATOR_LABEL_NAME, value: config.OPERATOR_LABEL_VALUE },
    clusterDns: config.CLUSTER_DNS,
    manageNetworkPolicies: config.MANAGE_NETWORK_POLICIES,
    manageSecretProviderClasses: config.MANAGE_SECRET_PROVIDER_CLASSES,
    ...(config.AWS_POD_IDENTITY_ASSOCIATION_CLUSTER === undefined
      ? {}
      : { awsPodIdentityAssociationCluster: config.AWS_POD_IDENTITY_ASSOCIATION_CLUSTER }),
    gcpWorkloadIdentity: config.GCP_WORKLOAD_IDENTITY,
    canaryImage: config.CANARY_IMAGE,
    allowHostAccess: config.ALLOW_HOST_ACCESS,
  };
  const dial = dialer(config.CLUSTER_PROXY);
  const deployment = {
    clusterDns: config.CLUSTER_DNS,
    targets: {
      allowed: config.ADMIN_URL_ALLOWED_HOSTS ?? [],
      reserved: [hostOf(config.BOOTSTRAP_ADMIN_URL), hostOf(config.SERVICES_URL)],
    },
  };
  const admins = new AdminPool({
    lookup: guardedLookup((resolved) => refusedResolution(resolved, deployment.targets)),
    ...(config.CLUSTER_PROXY === undefined ? {} : { dial }),
  });
  const kinds = [
    clusterKind({ kube, config: cluster, dial }),
    deploymentKind({ kube, admins, config: deployment }),
    cloudEnvironmentKind({ kube }),
  ] as const;
  const [clusters, deployments, environments] = kinds;
  const shared = { telemetry, turns: new Turns() };
  return {
    services: [
      defineReconciler(clusters, shared),
      defineReconciler(deployments, shared),
      defineReconciler(environments, shared),
      defineClusterSurvey({ dial }),
      defineVersionDrain({ admins }),
      defineInvocationUsage({ admins }),
    ],
    resources: async () =>
      (await Promise.all(kinds.map(({ service, kind }) => keysOf(kube, service, kind)))).flat(),
  };
}

function hostOf(url: string): string {
  return new URL(url).hostname;
}

/** Every resource of a kind, as the key of its reconciler. */
async function keysOf(kube: KubeClient, service: string, kind: Kind) {
  return (await kube.listMetadata({ kind })).map(({ metadata }) => ({
    service,
    key: [metadata?.namespace, metadata?.name].filter((part) => part !== undefined).join("/"),
  }));
}

async function identityKeysOf(config: ServicesConfig): Promise<string[]> {
  const file = config.REQUEST_IDENTITY_KEY_FILE;
  const own = file === undefined ? [] : [publicIdentityOf(await readFile(file, "utf8"))];
  return [...own, ...(config.REQUEST_IDENTITY_PUBLIC_KEYS ?? [])];
}

/** Registers this build and keeps it registered, until the process is to stop. */
async function takeUpWork(start: {
  config: ServicesConfig;
  telemetry: Telemetry;
  build: string;
  reconcilers: Reconcilers;
  readiness: Readiness;
  signal: AbortSignal;
}): Promise<void> {
  const { config, telemetry, build, reconcilers, readiness, signal } = start;
  const tokenFile = config.BOOTSTRAP_AUTH_TOKEN_FILE;
  const token =
    tokenFile === undefined
      ? {}
      : { token: async () => (await readFile(tokenFile, "utf8")).trim() };
  const admin = new RestateAdmin({ url: config.BOOTSTRAP_ADMIN_URL, ...token });
  try {
    await keepRegistered({
      admin,
      uri: `${config.SERVICES_URL}/${build}`,
      services: reconcilers.services.map(({ name }) => name),
      wakeable: reconcilers.services
        .map(({ name }) => name)
        .filter((name) => name !== INVOCATION_USAGE),
      wake: wakeThroughIngress({ url: config.BOOTSTRAP_INGRESS_URL, ...token }),
      resources: reconcilers.resources,
      readiness,
      log: telemetry.log,
      signal,
    });
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    await admin.close();
  }
}

const command = new Command("services")
  .description("Reconciles Restate resources: the services that the operator's own Restate calls.")
  .version(packageJson.version)
  .option("--kubeconfig <file>", "credentials for Kubernetes")
  .addHelpText("after", ENVIRONMENT_HELP)
  .action((options: { kubeconfig?: string }) => run(options.kubeconfig));

try {
  await command.parseAsync();
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  process.stderr.write(`services: ${error.message}\n`);
  process.exitCode = 1;
}
