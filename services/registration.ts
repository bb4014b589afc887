/**
 * This build's place on the bootstrap Restate: registers it, ends what other builds left in flight, and does both again
 * when the bootstrap has lost its volume.
 *
 * A bootstrap that knows nothing of our services knows no timer and no queued wake either, and the watcher may have sent
 * its own to the one before: so every resource is woken once. What reconciles find is the world as it is, so this is a
 * delay and never a loss.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { registerServices } from "../bootstrap/restate/register.ts";
import { sweep, type SweepTarget } from "../bootstrap/restate/sweep.ts";
import { waitForRestate } from "../bootstrap/restate/wait.ts";
import type { Readiness } from "./endpoint.ts";
import { AdminError, type RestateAdmin } from "./restate/admin.ts";

/** How soon the sweep is repeated while an older build still has something in flight. */
const SWEEP_AGAIN_MS = 5_000;
/** How often the bootstrap is asked whether it still knows our services: one small request. */
const LOOK_MS = 5_000;

export interface RegistrationOptions {
  readonly admin: RestateAdmin;
  /** URL of this build's endpoint, as the bootstrap reaches it. */
  readonly uri: string;
  readonly services: readonly string[];
  /** Those of them that have a handler `wake`. */
  readonly wakeable: readonly string[];
  /** Wakes a key of a service. */
  readonly wake: (service: string, key: string) => Promise<void>;
  /** Every resource there is, as service and key. */
  readonly resources: () => Promise<readonly { readonly service: string; readonly key: string }[]>;
  readonly readiness: Readiness;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Registers, sweeps, and watches over the registration until `signal` aborts; then rejects with its AbortError. */
export async function keepRegistered(options: RegistrationOptions): Promise<never> {
  const { admin, uri, services, wakeable, log, signal, readiness } = options;
  for (;;) {
    await waitForRestate(admin, {
      signal,
      onWait: (reason) => log.warn({ reason }, "waiting for the bootstrap Restate"),
    });
    const knowsNothing = (await isKnown(options)) === false;
    const deploymentId = await registerServices(
      admin,
      { uri, services },
      { signal, onRefusal: (reason) => log.warn({ reason, uri }, "registration was refused") },
    );
    readiness.registered = true;
    log.info({ uri, deploymentId, knowsNothing }, "registered");
    await sweepUntilDone({ ...options, deploymentId, wakeable }, options);
    if (knowsNothing) await wakeAll(options);
    do await sleep(LOOK_MS, undefined, { signal });
    while ((await isKnown(options)) !== false);
    readiness.registered = false;
    log.warn("the bootstrap Restate does not know the services any more");
  }
}

/**
 * Whether every service of ours is registered, by whichever build: a newer one that took over is not to be pushed aside.
 * `undefined`: no answer.
 */
async function isKnown({ admin, services }: RegistrationOptions): Promise<boolean | undefined> {
  try {
    const latest = await Promise.all(services.map((service) => admin.latestDeploymentOf(service)));
    return latest.every((deployment) => deployment !== undefined);
  } catch (error) {
    if (error instanceof AdminError) return undefined;
    throw error;
  }
}

/** An older build's invocation may be pinned while it is being killed, and the bootstrap may be away: until nothing is left. */
async function sweepUntilDone(
  target: SweepTarget,
  { log, signal }: RegistrationOptions,
): Promise<void> {
  for (;;) {
    try {
      const swept = await sweep(target);
      if (swept.killed + swept.forgotten > 0) log.info({ ...swept }, "swept");
      if (swept.remaining === 0) return;
    } catch (error) {
      // Admin API or ingress did not answer.
      const reason = error instanceof Error ? error.message : String(error);
      log.warn({ reason }, "the sweep is repeated");
    }
    await sleep(SWEEP_AGAIN_MS, undefined, { signal });
  }
}

async function wakeAll({ resources, wake, log, signal }: RegistrationOptions): Promise<void> {
  for (;;) {
    try {
      const all = await resources();
      for (const { service, key } of all) await wake(service, key);
      log.info({ resources: all.length }, "woke every resource");
      return;
    } catch (error) {
      // Kubernetes or the ingress is away, or a CRD is not installed yet; waking one twice is harmless.
      const reason = error instanceof Error ? error.message : String(error);
      log.warn({ reason }, "waking every resource is repeated");
    }
    await sleep(SWEEP_AGAIN_MS, undefined, { signal });
  }
}
