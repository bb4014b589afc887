/**
 * What a cluster says about itself: rows as Restate 1.7 answers them, what is kept of an answer or of none, when the next
 * question may be asked (Q2 to Q4 in services/cluster/survey.ts), and what follows from a node that has lost its data.
 */
import { describe, expect, test } from "vitest";
import type { ClusterSurvey, SurveyReport } from "../../services/cluster/api.ts";
import { saysMore } from "../../services/reconciler/assistant.ts";
import { planSurvey } from "../../services/cluster/plan/plan-survey.ts";
import { planCluster } from "../../services/cluster/plan/plan.ts";
import { surveyOf } from "../../services/cluster/survey/survey-answer.ts";
import {
  UNREAD,
  delayBefore,
  readingOf,
  reordered,
  reportOf,
  type SurveyReading,
} from "../../services/cluster/survey/survey-reading.ts";
import {
  CONFIG,
  UNREAD_REPORT,
  aCluster,
  manifestsOf,
  settledQuestion,
} from "./cluster-samples.ts";

const ROW = {
  plain_node_id: "N1",
  gen_node_id: "N1:2",
  state: "alive",
  name: "restate-0",
  address: "http://restate-0.restate-cluster:5122/",
  location: "",
  has_admin_role: true,
  has_worker_role: true,
  has_metadata_server_role: true,
  has_log_server_role: true,
  has_ingress_role: true,
  storage_state: "read-write",
  worker_state: "active",
  metadata_server_state: "member",
  nodes_configuration_version: 12,
  binary_version: "1.7.12",
};
const ROLES = ["admin", "http-ingress", "log-server", "metadata-server", "worker"];
const NODE = {
  id: "N1",
  name: "restate-0",
  version: "1.7.12",
  alive: true,
  roles: ROLES,
  partitionsLed: 4,
  storageState: "read-write",
  workerState: "active",
};

describe("an answer", () => {
  test("as 1.7.12 gives it", () => {
    const led = [{ leader: "N1", led: 4n }];
    expect(surveyOf([ROW], led)).toEqual({
      nodes: [NODE],
      partitions: 4,
      partitionsWithoutLeader: 0,
    });
  });

  test("nodes by their number, whatever the order of the wire", () => {
    const ids = ["N10", "N2", "N1"];
    const nodes = ids.map((id) => ({ ...ROW, plain_node_id: id }));
    expect(surveyOf(nodes, []).nodes.map(({ id }) => id)).toEqual(["N1", "N2", "N10"]);
  });

  test("a partition without a leader, and one whose leader is dead", () => {
    const nodes = [ROW, { ...ROW, plain_node_id: "N2", state: "dead", binary_version: null }];
    const led = [
      { leader: null, led: 1 },
      { leader: "N1", led: 2 },
      { leader: "N2", led: 3 },
    ];
    expect(surveyOf(nodes, led)).toMatchObject({
      partitions: 6,
      partitionsWithoutLeader: 4,
      nodes: [{ partitionsLed: 2 }, { alive: false, partitionsLed: 3 }],
    });
    expect(surveyOf(nodes, led).nodes[1]).not.toHaveProperty("version");
  });

  test("a release that knows fewer columns, and words that are none", () => {
    const [node] = surveyOf([{ plain_node_id: "N1", name: `a\n${"x".repeat(100)}` }], []).nodes;
    expect(node).toEqual({
      id: "N1",
      name: `a ${"x".repeat(61)}`,
      alive: false,
      roles: [],
      partitionsLed: 0,
      storageState: "",
      workerState: "",
    });
  });
});

const WELL: ClusterSurvey = { nodes: [NODE], partitions: 4, partitionsWithoutLeader: 0 };
const AT_MS = 1_000_000;
const read = (before: SurveyReading, ...answers: (ClusterSurvey | undefined)[]) =>
  answers.reduce<SurveyReading>((reading, answer) => readingOf(reading, answer, AT_MS), before);
const delayAfter = (...answers: (ClusterSurvey | undefined)[]) =>
  delayBefore(read(UNREAD, ...answers), AT_MS);

describe("Q2: when the next question is asked", () => {
  test.each<[string, number, number]>([
    ["never asked: at once", delayBefore(UNREAD, AT_MS), 0],
    ["news: soon", delayAfter(WELL), 10_000],
    ["settled: after a minute", delayAfter(WELL, WELL), 60_000],
    ["changed again: soon", delayAfter(WELL, WELL, { ...WELL, partitions: 5 }), 10_000],
    [
      "not well: soon, however long",
      delayAfter(...Array.from({ length: 9 }, () => ({ ...WELL, partitionsWithoutLeader: 1 }))),
      10_000,
    ],
    ["no answer: soon", delayAfter(undefined), 10_000],
    ["none again: later", delayAfter(undefined, undefined), 20_000],
    ["none for long: rarely", delayAfter(...Array.from({ length: 99 }, () => undefined)), 300_000],
    ["time has passed", delayBefore(read(UNREAD, WELL, WELL), AT_MS + 45_000), 15_000],
    ["it is overdue", delayBefore(read(UNREAD, WELL, WELL), AT_MS + 99_000), 0],
    [
      "ordered again at once: not at once",
      delayBefore(reordered(read(UNREAD, WELL)), AT_MS),
      10_000,
    ],
    ["ordered again: soon", delayBefore(reordered(read(UNREAD, WELL, WELL)), AT_MS), 10_000],
    ["ordered before anything was asked", delayBefore(reordered(UNREAD), AT_MS), 0],
  ])("%s", (_, delay, expected) => {
    expect(delay).toBe(expected);
  });
});

