/**
 * The decision about a RestateCluster (P1-P6 in services/cluster/plan.ts): each row is an observation and the whole plan
 * that follows from it.
 */
import { describe, expect, test } from "vitest";
import type { RestateCluster } from "../../crds/restate-cluster.ts";
import type { ClusterAction, ClusterStatus } from "../../services/cluster/api.ts";
import type { ObservedCluster } from "../../services/cluster/observe/observe.ts";
import { planCluster } from "../../services/cluster/plan/plan.ts";
import type { ClusterQuestion } from "../../services/cluster/plan/question.ts";
import {
  keyOf,
  refOf,
  type AppliedObjects,
  type ObservedObject,
} from "../../services/core/children.ts";
import { digestOf } from "../../services/core/digest.ts";
import type { EventClaim, Plan } from "../../services/core/plan.ts";
import type { Outcome } from "../../services/core/outcome.ts";
import { titleOf } from "../../services/core/resource.ts";
import {
  BEFORE,
  CONFIG,
  NOW,
  NOW_MS,
  RECONCILED,
  aClaim,
  aCluster,
  appliedOf,
  liveOf,
  manifestsOf,
  settledQuestion,
} from "./cluster-samples.ts";

interface Row {
  readonly name: string;
  readonly question: ClusterQuestion;
  readonly expected: {
    readonly generation?: number;
    readonly actions?: readonly ClusterAction[];
    readonly status?: ClusterStatus;
    readonly events?: readonly EventClaim[];
    readonly outcome: Outcome;
  };
}

const APPLIED: Outcome = { kind: "applied" };
const CREATED = "it does not exist yet";
const CHANGED = "what is asked for changed";
const EDITED = "it was changed by someone else";
const DELETED = "it was deleted";
const FORGOTTEN = "it exists, but what was applied to it is not remembered";
const FINALIZER: ClusterAction = { kind: "addFinalizer", because: "it is not there yet" };

/** Applies of the named children, for one reason, as the cluster's manifests are. */
function applies(
  question: ClusterQuestion,
  because: string,
  titles: readonly string[],
): ClusterAction[] {
  const manifests = manifestsOf(question.observed.cluster, { config: question.config });
  return titles.map((title) => {
    const manifest = manifests.find((candidate) => titleOf(refOf(candidate)) === title)!;
    return { kind: "applyObject", target: refOf(manifest), manifest: digestOf(manifest), because };
  });
}

function removes(live: ObservedObject): ClusterAction {
  const because = `${titleOf(live.ref)} is no longer asked for`;
  return { kind: "removeObject", target: live.ref, uid: live.uid, because };
}

const waiting = (reason: string, message: string, requeueAfterMs = 60_000): Outcome => ({
  kind: "waiting",
  reason,
  message,
  requeueAfterMs,
});
const stalled = (reason: string, message: string): Outcome => ({
  kind: "stalled",
  reason,
  message,
});

/** Status of a cluster that turned to not ready just now, for the reason and in the words of an outcome. */
function notReady(outcome: Outcome, over: Partial<ClusterStatus> = {}): ClusterStatus {
  const { kind, reason, message } = outcome as Extract<Outcome, { kind: "waiting" | "stalled" }>;
  const why = { reason, message, lastTransitionTime: NOW };
  const not = { reason: "NotStalled", message: "", lastTransitionTime: NOW };
  const waits = kind === "waiting";
  const conditions = [
    { type: "Ready", status: "False", ...why },
    { type: "Progressing", status: waits ? "True" : "False", ...why },
    { type: "Stalled", ...(waits ? { status: "False", ...not } : { status: "True", ...why }) },
  ];
  return { observedGeneration: 1, conditions, reconciliation: "Reconciling", ...over };
}

/** A cluster of which nothing is there yet. */
function newQuestion(
  cluster: RestateCluster,
  observed: Partial<ObservedCluster> = {},
): ClusterQuestion {
  return {
    observed: { cluster, children: [], claims: [], ...observed },
    applied: {},
    config: CONFIG,
    nowMs: NOW_MS,
  };
}

