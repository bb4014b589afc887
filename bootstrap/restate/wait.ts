/**
 * Waits until a Restate answers for real. `/health` is not enough: right after a start it is 200 while queries still fail
 * (measured).
 */
import { setTimeout as sleep } from "node:timers/promises";
import { AdminError, type RestateAdmin } from "../../services/restate/admin.ts";

const RETRY_MS = 200;

/** Resolves when a query works. `onWait` is told why not yet, once per reason. Rejects only when `signal` aborts. */
export async function waitForRestate(
  admin: RestateAdmin,
  options: { readonly signal?: AbortSignal; readonly onWait?: (reason: string) => void } = {},
): Promise<void> {
  let said: string | undefined;
  for (;;) {
    try {
      await admin.query("SELECT id FROM sys_deployment LIMIT 1");
      return;
    } catch (error) {
      if (!(error instanceof AdminError)) throw error;
      if (error.message !== said) options.onWait?.(error.message);
      said = error.message;
    }
    await sleep(
      RETRY_MS,
      undefined,
      options.signal === undefined ? {} : { signal: options.signal },
    );
  }
}
