/**
 * The main job on real parts: the chart is installed with helm, a RestateCluster of three nodes is applied, and it becomes a
 * Restate that serves. Under the chart's identities with RBAC on, in real pods, through the very images a release builds.
 */
import { execFile } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { buildExampleImage } from "../../bootstrap/images/example.ts";
import { buildOperatorImage } from "../../bootstrap/images/operator.ts";
import { buildRestateImage } from "../../bootstrap/images/restate.ts";
import { nodeFitness } from "../../bootstrap/kubernetes/machine.ts";
import { startNode, type NodeCluster } from "../../bootstrap/kubernetes/node.ts";
import { nativeBinary } from "../../bootstrap/restate/server.ts";
import { NAMESPACE, installOperator, toolsFor } from "../../bootstrap/sandbox/kubernetes-tools.ts";
import {
  GREETER,
  answerOf,
  greet,
  latestOf,
  setImage,
  startSlowly,
  untilPhase,
  versionsOf,
  type Rollout,
} from "../../bootstrap/sandbox/rollout.ts";
import { waitForReady } from "../../bootstrap/sandbox/wait-for-ready.ts";
import { RestateAdmin } from "../../services/restate/admin.ts";
import { readAudit } from "../harness/audit.ts";
import { kubectl, logProgress, testRunDir } from "../harness/kubernetes.ts";

const fitness = nodeFitness();
if (fitness.kind === "unfit") logProgress(`skipped: ${fitness.reason}`);

const EXAMPLE = "restate-example";
const EXAMPLE_FILE = join(import.meta.dirname, "../../bootstrap/sandbox/example-cluster.yaml");
const START = join(import.meta.dirname, "../../bootstrap/sandbox/main.ts");
const GREETER_FILE = join(import.meta.dirname, "../../bootstrap/sandbox/example-deployment.yaml");
const READY_TIMEOUT_MS = 4 * 60_000;
const dir = join(testRunDir(), "operator-node");
const OPERATOR_USERS = ["restate-operator", "restate-operator-watcher"].map(
  (account) => `system:serviceaccount:${NAMESPACE}:${account}`,
);

type UsersConfig = {
  readonly contexts: readonly {
    readonly context: { readonly cluster: string; readonly user: string };
  }[];
};

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

/** A service that nobody manages: it is registered by hand, as users of a RestateCluster alone do. */
const GREETER_BY_HAND = `
apiVersion: v1
kind: Service
metadata: {name: greeter, namespace: default}
spec:
  selector: {app: greeter}
  ports: [{port: 9080, appProtocol: kubernetes.io/h2c}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: greeter, namespace: default}
spec:
  selector: {matchLabels: {app: greeter}}
  template:
    metadata: {labels: {app: greeter, allow.restate.dev/${EXAMPLE}: "true"}}
    spec:
      containers: [{name: greeter, image: "restate-greeter:v1", ports: [{containerPort: 9080}]}]
`;

let cluster: NodeCluster;
let adminUrl: string;
let ingressUrl: string;

const forwarded = async (host: string, port: number) =>
  `http://127.0.0.1:${await cluster.forward({ host, port })}`;

async function until(
  what: string,
  probe: () => Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await probe().catch(() => false))) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs / 1000} s`);
    await sleep(300);
  }
}

let rollout: Rollout;
const RESOURCE = { kind: "RestateDeployment", name: GREETER, namespace: GREETER } as const;
const ready = () =>
  waitForReady(rollout.tools, RESOURCE, { say: logProgress, timeoutMs: READY_TIMEOUT_MS });
const sign = async (name: string): Promise<unknown> => {
  const answer = await fetch(`${ingressUrl}/Guestbook/book/sign`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(name),
    signal: AbortSignal.timeout(20_000),
  });
  return answer.json();
};
const registered = async (): Promise<string[]> => {
  const admin = new RestateAdmin({ url: adminUrl });
  try {
    const uris = (await admin.deployments()).map(({ uri }) => uri ?? "");
    return uris.filter((uri) => uri.startsWith(`http://${GREETER}-`)).toSorted();
  } finally {
    await admin.close();
  }
};
const urlOf = (version: string) => `http://${version}.${GREETER}.svc.cluster.local:9080/`;
const podsOf = async (version: string): Promise<string> => {
  const hash = version.slice(GREETER.length + 1);
  const selector = `--selector=pod-template-hash=${hash}`;
  return kubectl(cluster, ["get", "pods", `--namespace=${GREETER}`, selector, "--output=name"]);
};

