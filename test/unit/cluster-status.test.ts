/** Status: whole, only when it differs from what is there, and never for a time alone. */
import { describe, expect, test } from "vitest";
import type { ClusterSurvey, SurveyReport, SurveyedNode } from "../../services/cluster/api.ts";
import type { ObservedStatefulSet } from "../../services/cluster/observe/observe.ts";
import { statusOf, type ReadyClaim } from "../../services/cluster/plan/status.ts";
import {
  BEFORE,
  NOW,
  NOW_MS,
  RECONCILED,
  UNREAD_REPORT,
  aCluster,
  reconciledOf,
} from "./cluster-samples.ts";

const READY: ReadyClaim = {
  status: "True",
  reason: "Reconciled",
  message: "Restate Cluster reconciled successfully",
};
const SCALING: ReadyClaim = { status: "False", reason: "StatefulSetScaling", message: "m" };
const BROKEN: ReadyClaim = { status: "False", reason: "InvalidRestateConfig", message: "m" };
const FAILED: ReadyClaim = { status: "Unknown", reason: "FailedReconcile", message: "m" };
const other = { type: "Theirs", status: "True", lastTransitionTime: BEFORE };
const [, , STALLED_NOT, AVAILABLE] = RECONCILED.conditions;

/** Ready and Progressing as a waiting cluster has them, since a moment. */
const waitingSince = (lastTransitionTime: string) => {
  const { reason, message } = SCALING;
  return [
    { type: "Ready", status: "False", reason, message, lastTransitionTime },
    { type: "Progressing", status: "True", reason, message, lastTransitionTime },
  ];
};
const oneReady: ObservedStatefulSet = {
  generation: 1,
  observedGeneration: 1,
  replicas: 1,
  readyReplicas: 1,
  updatedReplicas: 1,
};

describe("statusOf", () => {
  test.each([
    {
      name: "never written: everything is now",
      cluster: aCluster({ status: undefined }),
      claim: READY,
      seen: { statefulSet: oneReady },
      expected: {
        ...RECONCILED,
        conditions: RECONCILED.conditions.map((condition) => ({
          ...condition,
          lastTransitionTime: NOW,
        })),
      },
    },
    {
      name: "said already: nothing to write",
      cluster: aCluster(),
      claim: READY,
      seen: { statefulSet: oneReady },
      expected: undefined,
    },
    {
      name: "turned: the time moves; what was not looked at stays",
      cluster: aCluster(),
      claim: SCALING,
      seen: { goesOn: true },
      expected: {
        ...RECONCILED,
        conditions: [...waitingSince(NOW), STALLED_NOT, AVAILABLE],
      },
    },
    {
      name: "another reason for the same: the time stays",
      cluster: aCluster({
        status: {
          observedGeneration: 1,
          conditions: [
            { type: "Ready", status: "False", lastTransitionTime: BEFORE },
            { type: "Progressing", status: "True", lastTransitionTime: BEFORE },
            { type: "Stalled", status: "False", lastTransitionTime: BEFORE },
          ],
        },
      }),
      claim: SCALING,
      seen: { goesOn: true },
      expected: { observedGeneration: 1, conditions: [...waitingSince(BEFORE), STALLED_NOT] },
    },
    {
      name: "another generation is told of even when nothing else changed",
      cluster: aCluster({ metadata: { generation: 2 } }),
      claim: READY,
      seen: { statefulSet: oneReady },
      expected: { ...RECONCILED, observedGeneration: 2 },
    },
    {
      name: "conditions of others stay, ours come last",
      cluster: aCluster({ status: { conditions: [...RECONCILED.conditions, other] } }),
      claim: READY,
      seen: {},
      expected: { observedGeneration: 1, conditions: [other, ...RECONCILED.conditions] },
    },
    {
      name: "pods are counted, and of none ready nothing is available",
      cluster: aCluster(),
      claim: SCALING,
      seen: { goesOn: true, statefulSet: { ...oneReady, replicas: 3, readyReplicas: 0 } },
      expected: {
        ...RECONCILED,
        replicas: 3,
        readyReplicas: 0,
        conditions: [
          ...waitingSince(NOW),
          STALLED_NOT,
          {
            type: "Available",
            status: "False",
            reason: "NoPodReady",
            message: "no pod is ready",
            lastTransitionTime: NOW,
          },
        ],
      },
    },
  ])("$name", ({ cluster, claim, seen, expected }) => {
    const status = expected && { reconciliation: "Reconciling", ...expected };
    expect(statusOf(cluster, claim, { nowMs: NOW_MS, ...seen })).toEqual(status);
  });

  test("provisioned is said with the first status that knows it, and kept", () => {
    const first = statusOf(aCluster(), READY, { nowMs: NOW_MS, provisioned: true });
    expect(first).toEqual({ ...RECONCILED, provisioned: true });
    expect(statusOf(aCluster({ status: first }), READY, { nowMs: NOW_MS })).toBeUndefined();
  });
});

const statusesOf = (status: ReturnType<typeof statusOf>) =>
  (status?.conditions ?? []).map(({ type, status: value, reason }) => `${type}=${value} ${reason}`);

