/**
 * Waits until the pods of a namespace run as they say. A cluster that is started again on its data shows what was true when it
 * was stopped, for some seconds: pods that were ready, and whatever was Ready because of them.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import type { Tools } from "./kubernetes-tools.ts";
import type { Say } from "./progress.ts";

const POLL_MS = 500;

const Pods = z.object({
  items: z.array(
    z.object({
      status: z.object({
        phase: z.string().nullish(),
        conditions: z.array(z.object({ type: z.string(), status: z.string() })).nullish(),
        containerStatuses: z
          .array(
            z.object({
              state: z.object({ running: z.object({ startedAt: z.string() }).nullish() }).nullish(),
            }),
          )
          .nullish(),
      }),
    }),
  ),
});
type PodStatus = z.infer<typeof Pods>["items"][number]["status"];

/**
 * Resolves when every pod that has not ended is ready, with containers that were started at `sinceMs` (epoch) or later.
 *
 * @throws Error with the number of those that are not when that takes longer than `timeoutMs`.
 */
export async function waitForPods(
  tools: Tools,
  namespace: string,
  options: { readonly sinceMs: number; readonly say: Say; readonly timeoutMs: number },
): Promise<void> {
  const deadline = Date.now() + options.timeoutMs;
  let said = "";
  for (;;) {
    const args = ["get", "pods", `--namespace=${namespace}`, "--output=json"];
    const { ready, all } = readySince(JSON.parse(await tools.kubectl(args)), options.sinceMs);
    if (ready === all) return;
    const line = `pods of ${namespace}: ${ready} of ${all} are ready`;
    if (line !== said) options.say(line);
    said = line;
    if (Date.now() > deadline) throw new Error(`not within ${options.timeoutMs / 1000} s: ${line}`);
    await sleep(POLL_MS);
  }
}

/** How many pods of a list that have not ended are ready, with containers started at `sinceMs` or later. */
export function readySince(list: unknown, sinceMs: number): { ready: number; all: number } {
  const pods = Pods.parse(list)
    .items.map(({ status }) => status)
    .filter(hasNotEnded);
  return { ready: pods.filter((pod) => isReadySince(pod, sinceMs)).length, all: pods.length };
}

const hasNotEnded = ({ phase }: PodStatus): boolean => phase !== "Succeeded" && phase !== "Failed";

/** Kubernetes counts in whole seconds. */
function isReadySince({ conditions, containerStatuses }: PodStatus, sinceMs: number): boolean {
  const started = (containerStatuses ?? []).map(({ state }) =>
    Date.parse(state?.running?.startedAt ?? ""),
  );
  return (
    started.every((atMs) => atMs >= sinceMs - 1_000) &&
    (conditions ?? []).some(({ type, status }) => type === "Ready" && status === "True")
  );
}