/** Another specification than the one that was applied and is running. */
function edited(sample: Parameters<typeof aCluster>[0]): ClusterQuestion {
  const before = settledQuestion(aCluster());
  const cluster = aCluster({ ...sample, metadata: { generation: 2, ...sample?.metadata } });
  return { ...before, observed: { ...before.observed, cluster } };
}

/** A settled cluster, one live child of which is another. */
function withLive(title: string, over: Partial<ObservedObject> | undefined): ClusterQuestion {
  const question = settledQuestion(aCluster());
  const children = question.observed.children.flatMap((child) =>
    titleOf(child.ref) !== title ? [child] : over === undefined ? [] : [{ ...child, ...over }],
  );
  return { ...question, observed: { ...question.observed, children } };
}

function withStatefulSet(
  over: Partial<NonNullable<ObservedCluster["statefulSet"]>>,
  cluster = aCluster(),
): ClusterQuestion {
  const question = settledQuestion(cluster);
  const statefulSet = { ...question.observed.statefulSet!, ...over };
  return { ...question, observed: { ...question.observed, statefulSet } };
}

/** A cluster that is being deleted. */
const deleting = (sample: Parameters<typeof aCluster>[0] = {}) =>
  newQuestion(aCluster({ ...sample, metadata: { ...sample.metadata, deletionTimestamp: NOW } }));

/** Specification of a cluster that the operator provisions. */
const provisionedWith = (config: string) => ({
  spec: { config, cluster: { autoProvision: true } },
});

const provision = (justStarted: boolean): ClusterAction => ({
  kind: "provisionCluster",
  justStarted,
  because: "pod restate-0 runs and the cluster has not been provisioned",
});

function judge({ question, expected }: Row): void {
  const { generation = 1, actions = [], ...rest } = expected;
  const plan: Plan<ClusterAction, ClusterStatus> = {
    for: { uid: "uid-c", generation },
    actions,
    ...rest,
    observedAtMs: NOW_MS,
  };
  expect(aboutReady(planCluster(question))).toEqual(aboutReady(plan));
}

/** A plan as these tables have it: the other conditions, the counts and the survey have tables of their own. */
function aboutReady(plan: Plan<ClusterAction, ClusterStatus>): object {
  const { status, actions, ...others } = plan;
  const asked = actions.filter(({ kind }) => kind !== "survey");
  if (status === undefined) return { ...others, actions: asked };
  const { observedGeneration, conditions = [], provisioned } = status;
  const ready = conditions.filter(({ type }) => type === "Ready");
  return { ...others, actions: asked, status: { observedGeneration, ready, provisioned } };
}

const SETTLED = settledQuestion(aCluster());
const NO_STATUS = waiting("StatefulSetNoStatus", "StatefulSet restate has no status yet");
const BEING_CHANGED = waiting(
  "StatefulSetScaling",
  "StatefulSet restate is being changed to what is asked for",
);
const ALL = manifestsOf(aCluster()).map((manifest) => titleOf(refOf(manifest)));

