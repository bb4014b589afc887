/**
 * Calls to the control service of a Restate node (gRPC, port 5122). Expected answers are values; only what nobody expects
 * is thrown.
 */
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { Dial } from "./dial.ts";
import { NodeCtlSvc } from "./proto/node_ctl_pb.ts";

/** Deadline of one call: it only writes a few kilobytes of metadata. */
const CALL_TIMEOUT_MS = 5_000;
const MESSAGE_MAX_CHARS = 256;

export type ProvisionAnswer =
  /** The cluster is provisioned: by this call, or before it. */
  | { readonly kind: "provisioned" }
  /** The node does not answer (yet), or cannot do it now. */
  | { readonly kind: "unavailable"; readonly message: string };

/** Provisions the cluster of a node with the node's own defaults. A cluster that is provisioned already is a success. */
export async function provisionCluster(
  dial: Dial,
  node: { readonly host: string; readonly port: number },
): Promise<ProvisionAnswer> {
  const transport = createGrpcTransport({
    baseUrl: `http://${node.host}:${node.port}`,
    defaultTimeoutMs: CALL_TIMEOUT_MS,
    nodeOptions: { createConnection: () => dial(node.host, node.port) },
  });
  try {
    await createClient(NodeCtlSvc, transport).provisionCluster({});
    return { kind: "provisioned" };
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    if (code === Code.AlreadyExists) return { kind: "provisioned" };
    const said = rawMessage.replaceAll(/[^\x20-\x7E]+/g, " ").slice(0, MESSAGE_MAX_CHARS);
    return { kind: "unavailable", message: `${Code[code]}: ${said}` };
  }
}
