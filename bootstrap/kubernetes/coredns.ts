/**
 * Cluster DNS: CoreDNS as a pod behind the service address that every pod is told. It answers for the cluster only; there
 * is nobody to ask for other names.
 *
 * Its program is the multi-call binary of this machine, mounted into a container of the pause image: an image of its own
 * would hold the same 160 MB once more.
 */
import { basename, dirname } from "node:path";
import type { ApiClient } from "./api-client.ts";
import { DNS_SERVICE_IP } from "./network.ts";

const NAMESPACE = "kube-system";
const NAME = "coredns";
const LABELS = { "k8s-app": "kube-dns" };
/** As everywhere: NetworkPolicies speak of the port that a pod listens on, and that of DNS is taken for granted. */
const DNS_PORT = 53;
const READY_PORT = 8181;
const NOBODY = 65_534;

const COREFILE = `.:${DNS_PORT} {
  errors
  ready :${READY_PORT}
  cache 30
  kubernetes cluster.local in-addr.arpa {
    pods insecure
  }
}
`;

/** Creates or updates CoreDNS. */
export async function applyCoreDns(
  api: ApiClient,
  program: { readonly binary: string; readonly image: string },
): Promise<void> {
  const rbac = "/apis/rbac.authorization.k8s.io/v1";
  const namespace = `/namespaces/${NAMESPACE}`;
  const metadata = { name: NAME, namespace: NAMESPACE };
  const objects: readonly (readonly [string, object])[] = [
    [
      `/api/v1${namespace}/serviceaccounts/${NAME}`,
      { apiVersion: "v1", kind: "ServiceAccount", metadata },
    ],
    [`${rbac}/clusterroles/system:${NAME}`, buildClusterRole()],
    [`${rbac}/clusterrolebindings/system:${NAME}`, buildClusterRoleBinding()],
    [
      `/api/v1${namespace}/configmaps/${NAME}`,
      { apiVersion: "v1", kind: "ConfigMap", metadata, data: { Corefile: COREFILE } },
    ],
    [`/apis/apps/v1${namespace}/deployments/${NAME}`, buildDeployment(program)],
    [`/api/v1${namespace}/services/kube-dns`, buildService()],
  ];
  for (const [path, object] of objects) await api.apply(path, object);
}

function buildClusterRole(): object {
  const verbs = ["list", "watch"];
  return {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: `system:${NAME}` },
    rules: [
      { apiGroups: [""], resources: ["services", "pods", "namespaces"], verbs },
      { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs },
    ],
  };
}

function buildClusterRoleBinding(): object {
  return {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name: `system:${NAME}` },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: `system:${NAME}` },
    subjects: [{ kind: "ServiceAccount", name: NAME, namespace: NAMESPACE }],
  };
}

function buildDeployment(program: { readonly binary: string; readonly image: string }): object {
  const container = {
    name: NAME,
    image: program.image,
    command: [`/host/${basename(program.binary)}`, "coredns", "-conf", "/etc/coredns/Corefile"],
    ports: [
      { name: "dns", containerPort: DNS_PORT, protocol: "UDP" },
      { name: "dns-tcp", containerPort: DNS_PORT, protocol: "TCP" },
    ],
    readinessProbe: { httpGet: { path: "/ready", port: READY_PORT }, periodSeconds: 1 },
    securityContext: {
      runAsUser: NOBODY,
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
    },
    volumeMounts: [
      { name: "config", mountPath: "/etc/coredns", readOnly: true },
      { name: "host", mountPath: "/host", readOnly: true },
    ],
  };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: NAME, namespace: NAMESPACE, labels: LABELS },
    spec: {
      replicas: 1,
      selector: { matchLabels: LABELS },
      template: {
        metadata: { labels: LABELS },
        spec: {
          serviceAccountName: NAME,
          priorityClassName: "system-cluster-critical",
          // the cluster's DNS is what this pod is
          dnsPolicy: "Default",
          // low ports for everybody, in the pod's own network
          securityContext: {
            sysctls: [{ name: "net.ipv4.ip_unprivileged_port_start", value: "0" }],
          },
          containers: [container],
          volumes: [
            { name: "config", configMap: { name: NAME } },
            { name: "host", hostPath: { path: dirname(program.binary), type: "Directory" } },
          ],
        },
      },
    },
  };
}

function buildService(): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "kube-dns", namespace: NAMESPACE, labels: LABELS },
    spec: {
      clusterIP: DNS_SERVICE_IP,
      selector: LABELS,
      ports: [
        { name: "dns", port: 53, targetPort: "dns", protocol: "UDP" },
        { name: "dns-tcp", port: 53, targetPort: "dns-tcp", protocol: "TCP" },
      ],
    },
  };
}
