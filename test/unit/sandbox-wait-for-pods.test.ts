import { expect, test } from "vitest";
import { readySince } from "../../bootstrap/sandbox/wait-for-pods.ts";

const SINCE = "2026-01-01T12:00:00Z";

/** A pod whose containers were started then; `undefined`: one that is not running. */
const pod = (ready: boolean, ...startedAt: readonly (string | undefined)[]) => ({
  status: {
    phase: "Running",
    conditions: [
      { type: "Initialized", status: "True" },
      { type: "Ready", status: ready ? "True" : "False" },
    ],
    containerStatuses: startedAt.map((at) => ({
      state: at === undefined ? { waiting: {} } : { running: { startedAt: at } },
    })),
  },
});
const ended = (phase: string) => ({ status: { phase } });

const FRESH = "2026-01-01T12:00:03Z";
const STALE = "2026-01-01T11:59:00Z";

test.each([
  { what: "no pods", items: [], expected: { ready: 0, all: 0 } },
  { what: "a fresh one", items: [pod(true, FRESH)], expected: { ready: 1, all: 1 } },
  { what: "one of this second", items: [pod(true, SINCE)], expected: { ready: 1, all: 1 } },
  {
    what: "one that was ready before the stop",
    items: [pod(true, STALE), pod(true, FRESH)],
    expected: { ready: 1, all: 2 },
  },
  {
    what: "one of whose containers one is old, or does not run",
    items: [pod(true, FRESH, STALE), pod(true, FRESH, undefined)],
    expected: { ready: 0, all: 2 },
  },
  {
    what: "a fresh one that is not ready",
    items: [pod(false, FRESH)],
    expected: { ready: 0, all: 1 },
  },
  { what: "one that is only scheduled", items: [ended("Pending")], expected: { ready: 0, all: 1 } },
  {
    what: "ended ones",
    items: [ended("Succeeded"), ended("Failed"), pod(true, FRESH)],
    expected: { ready: 1, all: 1 },
  },
])("pods that are ready since a moment: $what", ({ items, expected }) => {
  expect(readySince({ items }, Date.parse(SINCE) + 400)).toEqual(expected);
});