describe("the life of a cluster", () => {
  const fresh = newQuestion(aCluster({ metadata: { finalizers: [] }, status: undefined }));
  test.each<Row>([
    {
      name: "created: the finalizer, then every child in order",
      question: fresh,
      expected: {
        actions: [FINALIZER, ...applies(fresh, CREATED, ALL)],
        status: notReady(NO_STATUS),
        outcome: NO_STATUS,
      },
    },
    { name: "settled: nothing at all", question: SETTLED, expected: { outcome: APPLIED } },
    {
      name: "finalizers of others do not count, and stay",
      question: settledQuestion(aCluster({ metadata: { finalizers: ["theirs"] } })),
      expected: { actions: [FINALIZER], outcome: APPLIED },
    },
    {
      name: "memory lost: one apply each, and it stays ready",
      question: { ...SETTLED, applied: {} },
      expected: { actions: applies(SETTLED, FORGOTTEN, ALL), outcome: APPLIED },
    },
    {
      name: "labels and annotations that others add make no write",
      question: withLive("Service restate", {
        labels: {
          ...liveOf(manifestsOf(aCluster()).find((m) => titleOf(refOf(m)) === "Service restate")!)
            .labels,
          theirs: "1",
        },
        annotations: { theirs: "1" },
      }),
      expected: { outcome: APPLIED },
    },
  ])("$name", judge);

  const annotations = { "restate.dev/reconcile": "disabled" };
  const resuming = { ...RECONCILED, reconciliation: "ResumingReconciliation" as const };
  test.each<Row>([
    {
      name: "disabled: nothing but that word is written, whatever is to be done",
      question: newQuestion(aCluster({ metadata: { annotations, generation: 2 } })),
      expected: {
        generation: 2,
        status: { ...RECONCILED, reconciliation: "Disabled" },
        outcome: APPLIED,
      },
    },
    {
      name: "disabled, and said already: nothing at all",
      question: newQuestion(
        aCluster({
          metadata: { annotations },
          status: { ...RECONCILED, reconciliation: "Disabled" },
        }),
      ),
      expected: { outcome: APPLIED },
    },
    {
      name: "enabled again, and not ready: it is resuming",
      question: newQuestion(
        aCluster({
          metadata: { finalizers: ["clusters.restate.dev"] },
          status: { ...RECONCILED, reconciliation: "Disabled" },
        }),
      ),
      expected: {
        actions: applies(newQuestion(aCluster()), CREATED, ALL),
        status: notReady(NO_STATUS, { reconciliation: "ResumingReconciliation" }),
        outcome: NO_STATUS,
      },
    },
    {
      name: "ready again: it has resumed",
      question: settledQuestion(aCluster({ status: resuming })),
      expected: { status: RECONCILED, outcome: APPLIED },
    },
  ])("$name", judge);

  test("disabled exactly with that value", () => {
    const other = newQuestion(
      aCluster({ metadata: { annotations: { "restate.dev/reconcile": "Disabled" } } }),
    );
    expect(planCluster(other).actions).toHaveLength(ALL.length);
  });
});

describe("P1: a resource that is being deleted gets its finalizer taken off and nothing else", () => {
  const gone: Row["expected"] = {
    actions: [
      {
        kind: "removeFinalizer",
        because: "the resource is being deleted and its children follow it",
      },
    ],
    events: [{ type: "Normal", reason: "DeleteRequested", message: "Deleting c" }],
    outcome: { kind: "gone" },
  };
  test.each<Row>([
    { name: "with it", question: deleting(), expected: gone },
    {
      name: "without it, held by another",
      question: deleting({ metadata: { finalizers: ["theirs"] } }),
      expected: { outcome: { kind: "gone" } },
    },
    {
      name: "also when disabled",
      question: deleting({ metadata: { annotations: { "restate.dev/reconcile": "disabled" } } }),
      expected: gone,
    },
    {
      name: "also with a configuration that cannot be used",
      question: deleting({ spec: { config: "= broken", cluster: { autoProvision: true } } }),
      expected: gone,
    },
  ])("$name", judge);

  test("also with a name that must not be taken", () => {
    const question = deleting({ name: "kube-system" });
    const { actions } = planCluster(question);
    expect(actions.filter(({ kind }) => kind !== "survey")).toEqual(gone.actions);
  });
});

