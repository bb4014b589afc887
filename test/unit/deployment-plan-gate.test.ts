/** Gates, pauses and deadlines of the current version, as a table: what it waits for, and what is done about it. */
import { describe, expect, test } from "vitest";
import type {
  GateView,
  ObservedVersion,
  VersionAction,
  VersionsQuestion,
} from "../../services/deployment/api.ts";
import { planVersions } from "../../services/deployment/plan/plan-versions.ts";
import {
  BEFORE,
  NOW,
  UNREGISTERED,
  aQuestion,
  aVersion,
  registered,
  theCurrent,
  withoutId,
} from "./deployment-samples.ts";

const V2 = { version: "v2", uid: "uid-v2" };
const OPEN: GateView = { checked: false, passed: false };
const CHECKED: GateView = { checked: true, passed: false };
const register: VersionAction = {
  kind: "registerVersion",
  ...V2,
  force: false,
  because: "its pods are available and Restate does not have it",
};
const available = "its pods are available";

/** Pods are available, Restate does not have it, and v1 serves. */
function waiting(sample: Partial<ObservedVersion>): ObservedVersion {
  return withoutId(theCurrent({ labelledLatest: false, ...UNREGISTERED, ...sample }));
}

interface Row {
  readonly version: Partial<ObservedVersion>;
  readonly spec: Partial<VersionsQuestion["spec"]>;
  readonly since?: string;
  /** About the current version. */
  readonly actions: readonly VersionAction[];
  readonly reason: string;
  readonly phase: string;
  readonly outcome: "waiting" | "stalled";
  readonly overdue?: true;
}

describe("a new version with a gate", () => {
  test.each<[string, Row]>([
    [
      "is checked first, whatever the gate",
      {
        version: { gate: OPEN },
        spec: { gate: "http" },
        actions: [
          {
            kind: "checkVersion",
            ...V2,
            because: "Restate is asked whether it would take it, before its gate is",
          },
        ],
        reason: "GateNotPassed",
        phase: "Gated",
        outcome: "waiting",
      },
    ],
    [
      "manual: waits for a person",
      {
        version: { gate: CHECKED },
        spec: { gate: "manual" },
        actions: [],
        reason: "AwaitingPromotion",
        phase: "Gated",
        outcome: "waiting",
      },
    ],
    [
      "http: is asked about",
      {
        version: { gate: CHECKED },
        spec: { gate: "http" },
        actions: [{ kind: "askGate", ...V2, because: available }],
        reason: "GateNotPassed",
        phase: "Gated",
        outcome: "waiting",
      },
    ],
    [
      "job: the Job is made",
      {
        version: { gate: CHECKED },
        spec: { gate: "job" },
        actions: [{ kind: "applyGateJob", ...V2, because: available }],
        reason: "GateNotPassed",
        phase: "Gated",
        outcome: "waiting",
      },
    ],
    [
      "job: is waited for",
      {
        version: { gate: { ...CHECKED, job: "running" } },
        spec: { gate: "job" },
        actions: [],
        reason: "GateNotPassed",
        phase: "Gated",
        outcome: "waiting",
      },
    ],
    [
      "job: failed, and the user must act",
      {
        version: { gate: { ...CHECKED, job: "failed" } },
        spec: { gate: "job" },
        actions: [],
        reason: "GateFailed",
        phase: "Gated",
        outcome: "stalled",
      },
    ],
    [
      "job: complete, and it is registered",
      {
        version: { gate: { ...CHECKED, job: "complete" } },
        spec: { gate: "job" },
        actions: [register],
        reason: "NotLatest",
        phase: "Registering",
        outcome: "waiting",
      },
    ],
    [
      "has passed, and is registered",
      {
        version: { gate: { checked: true, passed: true } },
        spec: { gate: "manual" },
        actions: [register],
        reason: "NotLatest",
        phase: "Registering",
        outcome: "waiting",
      },
    ],
    [
      "has served before, and is registered",
      {
        version: { served: true, gate: OPEN },
        spec: { gate: "manual" },
        actions: [register],
        reason: "NotLatest",
        phase: "Registering",
        outcome: "waiting",
      },
    ],
    [
      "waits for too long",
      {
        version: { gate: CHECKED },
        spec: { gate: "manual", progressDeadlineSeconds: 600 },
        since: BEFORE,
        actions: [],
        reason: "AwaitingPromotion",
        phase: "Gated",
        outcome: "waiting",
        overdue: true,
      },
    ],
    [
      "is not registered while the deployment is paused",
      {
        version: { gate: { checked: true, passed: true } },
        spec: { gate: "manual", paused: true },
        actions: [],
        reason: "DeploymentPaused",
        phase: "Registering",
        outcome: "waiting",
      },
    ],
    [
      "is given up by its user, and gives its pods back",
      {
        version: { gate: CHECKED, rejected: { reason: "Aborted", atMs: 0, message: "given up" } },
        spec: { gate: "manual" },
        actions: [
          {
            kind: "scaleVersion",
            ...V2,
            replicas: 0,
            because: "it is not to be registered, and nothing can run on it",
          },
        ],
        reason: "Aborted",
        phase: "Rejected",
        outcome: "stalled",
      },
    ],
  ])("%s", (_, row) => {
    const first = aVersion({
      name: "v1",
      labelledLatest: true,
      registration: registered("v1", 1),
    });
    const entry = { name: "v2", phase: row.phase as never, replicas: 1, readyReplicas: 1 };
    const plan = planVersions(
      aQuestion({
        versions: [first, waiting(row.version)],
        spec: row.spec,
        previous: [{ ...entry, since: row.since ?? NOW }],
      }),
    );
    expect({
      actions: plan.actions.filter(({ kind }) => kind !== "startDrain"),
      reason: plan.ready.reason,
      phase: plan.versions.find(({ name }) => name === "v2")?.phase,
      outcome: plan.outcome.kind,
      overdue: plan.overdue !== undefined,
      latest: plan.latest,
    }).toEqual({
      actions: row.actions,
      reason: row.reason,
      phase: row.phase,
      outcome: row.outcome,
      overdue: row.overdue ?? false,
      latest: "v1",
    });
  });
});
