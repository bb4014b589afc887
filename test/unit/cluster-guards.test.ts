/**
 * What keeps the data of a RestateCluster: volumes that only grow (S1-S4 of services/cluster/plan-volumes.ts), versions that
 * follow one another (G1-G4 of plan-version-change.ts), and a deletion that is held (plan-deletion.ts). Each row is an
 * observation and the whole plan, or what of it matters.
 */
import type { V1Pod } from "@kubernetes/client-node";
import { describe, expect, test } from "vitest";
import type { ClusterAction } from "../../services/cluster/api.ts";
import type { ObservedCluster } from "../../services/cluster/observe/observe.ts";
import { runningImagesOf } from "../../services/cluster/observe/observe-images.ts";
import { planCluster } from "../../services/cluster/plan/plan.ts";
import type { ClusterQuestion } from "../../services/cluster/plan/question.ts";
import { appliedClaim } from "../../services/cluster/plan/plan-volumes.ts";
import { keyOf } from "../../services/core/children.ts";
import { titleOf } from "../../services/core/resource.ts";
import { NOW, NOW_MS, RECONCILED, aClaim, aCluster, settledQuestion } from "./cluster-samples.ts";

const CONTAINER = { name: "restate", image: "", imageID: "", ready: false, restartCount: 0 };
const GIB = 1_073_741_824;
const REPLACED =
  "its claim template cannot be changed; it is made again at once, and its pods run on";

type Sample = Parameters<typeof aCluster>[0];

/** A settled cluster whose spec is another one by now. */
function edited(sample: Sample, observed: Partial<ObservedCluster> = {}): ClusterQuestion {
  const before = settledQuestion(aCluster());
  const cluster = aCluster({ ...sample, metadata: { generation: 2, ...sample?.metadata } });
  return { ...before, observed: { ...before.observed, cluster, ...observed } };
}

/** Actions as `kind title`, claims with what is asked for. */
function briefly(actions: readonly ClusterAction[]): string[] {
  return actions.map((action) => {
    if (!("target" in action)) return action.kind;
    const { storageBytes = "", volumeAttributesClassName = "" } =
      action.kind === "changeClaim" ? action : {};
    return `${action.kind} ${titleOf(action.target)} ${storageBytes} ${volumeAttributesClassName}`.trim();
  });
}

const storage = (over: object) => ({
  spec: { storage: { storageRequestBytes: 2 * GIB, ...over } },
});
const LARGER = storage({ storageRequestBytes: 4 * GIB });
const CLASSED = storage({ volumeAttributesClassName: "fast" });
/** One node becomes several: their settings are generated (settings.ts). */
const FORM = [
  "applyObject NetworkPolicy allow-metrics-access",
  "applyObject Service restate-cluster",
];
const REPLACE = ["orphanStatefulSet StatefulSet restate", "applyObject StatefulSet restate"];

const leaving = (question: ClusterQuestion): ClusterQuestion => ({
  ...question,
  observed: {
    ...question.observed,
    children: question.observed.children.map((child) =>
      child.ref.kind === "StatefulSet" ? { ...child, deleting: true, generation: 2 } : child,
    ),
  },
});
const disowned = (question: ClusterQuestion): ClusterQuestion => ({
  ...question,
  observed: {
    ...question.observed,
    children: question.observed.children.map((child) =>
      child.ref.kind === "StatefulSet" ? { ...child, controllerUid: "other" } : child,
    ),
  },
});

