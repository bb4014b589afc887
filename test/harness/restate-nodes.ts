/**
 * Real Restate servers in place of the pods of a RestateCluster, which kwok only plays: each with the very environment that
 * the operator wrote into the pod template. What is different on one machine is addresses and folders, and nothing else.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { choosePorts, isPortFree } from "../../bootstrap/kubernetes/ports.ts";
import { startProcess } from "../../bootstrap/processes.ts";
import { nativeBinary } from "../../bootstrap/restate/server.ts";
import type { KubeObject } from "./objects.ts";
import { until } from "./until.ts";

export type RestateNode = {
  readonly name: string;
  readonly nodePort: number;
  stop(): Promise<void>;
};

type Variable = { readonly name: string; readonly value?: string };

/** Keeps three servers with few partitions within the memory of a small machine. */
const SMALL = { RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE: "64MiB", RESTATE_DEFAULT_NUM_PARTITIONS: "4" };
const PORTS = ["node", "admin", "ingress"] as const;

/** Starts a server for every pod that a StatefulSet asks for; resolves when their node ports are open. */
export async function startRestateNodes(dir: string, set: KubeObject): Promise<RestateNode[]> {
  const { replicas, template } = set["spec"] as {
    replicas: number;
    template: { spec: { containers: { env: Variable[] }[] } };
  };
  const env = template.spec.containers[0]?.env ?? [];
  await mkdir(dir, { recursive: true });
  const names = Array.from({ length: replicas }, (_, ordinal) => `${set.metadata.name}-${ordinal}`);
  const port = await choosePorts(
    dir,
    names.flatMap((name) => PORTS.map((part) => `${name}-${part}`)),
  );
  const local = (value: string) =>
    names.reduce(
      (text, name) =>
        text.replaceAll(`${name}.restate-cluster:5122`, `127.0.0.1:${port(`${name}-node`)}`),
      value,
    );
  return Promise.all(
    names.map(async (name) => {
      const own = join(dir, name);
      const config = join(own, "config.toml");
      await mkdir(own, { recursive: true });
      await writeFile(config, "");
      const at = (part: (typeof PORTS)[number]) => `127.0.0.1:${port(`${name}-${part}`)}`;
      const server = await startProcess({
        name,
        command: nativeBinary("restate-server"),
        args: ["--no-logo"],
        dir: own,
        logFile: join(own, "restate.log"),
        env: {
          ...SMALL,
          ...Object.fromEntries(
            Object.entries(expanded(env, name)).map(([key, value]) => [key, local(value)]),
          ),
          RESTATE_CONFIG: config,
          RESTATE_BASE_DIR: join(own, "data"),
          RESTATE_LISTEN_MODE: "tcp",
          RESTATE_BIND_ADDRESS: at("node"),
          RESTATE_INGRESS__BIND_ADDRESS: at("ingress"),
          RESTATE_ADMIN__BIND_ADDRESS: at("admin"),
        },
      });
      const nodePort = port(`${name}-node`);
      await until(`${name} listens`, async () => !(await isPortFree(nodePort)));
      return { name, nodePort, stop: () => server.stop() };
    }),
  );
}

/** Variables as the kubelet makes them: in order, each from those before it. A label that a pod does not have is empty. */
function expanded(env: readonly Variable[], podName: string): Record<string, string> {
  const values: Record<string, string> = {};
  for (const { name, value } of env) {
    values[name] =
      value === undefined
        ? name === "POD_NAME"
          ? podName
          : ""
        : value.replaceAll(/\$\((\w+)\)/g, (all, key: string) => values[key] ?? all);
  }
  return values;
}