describe.skipIf(fitness.kind === "unfit")("the operator on a real node", () => {
  beforeAll(async () => {
    const images = Promise.all([
      buildRestateImage({ version: "1.7.12" }),
      buildOperatorImage(),
      buildExampleImage({ version: "v1" }),
      buildExampleImage({ version: "v2" }),
    ]);
    cluster = await startNode({ dir, log: logProgress });
    for (const { archive } of await images) await cluster.importImage(archive);
  });

  afterAll(async () => {
    await cluster?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  test("helm installs the chart and its three workloads become ready", async () => {
    await installOperator(toolsFor(cluster));
    const pods = await kubectl(cluster, [
      "get",
      "pods",
      `--namespace=${NAMESPACE}`,
      "--output=jsonpath={range .items[*]}{.metadata.labels.app\\.kubernetes\\.io/name}={.status.phase} {end}",
    ]);
    expect(pods.trim().split(" ").toSorted()).toEqual([
      "restate-operator-bootstrap=Running",
      "restate-operator-watcher=Running",
      "restate-operator=Running",
    ]);
  });

  test("a RestateCluster of three nodes becomes Ready", async () => {
    const startedAtMs = Date.now();
    await kubectl(cluster, ["apply", "--filename=-"], await readFile(EXAMPLE_FILE, "utf8"));
    const wait = { say: logProgress, timeoutMs: READY_TIMEOUT_MS };
    await waitForReady(toolsFor(cluster), { kind: "RestateCluster", name: EXAMPLE }, wait);
    logProgress(`created to Ready: ${seconds(Date.now() - startedAtMs)}`);
    adminUrl = await forwarded(`restate.${EXAMPLE}`, 9070);
    ingressUrl = await forwarded(`restate.${EXAMPLE}`, 8080);
  });

  test("its own state lists three nodes, all alive", async () => {
    const address = await forwarded(`restate.${EXAMPLE}`, 5122);
    const sql = "SELECT name, state FROM nodes ORDER BY name";
    const { stdout } = await promisify(execFile)(
      nativeBinary("restatectl"),
      [`--address=${address}`, "sql", "--jsonl", sql],
      { env: { PATH: process.env["PATH"], HOME: dir, DO_NOT_TRACK: "1" } },
    );
    const rows = stdout
      .trim()
      .split("\n")
      .map((line): unknown => JSON.parse(line));
    expect(rows).toEqual([
      { name: "restate-0", state: "alive" },
      { name: "restate-1", state: "alive" },
      { name: "restate-2", state: "alive" },
    ]);
  });

  test("a service registered by hand answers through its ingress", async () => {
    await kubectl(cluster, ["apply", "--filename=-"], GREETER_BY_HAND);
    await kubectl(cluster, ["rollout", "status", "deployment/greeter", "--timeout=60s"]);
    const admin = new RestateAdmin({ url: adminUrl });
    const uri = "http://greeter.default.svc.cluster.local:9080";
    // Its address is known to the node a moment after its pod is ready, and each node of Restate learns of it by itself.
    await until("it can be registered", async () => {
      await admin.registerDeployment({ uri, force: false });
      return true;
    });
    await admin.close();
    let answer: unknown;
    await until("the ingress knows it", async () => {
      const response = await fetch(`${ingressUrl}/Greeter/greet`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify("Ada"),
        signal: AbortSignal.timeout(20_000),
      });
      answer = await response.json();
      return response.ok;
    });
    expect(answer).toBe("Hello Ada, says v1");
  });

  test("every reconcile can be read on the operator's own Restate, its plan with reasons", async () => {
    const admin = new RestateAdmin({
      url: await forwarded(`restate-operator-bootstrap.${NAMESPACE}`, 9070),
    });
    const steps = await admin.query<{ name: string }>(
      `SELECT j.name FROM sys_journal j JOIN sys_invocation i ON i.id = j.id
        WHERE i.target_service_key = '${EXAMPLE}' AND j.entry_type = 'Command: Run'`,
    );
    await admin.close();
    const names = new Set(steps.map(({ name }) => name));
    expect([...names]).toEqual(
      expect.arrayContaining([
        "plan",
        "add finalizer",
        `apply Namespace ${EXAMPLE}`,
        "apply StatefulSet restate",
        "provision cluster",
        "write status",
      ]),
    );
  });

  describe("a RestateDeployment with two services", () => {
    let first: string;
    let second: string;
    let slow: string;
    let slowStartedAtMs: number;

    test("the first version is registered and takes over from what was registered by hand", async () => {
      rollout = { tools: toolsFor(cluster), ingressUrl, say: logProgress };
      await kubectl(cluster, ["apply", "--filename=-"], await readFile(GREETER_FILE, "utf8"));
      await ready();
      const versions = await versionsOf(rollout.tools);
      first = versions[0]!.name;
      expect(versions).toMatchObject([{ name: first, phase: "Latest", replicas: 1 }]);
      expect(await registered()).toEqual([urlOf(first)]);
      expect(await greet(rollout)).toBe("Hello Ada, says v1");
      expect(await sign("Ada")).toEqual(["Ada (v1)"]);
    });

    test("the second version takes over both services while the first one still works", async () => {
      slow = await startSlowly(rollout);
      slowStartedAtMs = Date.now();
      await setImage(rollout, "restate-greeter:v2");
      await ready();
      second = await latestOf(rollout.tools);
      expect(second).not.toBe(first);
      expect(await registered()).toEqual([urlOf(first), urlOf(second)].toSorted());
      expect(await greet(rollout)).toBe("Hello Ada, says v2");
      expect(await sign("Grace")).toEqual(["Ada (v1)", "Grace (v2)"]);
      await until("the work of the first version is counted", async () => {
        const version = (await versionsOf(rollout.tools)).find(({ name }) => name === first);
        return version?.phase === "Draining" && version.invocations?.pinned === 1;
      });
      expect(await podsOf(first)).not.toBe("");
      const { stdout } = await promisify(execFile)(
        nativeBinary("restate"),
        ["kv", "get", "VersionDrain", `${GREETER}/${GREETER}/${first}`],
        {
          env: {
            PATH: process.env["PATH"],
            HOME: dir,
            DO_NOT_TRACK: "1",
            RESTATE_ADMIN_URL: await forwarded(`restate-operator-bootstrap.${NAMESPACE}`, 9070),
          },
        },
      );
      expect(stdout).toMatch(/draining/);
    });

    test("what began on the first version ends on it, and then that goes", async () => {
      expect(await answerOf(rollout, slow)).toBe("Hello Grace, says v1, finished on v1");
      const answeredAtMs = Date.now();
      expect(await podsOf(first)).not.toBe("");
      await untilPhase(rollout, first, "Retained");
      logProgress(
        `slow invocation ${seconds(answeredAtMs - slowStartedAtMs)}, its version gone ${seconds(Date.now() - answeredAtMs)} later`,
      );
      expect(await registered()).toEqual([urlOf(second)]);
      await until("its pods are gone", async () => (await podsOf(first)) === "");
    });

    test("a rollback brings the first version back, under its old name", async () => {
      await setImage(rollout, "restate-greeter:v1");
      await ready();
      expect(await latestOf(rollout.tools)).toBe(first);
      expect(await greet(rollout)).toBe("Hello Ada, says v1");
      expect(await sign("Edsger")).toEqual(["Ada (v1)", "Grace (v2)", "Edsger (v1)"]);
      await untilPhase(rollout, second, "Retained");
    });

    test("deleted, it takes back what is registered and leaves nothing", async () => {
      await kubectl(cluster, ["delete", "restatedeployment", GREETER, `--namespace=${GREETER}`]);
      expect(await registered()).toEqual([]);
      await until("its objects are gone", async () => {
        const args = ["get", "replicasets,services,pods", `--namespace=${GREETER}`];
        return (await kubectl(cluster, [...args, "--output=name"])).trim() === "";
      });
    });
  });

  test("a child that is deleted comes back", async () => {
    await kubectl(cluster, ["delete", "service", "restate", `--namespace=${EXAMPLE}`]);
    await until("the Service comes back", async () => {
      await kubectl(cluster, ["get", "service", "restate", `--namespace=${EXAMPLE}`]);
      return true;
    });
  });

  test("deleting it removes everything", async () => {
    await kubectl(cluster, ["delete", "restatecluster", EXAMPLE, "--wait=true"]);
    await until(
      "the namespace is gone",
      async () => !(await kubectl(cluster, ["get", "namespaces"])).includes(EXAMPLE),
      120_000,
    );
    const admin = new RestateAdmin({
      url: await forwarded(`restate-operator-bootstrap.${NAMESPACE}`, 9070),
    });
    await until("nothing is left in the bootstrap", async () => {
      const [state, open] = await Promise.all([
        admin.query("SELECT key FROM state"),
        admin.query("SELECT id FROM sys_invocation WHERE status <> 'completed'"),
      ]);
      return state.length + open.length === 0;
    });
    await admin.close();
  });

  test("npm start -- --context does it in a cluster of the user's, whose kubeconfig it leaves alone", async () => {
    const users = join(dir, "users-kubeconfig");
    const config = parse(await readFile(cluster.kubeconfig, "utf8")) as UsersConfig;
    const { cluster: server, user } = config.contexts[0]!.context;
    const contexts = [
      { name: "mine", context: { cluster: server, user } },
      { name: "another", context: { cluster: "none", user: "none" } },
    ];
    const text = stringify({ ...config, contexts, "current-context": "another" });
    await writeFile(users, text);
    const args = ["--context=mine", `--data=${join(dir, "users-data")}`];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [START, ...args], {
      env: { PATH: process.env["PATH"], HOME: process.env["HOME"], KUBECONFIG: users },
    });
    expect(stdout + stderr).toMatch(
      /using context mine; its nodes must be able to pull the images/,
    );
    expect(stdout + stderr).toMatch(/RestateCluster restate-example is Ready/);
    expect(await kubectl(cluster, ["get", "restatecluster", EXAMPLE, "--output=name"])).toBe(
      `restatecluster.restate.dev/${EXAMPLE}\n`,
    );
    expect(await readFile(users, "utf8")).toBe(text);
    const wrong = promisify(execFile)(process.execPath, [START, "--context=theirs", args[1]!], {
      env: { PATH: process.env["PATH"], HOME: process.env["HOME"], KUBECONFIG: users },
    });
    await expect(wrong).rejects.toThrow("there is no context theirs; there are: mine, another");
  });

  test("no request of the operator's identities was forbidden", async () => {
    const forbidden = (await readAudit(cluster.auditLog)).filter(
      ({ user, code }) => OPERATOR_USERS.includes(user) && code === 403,
    );
    expect(forbidden).toEqual([]);
  });
});
