/**
 * What the API server says about a node.
 */
import { z } from "zod";
import type { ApiClient } from "./api-client.ts";

const Node = z.object({
  status: z.object({
    conditions: z.array(z.object({ type: z.string(), status: z.string() })).default([]),
  }),
});

/** Whether a node exists and its condition Ready is true. */
export async function isNodeReady(api: ApiClient, name: string): Promise<boolean> {
  const node = Node.optional().parse(await api.get(`/api/v1/nodes/${name}`));
  const conditions = node?.status.conditions ?? [];
  return conditions.some(({ type, status }) => type === "Ready" && status === "True");
}