describe("S: volumes", () => {
  const withStatefulSet = (over: object, sample: Sample = LARGER) =>
    edited(sample, {
      statefulSet: { ...settledQuestion(aCluster()).observed.statefulSet!, ...over },
    });
  const claims = (...all: ReturnType<typeof aClaim>[]) =>
    edited(LARGER, { claims: all, statefulSet: grownSet });
  const grownSet = {
    ...settledQuestion(aCluster()).observed.statefulSet!,
    storageBytes: 4 * GIB,
  };
  const grow = (ordinal: number) =>
    `changeClaim PersistentVolumeClaim storage-restate-${ordinal} ${4 * GIB}`;
  const apply = "applyObject StatefulSet restate";

  const rows: readonly { name: string; question: ClusterQuestion; expected: string[] }[] = [
    { name: "S2: grown", question: edited(LARGER), expected: [...REPLACE, grow(0)] },
    {
      name: "S2: another class",
      question: edited(CLASSED),
      expected: [...REPLACE, "changeClaim PersistentVolumeClaim storage-restate-0  fast"],
    },
    {
      name: "S2: both",
      question: edited(
        storage({ storageRequestBytes: 4 * GIB, volumeAttributesClassName: "fast" }),
      ),
      expected: [...REPLACE, `${grow(0)} fast`],
    },
    {
      name: "S2: a storage class where there was none is for new volumes only",
      question: edited(storage({ storageClassName: "ssd" })),
      expected: REPLACE,
    },
    {
      name: "S2: no class any more: volumes keep theirs",
      question: {
        ...edited(
          {},
          {
            statefulSet: { ...grownSet, storageBytes: 2 * GIB, volumeAttributesClassName: "fast" },
            claims: [aClaim(0, { volumeAttributesClassName: "fast" })],
          },
        ),
        applied: settledQuestion(aCluster(CLASSED)).applied,
      },
      expected: REPLACE,
    },
    {
      name: "S2: anything else but storage replaces nothing",
      question: edited({ compute: { replicas: 3, image: "restatedev/restate:1.7.13" } }),
      expected: [...FORM, apply],
    },
    {
      name: "S2: grown while pods are not ready, and more nodes asked for",
      question: {
        ...withStatefulSet({ readyReplicas: 0 }, { ...LARGER, compute: { replicas: 3 } }),
      },
      expected: [...FORM, ...REPLACE, "survey", grow(0)],
    },
    {
      name: "S2: not known any more, and the template is another",
      question: { ...withStatefulSet({}), applied: {} },
      expected: [
        ...settledQuestion(aCluster()).observed.children.flatMap(({ ref }) =>
          ref.kind === "StatefulSet" ? REPLACE : [`applyObject ${titleOf(ref)}`],
        ),
        grow(0),
      ],
    },
    {
      name: "S2: it was applied as asked for, and the API server keeps another template",
      question: settledQuestion(aCluster(CLASSED), {
        observed: { claims: [aClaim(0, { volumeAttributesClassName: "fast" })] },
      }),
      expected: [],
    },
    {
      name: "S2: somebody else's StatefulSet is not removed",
      question: disowned(edited(LARGER)),
      expected: [apply, grow(0)],
    },
    { name: "S3: on its way out", question: leaving(edited(LARGER)), expected: [grow(0)] },
    {
      name: "S4: every bound claim, also of pods that are no longer asked for",
      question: claims(aClaim(0), aClaim(1, { phase: "Pending" }), aClaim(5)),
      expected: [apply, grow(0), grow(5)],
    },
    {
      name: "S1, S4: a claim that is larger already stays as it is",
      question: claims(aClaim(0, { storageBytes: 8 * GIB }), aClaim(1, { storageBytes: 4 * GIB })),
      expected: [apply],
    },
    {
      name: "S4: one that is being removed, and one of another name, stay",
      question: claims(aClaim(0, { deleting: true }), aClaim(1, { name: "theirs-1" })),
      expected: [apply],
    },
  ];
  test.each(rows)("$name", ({ question, expected }) => {
    const actions = planCluster(question).actions.filter(
      (action) => !("target" in action) || action.target.kind !== "Namespace",
    );
    expect(briefly(actions)).toEqual(expected);
  });

  test("whole actions name uid and reason", () => {
    const { actions } = planCluster(edited(LARGER));
    const live = edited(LARGER).observed.children.find(({ ref }) => ref.kind === "StatefulSet")!;
    expect([actions[0], actions[2]]).toEqual([
      { kind: "orphanStatefulSet", target: live.ref, uid: live.uid, because: REPLACED },
      {
        kind: "changeClaim",
        target: aClaim(0).ref,
        uid: "uid-storage-restate-0",
        storageBytes: 4 * GIB,
        because: "it has 2147483648 bytes and 4294967296 are asked for",
      },
    ]);
  });

  test("S4: what was asked for before and left no trace is not asked for again", () => {
    const question = claims(aClaim(0));
    const [, change] = planCluster(question).actions;
    const applied = {
      ...question.applied,
      [keyOf(aClaim(0).ref)]: appliedClaim(
        change as Extract<ClusterAction, { kind: "changeClaim" }>,
        aClaim(0),
      ),
    };
    expect(briefly(planCluster({ ...question, applied }).actions)).toEqual([apply]);
    const grown = claims(aClaim(0, { storageBytes: 3 * GIB }));
    expect(briefly(planCluster({ ...grown, applied }).actions)).toEqual([apply, grow(0)]);
  });

  test("S3: it says so, and the older ConfigMap is kept", () => {
    const plan = planCluster(leaving(edited({ ...LARGER, compute: {} })));
    expect(plan.outcome).toEqual({
      kind: "waiting",
      reason: "StatefulSetScaling",
      message:
        "StatefulSet restate is being removed; it is made again when it is gone, and its pods run on",
      requeueAfterMs: 5_000,
    });
  });

  test("S1: smaller than the volumes are: refused, and nothing is written", () => {
    const message =
      "spec.storage.storageRequestBytes: the volumes have 2147483648 bytes and cannot shrink to 1073741824; ask for at least 2147483648";
    const plan = planCluster(edited(storage({ storageRequestBytes: GIB })));
    expect(plan).toMatchObject({
      actions: [],
      outcome: { kind: "stalled", reason: "StorageCannotShrink", message },
    });
    expect(plan.status?.conditions?.[0]).toMatchObject({ status: "False", message });
  });
});

