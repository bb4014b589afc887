/** The plan of a RestateDeployment as a whole, one row each, named after the rules of services/deployment/plan.ts. */
import { describe, expect, test } from "vitest";
import { RestateDeployment } from "../../crds/restate-deployment.ts";
import { keyOf, refOf, type AppliedObjects } from "../../services/core/children.ts";
import { digestOf } from "../../services/core/digest.ts";
import type { ObservedDeployment } from "../../services/deployment/observe/observe.ts";
import type { VersionObject } from "../../services/deployment/observe/observed-version.ts";
import {
  FOREIGN,
  desiredServices,
  planDeployment,
  type DeploymentQuestion,
} from "../../services/deployment/plan/plan.ts";
import { BEFORE, NOW, NOW_MS, aReport, aVersion, theCurrent } from "./deployment-samples.ts";

const FINALIZER = "deployments.restate.dev";
const HELD = { finalizers: [FINALIZER] };
const URL_WAY = { register: { url: "http://admin:9070" } };
const FOR = { for: { uid: "u", generation: 1 }, observedAtMs: NOW_MS };

type Sample = {
  readonly metadata?: object;
  readonly spec?: object;
  readonly status?: object;
  readonly observed?: Partial<ObservedDeployment>;
  readonly applied?: AppliedObjects;
  readonly reports?: DeploymentQuestion["reports"];
};

function question({ metadata, spec, status, observed, applied = {}, reports = [] }: Sample) {
  const deployment = RestateDeployment.parse({
    apiVersion: "restate.dev/v1beta1",
    kind: "RestateDeployment",
    metadata: {
      name: "d",
      namespace: "n",
      uid: "u",
      generation: 1,
      resourceVersion: "1",
      creationTimestamp: BEFORE,
      ...metadata,
    },
    spec: {
      replicas: 1,
      revisionHistoryLimit: 10,
      restate: URL_WAY,
      selector: { matchLabels: { app: "d" } },
      template: { metadata: { labels: { app: "d" } }, spec: {} },
      ...spec,
    },
    status,
  });
  return {
    observed: {
      deployment,
      current: { name: "v2", hash: "2", url: { kind: "url", url: "http://v2.n:9080/" } },
      target: { kind: "target", target: { url: "http://admin:9070" } },
      versions: [],
      objects: [],
      registration: { reachable: true, foreign: [], lost: [] },
      services: [],
      hpas: [],
      adminUrls: { v1: "http://admin:9070" },
      namespaceTerminating: false,
      clusterGone: false,
      ...observed,
    },
    applied,
    reports,
    nowMs: NOW_MS,
  } as const satisfies DeploymentQuestion;
}

const object = (name: string, more: Partial<VersionObject> = {}): VersionObject => ({
  name,
  uid: `uid-${name}`,
  hash: name.slice(1),
  annotations: {},
  inherited: [],
  matchLabels: { app: "d", "pod-template-hash": name.slice(1) },
  targetPort: 9080,
  adminUrl: "http://admin:9070",
  ...more,
});

/** Memory of Services that are somebody else's, so that a plan does not speak of them. */
const leftAlone = (asked: ReturnType<typeof question>, latest: string): AppliedObjects =>
  Object.fromEntries(
    desiredServices(asked.observed, latest).map((manifest) => [
      keyOf(refOf(manifest)),
      { manifest: digestOf(manifest), live: FOREIGN },
    ]),
  );

const create = {
  kind: "createVersion",
  version: "v2",
  replicas: 1,
  because: "no version has this template",
} as const;

type Said = { readonly reason: string; readonly message: string };

const condition = (type: string, status: string, said: Said) => ({
  type,
  status,
  ...said,
  lastTransitionTime: NOW,
});

const NO_DRAIN = condition("Draining", "False", {
  reason: "NoOlderVersionWorks",
  message: "no older version has work",
});
const EMPTY = {
  replicas: 0,
  desiredReplicas: 1,
  readyReplicas: 0,
  availableReplicas: 0,
  unavailableReplicas: 0,
  observedGeneration: 1,
  draining: 0,
  inFlight: 0,
  reconciliation: "Reconciling",
  versions: [],
};

const stalledWith = (said: Said) => ({
  ...FOR,
  actions: [],
  status: {
    ...EMPTY,
    conditions: [
      condition("Ready", "False", said),
      condition("Progressing", "False", said),
      condition("Stalled", "True", said),
      NO_DRAIN,
    ],
  },
  outcome: { kind: "stalled", ...said },
});