describe("conditions, by what the operator is up to", () => {
  const fresh = aCluster({ status: undefined });
  interface Row {
    readonly name: string;
    readonly claim: ReadyClaim;
    readonly goesOn?: true;
    readonly expected: readonly string[];
  }
  test.each<Row>([
    {
      name: "done",
      claim: READY,
      expected: [
        "Ready=True Reconciled",
        "Progressing=False Reconciled",
        "Stalled=False NotStalled",
      ],
    },
    {
      name: "waits for the world",
      claim: SCALING,
      goesOn: true,
      expected: [
        "Ready=False StatefulSetScaling",
        "Progressing=True StatefulSetScaling",
        "Stalled=False NotStalled",
      ],
    },
    {
      name: "waits for its user",
      claim: BROKEN,
      expected: [
        "Ready=False InvalidRestateConfig",
        "Progressing=False InvalidRestateConfig",
        "Stalled=True InvalidRestateConfig",
      ],
    },
    {
      name: "has failed and tries again",
      claim: FAILED,
      goesOn: true,
      expected: [
        "Ready=Unknown FailedReconcile",
        "Progressing=True FailedReconcile",
        "Stalled=False NotStalled",
      ],
    },
  ])("$name", ({ claim, expected, ...seen }) => {
    const { goesOn } = seen;
    const now = { nowMs: NOW_MS, ...(goesOn === undefined ? {} : { goesOn }) };
    expect(statusesOf(statusOf(fresh, claim, now))).toEqual(expected);
  });
});

const NODE: SurveyedNode = {
  id: "N1",
  name: "restate-0",
  version: "1.7.12",
  alive: true,
  roles: ["admin", "worker"],
  partitionsLed: 4,
  storageState: "read-write",
  workerState: "active",
};
const reportOf = (
  survey: Partial<ClusterSurvey>,
  over: Partial<SurveyReport> = {},
): SurveyReport => ({
  ...UNREAD_REPORT,
  survey: { nodes: [NODE], partitions: 4, partitionsWithoutLeader: 0, ...survey },
  ...over,
});
const said = (report: SurveyReport, cluster = aCluster()) =>
  statusOf(cluster, READY, { nowMs: NOW_MS, statefulSet: oneReady, report });

describe("what the cluster says about itself", () => {
  test("nodes and version, and that it serves", () => {
    expect(said(reportOf({}))).toEqual({
      ...RECONCILED,
      conditions: [
        ...RECONCILED.conditions.slice(0, 3),
        {
          type: "Available",
          status: "True",
          reason: "Serving",
          message: "every partition has a leader",
          lastTransitionTime: BEFORE,
        },
      ],
      nodes: [NODE],
      version: "1.7.12",
    });
  });

  test("said once: nothing to write", () => {
    const status = said(reportOf({}));
    expect(said(reportOf({}), aCluster({ status }))).toBeUndefined();
  });

  test("no answer yet, or none any more, is no news: nodes stay as last seen", () => {
    expect(said(UNREAD_REPORT)).toBeUndefined();
    const status = said(reportOf({}));
    const silent = said(reportOf({}, { silent: true }), aCluster({ status }));
    expect(silent).toEqual({ ...status, conditions: RECONCILED.conditions });
    expect(said(UNREAD_REPORT, aCluster({ status: silent }))).toBeUndefined();
  });

  test.each([
    [{ partitionsWithoutLeader: 1 }, "Available=False PartitionsWithoutLeader"],
    [{ partitions: 0 }, "Available=False NoPartitions"],
  ])("%j", (survey, expected) => {
    expect(statusesOf(said(reportOf(survey)))).toContain(expected);
  });

  test.each([
    [["1.7.12", "1.7.9", "1.10.0"], "1.7.9"],
    [["1.10.0", "1.9.3"], "1.9.3"],
    [["1.7.12", undefined], "1.7.12"],
  ])("the version of %j is %s", (versions, expected) => {
    const nodes = versions.map((version, index) => {
      const { version: _, ...node } = { ...NODE, id: `N${index}` };
      return { ...node, ...(version === undefined ? {} : { version }) };
    });
    expect(said(reportOf({ nodes }))?.version).toBe(expected);
  });

  test("the version of a dead node does not count", () => {
    const nodes = [NODE, { ...NODE, id: "N2", alive: false, version: "1.6.0" }];
    expect(said(reportOf({ nodes }))?.version).toBe("1.7.12");
  });

  test("data loss is for a person to see, also while everything else is well", () => {
    const nodes = [NODE, { ...NODE, id: "N2", name: "restate-1", storageState: "data-loss" }];
    const status = said(reportOf({ nodes }));
    expect(statusesOf(status)).toEqual([
      "Ready=True Reconciled",
      "Progressing=False Reconciled",
      "Stalled=True StorageDataLoss",
      "Available=True Serving",
    ]);
    expect(status?.conditions?.[2]?.message).toMatch(/^the storage state of restate-1 \(N2\) is/);
    // Not healed by silence.
    expect(statusesOf(said(UNREAD_REPORT, aCluster({ status })))).toContain(
      "Stalled=True StorageDataLoss",
    );
  });
});

test("a settled cluster of any size has nothing to write", () => {
  for (const replicas of [0, 1, 3]) {
    const statefulSet = { ...oneReady, replicas, readyReplicas: replicas };
    const cluster = aCluster({ compute: { replicas }, status: reconciledOf(replicas) });
    expect(statusOf(cluster, READY, { nowMs: NOW_MS, statefulSet })).toBeUndefined();
  }
});