describe("P2: what the user must change is said, and nothing is written", () => {
  const taken = (name: string): Outcome =>
    stalled(
      "InvalidName",
      `metadata.name: a cluster lives in the namespace of its name, and ${name} is not to be taken over; choose another name`,
    );
  const unprovisioned = stalled(
    "InvalidRestateConfig",
    "spec.config: with spec.cluster.autoProvision set `auto-provision = false` in it, or Restate would provision a second time",
  );
  const broken = stalled(
    "InvalidRestateConfig",
    "spec.config is not valid TOML: Invalid TOML document: unexpected end of key",
  );
  test.each<Row>([
    ...["default", "kube-system", "kube-x", "op"].map((name) => ({
      name: `the name ${name}`,
      question: newQuestion(aCluster({ name })),
      expected: { status: notReady(taken(name)), outcome: taken(name) },
    })),
    {
      name: "two provisioners",
      question: newQuestion(aCluster(provisionedWith("auto-provision = true"))),
      expected: { status: notReady(unprovisioned), outcome: unprovisioned },
    },
    {
      name: "TOML that is none, of a running cluster",
      question: edited(provisionedWith("= broken")),
      expected: {
        generation: 2,
        status: notReady(broken, { observedGeneration: 2 }),
        outcome: broken,
      },
    },
    {
      name: "said already: nothing to write",
      question: newQuestion(
        aCluster({
          ...provisionedWith("auto-provision = true"),
          status: notReady(unprovisioned),
        }),
      ),
      expected: { outcome: unprovisioned },
    },
  ])("$name", judge);

  test.each(["kube", "kubernetes", "defaults", "op-2"])("the name %s is as good as any", (name) => {
    expect(planCluster(newQuestion(aCluster({ name }))).outcome).toEqual(NO_STATUS);
  });
});

describe("P3: a namespace that is not this cluster's is used and never written", () => {
  const [namespace] = manifestsOf(aCluster());
  const aNamespace = (over: Partial<ObservedObject>, state: object = {}) => ({
    object: { ...liveOf(namespace!, over) },
    terminating: false,
    ofPredecessor: false,
    ...state,
  });
  const { controllerUid: _, ...foreign } = aNamespace({ labels: {} }).object;
  const inForeign = newQuestion(aCluster({ status: undefined }), {
    namespace: { ...aNamespace({}), object: foreign },
  });
  const ofAnother = newQuestion(aCluster({ status: undefined }), {
    namespace: aNamespace({ controllerUid: "uid-other" }),
  });
  const terminating = waiting(
    "NamespaceTerminating",
    "namespace c is being deleted; it is created again when it is gone",
    5_000,
  );
  const left = waiting(
    "NamespaceTerminating",
    "namespace c belongs to a deleted RestateCluster of this name and goes with it; it is created again when it is gone",
    5_000,
  );
  const others = ALL.filter((title) => title !== "Namespace c");
  const ours = settledQuestion(aCluster(), {
    observed: { namespace: aNamespace({ labels: { "app.kubernetes.io/name": "restate" } }) },
  });
  test.each<Row>([
    {
      name: "nobody's",
      question: inForeign,
      expected: {
        actions: applies(inForeign, CREATED, others),
        status: notReady(NO_STATUS),
        outcome: NO_STATUS,
      },
    },
    {
      name: "another controller's",
      question: ofAnother,
      expected: {
        actions: applies(ofAnother, CREATED, others),
        status: notReady(NO_STATUS),
        outcome: NO_STATUS,
      },
    },
    {
      name: "its own is kept as it should be",
      question: ours,
      expected: { actions: applies(ours, EDITED, ["Namespace c"]), outcome: APPLIED },
    },
    {
      name: "terminating: wait until it is gone",
      question: settledQuestion(aCluster(), {
        observed: { namespace: aNamespace({}, { terminating: true }) },
      }),
      expected: { status: notReady(terminating), outcome: terminating },
    },
    {
      name: "left by a cluster of this name that was deleted a moment ago: wait until it is gone",
      question: settledQuestion(aCluster(), {
        observed: {
          namespace: aNamespace({ controllerUid: "uid-before" }, { ofPredecessor: true }),
        },
      }),
      expected: { status: notReady(left), outcome: left },
    },
    {
      name: "gone: everything is made again",
      question: { ...newQuestion(aCluster()), applied: SETTLED.applied },
      expected: {
        actions: applies(SETTLED, DELETED, ALL),
        status: notReady(NO_STATUS),
        outcome: NO_STATUS,
      },
    },
  ])("$name", judge);
});

