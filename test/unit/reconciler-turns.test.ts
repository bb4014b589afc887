/** How many reconciles are worked on at once, and that nobody who holds a turn for ever keeps the others from theirs. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Turns } from "../../services/reconciler/turns.ts";

const SETTINGS = { atOnce: 2, turnMs: 1_000, waitMs: 3_000 };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Asks for a turn, one for each name, in that order; who began is told in `begun`. */
function ask(turns: Turns, names: readonly string[]) {
  const begun: string[] = [];
  const attempts = names.map((name) => {
    const attempt = new AbortController();
    const end = turns.take(attempt.signal).then((turnEnds) => {
      begun.push(name);
      return turnEnds;
    });
    return { attempt, end };
  });
  return { begun, attempts };
}

test("as many as there are turns begin, and the others in their order as turns end", async () => {
  const { begun, attempts } = ask(new Turns(SETTINGS), ["a", "b", "c", "d"]);
  await vi.advanceTimersByTimeAsync(0);
  expect(begun).toEqual(["a", "b"]);
  const endB = await attempts[1]!.end;
  endB();
  endB();
  await vi.advanceTimersByTimeAsync(0);
  expect(begun).toEqual(["a", "b", "c"]);
  (await attempts[0]!.end)();
  await vi.advanceTimersByTimeAsync(0);
  expect(begun).toEqual(["a", "b", "c", "d"]);
});

test("an attempt that is over gives its turn back", async () => {
  const { begun, attempts } = ask(new Turns(SETTINGS), ["a", "b", "c"]);
  await vi.advanceTimersByTimeAsync(0);
  attempts[0]!.attempt.abort();
  await vi.advanceTimersByTimeAsync(0);
  expect(begun).toEqual(["a", "b", "c"]);
});

test("an attempt that was over before its turn came keeps nobody from theirs", async () => {
  const { begun, attempts } = ask(new Turns({ ...SETTINGS, turnMs: 60_000 }), ["a", "b", "c", "d"]);
  attempts[2]!.attempt.abort();
  (await attempts[0]!.end)();
  await vi.advanceTimersByTimeAsync(0);
  expect(begun).toEqual(["a", "b", "c", "d"]);
});

test("who holds a turn for long no longer counts", async () => {
  const { begun } = ask(new Turns(SETTINGS), ["a", "b", "c", "d", "e"]);
  await vi.advanceTimersByTimeAsync(999);
  expect(begun).toEqual(["a", "b"]);
  await vi.advanceTimersByTimeAsync(1);
  expect(begun).toEqual(["a", "b", "c", "d"]);
});

test("who has waited for long begins anyway, and then counts", async () => {
  const turns = new Turns({ ...SETTINGS, turnMs: 60_000 });
  const { begun, attempts } = ask(turns, ["a", "b", "c"]);
  await vi.advanceTimersByTimeAsync(2_999);
  expect(begun).toEqual(["a", "b"]);
  await vi.advanceTimersByTimeAsync(1);
  expect(begun).toEqual(["a", "b", "c"]);
  const later = ask(turns, ["d"]);
  (await attempts[0]!.end)();
  await vi.advanceTimersByTimeAsync(0);
  expect(later.begun).toEqual([]);
  (await attempts[1]!.end)();
  await vi.advanceTimersByTimeAsync(0);
  expect(later.begun).toEqual(["d"]);
});
