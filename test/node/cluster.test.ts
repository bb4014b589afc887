/**
 * RestateClusters on a real node whose network enforces NetworkPolicies: nodes that are given five lines find each other and
 * serve under their own policies, who is allowed gets through and nobody else, neither to them nor to the operator; and what
 * a specification says about keys, authorities, sidecars and volumes is what happens.
 *
 * One file, because a node takes half a minute to start and a Restate half a minute to be ready: both clusters start at once.
 */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { request } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildExampleImage } from "../../bootstrap/images/example.ts";
import { buildOperatorImage } from "../../bootstrap/images/operator.ts";
import { buildRestateImage } from "../../bootstrap/images/restate.ts";
import { nodeFitness } from "../../bootstrap/kubernetes/machine.ts";
import { startNode, type NodeCluster } from "../../bootstrap/kubernetes/node.ts";
import { runCommand } from "../../bootstrap/processes.ts";
import { generateIdentityKey, publicIdentityOf } from "../../bootstrap/restate/identity.ts";
import { NAMESPACE, installOperator, toolsFor } from "../../bootstrap/sandbox/kubernetes-tools.ts";
import { waitForReady } from "../../bootstrap/sandbox/wait-for-ready.ts";
import { RestateAdmin } from "../../services/restate/admin.ts";
import { readAudit } from "../harness/audit.ts";
import { buildBusyboxImage, TOOLS_IMAGE } from "../harness/busybox.ts";
import { kubectl, logProgress, testRunDir } from "../harness/kubernetes.ts";
import { startNetworkEnforcer, type NetworkEnforcer } from "../harness/network-enforcer.ts";
import { Objects, type KubeObject } from "../harness/objects.ts";
import { until } from "../harness/until.ts";

const fitness = nodeFitness();
if (fitness.kind === "unfit") logProgress(`skipped: ${fitness.reason}`);

const dir = join(testRunDir(), "cluster-node");
const READY_TIMEOUT_MS = 4 * 60_000;
const GIB = 1024 ** 3;
/** Five lines that say nothing but what is wanted, and who may call. */
const FORMED = "formed";
/** One node with everything else that a specification can ask for here. */
const SECURED = "secured";

const clustersYaml = `
apiVersion: restate.dev/v1
kind: RestateCluster
metadata: {name: ${FORMED}}
spec:
  compute: {replicas: 3, image: "restatedev/restate:1.7.12"}
  storage: {storageRequestBytes: ${2 * GIB}}
  security:
    networkPeers:
      ingress:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: friends}}
          podSelector: {matchLabels: {app: friend}}
---
apiVersion: restate.dev/v1
kind: RestateCluster
metadata: {name: ${SECURED}}
spec:
  compute:
    image: "restatedev/restate:1.7.12"
    sidecars:
      - {name: beside, image: "${TOOLS_IMAGE}", command: [sleep, "86400"]}
  storage: {storageRequestBytes: ${2 * GIB}}
  security:
    requestSigningPrivateKey: {version: v1, secret: {secretName: signing, key: private.pem}}
    trustedCaCerts: [{secretName: authority, key: ca.pem}]
`;

/** Who calls: the friend is allowed; the others share its namespace or its label, not both. */
const FRIEND = ["--namespace=friends", "friend"] as const;
const NEIGHBOUR = ["--namespace=friends", "neighbour"] as const;
const STRANGER = ["--namespace=strangers", "stranger"] as const;
type Caller = readonly [string, string];

const callersYaml = `
apiVersion: v1
kind: Namespace
metadata: {name: friends}
---
apiVersion: v1
kind: Namespace
metadata: {name: strangers}
${[
  { namespace: "friends", name: "friend", app: "friend" },
  { namespace: "friends", name: "neighbour", app: "neighbour" },
  { namespace: "strangers", name: "stranger", app: "friend" },
]
  .map(
    ({ namespace, name, app }) => `---