describe("P4: provisioned once, when the first pod runs", () => {
  const OFF = "auto-provision = false";
  const question = (
    firstPod: ObservedCluster["firstPod"],
    over: { status?: ClusterStatus; compute?: object; config?: string } = {},
  ) => {
    const cluster = aCluster({
      spec: { config: over.config ?? OFF, cluster: { autoProvision: true } },
      compute: over.compute ?? {},
      status: over.status ?? RECONCILED,
    });
    return settledQuestion(cluster, { observed: firstPod === undefined ? {} : { firstPod } });
  };
  const noPod = waiting(
    "ProvisioningPodNotRunning",
    "the cluster is provisioned as soon as pod restate-0 runs",
    5_000,
  );
  const done = waiting(
    "Provisioned",
    "the cluster was provisioned; its pods are not all ready yet",
    5_000,
  );
  const now = (justStarted: boolean): Row["expected"] => ({
    actions: [provision(justStarted)],
    status: notReady(done, { provisioned: true }),
    outcome: done,
  });
  const provisioned = { ...RECONCILED, provisioned: true };
  test.each<Row>([
    {
      name: "no pod",
      question: question(undefined),
      expected: { status: notReady(noPod), outcome: noPod },
    },
    {
      name: "a pod that does not run yet",
      question: question({ running: false }),
      expected: { status: notReady(noPod), outcome: noPod },
    },
    {
      name: "it has just started: no answer yet is no failure",
      question: question({ running: true, startedAtMs: NOW_MS - 29_999 }),
      expected: now(true),
    },
    {
      name: "it has run for a while",
      question: question({ running: true, startedAtMs: NOW_MS - 30_000 }),
      expected: now(false),
    },
    { name: "nobody knows since when", question: question({ running: true }), expected: now(true) },
    {
      name: "another false before it does not count",
      question: question({ running: true }, { status: { ...RECONCILED, provisioned: false } }),
      expected: now(true),
    },
    {
      name: "done, and never again",
      question: question({ running: true }, { status: provisioned }),
      expected: { outcome: APPLIED },
    },
    {
      name: "by the variable",
      question: question(
        { running: true },
        { config: "", compute: { env: [{ name: "RESTATE_AUTO_PROVISION", value: "false" }] } },
      ),
      expected: now(true),
    },
  ])("$name", judge);

  test("it comes last, after everything else that is to be written", () => {
    const lost = { ...question({ running: true }), applied: {} };
    expect(planCluster(lost).actions.map(({ kind }) => kind)).toEqual([
      ...ALL.map(() => "applyObject"),
      "provisionCluster",
    ]);
  });
});

