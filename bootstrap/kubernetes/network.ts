/**
 * The network that a node and its pods live in: one network namespace without a way out. Nothing is connected to it from
 * outside, so nothing inside can reach another machine, whatever it tries; a connection to anywhere else fails at once.
 *
 * The node's own address is on one end of a veth pair whose other end is in the same namespace (not every kernel has the
 * `dummy` device). Its routes say which destinations exist: a packet to a service is translated only after a route for it
 * was found, so there is a default route, and packets that are still on it after translation are refused.
 */
import { runCommand } from "../processes.ts";
import { recordResource } from "../resources.ts";
import { SERVICE_NETWORK } from "./components.ts";

export const NODE_IP = "10.91.0.1";
export const POD_NETWORK = "10.92.0.0/24";
export const DNS_SERVICE_IP = "10.96.0.10";

const NODE_NETWORK = "10.91.0.0/24";

/** Inside there is the node, its pods and services; everything else is refused rather than left to time out. */
const NO_WAY_OUT = `
table inet no_way_out {
  chain refuse {
    ip daddr { ${NODE_NETWORK}, ${POD_NETWORK}, ${SERVICE_NETWORK} } accept
    meta l4proto tcp reject with tcp reset
    meta nfproto ipv4 reject with icmp type net-unreachable
  }
  chain from_node {
    type filter hook output priority 10;
    oifname "lo" accept
    jump refuse
  }
  chain from_pods {
    type filter hook forward priority 10;
    jump refuse
  }
}
`;

/** Makes the namespace and everything in it. */
export async function createNetwork(dir: string, namespace: string): Promise<void> {
  await recordResource(dir, { kind: "networkNamespace", name: namespace });
  await runCommand("ip", ["netns", "add", namespace]);
  const inside = async (...command: readonly string[]) =>
    runCommand("nsenter", [`--net=/run/netns/${namespace}`, ...command]);
  await inside("ip", "link", "set", "lo", "up");
  await inside("ip", "link", "add", "node0", "type", "veth", "peer", "name", "node0-peer");
  await inside("ip", "link", "set", "node0-peer", "up");
  await inside("ip", "addr", "add", `${NODE_IP}/24`, "dev", "node0");
  await inside("ip", "link", "set", "node0", "up");
  await inside("ip", "route", "add", "default", "dev", "node0");
  await inside("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward");
  await runCommand("nsenter", [`--net=/run/netns/${namespace}`, "nft", "-f", "-"], {
    input: NO_WAY_OUT,
  });
}

/** The CNI configuration that gives pods their addresses. `dataDir`: where it remembers which are taken. */
export function buildCniConfig(name: string, dataDir: string): object {
  return {
    cniVersion: "0.4.0",
    name,
    plugins: [
      {
        type: "bridge",
        bridge: "cni0",
        isGateway: true,
        ipMasq: false,
        hairpinMode: true,
        ipam: {
          type: "host-local",
          dataDir,
          ranges: [[{ subnet: POD_NETWORK }]],
          routes: [{ dst: "0.0.0.0/0" }],
        },
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  };
}
