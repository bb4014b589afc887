/**
 * SQL over the tables that a Restate cluster keeps about itself: nodes, partitions, logs (gRPC, port 5122; a node with the
 * role admin answers). The admin API's own SQL knows other tables.
 */
import { createClient } from "@connectrpc/connect";
import { Http2SessionManager, createGrpcTransport } from "@connectrpc/connect-node";
import { tableFromIPC } from "@uwdata/flechette";
import type { Dial } from "./dial.ts";
import { ClusterCtrlSvc } from "./proto/cluster_ctrl_pb.ts";

/** Deadline of each query: the answers have a few kilobytes. */
const QUERY_TIMEOUT_MS = 3_000;
const MESSAGE_MAX_BYTES = 1024 * 1024;
const MESSAGES_MAX = 64;

export type Row = Readonly<Record<string, unknown>>;

/**
 * The rows of each query, asked over one connection that is closed afterwards.
 *
 * @throws ConnectError when there is no answer, or the server does not know a table or a column.
 */
export async function queryCluster<const Queries extends readonly string[]>(
  dial: Dial,
  node: { readonly host: string; readonly port: number },
  queries: Queries,
): Promise<{ [Index in keyof Queries]: Row[] }> {
  const url = `http://${node.host}:${node.port}`;
  const sessionManager = new Http2SessionManager(url, undefined, {
    createConnection: () => dial(node.host, node.port),
  });
  const transport = createGrpcTransport({
    baseUrl: url,
    defaultTimeoutMs: QUERY_TIMEOUT_MS,
    readMaxBytes: MESSAGE_MAX_BYTES,
    sessionManager,
  });
  const client = createClient(ClusterCtrlSvc, transport);
  const rowsOf = async (query: string): Promise<Row[]> => {
    const parts: Uint8Array[] = [];
    for await (const { encoded } of client.query({ query })) {
      if (parts.length === MESSAGES_MAX) throw new Error("the answer has too many parts");
      // A copy: Arrow's numbers must lie where numbers may lie in memory, and a part of a message begins anywhere.
      parts.push(new Uint8Array(encoded));
    }
    return parts.length === 0 ? [] : tableFromIPC(parts).toArray();
  };
  try {
    // One entry for each query, in their order.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    return (await Promise.all(queries.map(rowsOf))) as { [Index in keyof Queries]: Row[] };
  } finally {
    sessionManager.abort();
  }
}
