/** Whether the cluster is to be asked how it is: for as long as a pod is ready, because only then somebody answers. */
import type { ClusterAction, ClusterConfig, SurveyReport } from "./api.ts";
import type { ObservedCluster } from "./observe.ts";

export interface SurveyQuestion {
  readonly observed: Pick<ObservedCluster, "cluster">;
  readonly config: Pick<ClusterConfig, "clusterDns">;
  readonly report?: SurveyReport;
}

/** The order to the survey, where it works by another one. */
export function planSurvey(
  { observed, config, report }: SurveyQuestion,
  { asks }: { readonly asks: boolean },
): ClusterAction[] {
  const { name, uid } = observed.cluster.metadata;
  const host = `restate.${name}.svc.${config.clusterDns}`;
  if (report === undefined ? !asks : report.asks === asks && report.host === host) return [];
  const because = asks ? "a pod is ready to answer" : "nobody is to be asked";
  return [{ kind: "survey", order: { uid, host, asks }, because }];
}
