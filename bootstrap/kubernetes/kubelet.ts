/**
 * The node's own two processes: the kubelet, which runs pods, and kube-proxy, which makes services of them.
 *
 * One trace stays on the machine: at its start every kubelet sets a few kernel settings (vm.overcommit_memory = 1,
 * kernel.panic = 10, kernel.panic_on_oops = 1), which are the whole machine's and stay until it is booted again.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import type { RunningProcess } from "../processes.ts";
import { startComponent, type Site } from "./components.ts";
import { containerdSocket, type ContainerHost } from "./containerd.ts";
import { componentKubeconfig } from "./credentials.ts";
import { DNS_SERVICE_IP, NODE_IP, POD_NETWORK } from "./network.ts";

export const NODE_NAME = "node-1";

const PODS_MAX = 240;

export async function startKubelet(site: Site, host: ContainerHost): Promise<RunningProcess> {
  const { dir } = site;
  const config = join(dir, "kubelet.yaml");
  await writeFile(config, stringify(buildKubeletConfig(host)));
  return startComponent(site, "kubelet", [
    `--config=${config}`,
    `--kubeconfig=${componentKubeconfig(dir, `system:node:${NODE_NAME}`)}`,
    `--root-dir=${join(dir, "kubelet")}`,
    `--cert-dir=${join(dir, "pki", "kubelet")}`,
    `--hostname-override=${NODE_NAME}`,
    `--node-ip=${NODE_IP}`,
    "--node-labels=topology.kubernetes.io/zone=zone-1,topology.kubernetes.io/region=region-1",
  ]);
}

export async function startKubeProxy(site: Site): Promise<RunningProcess> {
  return startComponent(site, "kube-proxy", [
    `--kubeconfig=${componentKubeconfig(site.dir, "system:kube-proxy")}`,
    `--hostname-override=${NODE_NAME}`,
    "--proxy-mode=iptables",
    `--cluster-cidr=${POD_NETWORK}`,
    // settings of the whole machine, not of the namespace
    "--conntrack-max-per-core=0",
    "--conntrack-tcp-timeout-established=0",
    "--conntrack-tcp-timeout-close-wait=0",
  ]);
}

function buildKubeletConfig(host: ContainerHost): object {
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    // reachable from inside the network namespace only, by what we start ourselves
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: "AlwaysAllow" },
    containerRuntimeEndpoint: `unix://${containerdSocket(host)}`,
    cgroupDriver: "cgroupfs",
    cgroupRoot: `/${host.name}`,
    failCgroupV1: false,
    failSwapOn: false,
    enforceNodeAllocatable: [],
    clusterDNS: [DNS_SERVICE_IP],
    clusterDomain: "cluster.local",
    resolvConf: "",
    podLogsDir: join(host.dir, "pod-logs"),
    volumePluginDir: join(host.dir, "kubelet", "volume-plugins"),
    maxPods: PODS_MAX,
    evictionHard: {
      "memory.available": "100Mi",
      "nodefs.available": "1%",
      "imagefs.available": "1%",
    },
    // an image that is collected cannot be had again: there is no registry
    imageGCHighThresholdPercent: 100,
  };
}
