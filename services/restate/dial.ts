/**
 * How a name inside the Kubernetes cluster is connected to. In a pod: by that name. Where the operator runs outside (a
 * developer's machine, tests), cluster DNS does not resolve, and `CLUSTER_PROXY` names a proxy that routes by authority:
 * the connection goes there while everything that is sent stays the same.
 */
import { lookup } from "node:dns";
import { connect, type LookupFunction, type Socket } from "node:net";

/** Opens a TCP connection to a host and port of the Kubernetes cluster. */
export type Dial = (host: string, port: number) => Socket;

/** Dials directly, or always the proxy at `host:port`. */
export function dialer(proxy: { readonly host: string; readonly port: number } | undefined): Dial {
  return proxy === undefined
    ? (host, port) => connect({ host, port })
    : () => connect({ host: proxy.host, port: proxy.port });
}

/**
 * Resolves names as the system does, and refuses an address that `refused` says something about: a name that passed every
 * look can still lead to the machine this runs on, or to a metadata service.
 */
export function guardedLookup(
  refused: (resolved: { host: string; address: string }) => string | undefined,
): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, options, (error, address, family) => {
      const addresses = typeof address === "string" ? [address] : (address ?? []);
      const why = addresses
        .map((each) => (typeof each === "string" ? each : each.address))
        .map((each) => refused({ host: hostname, address: each }))
        .find((said) => said !== undefined);
      if (error !== null || why === undefined) callback(error, address, family);
      else callback(new Error(`${hostname} is not to be connected to: ${why}`), []);
    });
  };
}
