/** All children of a cluster in the order in which they are applied: what others refer to comes first. */
import type { AnyManifest } from "../../core/manifest.ts";
import type { ClusterConfig, ClusterView, ForeignKind } from "../api.ts";
import { buildConfigMap } from "./config-map.ts";
import { buildForeignObjects } from "./foreign-objects.ts";
import { buildNamespace } from "./namespace.ts";
import { buildNetworkPolicies } from "./network-policies.ts";
import { buildPodDisruptionBudget } from "./pod-disruption-budget.ts";
import { buildServiceAccount } from "./service-account.ts";
import { buildHeadlessService, buildService } from "./services.ts";
import { buildStatefulSet } from "./stateful-set.ts";

export interface ChildrenOptions {
  /** An existing namespace that this cluster does not own is used and left untouched. */
  readonly ownsNamespace: boolean;
  /** Kinds of other projects of which objects can be made; none when absent. */
  readonly installed?: readonly ForeignKind[];
  /** Kinds of other projects that pods may rely on; none when absent. */
  readonly inPods?: readonly ForeignKind[];
}

export function buildChildren(
  cluster: ClusterView,
  config: ClusterConfig,
  options: ChildrenOptions,
): AnyManifest[] {
  return [
    ...(options.ownsNamespace ? [buildNamespace(cluster)] : []),
    buildServiceAccount(cluster),
    ...buildNetworkPolicies(cluster, config),
    ...buildForeignObjects(cluster, config, options.installed ?? []),
    buildConfigMap(cluster),
    buildService(cluster),
    buildHeadlessService(cluster),
    buildPodDisruptionBudget(cluster),
    buildStatefulSet(cluster, config, options.inPods ?? []),
  ];
}