apiVersion: v1
kind: Pod
metadata: {namespace: ${namespace}, name: ${name}, labels: {app: ${app}}}
spec: {containers: [{name: tools, image: "${TOOLS_IMAGE}", args: [sleep, "86400"]}]}
`,
  )
  .join("")}`;

/** A RestateDeployment as users write it; the operator labels its pods so that the cluster reaches them. */
const greeterYaml = `
apiVersion: restate.dev/v1beta1
kind: RestateDeployment
metadata: {name: greeter, namespace: friends}
spec:
  replicas: 1
  selector: {matchLabels: {app: greeter}}
  restate: {register: {cluster: ${FORMED}}}
  template:
    metadata: {labels: {app: greeter}}
    spec: {containers: [{name: greeter, image: "restate-greeter:v1", ports: [{containerPort: 9080}]}]}
`;

const SERVICES = "services";
const TLS_HOST = `tls.${SERVICES}.svc.cluster.local`;

/** Speaks TLS to callers and passes on what they say: HTTP/2 either way. */
const TLS_PROXY = `
const { readFileSync } = require("node:fs");
const { connect } = require("node:net");
const read = (name) => readFileSync("/tls/" + name);
require("node:tls")
  .createServer({ cert: read("tls.crt"), key: read("tls.key"), ALPNProtocols: ["h2"] }, (caller) => {
    const service = connect(9080, "127.0.0.1");
    caller.pipe(service).pipe(caller);
    for (const end of [caller, service]) end.on("error", () => undefined);
  })
  .listen(9443);
`;

/** Greeters that are registered by hand, each with something of its own. Both clusters may call them. */
function serviceOf(name: string, { env = {}, tls = false }: { env?: object; tls?: boolean }) {
  const labels = { app: name };
  const allowed = Object.fromEntries(
    [FORMED, SECURED].map((cluster) => [`allow.restate.dev/${cluster}`, "true"]),
  );
  const variables = Object.entries({ GREETER_VERSION: name, ...env });
  const image = "restate-greeter:v1";
  const proxy = {
    name: "proxy",
    image,
    args: ["--eval", TLS_PROXY],
    volumeMounts: [{ name: "tls", mountPath: "/tls" }],
  };
  const metadata = { name, namespace: SERVICES };
  const greeter = {
    name: "greeter",
    image,
    env: variables.map(([key, value]) => ({ name: key, value })),
  };
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata,
      spec: { selector: labels, ports: [{ port: tls ? 9443 : 9080 }] },
    },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata,
      spec: {
        selector: { matchLabels: labels },
        template: {
          metadata: { labels: { ...labels, ...allowed } },
          spec: {
            containers: [greeter, ...(tls ? [proxy] : [])],
            volumes: tls ? [{ name: "tls", secret: { secretName: "tls" } }] : [],
          },
        },
      },
    },
  ];
}

let cluster: NodeCluster;
let objects: Objects;
let enforcer: NetworkEnforcer | undefined;
const startedAtMs = Date.now();
const say = (line: string) =>
  logProgress(`${((Date.now() - startedAtMs) / 1000).toFixed(0)} s: ${line}`);

const apply = (yaml: string) => kubectl(cluster, ["apply", "--filename=-"], yaml);
const applyAll = (items: readonly object[]) =>
  apply(JSON.stringify({ apiVersion: "v1", kind: "List", items }));
const secretOf = (namespace: string, name: string, stringData: object) => ({
  apiVersion: "v1",
  kind: "Secret",
  metadata: { namespace, name },
  stringData,
});

/** Which of the addresses (`host:port`) a pod gets a connection to, all tried at once. */
async function reached(caller: Caller, targets: readonly string[]): Promise<string[]> {
  const each = "nc -w 3 ${target%:*} ${target#*:} -e true 2>/dev/null && echo $target";
  const script = `for target in "$@"; do (${each}) & done; wait`;
  const [namespace, pod] = caller;
  const args = ["exec", namespace, pod, "--", "sh", "-c", script, "sh", ...targets];
  return (await kubectl(cluster, args)).trim().split("\n").filter(Boolean).toSorted();
}