describe("P5: the ConfigMap of an older configuration stays until no pod of the older revision is left", () => {
  const older = SETTLED.observed.children.find(({ ref }) => ref.kind === "ConfigMap")!;
  const cluster = aCluster({
    metadata: { generation: 2 },
    spec: { config: "# new" },
    status: { ...RECONCILED, observedGeneration: 2 },
  });
  const after = settledQuestion(cluster);
  const newer = titleOf(after.observed.children.find(({ ref }) => ref.kind === "ConfigMap")!.ref);
  const change = edited({ spec: { config: "# new" } });
  /** The new configuration is applied; the older ConfigMap is still there. */
  const rolling = (
    statefulSet: Partial<NonNullable<ObservedCluster["statefulSet"]>>,
    live: Partial<ObservedObject> = {},
  ): ClusterQuestion => ({
    ...after,
    observed: {
      ...after.observed,
      children: [...after.observed.children, { ...older, ...live }],
      statefulSet: { ...after.observed.statefulSet!, ...statefulSet },
    },
  });
  const behind = waiting("StatefulSetScaling", "StatefulSet restate is being scaled to 1");
  const old = waiting("StatefulSetPodNotReady", "0 of 1 pods have been updated");
  const unready = waiting("StatefulSetPodNotReady", "pods are not all ready (1 are asked for)");
  const about = { observedGeneration: 2 };
  test.each<Row>([
    {
      name: "changed: the new one and the StatefulSet are written, the older one stays",
      question: change,
      expected: {
        generation: 2,
        actions: [
          ...applies(change, CREATED, [newer]),
          ...applies(change, CHANGED, ["StatefulSet restate"]),
        ],
        status: notReady(BEING_CHANGED, about),
        outcome: BEING_CHANGED,
      },
    },
    {
      name: "the StatefulSet's controller has not looked yet",
      question: rolling({ generation: 2, observedGeneration: 1 }),
      expected: { generation: 2, status: notReady(behind, about), outcome: behind },
    },
    {
      name: "an older pod is left",
      question: rolling({ updatedReplicas: 0 }),
      expected: { generation: 2, status: notReady(old, about), outcome: old },
    },
    {
      name: "the newer pod is not ready",
      question: rolling({ readyReplicas: 0 }),
      expected: { generation: 2, status: notReady(unready, about), outcome: unready },
    },
    {
      name: "rolled out: it is removed",
      question: rolling({}),
      expected: { generation: 2, actions: [removes(older)], outcome: APPLIED },
    },
    {
      name: "rolled out, memory lost: not before the StatefulSet is known again",
      question: { ...rolling({}), applied: {} },
      expected: {
        generation: 2,
        actions: applies(
          after,
          FORGOTTEN,
          manifestsOf(cluster).map((m) => titleOf(refOf(m))),
        ),
        outcome: APPLIED,
      },
    },
    {
      name: "one of another controller stays",
      question: rolling({}, { controllerUid: "uid-other" }),
      expected: { generation: 2, outcome: APPLIED },
    },
    {
      name: "one that is being removed is not removed again",
      question: rolling({}, { deleting: true }),
      expected: { generation: 2, outcome: APPLIED },
    },
    {
      name: "a ConfigMap of another name stays",
      question: rolling({}, { ref: { ...older.ref, name: "theirs" } }),
      expected: { generation: 2, outcome: APPLIED },
    },
  ])("$name", judge);
});

describe("P6: Ready is True when every pod of the current revision is ready and every volume bound", () => {
  const cluster = aCluster({ compute: { replicas: 3 } });
  const three = settledQuestion(cluster);
  const row = (name: string, question: ClusterQuestion, outcome: Outcome): Row => ({
    name,
    question,
    expected: { status: notReady(outcome), outcome },
  });
  const { observedGeneration: _, ...unseen } = three.observed.statefulSet!;
  const claims = (...phases: string[]): ClusterQuestion => ({
    ...three,
    observed: {
      ...three.observed,
      claims: phases.map((phase, ordinal) => aClaim(ordinal, { phase })),
    },
  });
  const scaling = waiting("StatefulSetScaling", "StatefulSet restate is being scaled to 3");
  const unready = waiting("StatefulSetPodNotReady", "pods are not all ready (3 are asked for)");
  test.each<Row>([
    { name: "all is well", question: three, expected: { outcome: APPLIED } },
    row(
      "its controller has not looked yet",
      { ...three, observed: { ...three.observed, statefulSet: unseen } },
      NO_STATUS,
    ),
    row(
      "its controller looked at an older one",
      withStatefulSet({ generation: 2 }, cluster),
      scaling,
    ),
    row("too few pods", withStatefulSet({ replicas: 2 }, cluster), scaling),
    row("too many pods", withStatefulSet({ replicas: 4 }, cluster), scaling),
    row(
      "pods of the older revision",
      withStatefulSet({ updatedReplicas: 1 }, cluster),
      waiting("StatefulSetPodNotReady", "1 of 3 pods have been updated"),
    ),
    row("pods that are not ready", withStatefulSet({ readyReplicas: 2 }, cluster), unready),
    row(
      "a volume that is not bound",
      claims("Bound", "Pending", "Lost"),
      waiting(
        "PersistentVolumeClaimNotBound",
        "PersistentVolumeClaim storage-restate-1 is Pending, not Bound",
      ),
    ),
    {
      name: "a volume of a pod that is no longer asked for",
      question: claims("Bound", "Bound", "Bound", "Pending"),
      expected: { outcome: APPLIED },
    },
    {
      name: "pods come before volumes",
      question: {
        ...claims("Pending"),
        observed: {
          ...claims("Pending").observed,
          statefulSet: { ...three.observed.statefulSet!, readyReplicas: 0 },
        },
      },
      expected: { status: notReady(unready), outcome: unready },
    },
    {
      name: "ready again: said with the time of now",
      question: settledQuestion(aCluster({ status: notReady(unready) })),
      expected: {
        status: {
          ...RECONCILED,
          conditions: [{ ...RECONCILED.conditions[0]!, lastTransitionTime: NOW }],
        },
        outcome: APPLIED,
      },
    },
    {
      name: "another generation that changes no child: said, with the time of before",
      question: settledQuestion(aCluster({ metadata: { generation: 2 } })),
      expected: {
        generation: 2,
        status: {
          ...RECONCILED,
          observedGeneration: 2,
          conditions: [{ ...RECONCILED.conditions[0]!, lastTransitionTime: BEFORE }],
        },
        outcome: APPLIED,
      },
    },
    {
      name: "no nodes at all",
      question: settledQuestion(aCluster({ compute: { replicas: 0 } })),
      expected: { outcome: APPLIED },
    },
  ])("$name", judge);
});

