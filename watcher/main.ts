#!/usr/bin/env node
/**
 * The watcher's command: reads Kubernetes, sends wakes to the bootstrap Restate. It keeps nothing: it can be killed at any
 * point, and two of them are harmless. This file only wires.
 */
import { Command } from "commander";
import { collectDefaultMetrics } from "prom-client";
import packageJson from "../package.json" with { type: "json" };
import { systemClock } from "./clock.ts";
import { ConfigError, readConfig } from "./config.ts";
import { announcerOf } from "./events.ts";
import { serveHealth } from "./health.ts";
import { connectIngress } from "./ingress.ts";
import { createLog } from "./log.ts";
import { KubernetesApi, sourceOf } from "./watch.ts";
import { Watcher } from "./watcher.ts";

const ENVIRONMENT_HELP = `
Environment:
  BOOTSTRAP_INGRESS_URL      URL of the ingress of the operator's own Restate (required)
  BOOTSTRAP_AUTH_TOKEN_FILE  file with a bearer token for it
  HEALTH_PORT                port of /health, /ready and /metrics (8080)
  BIND_ADDRESS               address to listen on (0.0.0.0)
  LOG_LEVEL                  trace, debug, info, warn, error or silent (info)
  OPERATOR_NAMESPACE         namespace of the operator
  OPERATOR_POD_NAME, OPERATOR_POD_UID  the pod on which events are recorded
  MANAGE_NETWORK_POLICIES, AWS_POD_IDENTITY_ASSOCIATION_CLUSTER, GCP_WORKLOAD_IDENTITY
                             as the services have them: what they do not write is not watched
  RESYNC_SECONDS             how often everything is listed afresh (600)
  WATCH_IDLE_SECONDS         silence after which a watch is replaced (100)
  WAKE_CONCURRENCY           sends outstanding at once (16)
  KUBECONFIG                 credentials, when neither --kubeconfig nor a pod gives them
`;

async function run(kubeconfig: string | undefined): Promise<void> {
  const config = readConfig(kubeconfig);
  const log = createLog(config.logLevel);
  const api = new KubernetesApi(config.credentials);
  const ingress = connectIngress({
    url: config.ingressUrl,
    authTokenFile: config.authTokenFile,
    concurrency: config.concurrency,
  });
  const watcher = new Watcher({
    sourceOf: (kind) => sourceOf(api, kind, systemClock.random),
    send: ingress.send,
    announce: announcerOf(api, config.operatorPod, log),
    clock: systemClock,
    log,
    operatorNamespace: config.operatorNamespace,
    managed: config.managed,
    concurrency: config.concurrency,
    resyncMs: config.resyncMs,
    idleMs: config.idleMs,
  });
  collectDefaultMetrics({ register: watcher.metrics.registry });
  const health = await serveHealth({
    bindAddress: config.bindAddress,
    port: config.healthPort,
    pendingControllers: () => watcher.pendingControllers(),
    registry: watcher.metrics.registry,
  });
  watcher.start();
  log.info({ port: health.port, version: packageJson.version }, "watcher started");

  const signal = await firstSignal();
  log.info({ signal }, "watcher stops");
  const drained = await watcher.stop();
  await Promise.all([health.close(), ingress.close(), api.close()]);
  log.info({ drained }, "watcher stopped");
}

function firstSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
  });
}

const program = new Command("watcher")
  .description("Watches Kubernetes and wakes the operator's reconcilers.")
  .version(packageJson.version)
  .option("--kubeconfig <file>", "kubeconfig to use instead of KUBECONFIG or the pod's credentials")
  .addHelpText("after", ENVIRONMENT_HELP)
  .action(async (options: { kubeconfig?: string }) => {
    await run(options.kubeconfig);
  });

try {
  await program.parseAsync();
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`watcher: ${message}\n`);
  process.exitCode = error instanceof ConfigError ? 2 : 1;
}
