/** Decisions about versions, one row each, named after the invariants of services/deployment/plan-versions.ts. */
import { describe, expect, test } from "vitest";
import type {
  ObservedVersion,
  VersionAction,
  VersionsPlan,
  VersionsQuestion,
} from "../../services/deployment/api.ts";
import { planVersions } from "../../services/deployment/plan/plan-versions.ts";
import {
  BEFORE,
  NOW,
  NOW_MS,
  UNREGISTERED,
  aQuestion,
  aReport,
  aVersion,
  registered,
  retained,
  theCurrent,
  without,
  withoutId,
} from "./deployment-samples.ts";

const V1 = { version: "v1", uid: "uid-v1" };
const V2 = { version: "v2", uid: "uid-v2" };
const DUE_MS = NOW_MS - 1;
const hpa = { upToDate: true, deleting: false };
const unknown = { kind: "unknown" } as const;

const message = "Restate sends new invocations to v2";
const READY = { status: "True", reason: "Deployed", message } as const;

const waiting = (
  reason: VersionsPlan["ready"]["reason"],
  said: string,
  requeueAfterMs: number,
): Pick<VersionsPlan, "ready" | "outcome"> => ({
  ready: { status: "False", reason, message: said },
  outcome: { kind: "waiting", reason, message: said, requeueAfterMs },
});

const pending = (version: Partial<ObservedVersion>): ObservedVersion =>
  withoutId(theCurrent({ ...UNREGISTERED, labelledLatest: false, ...version }));

const removeHpa = (because: string) => ({ kind: "removeHpa", version: "v1", because }) as const;

const deregister = (because: string) =>
  ({
    kind: "deregisterVersion",
    version: "v1",
    deploymentId: "dp_v1",
    unless: "active",
    because,
  }) as const;

const superseded = (version: Partial<ObservedVersion>): ObservedVersion =>
  withoutId(aVersion({ name: "v1", ...UNREGISTERED, ...version }));

const remove = (name: string, limit: string): VersionAction => ({
  kind: "removeVersion",
  version: name,
  uid: `uid-${name}`,
  because: `${limit} kept for a rollback`,
});

test("settled: nothing is done, and the whole plan says so", () => {
  const question = aQuestion({
    versions: [theCurrent(), retained("v0", 0)],
    previous: [
      { name: "v2", phase: "Latest", since: BEFORE, replicas: 1, readyReplicas: 1 },
      { name: "v0", phase: "Drained", since: BEFORE, replicas: 0, readyReplicas: 0 },
    ],
  });
  expect(planVersions(question)).toEqual({
    actions: [],
    versions: [
      {
        name: "v2",
        deploymentId: "dp_v2",
        phase: "Latest",
        since: BEFORE,
        replicas: 1,
        readyReplicas: 1,
        reason: message,
      },
      {
        name: "v0",
        phase: "Retained",
        since: NOW,
        replicas: 0,
        readyReplicas: 0,
        reason: "kept for a rollback",
      },
    ],
    latest: "v2",
    ready: READY,
    outcome: { kind: "applied" },
    collided: false,
  } satisfies VersionsPlan);
});

test("the status of a draining version", () => {
  const versions = [theCurrent(), aVersion({ name: "v1" })];
  const reports = [
    aReport({ version: "v1", phase: "draining", activePinned: 2, activeUnpinned: 1 }),
  ];
  expect(planVersions(aQuestion({ versions, reports })).versions[1]).toEqual({
    name: "v1",
    deploymentId: "dp_v1",
    phase: "Draining",
    since: NOW,
    replicas: 1,
    readyReplicas: 1,
    invocations: { pinned: 2, unpinned: 1 },
    reason: "3 unfinished invocations",
  });
});

