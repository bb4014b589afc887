/** Whether the steps of a plan still have the resource they were planned for: read anew when the last reading is old. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { PlannedResource } from "../../services/kube/planned-resource.ts";

const resource = (uid = "u", generation = 1) => ({ metadata: { uid, generation } });
type Resource = ReturnType<typeof resource>;
const PLANNED = { uid: "u", generation: 1 };

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A resource as the API server has it, and how often it was read. */
function world(live: Resource | undefined) {
  const state = { live, reads: 0 };
  const planned = new PlannedResource<Resource>(() => {
    state.reads += 1;
    return Promise.resolve(state.live);
  });
  return { state, planned };
}

describe("the resource of a plan", () => {
  test.each([
    ["the very one", resource(), resource()],
    ["another generation", resource("u", 2), undefined],
    ["re-created under its name", resource("other", 1), undefined],
    ["gone", undefined, undefined],
  ])("a process that has read nothing: %s", async (_, live, expected) => {
    const { planned, state } = world(live);
    expect(await planned.current(PLANNED)).toEqual(expected);
    expect(state.reads).toBe(1);
  });

  test("what the plan was made from stands for two seconds, then it is read again", async () => {
    const { planned, state } = world(resource("u", 2));
    planned.remember(resource());
    // Not the very millisecond: the clock has fractions, and 2,000 more of them need not be 2,000 apart.
    vi.advanceTimersByTime(1_999);
    expect(await planned.current(PLANNED)).toEqual(resource());
    expect(state.reads).toBe(0);
    vi.advanceTimersByTime(2);
    expect(await planned.current(PLANNED)).toBeUndefined();
    expect(state.reads).toBe(1);
  });

  test("a reading made for one step serves the next ones", async () => {
    const { planned, state } = world(resource());
    await planned.current(PLANNED);
    await planned.current(PLANNED);
    expect(state.reads).toBe(1);
  });

  test("after a write it is read again at once", async () => {
    const { planned, state } = world(resource("u", 2));
    planned.remember(resource());
    planned.forget();
    expect(await planned.current(PLANNED)).toBeUndefined();
    expect(state.reads).toBe(1);
  });

  test("gone is not remembered: it is asked for every time", async () => {
    const { planned, state } = world(undefined);
    await planned.current(PLANNED);
    state.live = resource();
    expect(await planned.current(PLANNED)).toEqual(resource());
  });

  test("a reading that fails is an error, not a resource that is gone", async () => {
    const planned = new PlannedResource<Resource>(() => Promise.reject(new Error("503")));
    await expect(planned.current(PLANNED)).rejects.toThrow("503");
  });
});
