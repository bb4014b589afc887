/**
 * How a name inside the Kubernetes cluster is connected to. In a pod: by that name. Where the operator runs outside (a
 * developer's machine, tests), cluster DNS does not resolve, and `CLUSTER_PROXY` names a proxy that routes by authority:
 * the connection goes there while everything that is sent stays the same.
 */
import { connect, type Socket } from "node:net";

/** Opens a TCP connection to a host and port of the Kubernetes cluster. */
export type Dial = (host: string, port: number) => Socket;

/** Dials directly, or always the proxy at `host:port`. */
export function dialer(proxy: { readonly host: string; readonly port: number } | undefined): Dial {
  return proxy === undefined
    ? (host, port) => connect({ host, port })
    : () => connect({ host: proxy.host, port: proxy.port });
}