describe("the current version", () => {
  test.each<[string, Partial<Parameters<typeof aQuestion>[0]>, Partial<VersionsPlan>]>([
    [
      "V7: is made with at least one pod",
      { spec: { replicas: 0 } },
      {
        actions: [
          {
            kind: "createVersion",
            version: "v2",
            replicas: 1,
            because: "no version has this template",
          },
        ],
        ...waiting("ReplicaSetNoStatus", "v2 is being made", 60_000),
      },
    ],
    [
      "waits for its controller",
      {
        versions: [without(pending({ statusReplicas: 0, readyReplicas: 0 }), "observedGeneration")],
      },
      {
        actions: [],
        ...waiting("ReplicaSetNoStatus", "ReplicaSet v2 has no status yet", 60_000),
      },
    ],
    [
      "waits for its pods",
      { versions: [pending({ specReplicas: 2, readyReplicas: 1 })], spec: { replicas: 2 } },
      {
        actions: [],
        ...waiting("ReplicaSetPodNotReady", "1 of 2 pods of v2 are ready", 60_000),
      },
    ],
    [
      "waits until they are available",
      { versions: [pending({ availableReplicas: 0 })] },
      {
        actions: [],
        ...waiting(
          "ReplicaSetPodNotAvailable",
          "0 of 1 pod of v2 have been ready for spec.minReadySeconds",
          60_000,
        ),
      },
    ],
    [
      "waits for its cluster",
      {
        versions: [pending({})],
        registration: {
          reachable: true,
          foreign: [],
          lost: [],
          blocked: { reason: "ClusterNotReady", message: "c is not Ready", requeueAfterMs: 9 },
        },
      },
      { actions: [], ...waiting("ClusterNotReady", "c is not Ready", 9) },
    ],
    [
      "is registered once its pods are available",
      { versions: [pending({})] },
      {
        actions: [
          {
            kind: "registerVersion",
            ...V2,
            force: false,
            because: "its pods are available and Restate does not have it",
          },
        ],
        ...waiting("NotLatest", "v2 is being registered", 1_000),
      },
    ],
    [
      "becomes the latest: the label moves and its id is noted",
      {
        versions: [
          withoutId(theCurrent({ labelledLatest: false })),
          retained("v1", 0),
          aVersion({ name: "v0", createdAtMs: 0, labelledLatest: true }),
        ],
        reports: [aReport({ version: "v0", phase: "draining", activePinned: 1 })],
      },
      {
        actions: [
          { kind: "markLatest", ...V2, because: "Restate sends new invocations to it" },
          { kind: "unmarkLatest", version: "v0", uid: "uid-v0", because: "v2 is the latest" },
          {
            kind: "recordDeploymentId",
            ...V2,
            deploymentId: "dp_v2",
            because: "Restate knows it by this id",
          },
        ],
        latest: "v2",
        ready: READY,
        outcome: { kind: "applied" },
      },
    ],
    [
      "a rollback: comes back into service and is promoted by force",
      {
        versions: [
          theCurrent({
            registration: registered("v2", 0),
            labelledLatest: false,
            removeAtMs: DUE_MS,
            hpa,
          }),
          aVersion({ name: "v3", registration: registered("v3", 1), labelledLatest: true }),
        ],
        reports: [
          aReport({ version: "v2" }),
          aReport({ version: "v3", phase: "draining", latestFor: 1 }),
        ],
      },
      {
        actions: [
          { kind: "unscheduleRemoval", ...V2, because: "it is the version asked for" },
          { kind: "removeHpa", version: "v2", because: "it is the version asked for" },
          { kind: "cancelDrain", version: "v2", because: "it is the version asked for" },
          {
            kind: "registerVersion",
            ...V2,
            force: true,
            because: "it is registered, but Restate sends new invocations to another version",
          },
        ],
        latest: "v3",
        ...waiting("NotLatest", "v2 is being registered", 1_000),
      },
    ],
    [
      "a rollback to a version without pods: it gets them first",
      {
        versions: [
          withoutId(theCurrent({ ...UNREGISTERED, specReplicas: 0, labelledLatest: false })),
        ],
        spec: { replicas: 3 },
      },
      {
        actions: [{ kind: "scaleVersion", ...V2, replicas: 3, because: "3 replicas asked for" }],
        ...waiting("ReplicaSetScaling", "ReplicaSet v2 is being scaled to 3", 60_000),
      },
    ],
    [
      "takes nothing from somebody else",
      {
        versions: [theCurrent({ registration: registered("v2", 0), labelledLatest: false })],
        registration: {
          reachable: true,
          foreign: [{ service: "Greeter", deploymentId: "dp_x" }],
          lost: [],
        },
      },
      {
        actions: [],
        ...waiting(
          "ForeignDeployment",
          "service Greeter is served by deployment dp_x, which is not of this RestateDeployment; nothing is registered over it",
          60_000,
        ),
      },
    ],
    [
      "Restate is silent: it stays as it is",
      {
        versions: [theCurrent({ registration: unknown })],
        registration: {
          reachable: false,
          blocked: { reason: "AdminCallFailed", message: "no answer", requeueAfterMs: 10_000 },
          foreign: [],
          lost: [],
        },
      },
      { actions: [], latest: "v2", ...waiting("AdminCallFailed", "no answer", 10_000) },
    ],
    [
      "its name is taken by another template",
      {
        versions: [
          withoutId(
            theCurrent({
              ...UNREGISTERED,
              podTemplateMatches: false,
              specReplicas: 0,
              labelledLatest: false,
            }),
          ),
        ],
      },
      {
        actions: [],
        collided: true,
        ...waiting(
          "HashCollision",
          "the name v2 is taken by another template; another hash is made",
          1_000,
        ),
      },
    ],
    [
      "its name is taken by somebody else",
      { current: { name: "v2", takenBy: "Deployment web" } },
      {
        actions: [],
        collided: true,
        ...waiting(
          "HashCollision",
          "the name v2 is taken by Deployment web; another hash is made",
          1_000,
        ),
      },
    ],
    [
      "V9: is not made while as many versions as may be are needed",
      {
        versions: [
          aVersion({ name: "v1", registration: registered("v1", 1), labelledLatest: true }),
          aVersion({ name: "v0", createdAtMs: 0, registration: registered("v0", 1) }),
          retained("u", 0),
        ],
        reports: ["v0", "v1"].map((version) =>
          aReport({ version, latestFor: 1, phase: "draining" }),
        ),
        spec: { maxVersions: 2 },
      },
      {
        actions: [],
        latest: "v1",
        ...waiting(
          "TooManyVersions",
          "2 versions still have pods or are registered, and spec.restate.maxVersions is 2; v2 is made when one of them is drained",
          60_000,
        ),
      },
    ],
    [
      "V7: keeps a pod for the registration, whatever is asked for",
      { versions: [pending({ specReplicas: 0 })], spec: { replicas: 0 } },
      {
        actions: [
          { kind: "scaleVersion", ...V2, replicas: 1, because: "it needs a pod to be registered" },
        ],
      },
    ],
    [
      "gives it back once it is the latest, if the user wants none",
      { versions: [theCurrent()], spec: { replicas: 0 } },
      { actions: [{ kind: "scaleVersion", ...V2, replicas: 0, because: "0 replicas asked for" }] },
    ],
    [
      "refused by Restate: says so, and keeps its pods for a while",
      {
        versions: [
          pending({
            rejected: { reason: "AdminCallRejected", atMs: NOW_MS - 1_000, message: "META0006" },
          }),
        ],
      },
      {
        actions: [],
        ready: { status: "False", reason: "AdminCallRejected", message: "META0006" },
        outcome: { kind: "stalled", reason: "AdminCallRejected", message: "META0006" },
        lookAgainMs: 299_000,
      },
    ],
    [
      "refused by Restate: gives its pods back",
      {
        versions: [
          pending({
            rejected: { reason: "AdminCallRejected", atMs: NOW_MS - 300_000, message: "META0006" },
          }),
        ],
      },
      {
        actions: [
          {
            kind: "scaleVersion",
            ...V2,
            replicas: 0,
            because: "it is not to be registered, and nothing can run on it",
          },
        ],
      },
    ],
    [
      "refused by Restate, but registered before: keeps its pods",
      {
        versions: [
          theCurrent({
            registration: registered("v2", 0),
            rejected: { reason: "AdminCallRejected", atMs: 0, message: "META0006" },
          }),
        ],
      },
      { actions: [] },
    ],
  ])("%s", (_, sample, expected) => {
    const plan = planVersions(aQuestion(sample));
    expect(plan).toMatchObject(expected);
    expect(plan.actions).toEqual(expected.actions);
  });
});

