/**
 * Registers the services endpoint of this build. Each build has a path of its own, so it is a deployment of its own, and
 * what is in flight on another build stays there until the sweep.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { AdminError, type RestateAdmin } from "../../services/restate/admin.ts";

const RETRY_MS = 500;

export interface Registration {
  /** URL of this build's endpoint, as the bootstrap reaches it. */
  readonly uri: string;
  /** The services it serves. */
  readonly services: readonly string[];
}

/**
 * Registers until new invocations of every service go to this build; answers the deployment's id. Going back to a build
 * that was registered before needs force: without it a known URI answers 200 and changes nothing (measured). Refusals are
 * retried for ever, as the endpoint may not be reachable yet; `onRefusal` is told each reason once.
 */
export async function registerServices(
  admin: RestateAdmin,
  registration: Registration,
  options: { readonly signal?: AbortSignal; readonly onRefusal?: (reason: string) => void } = {},
): Promise<string> {
  let said: string | undefined;
  for (;;) {
    try {
      return await registerOnce(admin, registration);
    } catch (error) {
      if (!(error instanceof AdminError)) throw error;
      if (error.message !== said) options.onRefusal?.(error.message);
      said = error.message;
    }
    await sleep(
      RETRY_MS,
      undefined,
      options.signal === undefined ? {} : { signal: options.signal },
    );
  }
}

async function registerOnce(admin: RestateAdmin, { uri, services }: Registration): Promise<string> {
  for (const force of [false, true]) {
    const { id } = await admin.registerDeployment({ uri, force });
    const latest = await Promise.all(services.map((service) => admin.latestDeploymentOf(service)));
    if (latest.every((deployment) => deployment === id)) return id;
  }
  throw new AdminError(
    0,
    `${uri} is registered, but its services are still routed to another deployment`,
  );
}
