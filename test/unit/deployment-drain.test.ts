/** What a drain makes of an answer, whether that says more than before, and when it asks again. */
import { describe, expect, test } from "vitest";
import {
  intervalAfter,
  readingOf,
  reportOf,
  type DrainState,
} from "../../services/deployment/drain/drain.ts";
import { saysMore } from "../../services/reconciler/assistant.ts";
import type { DeploymentUsage, UsageAnswer } from "../../services/deployment/drain/drain-api.ts";

const START_MS = Date.UTC(2026, 0, 1);
const START = "2026-01-01T00:00:00Z";
const NEXT = { n: 3, intervalMs: 10_000, invocationId: "inv_1" };

const drain = (state: Partial<DrainState> = {}): DrainState => ({
  deploymentId: "dp_1",
  adminUrl: "http://restate:9070",
  phase: "draining",
  since: START,
  activePinned: 1,
  activeUnpinned: 0,
  latestFor: 0,
  atMs: START_MS,
  confirmed: false,
  polls: 1,
  next: NEXT,
  ...state,
});

const counted = (afterMs: number, usage: Partial<DeploymentUsage>): UsageAnswer => ({
  kind: "counted",
  atMs: START_MS + afterMs,
  usage: { pinned: 0, unpinned: 0, scheduled: 0, routed: 0, ...usage },
});

const EMPTY = { activePinned: 0, phase: "drained", emptySinceMs: START_MS } as const;

interface Reading {
  readonly before: DrainState;
  readonly answer: UsageAnswer;
  readonly expected: Partial<DrainState>;
}

describe("a reading", () => {
  test.each<[string, Reading]>([
    [
      "work goes on",
      {
        before: drain(),
        answer: counted(10_000, { pinned: 2, oldest: START }),
        expected: { activePinned: 2, oldest: START },
      },
    ],
    [
      "the first that finds nothing",
      {
        before: drain(),
        answer: counted(10_000, {}),
        expected: {
          ...EMPTY,
          since: "2026-01-01T00:00:10Z",
          emptySinceMs: START_MS + 10_000,
        },
      },
    ],
    [
      "a count that finds nothing, from before the drain began: it may not know what began since",
      {
        before: drain({ polls: 0, phase: "unknown", activePinned: 0 }),
        answer: counted(-3_000, {}),
        expected: {
          activePinned: 0,
          since: "2025-12-31T23:59:57Z",
          emptySinceMs: START_MS - 3_000,
          polls: 1,
        },
      },
    ],
    [
      "the second that finds nothing, too soon to count",
      { before: drain(EMPTY), answer: counted(9_999, {}), expected: { ...EMPTY } },
    ],
    [
      "the second that finds nothing",
      {
        before: drain(EMPTY),
        answer: counted(10_000, {}),
        expected: { ...EMPTY, confirmed: true },
      },
    ],
    [
      "nothing unfinished, but routed to",
      {
        before: drain({ ...EMPTY, phase: "draining", latestFor: 1 }),
        answer: counted(10_000, { routed: 1 }),
        expected: { ...EMPTY, phase: "draining", latestFor: 1, confirmed: true },
      },
    ],
    [
      "work that began after nothing was found",
      {
        before: drain({ ...EMPTY, confirmed: true }),
        answer: counted(20_000, { unpinned: 1 }),
        expected: { activePinned: 0, activeUnpinned: 1, since: "2026-01-01T00:00:20Z" },
      },
    ],
    [
      "no answer: the counts stay, the agreement does not",
      {
        before: drain({ ...EMPTY, confirmed: true }),
        answer: { kind: "unknown", atMs: START_MS + 20_000, message: "no answer" },
        expected: {
          activePinned: 0,
          phase: "unknown",
          since: "2026-01-01T00:00:20Z",
          message: "no answer",
        },
      },
    ],
  ])("%s", (_, { before, answer, expected }) => {
    const { emptySinceMs: __, ...base } = drain();
    expect(readingOf(before, answer)).toEqual({
      ...base,
      polls: 2,
      atMs: answer.atMs,
      ...expected,
    });
  });
});

describe("says more", () => {
  test.each<[string, Partial<DrainState>, boolean]>([
    ["the same again", { polls: 2, atMs: START_MS + 10_000 }, false],
    ["another count", { activePinned: 2 }, true],
    ["another phase", { phase: "unknown" }, true],
    ["confirmed", { confirmed: true }, true],
    ["routed to", { latestFor: 1 }, true],
  ])("%s", (_, now, expected) => {
    expect(saysMore(reportOf(drain()), reportOf(drain(now)))).toBe(expected);
  });
});

/** Polled for a while already. */
const slower = (intervalMs: number) => ({ next: { ...NEXT, intervalMs } });

describe("asks again", () => {
  test.each<[string, Partial<DrainState>, number]>([
    ["soon when something moved", { activePinned: 2, ...slower(60_000) }, 10_000],
    ["soon when a second reading is wanted", { emptySinceMs: START_MS, ...slower(60_000) }, 10_000],
    ["later when nothing moves", slower(10_000), 15_000],
    ["at most a minute later", slower(50_000), 60_000],
    ["at most a minute later, however long it has been so", slower(60_000), 60_000],
  ])("%s", (_, now, expected) => {
    expect(intervalAfter(drain(), drain(now))).toBe(expected);
  });

  test("soon after the first reading, whatever it says", () => {
    expect(intervalAfter(drain({ polls: 0 }), drain(slower(60_000)))).toBe(10_000);
  });

  test("at most five minutes later, when nothing left has begun", () => {
    const waiting = { activePinned: 0, activeUnpinned: 1, ...slower(250_000) };
    expect(intervalAfter(drain(waiting), drain(waiting))).toBe(300_000);
  });

  test("when the time of unfinished work is over", () => {
    const remedy = { action: "kill", atMs: START_MS + 12_000 } as const;
    const before = drain({ remedy, ...slower(60_000) });
    expect(intervalAfter(before, before)).toBe(12_000);
  });
});