describe("an older version", () => {
  interface Row {
    readonly version?: Partial<ObservedVersion>;
    readonly report?: Parameters<typeof aReport>[0] | null;
    readonly spec?: Partial<VersionsQuestion["spec"]>;
    readonly current?: ObservedVersion;
    readonly actions: readonly VersionAction[];
    readonly phase: string;
    readonly lookAgainMs?: number;
  }
  const working = { version: "v1", phase: "draining", activePinned: 1 } as const;
  const drained = "it is drained";

  test.each<[string, Row]>([
    [
      "is counted",
      {
        report: null,
        actions: [
          {
            kind: "startDrain",
            version: "v1",
            deploymentId: "dp_v1",
            because: "its invocations are to be counted",
          },
        ],
        phase: "Draining",
      },
    ],
    [
      "is counted anew where the count was of another deployment",
      {
        report: { version: "v1", deploymentId: "dp_old" },
        actions: [
          {
            kind: "startDrain",
            version: "v1",
            deploymentId: "dp_v1",
            because: "its invocations are to be counted",
          },
        ],
        phase: "Draining",
      },
    ],
    ["V2: with work is left alone", { report: working, actions: [], phase: "Draining" }],
    [
      "V2: with work is left alone, whatever its annotation says",
      {
        version: { removeAtMs: DUE_MS },
        report: working,
        actions: [{ kind: "unscheduleRemoval", ...V1, because: "1 unfinished invocation" }],
        phase: "Draining",
      },
    ],
    [
      "V2: without an answer is left alone, though its removal is due",
      {
        version: { removeAtMs: DUE_MS, registration: unknown },
        actions: [],
        phase: "Draining",
      },
    ],
    [
      "V1: that Restate sends invocations to is left alone, though its removal is due",
      {
        version: { removeAtMs: DUE_MS, registration: registered("v1", 1) },
        actions: [{ kind: "unscheduleRemoval", ...V1, because: "1 service routed to it" }],
        phase: "Draining",
      },
    ],
    [
      "drained: its removal is scheduled",
      {
        actions: [
          {
            kind: "scheduleRemoval",
            ...V1,
            removeAtMs: NOW_MS + 300_000,
            because: drained,
          },
        ],
        phase: "Drained",
        lookAgainMs: 300_000,
      },
    ],
    [
      "drained: a shorter delay counts at once",
      {
        version: { removeAtMs: NOW_MS + 200_000 },
        spec: { drainDelaySeconds: 60 },
        actions: [
          { kind: "scheduleRemoval", ...V1, removeAtMs: NOW_MS + 60_000, because: drained },
        ],
        phase: "Drained",
        lookAgainMs: 60_000,
      },
    ],
    [
      "drained: waits for its time",
      {
        version: { removeAtMs: NOW_MS + 7_000 },
        actions: [],
        phase: "Drained",
        lookAgainMs: 7_000,
      },
    ],
    [
      "V3: due, but only one reading",
      {
        version: { removeAtMs: DUE_MS },
        report: { version: "v1", confirmed: false },
        actions: [],
        phase: "Drained",
        lookAgainMs: 10_000,
      },
    ],
    [
      "V3: due, but the reading is old: it is made anew",
      {
        version: { removeAtMs: DUE_MS },
        report: { version: "v1", atMs: NOW_MS - 60_001 },
        actions: [
          {
            kind: "startDrain",
            version: "v1",
            deploymentId: "dp_v1",
            because: "its last count is too old to act on",
          },
        ],
        phase: "Drained",
        lookAgainMs: 10_000,
      },
    ],
    [
      "V6: due, but its autoscaler goes first",
      {
        version: { removeAtMs: DUE_MS, hpa },
        actions: [removeHpa(drained)],
        phase: "Drained",
        lookAgainMs: 5_000,
      },
    ],
    [
      "V6: due, but its autoscaler is not gone yet",
      {
        version: { removeAtMs: DUE_MS, hpa: { ...hpa, deleting: true } },
        actions: [],
        phase: "Drained",
        lookAgainMs: 5_000,
      },
    ],
    [
      "V4: due: deregistered, and keeps its pods meanwhile",
      {
        version: { removeAtMs: DUE_MS },
        actions: [deregister("it is drained and its removal is due")],
        phase: "Drained",
        lookAgainMs: 1_000,
      },
    ],
    [
      "V4: gone from Restate, but its annotation remembers it: that goes next",
      {
        version: { removeAtMs: DUE_MS, registration: { kind: "absent" } },
        actions: [
          { kind: "forgetDeploymentId", ...V1, because: "it is drained and its removal is due" },
        ],
        phase: "Drained",
        lookAgainMs: 1_000,
      },
    ],
    [
      "V2: gone from Restate by somebody else's hand, with work: keeps its pods",
      {
        version: { registration: { kind: "absent" } },
        report: working,
        actions: [],
        phase: "Draining",
      },
    ],
    [
      "V4: needed without pods: healed",
      {
        version: { specReplicas: 0 },
        report: working,
        spec: { replicas: 2 },
        current: theCurrent({ specReplicas: 2 }),
        actions: [
          {
            kind: "healVersion",
            ...V1,
            replicas: 2,
            because: "it has no pods, but 1 unfinished invocation",
          },
        ],
        phase: "Draining",
      },
    ],
    [
      "V4: with work: gets a pod even where the user wants none",
      {
        version: { specReplicas: 0 },
        report: working,
        spec: { replicas: 0 },
        current: theCurrent({ specReplicas: 0 }),
        actions: [
          {
            kind: "healVersion",
            ...V1,
            replicas: 1,
            because: "it has no pods, but 1 unfinished invocation",
          },
        ],
        phase: "Draining",
      },
    ],
    [
      "V4: registered without pods and without work: deregistered",
      {
        version: { specReplicas: 0, removeAtMs: DUE_MS },
        actions: [deregister("it is drained and its removal is due")],
        phase: "Drained",
        lookAgainMs: 1_000,
      },
    ],
    [
      "V6: with work, autoscaling: gets an autoscaler",
      {
        report: working,
        spec: { autoscaling: true },
        actions: [{ kind: "applyHpa", version: "v1", because: "older version with work" }],
        phase: "Draining",
      },
    ],
    [
      "V6: with work, autoscaling no longer asked for: its pods come back, then the autoscaler goes",
      {
        version: { hpa },
        report: working,
        spec: { replicas: 3 },
        current: theCurrent({ specReplicas: 3 }),
        actions: [
          {
            kind: "scaleVersion",
            ...V1,
            replicas: 3,
            because: "autoscaling is no longer asked for",
          },
          removeHpa("autoscaling is no longer asked for"),
        ],
        phase: "Draining",
      },
    ],
    [
      "V6: drained, autoscaling: loses its autoscaler",
      {
        version: { hpa, removeAtMs: NOW_MS + 9_000 },
        spec: { autoscaling: true },
        actions: [removeHpa(drained)],
        phase: "Drained",
        lookAgainMs: 9_000,
      },
    ],
    [
      "V1: serves while the current version is not registered, and has no autoscaler",
      {
        version: { registration: registered("v1", 1), labelledLatest: true },
        report: { version: "v1", phase: "draining", latestFor: 1, activePinned: 4 },
        spec: { autoscaling: true },
        current: withoutId(
          theCurrent({ ...UNREGISTERED, labelledLatest: false, readyReplicas: 0 }),
        ),
        actions: [],
        phase: "Latest",
      },
    ],
    [
      "V1: has the label while the current version is not the latest: nothing is taken from it",
      {
        version: { removeAtMs: DUE_MS, labelledLatest: true },
        current: withoutId(
          theCurrent({ ...UNREGISTERED, labelledLatest: false, readyReplicas: 0 }),
        ),
        actions: [],
        phase: "Drained",
      },
    ],
    [
      "that is going is left alone",
      { version: { deleting: true }, actions: [], phase: "Retained" },
    ],
  ])("%s", (_, row) => {
    const plan = planVersions(
      aQuestion({
        versions: [row.current ?? theCurrent(), aVersion({ name: "v1", ...row.version })],
        reports: row.report === null ? [] : [aReport(row.report ?? { version: "v1" })],
        ...(row.spec === undefined ? {} : { spec: row.spec }),
      }),
    );
    const { phase } = plan.versions.find(({ name }) => name === "v1")!;
    expect({ actions: plan.actions, phase, lookAgainMs: plan.lookAgainMs }).toEqual({
      actions: row.actions,
      phase: row.phase,
      lookAgainMs: row.lookAgainMs,
    });
  });

  const because = "it is not registered, so nothing can run on it";

  test.each<[string, ObservedVersion, readonly VersionAction[]]>([
    [
      "V8: never registered: scheduled without the drain's delay",
      superseded({}),
      [{ kind: "scheduleRemoval", ...V1, removeAtMs: NOW_MS + 10_000, because }],
    ],
    [
      "V8: never registered, due: gives its pods back",
      superseded({ removeAtMs: DUE_MS }),
      [{ kind: "scaleToZero", ...V1, because }],
    ],
    [
      "V6: not while it has an autoscaler",
      superseded({ removeAtMs: DUE_MS, hpa }),
      [{ kind: "removeHpa", version: "v1", because }],
    ],
    [
      "V2: not while Restate is silent",
      superseded({ removeAtMs: DUE_MS, registration: unknown }),
      [],
    ],
  ])("%s", (_, version, actions) => {
    expect(planVersions(aQuestion({ versions: [theCurrent(), version] })).actions).toEqual(actions);
  });
});

