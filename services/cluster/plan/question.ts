/** What a decision about a RestateCluster is made from. */
import type { AppliedObjects } from "../../core/children.ts";
import type { ClusterConfig, SurveyReport } from "../api.ts";
import type { ObservedCluster } from "../observe/observe.ts";

export interface ClusterQuestion {
  readonly observed: ObservedCluster;
  readonly applied: AppliedObjects;
  readonly config: ClusterConfig;
  readonly nowMs: number;
  /** What the cluster last said about itself. */
  readonly report?: SurveyReport;
}