const steps = (...answers: (ClusterSurvey | undefined)[]) => {
  const before = read(UNREAD, ...answers.slice(0, -1));
  return saysMore(reportOf(before), reportOf(readingOf(before, answers.at(-1), AT_MS + 1)));
};

describe("Q3, Q4: what is told", () => {
  test.each<[string, boolean, boolean]>([
    ["the first answer", steps(WELL), true],
    ["the same again, at another time", steps(WELL, WELL), false],
    ["another", steps(WELL, { ...WELL, partitions: 5 }), true],
    ["one silence", steps(WELL, undefined), false],
    ["a second one", steps(WELL, undefined, undefined), true],
    ["a third one", steps(WELL, undefined, undefined, undefined), false],
    ["an answer after silence", steps(WELL, undefined, undefined, WELL), true],
    ["silence from the beginning", steps(undefined, undefined, undefined), false],
  ])("%s: %s", (_, told, expected) => {
    expect(told).toBe(expected);
  });

  test("silence forgets nothing", () => {
    expect(reportOf(read(UNREAD, WELL, undefined, undefined))).toEqual({
      survey: WELL,
      silent: true,
    });
  });
});

const questionOf = (report?: SurveyReport) => ({
  observed: { cluster: aCluster() },
  config: CONFIG,
  ...(report === undefined ? {} : { report }),
});

describe("who is asked", () => {
  const order = { uid: "uid-c", host: "restate.c.svc.cluster.local" };
  test.each<[string, SurveyReport | undefined, boolean, boolean | undefined]>([
    ["a pod is ready", undefined, true, true],
    ["no pod is ready", undefined, false, undefined],
    ["it is asked already", UNREAD_REPORT, true, undefined],
    ["pods are gone", UNREAD_REPORT, false, false],
    ["pods are still gone", { ...UNREAD_REPORT, asks: false }, false, undefined],
    ["pods are back", { ...UNREAD_REPORT, asks: false }, true, true],
    ["its name is another", { ...UNREAD_REPORT, host: "other" }, true, true],
  ])("%s", (_, ...row) => {
    const [report, asks, expected] = row;
    const because = asks ? "a pod is ready to answer" : "nobody is to be asked";
    expect(planSurvey(questionOf(report), { asks })).toEqual(
      expected === undefined
        ? []
        : [{ kind: "survey", order: { ...order, asks: expected }, because }],
    );
  });

  test("nobody, while the user has paused the resource", () => {
    const metadata = { annotations: { "restate.dev/reconcile": "disabled" } };
    const { actions, outcome } = planCluster(settledQuestion(aCluster({ metadata })));
    expect(actions).toMatchObject([{ kind: "survey", order: { asks: false } }]);
    expect(outcome).toEqual({ kind: "applied" });
  });

  test("nobody, as soon as the resource is deleted: also where no survey is known", () => {
    const metadata = { deletionTimestamp: "2026-01-02T03:04:05Z" };
    const { report: _, ...question } = settledQuestion(aCluster({ metadata }));
    expect(planCluster(question).actions).toMatchObject([
      { kind: "survey", order: { asks: false } },
      { kind: "removeFinalizer" },
    ]);
  });

  test("settled: no message and no write", () => {
    expect(planCluster(settledQuestion(aCluster())).actions).toEqual([]);
  });
});

const titles = (question: Parameters<typeof planCluster>[0]) =>
  planCluster(question).actions.map((action) =>
    action.kind === "applyObject" ? `${action.target.kind} ${JSON.stringify(action.building)}` : "",
  );

/** The StatefulSet of a changed revision, while nothing may be disturbed. */
const specOf = (replicas: number) =>
  (
    manifestsOf(aCluster({ compute: { replicas, image: "restatedev/restate:1.7.13" } }), {
      building: { frozenAt: 3 },
    }).find(({ kind }) => kind === "StatefulSet") as { spec: Record<string, unknown> }
  ).spec;

describe("a node that has lost its data", () => {
  const lost = { ...NODE, id: "N2", name: "restate-1", storageState: "data-loss" };
  const cluster = aCluster({ compute: { replicas: 3 } });
  const report = { ...UNREAD_REPORT, survey: { ...WELL, nodes: [NODE, lost] } };
  test("nothing is replaced or evicted any more", () => {
    expect(titles({ ...settledQuestion(cluster), report })).toEqual([
      'PodDisruptionBudget {"frozenAt":3}',
      'StatefulSet {"frozenAt":3}',
    ]);
  });

  test("also by what was seen before the operator lost its memory", () => {
    const status = { ...cluster.status, nodes: [lost] };
    const { report: _, ...question } = settledQuestion({ ...cluster, status });
    expect(titles(question).slice(0, 2)).toEqual([
      'PodDisruptionBudget {"frozenAt":3}',
      'StatefulSet {"frozenAt":3}',
    ]);
  });

  test("a new revision is written down and replaces no pod; fewer pods are asked for later, more at once", () => {
    expect(specOf(3)["updateStrategy"]).toEqual({
      type: "RollingUpdate",
      rollingUpdate: { partition: 2_147_483_647 },
    });
    expect([1, 3, 5].map((replicas) => specOf(replicas)["replicas"])).toEqual([3, 3, 5]);
  });

  test("healed: everything is as before", () => {
    const manifests = manifestsOf(cluster);
    expect(JSON.stringify(manifests)).not.toContain("updateStrategy");
    const budget = manifests.find(({ kind }) => kind === "PodDisruptionBudget");
    expect(budget).toMatchObject({ spec: { maxUnavailable: 1 } });
  });
});