describe("C1, C2: exactly what changed is written", () => {
  const edits: [string, Parameters<typeof aCluster>[0]][] = [
    ["image", { compute: { image: "restatedev/restate:1.7.13" } }],
    ["environment", { compute: { env: [{ name: "A", value: "1" }] } }],
    ["replicas", { compute: { replicas: 0 } }],
  ];
  test.each<Row>(
    edits.map(([name, sample]) => {
      const question = edited(sample);
      return {
        name,
        question,
        expected: {
          generation: 2,
          actions: applies(question, CHANGED, ["StatefulSet restate"]),
          status: notReady(BEING_CHANGED, { observedGeneration: 2 }),
          outcome: BEING_CHANGED,
        },
      };
    }),
  )("edited: $name", judge);

  const labelled = edited({ metadata: { generation: 1, labels: { team: "a" } } });
  const annotated = edited({
    metadata: {
      generation: 1,
      annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}" },
    },
  });
  const peers = edited({ spec: { security: { networkPeers: { ingress: [] } } } });
  test.each<Row>([
    {
      name: "a label of the resource is on every child",
      question: labelled,
      expected: {
        actions: applies(labelled, CHANGED, ALL),
        status: notReady(BEING_CHANGED),
        outcome: BEING_CHANGED,
      },
    },
    {
      name: "kubectl's own annotation is on none",
      question: annotated,
      expected: { outcome: APPLIED },
    },
    {
      name: "peers change one NetworkPolicy, and nothing about Ready",
      question: peers,
      expected: {
        generation: 2,
        actions: applies(peers, CHANGED, ["NetworkPolicy allow-ingress-access"]),
        status: { ...RECONCILED, observedGeneration: 2 },
        outcome: APPLIED,
      },
    },
  ])("$name", judge);

  const others: [string, Partial<ObservedObject>][] = [
    ["Service restate", { content: "other" }],
    ["ConfigMap restate-config-42c4b0e3", { content: "other" }],
    ["NetworkPolicy deny-all", { generation: 2 }],
    ["PodDisruptionBudget restate", { uid: "uid-other" }],
    ["ServiceAccount restate", { labels: {} }],
    ["StatefulSet restate", { controllerUid: "uid-other" }],
  ];
  test.each<Row>(
    others.map(([title, over]) => ({
      name: `${title}: ${Object.keys(over).join()}`,
      question: withLive(title, over),
      expected: { actions: applies(SETTLED, EDITED, [title]), outcome: APPLIED },
    })),
  )("edited by someone else: $name", judge);

  test.each<Row>(
    ALL.filter((title) => title !== "Namespace c" && title !== "StatefulSet restate").map(
      (title) => ({
        name: title,
        question: withLive(title, undefined),
        expected: { actions: applies(SETTLED, DELETED, [title]), outcome: APPLIED },
      }),
    ),
  )("deleted by someone: $name", judge);

  test("deleted by someone: the StatefulSet, which takes Ready with it", () => {
    const { statefulSet: _, ...observed } = withLive("StatefulSet restate", undefined).observed;
    judge({
      name: "",
      question: { ...SETTLED, observed },
      expected: {
        actions: applies(SETTLED, DELETED, ["StatefulSet restate"]),
        status: notReady(NO_STATUS),
        outcome: NO_STATUS,
      },
    });
  });
});

