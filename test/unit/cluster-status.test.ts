/** Status: whole, and only when it differs from what is there. */
import { describe, expect, test } from "vitest";
import { statusOf, type ReadyClaim } from "../../services/cluster/status.ts";
import { BEFORE, NOW, NOW_MS, RECONCILED, aCluster } from "./cluster-samples.ts";

const READY: ReadyClaim = {
  status: "True",
  reason: "Reconciled",
  message: "Restate Cluster reconciled successfully",
};
const SCALING: ReadyClaim = { status: "False", reason: "StatefulSetScaling", message: "m" };
const other = { type: "Theirs", status: "True", lastTransitionTime: BEFORE };

describe("statusOf", () => {
  test.each([
    {
      name: "never written: everything is now",
      cluster: aCluster({ status: undefined }),
      claim: READY,
      expected: {
        observedGeneration: 1,
        conditions: [{ type: "Ready", ...READY, lastTransitionTime: NOW }],
      },
    },
    {
      name: "said already: nothing to write",
      cluster: aCluster(),
      claim: READY,
      expected: undefined,
    },
    {
      name: "turned: the time moves",
      cluster: aCluster(),
      claim: SCALING,
      expected: {
        observedGeneration: 1,
        conditions: [{ type: "Ready", ...SCALING, lastTransitionTime: NOW }],
      },
    },
    {
      name: "another reason for the same: the time stays",
      cluster: aCluster({
        status: {
          ...RECONCILED,
          conditions: [{ type: "Ready", status: "False", lastTransitionTime: BEFORE }],
        },
      }),
      claim: SCALING,
      expected: {
        observedGeneration: 1,
        conditions: [{ type: "Ready", ...SCALING, lastTransitionTime: BEFORE }],
      },
    },
    {
      name: "another generation is told of even when nothing else changed",
      cluster: aCluster({ metadata: { generation: 2 } }),
      claim: READY,
      expected: { ...RECONCILED, observedGeneration: 2 },
    },
    {
      name: "conditions of others stay, ours comes last",
      cluster: aCluster({ status: { conditions: [...RECONCILED.conditions, other] } }),
      claim: SCALING,
      expected: {
        observedGeneration: 1,
        conditions: [other, { type: "Ready", ...SCALING, lastTransitionTime: NOW }],
      },
    },
    {
      name: "what the operator does not know of stays",
      cluster: aCluster({ status: { ...RECONCILED, replicas: 1, provisioned: true } }),
      claim: SCALING,
      expected: {
        observedGeneration: 1,
        replicas: 1,
        provisioned: true,
        conditions: [{ type: "Ready", ...SCALING, lastTransitionTime: NOW }],
      },
    },
  ])("$name", ({ cluster, claim, expected }) => {
    const status = expected && { reconciliation: "Reconciling", ...expected };
    expect(statusOf(cluster, claim, { nowMs: NOW_MS })).toEqual(status);
  });

  test("provisioned is said with the first status that knows it, and kept", () => {
    const first = statusOf(aCluster(), READY, { nowMs: NOW_MS, provisioned: true });
    expect(first).toEqual({ ...RECONCILED, provisioned: true });
    expect(statusOf(aCluster({ status: first }), READY, { nowMs: NOW_MS })).toBeUndefined();
  });
});
