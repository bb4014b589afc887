/** Waits for a RestateCluster to be Ready and tells what it waits for, a line per change. */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import type { Tools } from "./kubernetes-tools.ts";
import type { Say } from "./progress.ts";

const POLL_MS = 500;

const Resource = z.object({
  metadata: z.object({ generation: z.number() }),
  status: z
    .object({
      observedGeneration: z.number().nullish(),
      conditions: z
        .array(
          z.object({
            type: z.string(),
            status: z.string(),
            reason: z.string().nullish(),
            message: z.string().nullish(),
          }),
        )
        .nullish(),
    })
    .nullish(),
});

/**
 * Resolves when condition Ready is True for the current generation.
 *
 * @throws Error with the last condition when that takes longer than `timeoutMs`.
 */
export async function waitForCluster(
  tools: Tools,
  name: string,
  options: { readonly say: Say; readonly timeoutMs: number },
): Promise<void> {
  const deadline = Date.now() + options.timeoutMs;
  let said = "";
  while (Date.now() < deadline) {
    const json = await tools.kubectl(["get", "restatecluster", name, "--output=json"]);
    const { metadata, status } = Resource.parse(JSON.parse(json));
    const ready = status?.conditions?.find(({ type }) => type === "Ready");
    const current = status?.observedGeneration === metadata.generation;
    const line =
      ready === undefined
        ? "no condition yet"
        : `Ready=${ready.status} ${ready.reason}: ${ready.message}`;
    if (line !== said) options.say(`RestateCluster ${name}: ${line}`);
    said = line;
    if (current && ready?.status === "True") return;
    await sleep(POLL_MS);
  }
  throw new Error(
    `RestateCluster ${name} is not Ready after ${options.timeoutMs / 1000} s: ${said}`,
  );
}