describe("a resource that is to be what it says", () => {
  test("P1: the finalizer comes before everything else", () => {
    const said = { reason: "ReplicaSetNoStatus", message: "v2 is being made" };
    expect(planDeployment(question({}))).toEqual({
      ...FOR,
      actions: [{ kind: "addFinalizer", because: "it is not there yet" }, create],
      status: {
        ...EMPTY,
        conditions: [
          condition("Ready", "False", said),
          condition("Progressing", "True", said),
          condition("Stalled", "False", said),
          NO_DRAIN,
        ],
      },
      outcome: { kind: "waiting", ...said, requeueAfterMs: 60_000 },
    });
    expect(planDeployment(question({ metadata: HELD })).actions).toEqual([create]);
  });

  test.each<[string, object, [reason: string, message: string]]>([
    [
      "knative",
      { deploymentMode: "knative" },
      [
        "NotServedYet",
        "this release does not serve spec.deploymentMode: knative: use register.cluster, service or url, in mode replicaset",
      ],
    ],
    [
      "cloud",
      { restate: { register: { cloud: "e" } } },
      [
        "NotServedYet",
        "this release does not serve spec.restate.register.cloud: use register.cluster, service or url, in mode replicaset",
      ],
    ],
    [
      "a selector that does not select its pods",
      { selector: { matchLabels: { app: "x" } } },
      [
        "FailedReconcile",
        "spec.selector.matchLabels: the pods do not have app=x; add it to spec.template.metadata.labels",
      ],
    ],
  ])("P2: said, and nothing is written: %s", (_, spec, [reason, message]) => {
    expect(planDeployment(question({ spec }))).toEqual(stalledWith({ reason, message }));
  });

  test("disabled: nothing but that word, said once", () => {
    const annotations = { "restate.dev/reconcile": "disabled" };
    const quiet = { ...FOR, actions: [], outcome: { kind: "applied" } };
    const status = { replicas: 1, reconciliation: "Disabled" as const };
    expect(planDeployment(question({ metadata: { annotations } }))).toEqual({
      ...quiet,
      status: { replicas: 0, reconciliation: "Disabled" },
    });
    expect(planDeployment(question({ metadata: { annotations }, status }))).toEqual(quiet);
    const other = { "restate.dev/reconcile": "no" };
    expect(planDeployment(question({ metadata: { annotations: other } })).actions).toHaveLength(2);
  });

  test("annotations of the resource that a version lacks, or has in excess; what others put there stays", () => {
    const asked = question({
      metadata: { ...HELD, annotations: { note: "x", same: "y", "restate.dev/latest": "no" } },
      observed: {
        versions: [theCurrent()],
        objects: [
          object("v2", {
            annotations: { same: "y", old: "o", others: "z" },
            inherited: ["old", "same"],
          }),
        ],
      },
    });
    const applied = leftAlone(asked, "v2");
    expect(planDeployment({ ...asked, applied }).actions).toEqual([
      {
        kind: "annotateVersion",
        version: "v2",
        uid: "uid-v2",
        annotations: { note: "x", same: "y" },
        obsolete: ["old"],
        because: "annotations of the resource changed",
      },
    ]);
  });

  test("Services: one per version, each leading to that version alone, and the stable one to the latest", () => {
    const asked = question({
      metadata: { ...HELD, labels: { team: "a" } },
      observed: {
        versions: [
          theCurrent(),
          aVersion({ name: "v1" }),
          aVersion({ name: "v0", deleting: true }),
        ],
        objects: [
          object("v2"),
          object("v1", { targetPort: 8080, matchLabels: { app: "old", "pod-template-hash": "1" } }),
          object("v0"),
        ],
      },
    });
    const services = desiredServices(asked.observed, "v2");
    expect(services.map((each) => [each.metadata?.name, "spec" in each && each.spec])).toEqual([
      [
        "v2",
        {
          selector: { app: "d", "pod-template-hash": "2" },
          ports: [{ name: "restate", port: 9080, targetPort: 9080 }],
        },
      ],
      [
        "v1",
        {
          selector: { app: "old", "pod-template-hash": "1" },
          ports: [{ name: "restate", port: 9080, targetPort: 8080 }],
        },
      ],
      [
        "d",
        {
          selector: { app: "d", "pod-template-hash": "2" },
          ports: [{ name: "restate", port: 9080, targetPort: 9080 }],
        },
      ],
    ]);
    expect(services.map((each) => each.metadata?.labels?.["restate.dev/latest"])).toEqual([
      "true",
      undefined,
      undefined,
    ]);
  });

  test("P3: a Service that was found to be somebody else's is not asked for again, until it is to be another", () => {
    const asked = question({
      metadata: HELD,
      observed: { versions: [theCurrent()], objects: [object("v2")] },
    });
    const applied = leftAlone(asked, "v2");
    expect(planDeployment({ ...asked, applied }).actions).toEqual([]);
    const relabelled = question({
      metadata: { ...HELD, labels: { team: "a" } },
      observed: { versions: [theCurrent()], objects: [object("v2")] },
    });
    expect(planDeployment({ ...relabelled, applied }).actions.map((action) => action.kind)).toEqual(
      ["applyObject", "applyObject"],
    );
  });

  test("what can wait for others comes last, after the Services", () => {
    const asked = question({
      metadata: HELD,
      observed: {
        versions: [theCurrent({ registration: { kind: "absent" }, labelledLatest: false })],
        objects: [object("v2")],
      },
    });
    expect(planDeployment(asked).actions.map((action) => action.kind)).toEqual([
      "applyObject",
      "applyObject",
      "registerVersion",
    ]);
  });

  test("a drain is told which Restate to ask", () => {
    const asked = question({
      metadata: HELD,
      observed: {
        versions: [theCurrent(), aVersion({ name: "v1" })],
        objects: [object("v2"), object("v1")],
        adminUrls: { v1: "http://other:9070", v2: "http://admin:9070" },
      },
    });
    const applied = leftAlone(asked, "v2");
    expect(planDeployment({ ...asked, applied }).actions).toEqual([
      {
        kind: "startDrain",
        version: "v1",
        deploymentId: "dp_v1",
        adminUrl: "http://other:9070",
        because: "its invocations are to be counted",
      },
    ]);
  });

  describe("Restate does not answer: told once", () => {
    const message = "GET /query got no answer";
    const blocked = { reason: "AdminCallFailed", message, requeueAfterMs: 10_000 } as const;
    test.each([
      ["it answered before", "Deployed", [{ type: "Warning", reason: blocked.reason, message }]],
      ["it is said already", "AdminCallFailed", undefined],
    ])("%s", (_, reason, events) => {
      const plan = planDeployment(
        question({
          metadata: HELD,
          status: {
            replicas: 1,
            conditions: [
              { type: "Ready", status: "True", reason, message: "", lastTransitionTime: BEFORE },
            ],
          },
          observed: {
            versions: [theCurrent({ registration: { kind: "unknown" } })],
            objects: [object("v2")],
            registration: { reachable: false, blocked, foreign: [], lost: [] },
          },
        }),
      );
      expect(plan.outcome).toMatchObject({ kind: "waiting", reason: "AdminCallFailed" });
      expect(plan.events).toEqual(events);
    });
  });

  test("the pods of a version just made: nothing is said for a moment", () => {
    const young = theCurrent({
      createdAtMs: NOW_MS - 500,
      readyReplicas: 0,
      availableReplicas: 0,
      registration: { kind: "absent" },
      labelledLatest: false,
    });
    const asked = question({
      metadata: HELD,
      observed: { versions: [young], objects: [object("v2")] },
    });
    const plan = planDeployment(asked);
    expect(plan.status).toBeUndefined();
    expect(plan.lookAgainMs).toBe(1_500);
    expect(planDeployment({ ...asked, nowMs: NOW_MS + 1_500 }).status).toMatchObject({
      conditions: [{ type: "Ready", reason: "ReplicaSetPodNotReady" }, {}, {}, {}],
    });
  });
});

