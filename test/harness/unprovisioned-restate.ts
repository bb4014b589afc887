/**
 * A real Restate server that waits to be provisioned, as the nodes of a RestateCluster with `autoProvision` do: it serves its
 * node port and nothing else until somebody provisions it.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { request } from "undici";
import { choosePorts, isPortFree } from "../../bootstrap/kubernetes/ports.ts";
import { startProcess } from "../../bootstrap/processes.ts";
import { CONFIGURATION_FILE, nativeBinary } from "../../bootstrap/restate/server.ts";
import { until } from "./until.ts";

const ANSWER_TIMEOUT_MS = 1_000;

export type UnprovisionedRestate = {
  /** Node control (gRPC). */
  readonly nodePort: number;
  /** Whether it has taken up work: the admin API of a node that is not provisioned accepts connections and never answers. */
  readonly isProvisioned: () => Promise<boolean>;
  stop(): Promise<void>;
};

/** Resolves when the node port is open. */
export async function startUnprovisionedRestate(dir: string): Promise<UnprovisionedRestate> {
  await mkdir(dir, { recursive: true });
  const port = await choosePorts(dir, ["node", "admin", "ingress"]);
  const at = (part: "node" | "admin" | "ingress") => `127.0.0.1:${port(part)}`;
  const server = await startProcess({
    name: "restate",
    command: nativeBinary("restate-server"),
    args: ["--config-file", CONFIGURATION_FILE, "--no-logo"],
    dir,
    logFile: join(dir, "restate.log"),
    env: {
      RESTATE_AUTO_PROVISION: "false",
      RESTATE_BASE_DIR: join(dir, "data"),
      RESTATE_LISTEN_MODE: "tcp",
      RESTATE_BIND_ADDRESS: at("node"),
      RESTATE_ADVERTISED_ADDRESS: `http://${at("node")}/`,
      RESTATE_INGRESS__BIND_ADDRESS: at("ingress"),
      RESTATE_ADMIN__BIND_ADDRESS: at("admin"),
    },
  });
  await until("the node port is open", async () => !(await isPortFree(port("node"))));
  return {
    nodePort: port("node"),
    isProvisioned: async () => {
      try {
        const answer = await request(`http://${at("admin")}/deployments`, {
          signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
        });
        await answer.body.dump();
        return answer.statusCode === 200;
      } catch {
        return false;
      }
    },
    stop: () => server.stop(),
  };
}