describe("versions kept for a rollback", () => {
  test.each<[string, number, ObservedVersion[], VersionAction[]]>([
    ["within the limit stay", 2, [retained("a", 1), retained("b", 2)], []],
    [
      "beyond it go, the oldest first in line",
      1,
      [retained("a", 1), retained("c", 3), retained("b", 2)],
      [remove("b", "1 version"), remove("a", "1 version")],
    ],
    ["none at all", 0, [retained("a", 1)], [remove("a", "0 versions")]],
    ["V2: not while Restate is silent", 0, [{ ...retained("a", 1), registration: unknown }], []],
    ["V4: not while their pods are going", 0, [{ ...retained("a", 1), statusReplicas: 1 }], []],
  ])("%s", (...[, revisionHistoryLimit, versions, actions]) => {
    const question = aQuestion({
      versions: [theCurrent(), ...versions],
      spec: { revisionHistoryLimit },
    });
    expect(planVersions(question).actions).toEqual(actions);
  });
});

describe("V4: registered, but the version is gone", () => {
  const lost = [{ deploymentId: "dp_x", version: "x" }];
  const reason = "registered, but its version is gone";
  const entry = { name: "x", deploymentId: "dp_x", phase: "Draining", since: NOW };

  test.each<[string, VersionsQuestion["reports"], VersionAction[], object]>([
    [
      "is counted",
      [],
      [{ kind: "startDrain", version: "x", deploymentId: "dp_x", because: reason }],
      { reason },
    ],
    [
      "with work is reported",
      [aReport({ version: "x", phase: "draining", activePinned: 1 })],
      [],
      {
        invocations: { pinned: 1, unpinned: 0 },
        reason: "registered, but its version and its pods are gone: 1 unfinished invocation",
      },
    ],
    [
      "without work is taken back",
      [aReport({ version: "x" })],
      [
        {
          kind: "deregisterVersion",
          version: "x",
          deploymentId: "dp_x",
          unless: "active",
          because: `${reason} and it has no work`,
        },
      ],
      { invocations: { pinned: 0, unpinned: 0 }, reason: `${reason} and it has no work` },
    ],
  ])("%s", (...[, reports, actions, status]) => {
    const registration = { reachable: true, foreign: [], lost };
    const plan = planVersions(aQuestion({ versions: [theCurrent()], reports, registration }));
    expect({ actions: plan.actions, status: plan.versions[1] }).toEqual({
      actions,
      status: { ...entry, replicas: 0, readyReplicas: 0, ...status },
    });
  });

  test("a drain of what is nowhere ends", () => {
    const question = aQuestion({ versions: [theCurrent()], reports: [aReport({ version: "y" })] });
    expect(planVersions(question).actions).toEqual([
      { kind: "cancelDrain", version: "y", because: "its version is gone" },
    ]);
  });
});

test("a version that cannot be registered does not stop the cleaning up: what takes comes before it", () => {
  const versions = [
    withoutId(theCurrent({ ...UNREGISTERED, labelledLatest: false })),
    aVersion({ name: "v1", removeAtMs: DUE_MS }),
  ];
  const { actions } = planVersions(aQuestion({ versions, reports: [aReport({ version: "v1" })] }));
  expect(actions.map(({ kind }) => kind)).toEqual(["deregisterVersion", "registerVersion"]);
});

test("the order in which versions are read does not matter", () => {
  const versions = [theCurrent(), retained("a", 1), aVersion({ name: "v1", removeAtMs: DUE_MS })];
  const reports = [aReport({ version: "v1" })];
  expect(planVersions(aQuestion({ versions, reports }))).toEqual(
    planVersions(aQuestion({ versions: versions.toReversed(), reports })),
  );
});

test("of two versions made in the same second, the one that is asked for is the newer", () => {
  const createdAtMs = Date.parse(BEFORE);
  const question = aQuestion({
    versions: [aVersion({ name: "v1", createdAtMs }), theCurrent({ name: "v2", createdAtMs })],
  });
  expect(planVersions(question).versions.map(({ name }) => name)).toEqual(["v2", "v1"]);
});
