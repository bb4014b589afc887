/**
 * A node that has lost its data: until it is taken out of the cluster or has it again, what others hold may be the last copy.
 * So nothing is disturbed meanwhile: no pod is replaced by a new revision, none is taken away, none may be evicted. What is
 * asked for is still written down, and is carried out afterwards.
 */
import type { SurveyReport, SurveyedNode } from "../api.ts";
import type { ObservedCluster } from "../observe/observe.ts";

/** Restate's word for a log server whose data is gone. */
const DATA_LOSS = "data-loss";

type Seen = Pick<ObservedCluster, "cluster" | "statefulSet">;

/** The nodes that have lost their data, as the cluster last said: unknown is not healed. */
export function lostNodes(
  { cluster }: Pick<Seen, "cluster">,
  report: SurveyReport | undefined,
): Pick<SurveyedNode, "id" | "name">[] {
  const nodes = report?.survey?.nodes ?? cluster.status?.nodes ?? [];
  return nodes
    .filter(({ storageState }) => storageState === DATA_LOSS)
    .map(({ id, name }) => ({ id, name }));
}

/** The number of pods that must stay as they are; `undefined`: nothing is frozen. */
export function frozenAtOf(observed: Seen, report: SurveyReport | undefined): number | undefined {
  if (lostNodes(observed, report).length === 0) return undefined;
  const { wantedReplicas = 0, replicas = 0 } = observed.statefulSet ?? {};
  return Math.max(wantedReplicas, replicas);
}