type ClusterStatus = {
  readonly nodes: readonly { readonly name: string; readonly alive: boolean }[];
  readonly conditions: readonly { readonly type: string; readonly reason: string }[];
};

type PodStatus = {
  readonly podIP: string;
  readonly containerStatuses: readonly { readonly name: string; readonly restartCount: number }[];
  readonly initContainerStatuses: readonly {
    readonly name: string;
    readonly restartCount: number;
    readonly state: {
      readonly running?: object;
      readonly terminated?: { readonly exitCode: number };
    };
  }[];
};

const statusOf = (pod: KubeObject) => pod["status"] as PodStatus;

async function ipsOf(namespace: string, label: string): Promise<string[]> {
  const pods = await objects.list("Pod", namespace);
  return pods
    .filter(({ metadata }) => metadata.labels?.["app.kubernetes.io/name"] === label)
    .map((pod) => statusOf(pod).podIP);
}

const times = (hosts: readonly string[], ports: readonly number[]) =>
  hosts.flatMap((host) => ports.map((port) => `${host}:${port}`)).toSorted();

/** Everything that listens in the operator's namespace. */
async function operatorTargets(): Promise<string[]> {
  const [bootstrap, services, watcher] = await Promise.all([
    ipsOf(NAMESPACE, "restate-operator-bootstrap"),
    ipsOf(NAMESPACE, "restate-operator"),
    ipsOf(NAMESPACE, "restate-operator-watcher"),
  ]);
  return [
    ...times(bootstrap, [8080, 9070, 5122]),
    ...times(services, [9080, 8080]),
    ...times(watcher, [8080]),
    ...times([`restate-operator-bootstrap.${NAMESPACE}.svc.cluster.local`], [8080, 9070]),
    ...times([`restate-operator.${NAMESPACE}.svc.cluster.local`], [9080]),
  ].toSorted();
}

/** A port of every node of the formed cluster, and of its Service. */
const formedTargets = async (...ports: number[]) =>
  times([`restate.${FORMED}.svc.cluster.local`, ...(await ipsOf(FORMED, "restate"))], ports);

const isReady = (name: string) =>
  waitForReady(
    toolsFor(cluster),
    { kind: "RestateCluster", name },
    { say, timeoutMs: READY_TIMEOUT_MS },
  );

/** From the node, as `kubectl port-forward` would: policies do not apply. */
const urlOf = async (name: string, port: number) =>
  `http://127.0.0.1:${await cluster.forward({ host: `restate.${name}`, port })}`;

async function register(name: string, uri: string): Promise<string> {
  const admin = new RestateAdmin({ url: await urlOf(name, 9070) });
  try {
    return (await admin.registerDeployment({ uri, force: false })).id;
  } finally {
    await admin.close();
  }
}

async function greetThrough(name: string): Promise<unknown> {
  const { body } = await request(`${await urlOf(name, 8080)}/Greeter/greet`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify("Ada"),
    signal: AbortSignal.timeout(20_000),
  });
  return body.json();
}

