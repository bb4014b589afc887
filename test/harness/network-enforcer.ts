/**
 * Makes the NetworkPolicies of a real node real: what they forbid is dropped, by nftables, inside the network namespace that
 * the node and its pods live in. A network plugin for tests: it looks at policies, pods and namespaces a few times a second
 * and writes rules when what follows from them has changed, so a new pod is open for a moment.
 *
 * Its table is in the node's network namespace and ends with it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { createApiClient } from "../../bootstrap/kubernetes/api-client.ts";
import type { NodeCluster } from "../../bootstrap/kubernetes/node.ts";
import { runCommand } from "../../bootstrap/processes.ts";
import { isolationsOf, renderRules, TABLE, type Network } from "./network-rules.ts";

export type NetworkEnforcer = {
  /** Resolves when what the API server holds at this moment is enforced. */
  settled(): Promise<void>;
  /** Ends it, and lets everything through again. Throws what the last look failed with, if it did. */
  stop(): Promise<void>;
};

const INTERVAL_MS = 300;

/** Resolves when what the policies forbid is dropped, and looks again and again until it is stopped. */
export async function startNetworkEnforcer(cluster: NodeCluster): Promise<NetworkEnforcer> {
  const api = createApiClient({ ...cluster, token: cluster.adminToken });
  const nft = async (input: string) =>
    runCommand("nsenter", [`--net=/run/netns/${cluster.networkNamespace}`, "nft", "--file", "-"], {
      input,
    });
  const list = async <K extends keyof Network>(path: string): Promise<Network[K]> =>
    ((await api.get(path)) as { items: Network[K] }).items;

  let enforced = "";
  const enforce = async () => {
    const [policies, pods, namespaces] = await Promise.all([
      list<"policies">("/apis/networking.k8s.io/v1/networkpolicies"),
      list<"pods">("/api/v1/pods"),
      list<"namespaces">("/api/v1/namespaces"),
    ]);
    const rules = renderRules(isolationsOf({ policies, pods, namespaces }));
    if (rules === enforced) return;
    await nft(rules);
    enforced = rules;
  };

  await enforce();
  const ending = new AbortController();
  let looking: Promise<void> = Promise.resolve();
  /** One look after the other: a look that began before the question does not answer it. */
  const settled = () => {
    looking = looking.catch(() => undefined).then(enforce);
    return looking;
  };
  let failure: Error | undefined;
  const watch = async () => {
    while (!ending.signal.aborted) {
      failure = await settled().then(
        () => undefined,
        (error: unknown) => new Error("the last look failed", { cause: error }),
      );
      await sleep(INTERVAL_MS, undefined, { signal: ending.signal }).catch(() => undefined);
    }
  };
  const watching = watch();
  return {
    settled,
    stop: async () => {
      ending.abort();
      await watching;
      await nft(`delete table ${TABLE}\n`);
      await api.close();
      if (failure !== undefined) throw failure;
    },
  };
}
