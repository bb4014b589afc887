/**
 * What a cluster answers about itself, read with two small queries and projected to what is said in the status. Nothing
 * here changes from one reading to the next while the cluster does not: no time, no log position.
 */
import { queryCluster, type Row } from "../../restate/cluster-query.ts";
import type { Dial } from "../../restate/dial.ts";
import type { ClusterSurvey, SurveyedNode } from "../api.ts";

const NODE_PORT = 5122;
/** Larger clusters are not looked at whole; a status has room for so many. */
const NODES_MAX = 128;
const TEXT_MAX_CHARS = 63;

/** Every column, because releases of Restate differ in which there are. */
const NODES = `SELECT * FROM nodes ORDER BY plain_node_id LIMIT ${NODES_MAX}`;
const LEADERS = "SELECT leader_plain_node_id AS leader, count(*) AS led FROM partitions GROUP BY 1";

const ROLES = {
  has_admin_role: "admin",
  has_ingress_role: "http-ingress",
  has_log_server_role: "log-server",
  has_metadata_server_role: "metadata-server",
  has_worker_role: "worker",
} as const;

/**
 * Asks the cluster behind a Service.
 *
 * @throws ConnectError when there is no answer.
 */
export async function readSurvey(dial: Dial, host: string): Promise<ClusterSurvey> {
  const [nodes, leaders] = await queryCluster(dial, { host, port: NODE_PORT }, [NODES, LEADERS]);
  return surveyOf(nodes, leaders);
}

/** The projection of both answers, in an order of its own. */
export function surveyOf(nodes: readonly Row[], leaders: readonly Row[]): ClusterSurvey {
  const led = new Map(leaders.map((row) => [text(row["leader"]), Number(row["led"] ?? 0)]));
  const alive = new Set(
    nodes.filter(({ state }) => state === "alive").map((row) => text(row["plain_node_id"])),
  );
  const total = [...led.values()].reduce((sum, count) => sum + count, 0);
  const byAlive = [...led].reduce((sum, [id, count]) => sum + (alive.has(id) ? count : 0), 0);
  return {
    nodes: nodes
      .map((row) => nodeOf(row, led))
      .toSorted((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1))),
    partitions: total,
    // Led by a node that is dead is led by nobody.
    partitionsWithoutLeader: total - byAlive,
  };
}

function nodeOf(row: Row, led: ReadonlyMap<string, number>): SurveyedNode {
  const id = text(row["plain_node_id"]);
  const version = text(row["binary_version"]);
  return {
    id,
    name: text(row["name"]),
    ...(version === "" ? {} : { version }),
    alive: row["state"] === "alive",
    roles: Object.entries(ROLES).flatMap(([column, role]) => (row[column] === true ? [role] : [])),
    partitionsLed: led.get(id) ?? 0,
    storageState: text(row["storage_state"]),
    workerState: text(row["worker_state"]),
  };
}

/** An answer comes from a user's server: bounded and printable. */
function text(value: unknown): string {
  return typeof value === "string"
    ? value.replaceAll(/[^\x20-\x7E]+/g, " ").slice(0, TEXT_MAX_CHARS)
    : "";
}
