/** Waits for a resource of the operator to be Ready and tells what it waits for, a line per change. */
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

/** A resource of the operator, as kubectl names it. */
export interface ResourceName {
  readonly kind: "RestateCluster" | "RestateDeployment";
  readonly name: string;
  readonly namespace?: string;
}

/**
 * Resolves when condition Ready is True for the current generation.
 *
 * @throws Error with the last condition when that takes longer than `timeoutMs`.
 */
export async function waitForReady(
  tools: Tools,
  { kind, name, namespace }: ResourceName,
  options: { readonly say: Say; readonly timeoutMs: number },
): Promise<void> {
  const where = namespace === undefined ? [] : [`--namespace=${namespace}`];
  const deadline = Date.now() + options.timeoutMs;
  let said = "";
  while (Date.now() < deadline) {
    const json = await tools.kubectl(["get", kind, name, ...where, "--output=json"]);
    const { metadata, status } = Resource.parse(JSON.parse(json));
    const ready = status?.conditions?.find(({ type }) => type === "Ready");
    const current = status?.observedGeneration === metadata.generation;
    const line =
      ready === undefined || !current
        ? "not looked at yet"
        : `Ready=${ready.status} ${ready.reason}: ${ready.message}`;
    if (line !== said) options.say(`${kind} ${name}: ${line}`);
    said = line;
    if (current && ready?.status === "True") return;
    await sleep(POLL_MS);
  }
  throw new Error(`${kind} ${name} is not Ready after ${options.timeoutMs / 1000} s: ${said}`);
}