describe("C3: what is no longer asked for is removed, if it is the cluster's", () => {
  const policies = SETTLED.observed.children.filter(({ ref }) => ref.kind === "NetworkPolicy");
  const disabled = edited({ spec: { security: { disableNetworkPolicies: true } } });
  const theirs: ObservedObject = {
    ...policies[0]!,
    ref: { ...policies[0]!.ref, name: "theirs" },
    controllerUid: "uid-other",
  };
  const { controllerUid: _, ...nobodys } = theirs;
  const seen: AppliedObjects = Object.fromEntries(
    Object.entries(appliedOf(manifestsOf(aCluster()))).filter(
      ([key]) => !policies.some(({ ref }) => keyOf(ref) === key),
    ),
  );
  test.each<Row>([
    {
      name: "disableNetworkPolicies removes all of them",
      question: disabled,
      expected: {
        generation: 2,
        actions: policies.map(removes),
        status: { ...RECONCILED, observedGeneration: 2 },
        outcome: APPLIED,
      },
    },
    {
      name: "an operator that does not manage them leaves those it finds",
      question: { ...SETTLED, config: { ...CONFIG, manageNetworkPolicies: false } },
      expected: { outcome: APPLIED },
    },
    {
      name: "those of others and of nobody stay",
      question: {
        ...SETTLED,
        applied: seen,
        observed: {
          ...SETTLED.observed,
          cluster: aCluster({ spec: { security: { disableNetworkPolicies: true } } }),
          children: [
            ...SETTLED.observed.children.filter(({ ref }) => ref.kind !== "NetworkPolicy"),
            theirs,
            nobodys,
          ],
        },
      },
      expected: { outcome: APPLIED },
    },
    {
      name: "an older name of one of ours goes",
      question: {
        ...SETTLED,
        observed: {
          ...SETTLED.observed,
          children: [
            ...SETTLED.observed.children,
            {
              ...theirs,
              ref: { ...theirs.ref, name: "allow-egress-to-kube-dns" },
              controllerUid: "uid-c",
            },
          ],
        },
      },
      expected: {
        actions: [removes({ ...theirs, ref: { ...theirs.ref, name: "allow-egress-to-kube-dns" } })],
        outcome: APPLIED,
      },
    },
  ])("$name", judge);

  test("other kinds are never removed, whatever carries our labels", () => {
    for (const kind of ["Service", "StatefulSet", "ServiceAccount", "PodDisruptionBudget"]) {
      const live = SETTLED.observed.children.find(({ ref }) => ref.kind === kind)!;
      const extra = { ...live, ref: { ...live.ref, name: "extra" } };
      const children = [...SETTLED.observed.children, extra];
      judge({
        name: kind,
        question: { ...SETTLED, observed: { ...SETTLED.observed, children } },
        expected: { outcome: APPLIED },
      });
    }
  });
});

test("a plan holds nothing of the resource's inline secrets", () => {
  const secret = "s3cretmarker";
  const cluster = aCluster({
    metadata: { finalizers: [], labels: { a: secret }, annotations: { b: secret } },
    compute: { env: [{ name: "PASSWORD", value: secret }], args: [secret] },
    spec: { config: `password = "${secret}"`, security: { serviceAnnotations: { a: secret } } },
  });
  for (const question of [
    newQuestion(cluster),
    settledQuestion(cluster),
    { ...settledQuestion(cluster), applied: {} },
  ]) {
    expect(JSON.stringify(planCluster(question))).not.toContain(secret);
  }
});