describe.skipIf(fitness.kind === "unfit")(
  "clusters on a node that enforces NetworkPolicies",
  () => {
    beforeAll(async () => {
      const images = Promise.all([
        buildRestateImage({ version: "1.7.12" }),
        buildOperatorImage(),
        buildExampleImage({ version: "v1" }),
        buildBusyboxImage(),
      ]);
      cluster = await startNode({ dir, log: say });
      objects = new Objects(cluster);
      for (const { archive } of await images) await cluster.importImage(archive);
      say("images are there");
      await Promise.all([
        installOperator(toolsFor(cluster), [`canaryImage=${TOOLS_IMAGE}`]),
        apply(callersYaml),
      ]);
      for (const [namespace, pod] of [FRIEND, NEIGHBOUR, STRANGER]) {
        await kubectl(cluster, ["wait", namespace, `pod/${pod}`, "--for=condition=Ready"]);
      }
      say("the operator is installed");
    });

    afterAll(async () => {
      await enforcer?.stop();
      await objects?.close();
      await cluster?.stop();
      await rm(dir, { recursive: true, force: true });
      say("the node is gone");
    });

    test("the chart's policies close the operator's namespace, which is open where nobody enforces them", async () => {
      await enforcer?.stop(); // of a first try
      const targets = await operatorTargets();
      expect(targets).toHaveLength(9);
      expect(await reached(STRANGER, targets)).toEqual(targets);
      enforcer = await startNetworkEnforcer(cluster);
      expect(await reached(STRANGER, targets)).toEqual([]);
    });

    test("five lines are three nodes that find each other, are provisioned and tell of themselves", async () => {
      const key = generateIdentityKey();
      const files = { cert: join(dir, "tls.crt"), key: join(dir, "tls.key") };
      await runCommand(cluster.kubernetesBinary, [
        "certificate",
        `--names=${TLS_HOST}`,
        `--cert-file=${files.cert}`,
        `--key-file=${files.key}`,
      ]);
      const [certificate, authority] = (await readFile(files.cert, "utf8")).split(
        /(?<=-----\n)(?=-----BEGIN)/,
      );
      const signed = { IDENTITY_KEYS: publicIdentityOf(key) };
      const foreign = { IDENTITY_KEYS: publicIdentityOf(generateIdentityKey()) };
      await apply(clustersYaml);
      await applyAll([
        { apiVersion: "v1", kind: "Namespace", metadata: { name: SERVICES } },
        secretOf(SERVICES, "tls", {
          "tls.crt": certificate,
          "tls.key": await readFile(files.key, "utf8"),
        }),
        ...serviceOf("signed", { env: signed }),
        ...serviceOf("foreign", { env: foreign }),
        ...serviceOf("tls", { tls: true }),
      ]);
      await until("the cluster has its namespace", () => objects.get("Namespace", SECURED));
      await applyAll([
        secretOf(SECURED, "signing", { "private.pem": key }),
        secretOf(SECURED, "authority", { "ca.pem": authority }),
      ]);

      await isReady(FORMED);
      const survey = await until(
        "it says that it serves",
        async () => {
          const found = (await objects.get("RestateCluster", FORMED))!["status"] as ClusterStatus;
          const available = found.conditions.find(({ type }) => type === "Available");
          return available?.reason === "Serving" ? found : undefined;
        },
        { timeoutMs: 90_000 },
      );
      say(`${FORMED} serves`);
      // in the order in which they joined
      const nodes = survey.nodes.map(({ name, alive }) => `${name} ${alive ? "alive" : "dead"}`);
      expect({ ...survey, nodes: nodes.toSorted() }).toMatchObject({
        provisioned: true,
        version: "1.7.12",
        nodes: ["restate-0 alive", "restate-1 alive", "restate-2 alive"],
      });
    });

    test("a permitted peer reaches the ingress and no other port; its neighbour and a stranger reach none", async () => {
      await enforcer!.settled();
      const [ingress, all] = await Promise.all([
        formedTargets(8080),
        formedTargets(8080, 9070, 5122),
      ]);
      expect(all).toHaveLength(12);
      const [friend, neighbour, stranger] = await Promise.all([
        reached(FRIEND, all),
        reached(NEIGHBOUR, all),
        reached(STRANGER, all),
      ]);
      expect({ friend, neighbour, stranger }).toEqual({
        friend: ingress,
        neighbour: [],
        stranger: [],
      });
    });

    test("the operator registers a service with it, and the peer calls that through the ingress", async () => {
      await apply(greeterYaml);
      await waitForReady(
        toolsFor(cluster),
        { kind: "RestateDeployment", name: "greeter", namespace: "friends" },
        { say, timeoutMs: READY_TIMEOUT_MS },
      );
      const url = `http://restate.${FORMED}.svc.cluster.local:8080/Greeter/greet`;
      const [namespace, pod] = FRIEND;
      const call = [
        "wget",
        "-qO-",
        "--header=content-type: application/json",
        '--post-data="Ada"',
        url,
      ];
      const answer = await kubectl(cluster, ["exec", namespace, pod, "--", ...call]);
      expect(answer).toBe('"Hello Ada, says v1"');
    });

    test("a cluster that provisions itself is Ready with its node port closed to the operator", async () => {
      await isReady(SECURED);
      const { status } = (await objects.get("RestateCluster", SECURED))!;
      expect((status as ClusterStatus).conditions).toContainEqual(
        expect.objectContaining({ type: "Available", status: "True", reason: "PodsReady" }),
      );
    });

    test("a sidecar runs next to Restate", async () => {
      const pod = (await objects.get("Pod", "restate-0", SECURED))!;
      expect(statusOf(pod).initContainerStatuses).toMatchObject([
        { name: "combine-ca-certs", state: { terminated: { exitCode: 0 } } },
        { name: "beside", restartCount: 0, state: { running: {} } },
      ]);
      const health = ["wget", "-qO-", "http://127.0.0.1:9070/health"];
      const args = [
        "exec",
        `--namespace=${SECURED}`,
        "restate-0",
        "--container=beside",
        "--",
        ...health,
      ];
      expect(await kubectl(cluster, args)).toBe("");
    });

    test("requests are signed: a service that knows the key answers, one that knows another refuses", async () => {
      await kubectl(cluster, ["rollout", "status", `--namespace=${SERVICES}`, "deployment/signed"]);
      await kubectl(cluster, [
        "rollout",
        "status",
        `--namespace=${SERVICES}`,
        "deployment/foreign",
      ]);
      await enforcer!.settled();
      const uriOf = (name: string) => `http://${name}.${SERVICES}.svc.cluster.local:9080`;
      await register(SECURED, uriOf("signed"));
      expect(await greetThrough(SECURED)).toBe("Hello Ada, says signed");
      await expect(register(SECURED, uriOf("foreign"))).rejects.toThrow("401");
      // and a cluster without a key has no way in
      await expect(register(FORMED, uriOf("signed"))).rejects.toThrow("401");
    });

    test("an authority of one's own is trusted by the cluster that names it, and by no other", async () => {
      await kubectl(cluster, ["rollout", "status", `--namespace=${SERVICES}`, "deployment/tls"]);
      const uri = `https://${TLS_HOST}:9443`;
      await expect(register(FORMED, uri)).rejects.toThrow(/certificate/);
      await register(SECURED, uri);
      expect(await greetThrough(SECURED)).toBe("Hello Ada, says tls");
    });

    test("a volume grows under a running pod", async () => {
      const before = (await objects.get("Pod", "restate-0", SECURED))!;
      const claim = "storage-restate-0";
      await objects.patch(
        "RestateCluster",
        { name: SECURED },
        { spec: { storage: { storageRequestBytes: 3 * GIB } } },
      );
      await until("the claim has grown", async () => {
        const { status } = (await objects.get("PersistentVolumeClaim", claim, SECURED))!;
        const { capacity } = status as { capacity: { storage: string } };
        return capacity.storage === String(3 * GIB);
      });
      await isReady(SECURED);
      const after = (await objects.get("Pod", "restate-0", SECURED))!;
      expect(after.metadata.uid).toBe(before.metadata.uid);
      expect(statusOf(after).containerStatuses).toMatchObject([
        { name: "restate", restartCount: 0 },
      ]);
      expect(await greetThrough(SECURED)).toBe("Hello Ada, says tls");
    });

    test("it was the policies: without the enforcer a stranger reaches everything", async () => {
      await enforcer?.stop();
      enforcer = undefined;
      const all = await formedTargets(8080, 9070, 5122);
      expect(await reached(STRANGER, all)).toEqual(all);
    });

    test("no request of the operator's identities was forbidden", async () => {
      const users = ["restate-operator", "restate-operator-watcher"].map(
        (account) => `system:serviceaccount:${NAMESPACE}:${account}`,
      );
      const forbidden = (await readAudit(cluster.auditLog)).filter(
        ({ user, code }) => users.includes(user) && code === 403,
      );
      expect(forbidden).toEqual([]);
    });
  },
);
