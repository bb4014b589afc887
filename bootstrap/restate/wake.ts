/**
 * Wakes a key of a reconciler through the ingress, as the watcher does for events: for those who changed something that no
 * event tells of.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { request } from "undici";

/** Constant, so that wakes collapse; not the watcher's, whose wake may be among what is stuck and cannot stand for this one. */
const IDEMPOTENCY_KEY = "swept";
const CALL_TIMEOUT_MS = 5_000;
const ATTEMPTS_MAX = 5;
const RETRY_MS = 300;

/** Sends wakes with a constant idempotency key. Rejects when the ingress does not take one after a few attempts. */
export function wakeThroughIngress(ingress: {
  readonly url: string;
  readonly token?: () => Promise<string>;
}): (service: string, key: string) => Promise<void> {
  return async (service, key) => {
    let said = "";
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
      try {
        const token = await ingress.token?.();
        const response = await request(
          `${ingress.url}/${service}/${encodeURIComponent(key)}/wake/send`,
          {
            method: "POST",
            headers: {
              "content-type": "application/json",
              "idempotency-key": IDEMPOTENCY_KEY,
              ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
            },
            body: JSON.stringify({ why: "swept" }),
            signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
          },
        );
        await response.body.dump();
        if (response.statusCode < 300) return;
        said = `HTTP ${response.statusCode}`;
      } catch (error) {
        said = error instanceof Error ? error.message : String(error);
      }
      await sleep(RETRY_MS * attempt);
    }
    throw new Error(`the ingress did not take a wake of ${service}/${key}: ${said}`);
  };
}