const from = (running: readonly string[], to: string, annotations = {}) =>
  planCluster(
    edited(
      { metadata: { annotations }, compute: { image: to } },
      { runningImages: running.map((tag) => (tag.includes(":") ? tag : `r/restate:${tag}`)) },
    ),
  );

const skipped = (one: string, other: string) =>
  `spec.compute.image: ${one} runs, and from there to ${other} a minor version would be skipped, and its migration of the data with it; go through every minor version, or allow it with the annotation restate.dev/allow-version-change: "${other}"`;
const back = (one: string, other: string) =>
  `spec.compute.image: ${one} runs, and ${other} may not understand the data it has written; put back ${one}, or allow it with the annotation restate.dev/allow-version-change: "${other}"`;
const allow = (tag: string) => ({ "restate.dev/allow-version-change": tag });

describe("G: version changes", () => {
  test.each([
    ["a patch", ["1.7.12"], "r/restate:1.7.13"],
    ["G3: a patch back", ["1.7.12"], "r/restate:1.7.3"],
    ["the next minor version", ["1.6.9"], "r/restate:1.7.0"],
    ["a release candidate of it", ["1.6.9"], "r/restate:1.7.0-rc.1"],
    ["written with v, without a patch", ["v1.6"], "r/restate:v1.7"],
    ["G1: the rest of an upgrade on half its way", ["1.6.9", "1.7.0"], "r/restate:1.7.1"],
    ["the first of the next major version", ["1.9.0"], "r/restate:2.0.1"],
    ["G2: a tag that names no version", ["1.5.0"], "r/restate:main"],
    ["G2: from one", ["nightly"], "r/restate:1.7.0"],
    ["G2: a digest", ["1.5.0"], `r/restate@sha256:${"0".repeat(64)}`],
    ["G2: a registry's port is no tag", ["1.5.0"], "localhost:5000/restate"],
    ["G2: a date", ["2026.1.0"], "r/restate:2026.11.0"],
    ["nothing runs", [], "r/restate:1.3.0"],
  ])("%s goes through", (_, running, to) => {
    expect(from(running, to).outcome.kind).not.toBe("stalled");
    expect(from(running, to).actions.length).toBeGreaterThan(0);
  });

  test.each([
    ["a skipped minor version", ["1.5.9"], "r/restate:1.7.0", skipped("1.5.9", "1.7.0")],
    [
      "with a digest beside the tag",
      ["r/restate:1.5.9@sha256:0"],
      "localhost:5000/restate:1.7.0@sha256:1",
      skipped("1.5.9", "1.7.0"),
    ],
    ["a skipped major version", ["1.9.0"], "r/restate:3.0.0", skipped("1.9.0", "3.0.0")],
    ["into the next major version", ["1.9.0"], "r/restate:2.1.0", skipped("1.9.0", "2.1.0")],
    ["a minor version back", ["1.7.0"], "r/restate:1.6.9", back("1.7.0", "1.6.9")],
    ["a major version back", ["2.0.0"], "r/restate:1.9.0", back("2.0.0", "1.9.0")],
    [
      "G1: back, half an upgrade done",
      ["1.6.9", "1.7.0"],
      "r/restate:1.6.9",
      back("1.7.0", "1.6.9"),
    ],
    [
      "G1: on, half an upgrade done",
      ["1.6.9", "1.7.0"],
      "r/restate:1.8.0",
      skipped("1.6.9", "1.8.0"),
    ],
  ])("%s is refused, and nothing is written", (...[, running, to, message]) => {
    const plan = from(running, to);
    expect(plan.outcome).toEqual({ kind: "stalled", reason: "VersionChangeRefused", message });
    expect(plan.actions).toEqual([]);
    expect(plan.status?.conditions?.[0]).toMatchObject({ status: "False", message });
  });

  test("G4: allowed to exactly this tag", () => {
    expect(from(["1.5.9"], "r/restate:1.7.0", allow("1.7.0")).outcome.kind).toBe("waiting");
    expect(from(["1.5.9"], "r/restate:1.7.0", allow("1.7.1")).outcome.kind).toBe("stalled");
  });

  test("G4: neither annotation reaches a child", () => {
    const annotations = {
      "restate.dev/allow-version-change": "1.7.0",
      "restate.dev/deletion-protection": "enabled",
    };
    const question = settledQuestion(aCluster());
    const cluster = aCluster({ metadata: { annotations } });
    const plan = planCluster({ ...question, observed: { ...question.observed, cluster } });
    expect(plan.actions).toEqual([]);
  });
});

