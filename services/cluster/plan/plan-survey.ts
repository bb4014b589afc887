/** Whether the cluster is to be asked how it is: for as long as a pod is ready, because only then somebody answers. */
import type { ClusterAction, ClusterConfig, SurveyOrder, SurveyReport } from "../api.ts";
import type { ObservedCluster } from "../observe/observe.ts";

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
  const order = { ...whom({ observed, config }), asks };
  if (report === undefined ? !asks : report.asks === asks && report.host === order.host) return [];
  const because = asks ? "a pod is ready to answer" : "nobody is to be asked";
  return [{ kind: "survey", order, because }];
}

/** The order not to ask any more, whether or not anybody was asked. */
export function endOfSurvey(question: SurveyQuestion): ClusterAction {
  const because = "the resource is being deleted";
  return { kind: "survey", order: { ...whom(question), asks: false }, because };
}

function whom({ observed, config }: SurveyQuestion): Omit<SurveyOrder, "asks"> {
  const { name, uid } = observed.cluster.metadata;
  return { uid, host: `restate.${name}.svc.${config.clusterDns}` };
}
