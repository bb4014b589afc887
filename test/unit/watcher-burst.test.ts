/** When a change is sent, in virtual time. */
import { describe, expect, test } from "vitest";
import { BurstScheduler } from "../../watcher/burst.ts";
import { backoffMs } from "../../watcher/clock.ts";
import type { WakeKey } from "../../watcher/owners.ts";
import { VirtualClock, seededRandom } from "../simulation/watcher-clock.ts";

type Step = readonly [atMs: number, urgency: "now" | "burst", key: WakeKey, why: string];
const A: WakeKey = "ClusterReconciler/a";
const B: WakeKey = "ClusterReconciler/b";

const CASES: readonly { name: string; steps: readonly Step[]; expected: readonly string[] }[] = [
  {
    name: "a change of a resource is sent at once",
    steps: [[7, "now", A, "edit"]],
    expected: ["7 ClusterReconciler/a edit"],
  },
  {
    name: "a change of a child is sent after 100 ms of quiet",
    steps: [[7, "burst", A, "set"]],
    expected: ["107 ClusterReconciler/a set"],
  },
  {
    name: "a burst is sent once, when it ends, with the cause that began it",
    steps: [
      [0, "burst", A, "set"],
      [60, "burst", A, "pod"],
      [150, "burst", A, "claim"],
    ],
    expected: ["250 ClusterReconciler/a set"],
  },
  {
    name: "a burst that does not end is sent after 500 ms, and the next one begins",
    steps: Array.from({ length: 12 }, (_, index): Step => [index * 50, "burst", A, `c${index}`]),
    expected: ["500 ClusterReconciler/a c0", "650 ClusterReconciler/a c10"],
  },
  {
    name: "an edit answers the burst that is going on",
    steps: [
      [0, "burst", A, "set"],
      [40, "now", A, "edit"],
    ],
    expected: ["40 ClusterReconciler/a edit"],
  },
  {
    name: "a change after the edit is a new burst",
    steps: [
      [0, "now", A, "edit"],
      [10, "burst", A, "set"],
    ],
    expected: ["0 ClusterReconciler/a edit", "110 ClusterReconciler/a set"],
  },
  {
    name: "keys do not wait for each other",
    steps: [
      [0, "burst", A, "set"],
      [50, "burst", B, "set"],
      [90, "now", B, "edit"],
    ],
    expected: ["90 ClusterReconciler/b edit", "100 ClusterReconciler/a set"],
  },
];

describe("bursts", () => {
  test.each(CASES)("$name", async ({ steps, expected }) => {
    const clock = new VirtualClock();
    const sent: string[] = [];
    const bursts = new BurstScheduler(clock, (key, why) =>
      sent.push(`${clock.nowMs()} ${key} ${why}`),
    );
    for (const [atMs, urgency, key, why] of steps) {
      await clock.advance(atMs - clock.nowMs());
      if (urgency === "now") bursts.now(key, why);
      else bursts.afterBurst(key, why);
    }
    await clock.advance(1_000);
    expect(sent).toEqual(expected);
    expect({ waiting: bursts.size, timers: clock.armed }).toEqual({ waiting: 0, timers: 0 });
  });

  test.each([
    { wakes: 20, agoMs: 0, quietMs: 100 },
    { wakes: 40, agoMs: 0, quietMs: 200 },
    { wakes: 40, agoMs: 2_000, quietMs: 100 },
    { wakes: 1_000, agoMs: 0, quietMs: 600 },
    { wakes: 1_000, agoMs: 60_000, quietMs: 100 },
  ])("$wakes wakes $agoMs ms ago: a burst ends after $quietMs ms", async (row) => {
    const { wakes, agoMs, quietMs } = row;
    const clock = new VirtualClock();
    const sent: string[] = [];
    const bursts = new BurstScheduler(clock, (key) => sent.push(`${clock.nowMs()} ${key}`));
    for (let key = 0; key < wakes; key += 1) bursts.now(`ClusterReconciler/${key}`, "edit");
    sent.length = 0;
    await clock.advance(agoMs);
    bursts.afterBurst(A, "set");
    await clock.advance(1_000);
    // what was sent counts less by the time the burst ends
    const atMs = Number(sent[0]?.split(" ")[0]) - agoMs;
    expect(sent).toHaveLength(1);
    expect(atMs).toBeLessThanOrEqual(quietMs);
    expect(atMs).toBeGreaterThan(quietMs * 0.9);
  });

  test("a stop sends what waits at once", () => {
    const sent: string[] = [];
    const clock = new VirtualClock();
    const bursts = new BurstScheduler(clock, (key) => sent.push(key));
    bursts.afterBurst(A, "set");
    bursts.afterBurst(B, "set");
    bursts.flush();
    expect({ sent, timers: clock.armed }).toEqual({ sent: [A, B], timers: 0 });
  });
});

describe("back-off", () => {
  test.each([
    [0, 50, 100],
    [1, 100, 200],
    [5, 1_600, 3_200],
    [9, 2_500, 5_000],
    [1_000, 2_500, 5_000],
  ])("attempt %i: between %i and %i ms", (attempt, leastMs, mostMs) => {
    const clock = new VirtualClock(seededRandom(attempt));
    const delays = Array.from({ length: 200 }, () =>
      backoffMs(clock, attempt, { initialMs: 100, maxMs: 5_000 }),
    );
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(leastMs);
    expect(Math.max(...delays)).toBeLessThanOrEqual(mostMs);
    expect(new Set(delays).size).toBeGreaterThan(150);
  });
});
