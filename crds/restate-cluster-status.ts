/** What the operator says about a RestateCluster. */
import { z } from "zod";
import { conditions, reconciliation } from "./resource.ts";
import { flag, int32, int64, list, nullable, object, text } from "./schema.ts";

const Node = object("A node of the cluster, as the cluster itself sees it.", {
  id: text("Restate's id of the node, for example `N1`."),
  name: text("Name of the node: of its pod."),
  version: nullable(text("Version of Restate that the node runs.")),
  alive: flag("Whether the cluster sees the node alive."),
  roles: list("What the node does.", z.string()),
  partitionsLed: int32("Number of partitions that the node leads."),
  storageState: text(
    "State of the node's log storage: `provisioning`, `read-write`, `read-only`, `disabled`, `data-loss` or `gone`.",
  ),
  workerState: text(
    "State of the node's worker: `provisioning`, `active`, `draining` or `disabled`.",
  ),
});

export const RestateClusterStatus = object("What the cluster is; written by the operator.", {
  observedGeneration: nullable(int64("The generation that this status is about.")),
  replicas: nullable(int32("Number of pods.")),
  readyReplicas: nullable(int32("Number of pods that are ready.")),
  conditions,
  provisioned: nullable(flag("Whether the operator has provisioned the cluster.")),
  version: nullable(text("The oldest version of Restate that a living node runs.")),
  nodes: nullable(
    list("The nodes, as the cluster last told of them.", Node, {
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["id"],
    }),
  ),
  reconciliation,
});
export type RestateClusterStatus = z.infer<typeof RestateClusterStatus>;
