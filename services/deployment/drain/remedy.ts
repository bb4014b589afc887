/**
 * What a drain does on the Restate of its version when the time of unfinished work is over: picks invocations, and takes each
 * a step on. A few at a time, each call on its own, and all of it safe to repeat; what to do with one is decided in
 * plan-remedy.ts.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { AdminError, type RestateAdmin } from "../../restate/admin.ts";
import {
  UNMOVABLE_MAX,
  planInvocation,
  type InvocationView,
  type RemedyQuestion,
  type RemedyStep,
  type Treatment,
  type Underway,
  type Unmovable,
} from "../plan/plan-remedy.ts";
import { BEGUN_ON, quoted } from "./usage.ts";

/** Invocations that are taken on with one poll, and those that may be under way at all. */
const PICKED_MAX = 50;
const UNDERWAY_MAX = 200;
/** A pause is followed by a move within one step, where it happens soon. */
const ROUNDS = 3;
const ROUND_MS = 300;
/** No call is begun later than this after the first one. */
const STEP_MS = 4_000;

/** Ids come from a server that can be anybody's. */
const INVOCATION_ID = /^inv_[0-9A-Za-z]{1,60}$/;

/** What was found to be dealt with. */
export interface Picked {
  readonly ids: readonly string[];
  /** Unfinished invocations of services that no newer version has (R1). */
  readonly kept: number;
  /** Those of the unmovable ones that are still unfinished, or that another deployment may take by now. */
  readonly unmovable: readonly Unmovable[];
}

interface Row {
  readonly id: string;
  readonly status: string;
  readonly begun_on?: string | null;
  readonly latest?: string | null;
  readonly failure_code?: string | null;
}

const VIEW = `SELECT i.id, i.status, ${BEGUN_ON} AS begun_on, s.deployment_id AS latest,
    i.last_failure_error_code AS failure_code
  FROM sys_invocation i LEFT JOIN sys_service s ON s.name = i.target_service_name`;

/** Unfinished invocations of a deployment that are to be dealt with next, beside those under way. Throws `AdminError`. */
export async function pickInvocations(
  admin: RestateAdmin,
  deploymentId: string,
  { underway, unmovable }: Pick<Treatment, "underway" | "unmovable">,
): Promise<Picked> {
  const id = quoted(deploymentId);
  const room = Math.max(Math.min(PICKED_MAX, UNDERWAY_MAX - underway.length), 0);
  const known = underway.length + unmovable.length;
  const [rows, [kept], stuck] = await Promise.all([
    admin.query<Row>(
      `${VIEW} WHERE i.status <> 'completed' AND ${BEGUN_ON} = ${id} AND s.deployment_id <> ${id}
        LIMIT ${known + room}`,
    ),
    admin.query<{ invocations: number }>(
      `SELECT count(*) AS invocations
        FROM sys_invocation i JOIN sys_service s ON s.name = i.target_service_name
        WHERE i.status <> 'completed' AND ${BEGUN_ON} = ${id} AND s.deployment_id = ${id}`,
    ),
    readInvocations(
      admin,
      unmovable.map((each) => each.id),
    ),
  ]);
  const still = unmovable.filter((each) => {
    const seen = stuck.get(each.id);
    return (
      seen !== undefined &&
      seen.status !== "completed" &&
      seen.begunOn === deploymentId &&
      seen.latest === each.on
    );
  });
  const taken = new Set([...underway, ...still].map((each) => each.id));
  const ids = rows.map((row) => row.id).filter((each) => INVOCATION_ID.test(each));
  return {
    ids: still.length >= UNMOVABLE_MAX ? [] : ids.filter((each) => !taken.has(each)).slice(0, room),
    kept: kept?.invocations ?? 0,
    unmovable: still,
  };
}

/** Takes everything that is under way a step on. Throws `AdminError` when Restate cannot be asked where it stands. */
export async function treatInvocations(
  admin: RestateAdmin,
  treatment: Treatment,
  question: Omit<RemedyQuestion, "nowMs">,
): Promise<Treatment> {
  const untilMs = Date.now() + STEP_MS;
  const { failure: _, ...begun } = treatment;
  let now: Treatment = begun;
  for (let round = 0; round < ROUNDS && now.underway.length > 0; round += 1) {
    if (round > 0) await sleep(ROUND_MS);
    const after = await treatOnce(admin, now, { question, untilMs });
    const settled = after.calls === 0 || after.treatment.failure !== undefined;
    now = after.treatment;
    if (settled || Date.now() >= untilMs) break;
  }
  return now;
}

async function treatOnce(
  admin: RestateAdmin,
  treatment: Treatment,
  {
    question,
    untilMs,
  }: { readonly question: Omit<RemedyQuestion, "nowMs">; readonly untilMs: number },
): Promise<{ readonly treatment: Treatment; readonly calls: number }> {
  const ids = treatment.underway.map(({ id }) => id);
  const seen = await readInvocations(admin, ids);
  const underway: Underway[] = [];
  const unmovable = [...treatment.unmovable];
  let { done } = treatment;
  let calls = 0;
  let failure: string | undefined;
  for (const entry of treatment.underway) {
    const view = seen.get(entry.id);
    const nowMs = Date.now();
    const step = planInvocation({ ...question, nowMs }, entry, view);
    const made = nowMs < untilMs ? await make(admin, { entry, step, view }) : { next: entry };
    calls += step.call === undefined ? 0 : 1;
    failure = made.failure ?? failure;
    const { next } = made;
    if (next === "done") done += 1;
    else if (next !== "left" && "on" in next) unmovable.push(next);
    else if (next !== "left") underway.push(next);
  }
  const after = { ...treatment, done, underway, unmovable };
  return { treatment: failure === undefined ? after : { ...after, failure }, calls };
}

/** Makes the call of a step. Where that fails, the invocation stays what it was, and is planned for again. */
async function make(
  admin: RestateAdmin,
  {
    entry,
    step: { call, next },
    view,
  }: {
    readonly entry: Underway;
    readonly step: RemedyStep;
    readonly view: InvocationView | undefined;
  },
): Promise<{ readonly next: RemedyStep["next"]; readonly failure?: string }> {
  if (call === undefined) return { next };
  const { id, verb, deployment } = call;
  try {
    await admin.changeInvocation(id, verb, deployment);
    return { next };
  } catch (error) {
    if (!(error instanceof AdminError)) throw error;
    const refused = error.status === 400 && deployment === "latest";
    // Not even tried: its journal is of a protocol that the other deployment does not speak. It goes on where it is.
    const back: Underway = { id, asked: "return", askedAtMs: 0, from: view?.latest ?? "" };
    return { next: refused ? back : entry, failure: error.message };
  }
}

/** Where invocations are, by id; those that Restate does not have (any more) are left out. */
async function readInvocations(
  admin: RestateAdmin,
  ids: readonly string[],
): Promise<ReadonlyMap<string, InvocationView>> {
  if (ids.length === 0) return new Map();
  const rows = await admin.query<Row>(`${VIEW} WHERE i.id IN (${ids.map(quoted).join(", ")})`);
  return new Map(rows.map((row) => [row.id, viewOf(row)]));
}

function viewOf({ id, status, begun_on: begunOn, latest, failure_code: code }: Row) {
  return {
    id,
    status,
    ...(begunOn == null ? {} : { begunOn }),
    ...(latest == null ? {} : { latest }),
    ...(code == null ? {} : { failureCode: code }),
  } satisfies InvocationView;
}