describe("a resource that is being deleted", () => {
  const deletionTimestamp = NOW;
  const deleted = { deletionTimestamp, ...HELD };

  test("without the finalizer it is gone", () => {
    expect(planDeployment(question({ metadata: { deletionTimestamp } }))).toEqual({
      ...FOR,
      actions: [],
      outcome: { kind: "gone" },
    });
  });

  test("with nothing registered it is let go, and that is the last thing said", () => {
    expect(
      planDeployment(question({ metadata: deleted, reports: [aReport({ version: "v1" })] })),
    ).toEqual({
      ...FOR,
      actions: [
        { kind: "cancelDrain", version: "v1", because: "nothing of it is registered" },
        { kind: "removeFinalizer", because: "nothing of it is registered" },
      ],
      events: [{ type: "Normal", reason: "DeleteRequested", message: "Deleting d" }],
      outcome: { kind: "gone" },
    });
  });

  test("also where it is disabled, or not served", () => {
    const annotations = { "restate.dev/reconcile": "disabled" };
    const plans = [
      planDeployment(question({ metadata: { ...deleted, annotations } })),
      planDeployment(question({ metadata: deleted, spec: { deploymentMode: "knative" } })),
    ];
    for (const plan of plans) expect(plan.outcome).toEqual({ kind: "gone" });
  });

  test("with work it waits, and says for what", () => {
    const message = "waiting for 2 unfinished invocations of 1 version";
    const plan = planDeployment(
      question({
        metadata: deleted,
        observed: { versions: [theCurrent()], objects: [object("v2")] },
        reports: [aReport({ version: "v2", phase: "draining", activePinned: 2, confirmed: false })],
      }),
    );
    expect(plan).toMatchObject({
      actions: [],
      status: {
        deletion: { phase: "Draining", totalPendingInvocations: 2, message },
        conditions: [{ type: "Ready", status: "False", reason: "Deleting", message }, {}, {}, {}],
      },
      outcome: { kind: "waiting", reason: "Deleting", message, requeueAfterMs: 10_000 },
    });
  });
});
