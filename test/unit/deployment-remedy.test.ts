/** What happens to unfinished work whose time is over: rows named after the invariants of services/deployment/plan-remedy.ts. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type {
  DrainReport,
  RemedyOrder,
  VersionStatus,
  VersionsQuestion,
} from "../../services/deployment/api.ts";
import {
  intervalAfter,
  ordered,
  readingOf,
  reportOf,
  type DrainState,
} from "../../services/deployment/drain/drain.ts";
import { saysMore } from "../../services/reconciler/assistant.ts";
import {
  UNTREATED,
  hindranceOf,
  overdueEvents,
  planInvocation,
  type InvocationView,
  type RemedyQuestion,
  type RemedyStep,
  type Treatment,
  type Underway,
} from "../../services/deployment/plan/plan-remedy.ts";
import { planVersions } from "../../services/deployment/plan/plan-versions.ts";
import { pickInvocations, treatInvocations } from "../../services/deployment/drain/remedy.ts";
import { RestateAdmin } from "../../services/restate/admin.ts";
import {
  BEFORE,
  NOW,
  NOW_MS,
  aQuestion,
  aReport,
  aVersion,
  registered,
  theCurrent,
} from "./deployment-samples.ts";

const id = "inv_1";

const here = (sample: Partial<InvocationView> = {}): InvocationView => ({
  id,
  status: "suspended",
  begunOn: "dp_v1",
  latest: "dp_v2",
  ...sample,
});
const there = (sample: Partial<InvocationView> = {}) => here({ begunOn: "dp_v2", ...sample });
const asked = (what: NonNullable<Underway["asked"]>, agoMs = 0): Underway => ({
  id,
  asked: what,
  askedAtMs: NOW_MS - agoMs,
});
const ask = (
  what: NonNullable<Underway["asked"]>,
  call: Omit<NonNullable<RemedyStep["call"]>, "id">,
  more: Partial<Underway> = {},
): RemedyStep => ({
  call: { id, ...call },
  next: { id, ...more, asked: what, askedAtMs: NOW_MS },
});
const stays = (entry: Underway) => ({ entry, expected: { next: entry } });

describe("the next step for one invocation", () => {
  const move = ask("move", { verb: "resume", deployment: "latest" });
  const pause = ask("pause", { verb: "pause" });
  const back = { verb: "resume", deployment: "dp_v1" } as const;

  interface Row {
    readonly name: string;
    readonly action?: RemedyQuestion["action"];
    readonly entry?: Underway;
    readonly seen: InvocationView | undefined;
    readonly countedAtMs?: number;
    readonly expected: RemedyStep;
  }

  test.each<Row>([
    { name: "gone", action: "kill", seen: undefined, expected: { next: "done" } },
    {
      name: "ended",
      action: "cancel",
      seen: here({ status: "completed" }),
      expected: { next: "done" },
    },
    { name: "kill", action: "kill", seen: here(), expected: ask("kill", { verb: "kill" }) },
    {
      name: "kill: not ended yet, so once more",
      action: "kill",
      entry: asked("kill", 5_000),
      seen: here({ status: "running" }),
      expected: ask("kill", { verb: "kill" }),
    },
    { name: "cancel", action: "cancel", seen: here(), expected: ask("cancel", { verb: "cancel" }) },
    {
      name: "R4: cancelled is not cancelled again",
      action: "cancel",
      seen: here({ status: "running" }),
      ...stays(asked("cancel", 600_000)),
    },
    {
      name: "cancel: a paused one would not notice",
      action: "cancel",
      entry: asked("cancel"),
      seen: here({ status: "paused" }),
      expected: {
        call: { id, verb: "resume" },
        next: { ...asked("cancel"), resumed: true },
      },
    },
    {
      name: "cancel: resumed once; paused again, it has failed again",
      action: "cancel",
      seen: here({ status: "paused" }),
      ...stays({ ...asked("cancel"), resumed: true }),
    },
    { name: "move: suspended", action: "pauseAndMove", seen: here(), expected: move },
    {
      name: "move: paused",
      action: "pauseAndMove",
      seen: here({ status: "paused" }),
      expected: move,
    },
    {
      name: "move: paused, and nothing of it has begun any more",
      action: "pauseAndMove",
      entry: { id },
      seen: { id, status: "paused", latest: "dp_v2" },
      expected: move,
    },
    {
      name: "move: running is paused first",
      action: "pauseAndMove",
      seen: here({ status: "running" }),
      expected: pause,
    },
    {
      name: "move: backing off too",
      action: "pauseAndMove",
      seen: here({ status: "backing-off", failureCode: "RT0007" }),
      expected: pause,
    },
    {
      name: "move: a pause is waited for",
      action: "pauseAndMove",
      seen: here({ status: "running" }),
      ...stays(asked("pause", 59_000)),
    },
    {
      name: "move: and asked for again",
      action: "pauseAndMove",
      entry: asked("pause", 60_000),
      seen: here({ status: "running" }),
      expected: pause,
    },
    {
      name: "R1: its service has come back: nothing is done",
      action: "kill",
      seen: here({ latest: "dp_v1" }),
      expected: { next: "left" },
    },
    {
      name: "R1, R3: and what was paused goes on",
      action: "pauseAndMove",
      entry: asked("pause"),
      seen: here({ status: "paused", latest: "dp_v1" }),
      expected: { call: { id, verb: "resume" }, next: "left" },
    },
    {
      name: "R1: nobody has its service",
      action: "kill",
      seen: { id, status: "suspended", begunOn: "dp_v1" },
      expected: { next: "left" },
    },
    {
      name: "R1: moved by somebody else: nothing more is done",
      action: "kill",
      seen: there(),
      expected: { next: "done" },
    },
    {
      name: "R2: moved, and not counted since",
      action: "pauseAndMove",
      seen: there(),
      countedAtMs: NOW_MS - 5_000,
      ...stays(asked("move", 5_000)),
    },
    {
      name: "R2: moved, counted since: it waits there",
      action: "pauseAndMove",
      entry: asked("move", 5_000),
      seen: there({ failureCode: "RT0016" }),
      expected: { next: "done" },
    },
    {
      name: "R2: moved, and its own code fails there as it did here",
      action: "pauseAndMove",
      entry: asked("move", 5_000),
      seen: there({ status: "backing-off", failureCode: "RT0007" }),
      expected: { next: "done" },
    },
    {
      name: "R2: moved, but nobody answers there: not known yet",
      action: "pauseAndMove",
      seen: there({ status: "backing-off", failureCode: "RT0010" }),
      ...stays(asked("move", 5_000)),
    },
    {
      name: "R2: not taken there: paused, to go back",
      action: "pauseAndMove",
      entry: asked("move", 5_000),
      seen: there({ status: "backing-off", failureCode: "RT0016" }),
      expected: ask("return", { verb: "pause" }, { from: "dp_v2" }),
    },
    {
      name: "R2: and back",
      action: "pauseAndMove",
      entry: { ...asked("return", 300), from: "dp_v2" },
      seen: there({ status: "paused", failureCode: "RT0016" }),
      expected: ask("return", back, { from: "dp_v2" }),
    },
    {
      name: "R2: back, whatever is to be done about the others by now",
      action: "kill",
      entry: asked("move", 5_000),
      seen: there({ status: "paused", failureCode: "RT0016" }),
      expected: ask("return", back, { from: "dp_v2" }),
    },
    {
      name: "R2: back, not counted since",
      action: "pauseAndMove",
      seen: here(),
      countedAtMs: NOW_MS - 1,
      ...stays({ ...asked("return"), from: "dp_v2" }),
    },
    {
      name: "R2: back, and named",
      action: "pauseAndMove",
      entry: { ...asked("return", 5_000), from: "dp_v2" },
      seen: here({ status: "running", failureCode: "RT0016" }),
      expected: { next: { id, on: "dp_v2" } },
    },
    {
      name: "R3: back, but paused here",
      action: "pauseAndMove",
      entry: { ...asked("return", 5_000), from: "dp_v2" },
      seen: here({ status: "paused" }),
      expected: ask("return", { verb: "resume" }, { from: "dp_v2" }),
    },
    {
      name: "R3: withdrawn: what was paused goes on",
      entry: asked("pause", 5_000),
      seen: here({ status: "paused" }),
      expected: { call: { id, verb: "resume" }, next: "left" },
    },
    {
      name: "R3: withdrawn, and not paused yet",
      seen: here({ status: "running" }),
      ...stays(asked("pause", 5_000)),
    },
    {
      name: "withdrawn: cancelled is cancelled",
      entry: asked("cancel"),
      seen: here(),
      expected: { next: "left" },
    },
    {
      name: "withdrawn: paused by somebody else",
      seen: here({ status: "paused" }),
      expected: { next: "left" },
    },
  ])("$name", ({ action, entry = { id }, seen, countedAtMs = NOW_MS, expected }) => {
    const question = { action, deploymentId: "dp_v1", countedAtMs, nowMs: NOW_MS };
    expect(planInvocation(question, entry, seen)).toEqual(expected);
  });
});

describe("what is in the way", () => {
  const on = "dp_v2";
  const unmovable = (length: number) =>
    Array.from({ length }, (_, index) => ({ id: `inv_${index}`, on }));

  test.each<[string, Partial<Treatment>, string | undefined]>([
    ["nothing", { done: 7, underway: [{ id, asked: "kill" }] }, undefined],
    ["a failure", { failure: "no answer" }, "no answer"],
    [
      "two of a kind",
      { unmovable: unmovable(2) },
      "inv_0, inv_1 cannot be moved: dp_v2 does not take the journal",
    ],
    [
      "too many",
      { unmovable: unmovable(100) },
      "inv_0, inv_1, inv_2, inv_3, inv_4 and 95 more cannot be moved: dp_v2 does not take the journal; no more are tried",
    ],
    [
      "all that waits",
      {
        kept: 1,
        underway: [
          { id: "inv_1", asked: "pause" },
          { id: "inv_2", asked: "move" },
          { id: "inv_3", asked: "cancel" },
          { id: "inv_4", asked: "cancel" },
        ],
      },
      "1 invocation asked to pause, which comes with the end of an attempt; 1 invocation moved and not seen to go on there yet; 2 invocations cancelled and not ended yet; 1 invocation of services that no newer version has",
    ],
  ])("%s", (_, treatment, expected) => {
    expect(hindranceOf({ ...UNTREATED, ...treatment })).toBe(expected);
  });
});

const KILL: RemedyOrder = { action: "kill", atMs: NOW_MS + 30_000 };

const KILL_AFTER_A_MINUTE = { action: "kill", maxAgeSeconds: 60 } as const;
const v1 = aVersion({ name: "v1" });
const draining: VersionStatus = {
  name: "v1",
  phase: "Draining",
  since: BEFORE,
  replicas: 1,
  readyReplicas: 1,
};
const working = (report: Partial<DrainReport> = {}): DrainReport =>
  aReport({ version: "v1", phase: "draining", activePinned: 2, confirmed: false, ...report });
const sinceBefore: RemedyOrder = { action: "kill", atMs: Date.parse(BEFORE) + 60_000 };
const started = (because: string, order?: RemedyOrder) => ({
  kind: "startDrain",
  version: "v1",
  deploymentId: "dp_v1",
  ...(order === undefined ? {} : { remedy: order }),
  because,
});

const statusWith = (report: DrainReport) =>
  planVersions(
    aQuestion({
      versions: [theCurrent(), v1],
      reports: [report],
      spec: { remedy: KILL_AFTER_A_MINUTE },
    }),
  ).versions.find(({ name }) => name === "v1")?.remedy;

describe("the order of a version", () => {
  const changed = "what is to happen to work that it does not finish has changed";

  test.each<[string, Parameters<typeof aQuestion>[0], readonly object[]]>([
    [
      "from its first day as an older version on",
      { reports: [], spec: { remedy: KILL_AFTER_A_MINUTE } },
      [
        started("its invocations are to be counted", {
          action: "kill",
          atMs: Date.parse(NOW) + 60_000,
        }),
      ],
    ],
    [
      "by how long it drains already",
      { reports: [working()], previous: [draining], spec: { remedy: KILL_AFTER_A_MINUTE } },
      [started(changed, sinceBefore)],
    ],
    [
      "given, and not again",
      {
        reports: [working({ remedy: sinceBefore })],
        previous: [draining],
        spec: { remedy: KILL_AFTER_A_MINUTE },
      },
      [],
    ],
    [
      "given, and something came of it",
      {
        reports: [working({ remedy: { ...sinceBefore, progress: { done: 1, remaining: 2 } } })],
        previous: [draining],
        spec: { remedy: KILL_AFTER_A_MINUTE },
      },
      [],
    ],
    [
      "another action",
      {
        reports: [working({ remedy: { ...sinceBefore, action: "alert" } })],
        previous: [draining],
        spec: { remedy: KILL_AFTER_A_MINUTE },
      },
      [started(changed, sinceBefore)],
    ],
    [
      "withdrawn",
      { reports: [working({ remedy: sinceBefore })], previous: [draining] },
      [started(changed)],
    ],
    [
      "none while it serves in place of the current version",
      {
        versions: [
          theCurrent({ registration: registered("v2", 0), labelledLatest: false }),
          { ...v1, labelledLatest: true, registration: registered("v1", 1) },
        ],
        reports: [],
        spec: { remedy: KILL_AFTER_A_MINUTE },
      },
      [started("its invocations are to be counted")],
    ],
    [
      "kept when it is counted anew",
      {
        versions: [theCurrent(), { ...v1, removeAtMs: NOW_MS - 1 }],
        reports: [aReport({ version: "v1", atMs: NOW_MS - 120_000, remedy: KILL })],
        spec: { remedy: KILL_AFTER_A_MINUTE },
      },
      [started("its last count is too old to act on", KILL)],
    ],
    [
      "also where only Restate knows the version",
      {
        versions: [theCurrent()],
        registration: {
          reachable: true,
          foreign: [],
          lost: [{ version: "v1", deploymentId: "dp_v1" }],
        },
        previous: [draining],
        spec: { remedy: KILL_AFTER_A_MINUTE },
      },
      [started("registered, but its version is gone", sinceBefore)],
    ],
  ])("%s", (_, sample, expected) => {
    const question: VersionsQuestion = aQuestion({ versions: [theCurrent(), v1], ...sample });
    const { actions } = planVersions(question);
    expect(actions.filter(({ kind }) => kind === "startDrain")).toEqual(expected);
  });

  test("an age beyond all dates is one that can be written", () => {
    const spec = { remedy: { ...KILL_AFTER_A_MINUTE, maxAgeSeconds: Number.MAX_SAFE_INTEGER } };
    const { actions } = planVersions(aQuestion({ versions: [theCurrent(), v1], spec }));
    const [start] = actions.filter((each) => each.kind === "startDrain");
    expect(new Date(start?.remedy?.atMs ?? NaN).getUTCFullYear()).toBe(2125);
  });

  test("status says what it is, and how far", () => {
    const progress = { done: 1, remaining: 2, message: "m" };
    const at = new Date(sinceBefore.atMs).toISOString().replace(".000", "");
    expect(statusWith(working({ remedy: sinceBefore }))).toEqual({ action: "kill", at });
    expect(statusWith(working({ remedy: { ...sinceBefore, progress } }))).toEqual({
      action: "kill",
      at,
      ...progress,
    });
    expect(statusWith(working())).toBeUndefined();
  });

  test("an event says it once", () => {
    const due = (remaining?: number, done = 0): VersionStatus => ({
      ...draining,
      remedy: {
        action: "cancel",
        at: NOW,
        done,
        ...(remaining === undefined ? {} : { remaining }),
      },
    });
    const events = [
      {
        type: "Warning",
        reason: "DrainOverdue",
        message:
          "v1 has not finished its invocations within spec.restate.drain.maxAgeSeconds; onMaxAge is cancel",
      },
    ];
    expect(overdueEvents([due()], [due(2)])).toEqual(events);
    expect(overdueEvents([], [due(2)])).toEqual(events);
    expect(overdueEvents([due()], [due(0, 2)])).toEqual(events);
    expect(overdueEvents([due(2)], [due(1)])).toEqual([]);
    expect(overdueEvents([due(2)], [due(0, 2)])).toEqual([]);
    expect(overdueEvents([due(2)], [due(0)])).toEqual([]);
    expect(overdueEvents([draining], [due()])).toEqual([]);
  });
});

const drain = (sample: Partial<DrainState> = {}): DrainState => ({
  deploymentId: "dp_v1",
  adminUrl: "http://r",
  phase: "draining",
  since: BEFORE,
  activePinned: 1,
  activeUnpinned: 0,
  latestFor: 0,
  atMs: NOW_MS - 10_000,
  confirmed: false,
  polls: 3,
  next: { n: 4, intervalMs: 60_000, invocationId: "inv_poll" },
  ...sample,
});
const order = (remedy?: RemedyOrder) => ({
  deploymentId: "dp_v1",
  adminUrl: "http://r",
  ...(remedy === undefined ? {} : { remedy }),
});
const counted = (pinned: number, atMs = NOW_MS) =>
  ({
    kind: "counted",
    atMs,
    usage: { pinned, unpinned: 0, scheduled: 0, routed: 0 },
  }) as const;
const treatment = (sample: Partial<Treatment> = {}): Treatment => ({
  ...UNTREATED,
  done: 2,
  ...sample,
});
const interval = (sample: Partial<DrainState>) => {
  const before = drain({ atMs: NOW_MS, ...sample });
  return intervalAfter(before, before);
};
describe("a drain with an order", () => {
  const moving = treatment({ underway: [{ id, asked: "move", askedAtMs: NOW_MS }] });

  test("R2: what was moved is not gone", () => {
    expect(readingOf(drain({ remedy: KILL, treatment: moving }), counted(0))).toMatchObject({
      phase: "draining",
      activePinned: 1,
      confirmed: false,
    });
    const after = readingOf(drain({ remedy: KILL, treatment: treatment() }), counted(0));
    expect(after).toMatchObject({ phase: "drained", activePinned: 0, confirmed: false });
  });

  test("looks again when the time is over, soon while it deals with work, and else as ever", () => {
    expect(interval({})).toBe(60_000);
    expect(interval({ remedy: KILL })).toBe(30_000);
    expect(interval({ remedy: { ...KILL, atMs: NOW_MS - 1 } })).toBe(5_000);
    expect(interval({ remedy: KILL, due: true })).toBe(60_000);
    expect(interval({ remedy: KILL, due: true, treatment: moving })).toBe(5_000);
  });

  test("the reconciler is told what came of it", () => {
    const before = drain({ remedy: KILL });
    expect(saysMore(reportOf(before), reportOf({ ...before }))).toBe(false);
    expect(saysMore(reportOf(before), reportOf({ ...before, due: true }))).toBe(true);
    const due = { ...before, due: true, treatment: treatment() } as const;
    expect(saysMore(reportOf(due), reportOf({ ...due, treatment: treatment({ done: 3 }) }))).toBe(
      true,
    );
    expect(saysMore(reportOf(due), reportOf({ ...due, treatment: treatment({ kept: 1 }) }))).toBe(
      true,
    );
    expect(saysMore(reportOf(due), reportOf({ ...due, treatment: treatment() }))).toBe(false);
  });

  test.each<[string, Partial<DrainState>, RemedyOrder | undefined, Partial<DrainState>]>([
    [
      "the same: it goes on",
      { remedy: KILL, due: true, treatment: treatment() },
      KILL,
      { remedy: KILL, due: true, treatment: treatment() },
    ],
    [
      "later: it is not due until it is",
      { remedy: KILL, due: true, treatment: treatment() },
      { ...KILL, atMs: NOW_MS + 1 },
      { remedy: { ...KILL, atMs: NOW_MS + 1 }, treatment: treatment() },
    ],
    [
      "another action: what is under way is taken over, what was done does not count",
      { remedy: { ...KILL, action: "pauseAndMove" }, due: true, treatment: moving },
      KILL,
      { remedy: KILL, treatment: { ...UNTREATED, underway: moving.underway } },
    ],
    [
      "withdrawn: what is under way is brought to an end",
      { remedy: KILL, due: true, treatment: moving },
      undefined,
      { treatment: { ...UNTREATED, underway: moving.underway } },
    ],
    ["withdrawn", { remedy: KILL, due: true, treatment: treatment() }, undefined, {}],
    ["wanted again", { endingSinceMs: 1, treatment: moving }, undefined, { treatment: moving }],
  ])("%s", (...[, sample, remedy, expected]) => {
    expect(ordered(drain(sample), order(remedy))).toEqual(drain(expected));
  });
});

interface AdminRow {
  readonly id: string;
  readonly status: string;
  readonly begun_on?: string;
  readonly latest?: string;
}
const begun = (each: string): AdminRow => ({
  id: each,
  status: "suspended",
  begun_on: "dp_v1",
  latest: "dp_v2",
});
const pick = (admin: RestateAdmin, length: number) =>
  pickInvocations(admin, "dp_v1", {
    underway: Array.from({ length }, (_, index) => ({ id: `inv_a${index}` })),
    unmovable: [],
  });

describe("calls", () => {
  let server: Server;
  let admin: RestateAdmin;
  let rows: AdminRow[];
  let status: number;
  let calls: string[];

  beforeEach(async () => {
    rows = [];
    status = 200;
    calls = [];
    server = createServer((request, response) => {
      request.resume();
      if (request.method === "POST") {
        response.end(JSON.stringify({ rows }));
        return;
      }
      calls.push(request.url ?? "");
      response.writeHead(status).end(JSON.stringify({ message: "no" }));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    admin = new RestateAdmin({
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    });
  });

  afterEach(async () => {
    await admin.close();
    server.closeAllConnections();
    server.close();
  });

  const question = { action: "pauseAndMove", deploymentId: "dp_v1", countedAtMs: NOW_MS } as const;

  test("no more are taken on than there is room for, and nothing that is not an id", async () => {
    rows = [
      ...Array.from({ length: 300 }, (_, index) => begun(`inv_a${index}`)),
      begun("inv_1/kill?x="),
    ].toReversed();
    expect((await pick(admin, 0)).ids).toEqual(
      Array.from({ length: 50 }, (_, index) => `inv_a${299 - index}`),
    );
    expect((await pick(admin, 170)).ids).toHaveLength(30);
    expect((await pick(admin, 200)).ids).toEqual([]);
  });

  test("with a hundred that cannot be moved, no more are tried; a newer version can take them", async () => {
    const stuck = Array.from({ length: 100 }, (_, index) => `inv_a${index}`);
    rows = [...stuck, "inv_b"].map(begun);
    const unmovable = stuck.map((each) => ({ id: each, on: "dp_v2" }));
    const before = await pickInvocations(admin, "dp_v1", { underway: [], unmovable });
    expect(before).toMatchObject({ ids: [], unmovable });
    rows = rows.map((row) => ({ ...row, latest: "dp_v3" }));
    const after = await pickInvocations(admin, "dp_v1", { underway: [], unmovable });
    expect(after.ids).toHaveLength(50);
    expect(after.unmovable).toEqual([]);
  });

  test("what fails stays under way, and is said", async () => {
    rows = [begun(id)];
    status = 503;
    const treated = await treatInvocations(admin, { ...UNTREATED, underway: [{ id }] }, question);
    expect(treated).toEqual({
      ...UNTREATED,
      underway: [{ id }],
      failure: "PATCH /invocations/inv_1/resume?deployment=latest was refused (503): no",
    });
  });

  test("what the other deployment cannot speak with goes on where it is", async () => {
    rows = [{ ...begun(id), status: "paused" }];
    status = 400;
    const refused = await treatInvocations(admin, { ...UNTREATED, underway: [{ id }] }, question);
    status = 200;
    const resumed = await treatInvocations(admin, refused, question);
    rows = [begun(id)];
    const later = { ...question, countedAtMs: Date.now() + 60_000 };
    expect(await treatInvocations(admin, resumed, later)).toEqual({
      ...UNTREATED,
      unmovable: [{ id, on: "dp_v2" }],
    });
    expect(new Set(calls)).toEqual(
      new Set(["/invocations/inv_1/resume?deployment=latest", "/invocations/inv_1/resume"]),
    );
  });

  test("a killed invocation is done with when it has ended", async () => {
    rows = [begun(id)];
    const kill = { ...question, action: "kill" } as const;
    const treating = treatInvocations(admin, { ...UNTREATED, underway: [{ id }] }, kill);
    await expect.poll(() => calls.length).toBeGreaterThan(0);
    rows = [{ ...begun(id), status: "completed" }];
    expect(await treating).toEqual({ ...UNTREATED, done: 1 });
  });
});
