/** The status of a RestateDeployment, as whole values. */
import { describe, expect, test } from "vitest";
import { RestateDeployment } from "../../crds/restate-deployment.ts";
import type { VersionStatus } from "../../services/deployment/api.ts";
import { statusOf, statusPatch, withReady } from "../../services/deployment/plan/status.ts";
import { BEFORE, NOW, NOW_MS, theCurrent } from "./deployment-samples.ts";

const deployment = (status?: object, selector?: object) =>
  RestateDeployment.parse({
    apiVersion: "restate.dev/v1beta1",
    kind: "RestateDeployment",
    metadata: {
      name: "d",
      namespace: "n",
      uid: "u",
      generation: 7,
      resourceVersion: "1",
      creationTimestamp: BEFORE,
    },
    spec: {
      replicas: 2,
      revisionHistoryLimit: 10,
      restate: { register: { cluster: "c" } },
      selector: selector ?? { matchLabels: { app: "d" } },
      template: { spec: {} },
    },
    status,
  });

const entry = (version: Partial<VersionStatus> & { name: string }): VersionStatus => ({
  phase: "Latest",
  since: BEFORE,
  replicas: 1,
  readyReplicas: 1,
  ...version,
});

const DEPLOYED = { status: "True", reason: "Deployed", message: "it serves" } as const;
const CURRENT = theCurrent({ specReplicas: 2, readyReplicas: 1, availableReplicas: 1 });
const VERSIONS = [
  entry({ name: "v2", deploymentId: "dp_v2" }),
  entry({ name: "v1", phase: "Draining", invocations: { pinned: 2, unpinned: 1 } }),
];
const claim = {
  ready: DEPLOYED,
  outcome: { kind: "applied" },
  versions: VERSIONS,
  current: CURRENT,
  latest: "v2",
  collided: false,
} as const;

describe("statusOf", () => {
  const expected = {
    replicas: 2,
    desiredReplicas: 2,
    readyReplicas: 1,
    availableReplicas: 1,
    unavailableReplicas: 1,
    observedGeneration: 7,
    labelSelector: "app=d,pod-template-hash=v2",
    deploymentId: "dp_v2",
    latest: "v2",
    draining: 1,
    inFlight: 3,
    reconciliation: "Reconciling",
    versions: VERSIONS,
    conditions: [
      { type: "Ready", ...DEPLOYED, lastTransitionTime: NOW },
      { type: "Progressing", ...DEPLOYED, status: "False", lastTransitionTime: NOW },
      { type: "Stalled", ...DEPLOYED, status: "False", lastTransitionTime: NOW },
      {
        type: "Draining",
        status: "True",
        reason: "OlderVersionsWork",
        message: "1 older version with 3 unfinished invocations",
        lastTransitionTime: NOW,
      },
    ],
  };

  test("everything that was observed and decided", () => {
    expect(statusOf(deployment(), claim, NOW_MS)).toEqual(expected);
  });

  test("nothing when it is there already", () => {
    expect(statusOf(deployment(expected), claim, NOW_MS + 60_000)).toBeUndefined();
  });

  test("the selector in the words of kubectl", () => {
    const selector = {
      matchLabels: { app: "d", tier: "web" },
      matchExpressions: [
        { key: "zone", operator: "In", values: ["a", "b"] },
        { key: "old", operator: "DoesNotExist" },
      ],
    };
    expect(statusOf(deployment(undefined, selector), claim, NOW_MS)?.labelSelector).toBe(
      "app=d,pod-template-hash=v2,tier=web,zone in (a,b),!old",
    );
  });

  test("a name that was taken counts", () => {
    const again = statusOf(
      deployment({ ...expected, collisionCount: 1 }),
      { ...claim, collided: true },
      NOW_MS,
    );
    expect(again?.collisionCount).toBe(2);
  });

  test("overdue: Stalled and no longer Progressing, Ready keeps its own reason", () => {
    const waiting = { status: "False", reason: "NotLatest", message: "soon" } as const;
    const status = statusOf(
      deployment(),
      {
        ...claim,
        ready: waiting,
        outcome: { kind: "waiting", reason: "NotLatest", message: "soon", requeueAfterMs: 1 },
        overdue: "for too long",
      },
      NOW_MS,
    );
    expect(status?.conditions?.slice(0, 3)).toMatchObject([
      { type: "Ready", ...waiting },
      { type: "Progressing", status: "False", reason: "ProgressDeadlineExceeded" },
      { type: "Stalled", status: "True", message: "for too long" },
    ]);
  });
});

describe("withReady", () => {
  const refused = { status: "Unknown", reason: "FailedReconcile", message: "no" } as const;

  test("a resource without a status gets one", () => {
    expect(withReady(deployment(), refused, { nowMs: NOW_MS })).toEqual({
      replicas: 0,
      conditions: [{ type: "Ready", ...refused, lastTransitionTime: NOW }],
      reconciliation: "Reconciling",
    });
  });

  test("said already: nothing to write, whenever that was", () => {
    const conditions = [{ type: "Ready", ...refused, lastTransitionTime: BEFORE }];
    const before = deployment({ replicas: 0, conditions, reconciliation: "Reconciling" });
    expect(withReady(before, refused, { nowMs: NOW_MS })).toBeUndefined();
  });
});

test("statusPatch: what is not in a status any more is removed", () => {
  expect(statusPatch({ replicas: 1, deploymentId: "dp_1" }, { replicas: 2 })).toEqual({
    replicas: 2,
    deploymentId: null,
  });
});