const deleting = (value: string, over: NonNullable<Sample> = {}) => {
  const annotations = {
    "restate.dev/deletion-protection": value,
    "restate.dev/reconcile": "disabled",
  };
  const metadata = { deletionTimestamp: NOW, annotations, ...over.metadata };
  const cluster = aCluster({ ...over, metadata });
  return planCluster({
    ...settledQuestion(cluster),
    observed: { cluster, children: [], claims: [] },
  });
};

const pod = (image: string, restate?: object): V1Pod => ({
  spec: {
    containers: [
      { name: "sidecar", image: "s:9.9" },
      { name: "restate", image },
    ],
  },
  status: restate === undefined ? {} : { containerStatuses: [{ ...CONTAINER, ...restate }] },
});
const waiting = (reason: string, more: object = {}) => ({
  state: { waiting: { reason } },
  ...more,
});

describe("G1: what runs", () => {
  test.each([
    {
      name: "every image once, sorted",
      pods: [pod("b"), pod("a"), pod("b")],
      expected: ["a", "b"],
    },
    { name: "no pod: what was applied", pods: [], expected: ["applied"] },
    {
      name: "a pod that cannot get its image has not run",
      pods: [pod("a"), pod("b", waiting("ImagePullBackOff"))],
      expected: ["a"],
    },
    {
      name: "it has, when it ran before",
      pods: [pod("b", waiting("ErrImagePull", { restartCount: 1 }))],
      expected: ["b"],
    },
    {
      name: "one that crashes has run",
      pods: [pod("a", waiting("CrashLoopBackOff"))],
      expected: ["a"],
    },
    {
      name: "one that is only being started may have run before",
      pods: [pod("a", waiting("ContainerCreating"))],
      expected: ["a"],
    },
    {
      name: "one without a Restate container",
      pods: [{ spec: { containers: [] } }],
      expected: ["applied"],
    },
  ])("$name", ({ pods, expected }) => {
    expect(runningImagesOf(pods, "applied")).toEqual(expected);
  });
});

describe("a protected deletion", () => {
  const message =
    "the deletion is held by the annotation restate.dev/deletion-protection: enabled; the cluster runs on as it is, and goes as soon as the annotation does";
  const why = { reason: "DeletionProtected", message, lastTransitionTime: NOW };
  const held = {
    observedGeneration: 1,
    reconciliation: "Reconciling" as const,
    conditions: [
      { type: "Ready", status: "False", ...why },
      { type: "Progressing", status: "False", ...why },
      { type: "Stalled", status: "True", ...why },
    ],
  };
  const plan = { for: { uid: "uid-c", generation: 1 }, actions: [], observedAtMs: NOW_MS };
  const outcome = { kind: "stalled", reason: "DeletionProtected", message };

  test("is held, also where everything else is disabled, and said in condition and event", () => {
    const events = [{ type: "Warning", reason: "DeletionProtected", message }];
    expect(deleting("enabled", { status: {} })).toEqual({ ...plan, status: held, events, outcome });
  });

  test("said already: nothing more", () => {
    expect(deleting("enabled", { status: held })).toEqual({ ...plan, outcome });
  });

  test.each(["disabled", "true", ""])("is none with the value %j", (value) => {
    expect(deleting(value, { status: RECONCILED })).toMatchObject({
      actions: [{ kind: "survey" }, { kind: "removeFinalizer" }],
      outcome: { kind: "gone" },
    });
  });

  test("is none of ours without our finalizer", () => {
    const finalizers = ["theirs"];
    expect(deleting("enabled", { metadata: { finalizers } }).outcome).toEqual({ kind: "gone" });
  });
});
