/** Decisions about a RestateDeployment that is being deleted, named after the invariants of plan-deletion.ts. */
import { expect, test } from "vitest";
import type { VersionAction } from "../../services/deployment/api.ts";
import { planDeletion, type DeletionPlan } from "../../services/deployment/plan/plan-deletion.ts";
import {
  NOW_MS,
  UNREGISTERED,
  aDeletion,
  aReport,
  aVersion,
  registered,
  retained,
  theCurrent,
  withoutId,
} from "./deployment-samples.ts";

const unknown = { kind: "unknown" } as const;
const current = theCurrent();
const working = aReport({
  version: "v2",
  phase: "draining",
  activePinned: 2,
  activeUnpinned: 1,
  latestFor: 1,
});
/** Nothing is unfinished, but services are routed to it: a deletion waits for that no longer (D2). */
const idle = aReport({ version: "v2", phase: "draining", latestFor: 1 });

const deregister = (
  version: string,
  unless: "unfinished" | "nothing",
  because: string,
): VersionAction => ({
  kind: "deregisterVersion",
  version,
  deploymentId: `dp_${version}`,
  unless,
  because,
});
const letGo = (because: string, ...drains: string[]): VersionAction[] => [
  ...drains.map((version): VersionAction => ({ kind: "cancelDrain", version, because })),
  { kind: "removeFinalizer", because },
];
const deleteRequested = { type: "Normal", reason: "DeleteRequested", message: "Deleting d" };
const forced = (message: string) => ({ type: "Warning", reason: "ForcedDeletion", message });
const waiting = (message: string, requeueAfterMs: number) => ({
  kind: "waiting",
  reason: "Deleting",
  message,
  requeueAfterMs,
});

const FORCE = "deletePolicy is force";
const ON_TIMEOUT = "the timeout is over and drain.onTimeout is force";
const ON_UNREACHABLE = "the timeout is over and drain.onUnreachable is force";
const NOTHING = "nothing of it is registered";
const NAMESPACE = "its namespace is being deleted";

interface Expected {
  readonly actions: readonly VersionAction[];
  readonly phase: string;
  readonly events?: readonly object[];
  readonly outcome?: object;
}

test.each<[string, Parameters<typeof aDeletion>[0], Expected]>([
  [
    "D4: nothing was ever registered: at once",
    { versions: [withoutId(theCurrent(UNREGISTERED)), retained("v1", 0)] },
    {
      actions: letGo(NOTHING),
      phase: "Finished",
      events: [deleteRequested],
      outcome: { kind: "gone" },
    },
  ],
  [
    "D4: nothing was ever registered and Restate is silent: at once",
    { versions: [withoutId(theCurrent({ registration: unknown }))] },
    { actions: letGo(NOTHING), phase: "Finished", events: [deleteRequested] },
  ],
  [
    "D2: unfinished invocations are waited for",
    { versions: [current], reports: [working] },
    {
      actions: [],
      phase: "Draining",
      outcome: waiting("waiting for 3 unfinished invocations of 1 version", 10_000),
    },
  ],
  [
    "D3: what has not been counted is",
    { versions: [current] },
    {
      actions: [
        {
          kind: "startDrain",
          version: "v2",
          deploymentId: "dp_v2",
          because: "deletion waits for its invocations",
        },
      ],
      phase: "Draining",
      outcome: waiting("waiting for the count of 1 version", 10_000),
    },
  ],
  [
    "D3: one reading is not enough",
    { versions: [current], reports: [{ ...idle, confirmed: false }] },
    { actions: [], phase: "Draining" },
  ],
  [
    "D5: whoever waits has pods",
    { versions: [theCurrent({ specReplicas: 0 })], reports: [working] },
    {
      actions: [
        {
          kind: "healVersion",
          version: "v2",
          uid: "uid-v2",
          replicas: 1,
          because: "it has no pods, but unfinished invocations",
        },
      ],
      phase: "Draining",
    },
  ],
  [
    "D6: drained: taken back, the latest last",
    {
      versions: [current, aVersion({ name: "v1" })],
      reports: [idle, aReport({ version: "v1" })],
    },
    {
      actions: [
        deregister("v1", "unfinished", "it is drained"),
        deregister("v2", "unfinished", "it is drained"),
      ],
      phase: "Deregistering",
      outcome: waiting("2 versions being deregistered", 1_000),
    },
  ],
  [
    "D2: nothing is taken back while another version has work",
    {
      versions: [current, aVersion({ name: "v1" })],
      reports: [working, aReport({ version: "v1" })],
    },
    { actions: [], phase: "Draining" },
  ],
  [
    "D1: Restate was seen to have nothing: let go",
    { versions: [theCurrent(UNREGISTERED)], reports: [idle] },
    {
      actions: letGo(NOTHING, "v2"),
      phase: "Finished",
      events: [deleteRequested],
      outcome: { kind: "gone" },
    },
  ],
  [
    "the timeout, hold: waits on and says so",
    { versions: [current], reports: [working], policy: { timeoutSeconds: 120 } },
    { actions: [], phase: "Overdue" },
  ],
  [
    "D7: the timeout, force: abandons what it names",
    {
      versions: [current],
      reports: [working],
      policy: { timeoutSeconds: 120, onTimeout: "force" },
    },
    {
      actions: [deregister("v2", "nothing", ON_TIMEOUT)],
      phase: "Deregistering",
      events: [forced(`Deleting d without waiting for v2 (dp_v2, 3 unfinished): ${ON_TIMEOUT}`)],
    },
  ],
  [
    "Restate is silent: waits",
    {
      versions: [theCurrent({ registration: unknown })],
      policy: { onTimeout: "force", onUnreachable: "force" },
    },
    {
      actions: [],
      phase: "Unreachable",
      outcome: waiting("waiting for Restate to answer about 1 version", 10_000),
    },
  ],
  [
    "Restate is silent at the timeout, hold: onTimeout is not asked",
    {
      versions: [theCurrent({ registration: unknown })],
      reports: [working],
      policy: { timeoutSeconds: 0, onTimeout: "force" },
    },
    { actions: [], phase: "Overdue" },
  ],
  [
    "D7: Restate is silent at the timeout, force: leaves behind what it names",
    {
      versions: [theCurrent({ registration: unknown })],
      policy: { timeoutSeconds: 0, onUnreachable: "force" },
    },
    {
      actions: letGo(ON_UNREACHABLE),
      phase: "Finished",
      events: [
        forced(`Deleting d without waiting for v2 (dp_v2, not counted): ${ON_UNREACHABLE}`),
        deleteRequested,
      ],
    },
  ],
  [
    "force: at once",
    {
      versions: [current],
      reports: [working],
      policy: { deletePolicy: "force" },
    },
    {
      actions: [deregister("v2", "nothing", FORCE)],
      phase: "Deregistering",
      events: [forced(`Deleting d without waiting for v2 (dp_v2, 3 unfinished): ${FORCE}`)],
    },
  ],
  [
    "force without anything to abandon: no event says so",
    { versions: [current], reports: [idle], policy: { deletePolicy: "force" } },
    { actions: [deregister("v2", "nothing", FORCE)], phase: "Deregistering" },
  ],
  [
    "force while Restate is silent: at once",
    {
      versions: [theCurrent({ registration: unknown })],
      policy: { deletePolicy: "force" },
    },
    {
      actions: letGo(FORCE),
      phase: "Finished",
      events: [
        forced(`Deleting d without waiting for v2 (dp_v2, not counted): ${FORCE}`),
        deleteRequested,
      ],
    },
  ],
  [
    "D1: the cluster is gone: at once",
    {
      versions: [theCurrent({ registration: unknown })],
      reports: [working],
      clusterGone: true,
    },
    {
      actions: letGo("its RestateCluster is gone", "v2"),
      phase: "Finished",
      events: [deleteRequested],
    },
  ],
  [
    "D1: the namespace is going: what has no work is taken back for a while",
    {
      versions: [current, aVersion({ name: "v1" })],
      reports: [working, aReport({ version: "v1" })],
      namespaceTerminating: true,
      startedAtMs: NOW_MS - 59_000,
    },
    { actions: [deregister("v1", "unfinished", NAMESPACE)], phase: "Deregistering" },
  ],
  [
    "D7: the namespace is going: nothing is waited for",
    {
      versions: [current],
      reports: [working],
      namespaceTerminating: true,
    },
    {
      actions: letGo(NAMESPACE, "v2"),
      phase: "Finished",
      events: [
        forced(`Deleting d without waiting for v2 (dp_v2, 3 unfinished): ${NAMESPACE}`),
        deleteRequested,
      ],
    },
  ],
  [
    "what was registered for a version that is gone is taken back too",
    {
      lost: [{ deploymentId: "dp_x", version: "x" }],
      reports: [aReport({ version: "x" })],
    },
    { actions: [deregister("x", "unfinished", "it is drained")], phase: "Deregistering" },
  ],
])("%s", (_, sample, expected) => {
  const plan: DeletionPlan = planDeletion(aDeletion(sample));
  expect({ actions: plan.actions, phase: plan.deletion.phase, events: plan.events }).toEqual({
    actions: expected.actions,
    phase: expected.phase,
    events: expected.events ?? [],
  });
  expect(plan.outcome).toMatchObject(expected.outcome ?? {});
});

test("status.deletion", () => {
  const versions = [
    current,
    aVersion({ name: "v1" }),
    aVersion({ name: "v0", registration: registered("v0", 0) }),
  ];
  const reports = [working, aReport({ version: "v1" })];
  const question = aDeletion({ versions, reports, policy: { timeoutSeconds: 3600 } });
  expect(planDeletion(question).deletion).toEqual({
    policy: "drain",
    phase: "Draining",
    startedAt: "2026-01-02T03:02:05Z",
    deadline: "2026-01-02T04:02:05Z",
    onTimeout: "hold",
    message: "waiting for 3 unfinished invocations of 1 version and the count of 1 version",
    totalPendingInvocations: 3,
    pendingInvocations: [
      { version: "v0", deploymentId: "dp_v0" },
      { version: "v2", deploymentId: "dp_v2", pinned: 2, unpinned: 1 },
    ],
  });
});

test("a timeout beyond what a date can say is as good as none", () => {
  const question = aDeletion({
    versions: [current],
    reports: [working],
    policy: { timeoutSeconds: 9e18 },
  });
  expect(planDeletion(question).deletion.deadline).toBe("2125-12-09T03:02:05Z");
});
