/**
 * What a RestateCluster must not do: take a namespace that is not its own to take, run with a configuration that cannot
 * work, be written while its user has paused it, or give away what is secret in it. Whatever is refused says which field and
 * what to do, and is taken up as soon as it is corrected.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { request } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isWrite } from "../harness/audit.ts";
import {
  applyCluster,
  MINIMAL,
  dropCluster,
  untilReady,
  untilReason,
  type ClusterSpec,
} from "../harness/clusters.ts";
import { RELEASE } from "../harness/charts.ts";
import { sharedControlPlane, testRunDir } from "../harness/kubernetes.ts";
import { Objects } from "../harness/objects.ts";
import { startTestOperator, type TestOperator } from "../harness/operator.ts";
import { until } from "../harness/until.ts";

const START_TIMEOUT_MS = 1_500_000;
/** Kubernetes collects garbage of a kind that is new to it after up to 30 s. */
const COLLECTED_WITHIN_MS = 60_000;

let operator: TestOperator;
let objects: Objects;

beforeAll(async () => {
  const cluster = await sharedControlPlane();
  objects = new Objects(cluster);
  operator = await startTestOperator({ cluster, dir: join(testRunDir(), "cluster-input") });
}, START_TIMEOUT_MS);

afterAll(async () => {
  await operator.stop();
  await objects.close();
});

describe("a namespace that was there before", () => {
  const name = "foreign";

  test("is used, never written, and outlives the cluster with all that is not the cluster's", async () => {
    await objects.apply("Namespace", {
      apiVersion: "v1",
      metadata: { name, labels: { theirs: "yes" } },
    });
    await objects.apply("ConfigMap", {
      apiVersion: "v1",
      metadata: {
        name: "theirs",
        namespace: name,
        labels: { "app.kubernetes.io/name": "restate" },
      },
      data: { kept: "yes" },
    });
    const before = await objects.get("Namespace", name);
    const mark = await operator.mark();

    await applyCluster(objects, name, { labels: { team: "blue" } });
    await untilReady(objects, name);
    expect(await objects.get("Namespace", name)).toEqual(before);

    await objects.remove("RestateCluster", name);
    await until(
      "the cluster's objects are gone",
      async () => {
        const sets = await objects.list("StatefulSet", name);
        const services = await objects.list("Service", name);
        return sets.length + services.length === 0;
      },
      { timeoutMs: COLLECTED_WITHIN_MS },
    );
    await operator.untilForgotten(name);
    expect(await objects.get("Namespace", name)).toEqual(before);
    expect((await objects.get("ConfigMap", "theirs", name))?.["data"]).toEqual({ kept: "yes" });
    const written = (await operator.requestsSince(mark)).filter(
      (record) => isWrite(record) && record.resource === "namespaces",
    );
    expect(written).toEqual([]);
    await objects.remove("Namespace", name);
  });
});

describe("refused, with the field and what to do", () => {
  test.each(["default", "kube-system", RELEASE])("the name %s", async (name) => {
    const mark = await operator.mark();
    const reason = await applyCluster(objects, name).then(
      () => untilReason(objects, name, "InvalidName"),
      // already at admission, where a rule can say it
      (refusal: Error) => ({ message: refusal.message }),
    );
    expect(reason.message).toMatch(/metadata\.name|choose another name/);
    const children = (await operator.requestsSince(mark)).filter(
      (record) => isWrite(record) && record.namespace === name,
    );
    expect(children).toEqual([]);
    await objects.remove("RestateCluster", name);
    await until("it is gone", async () => !(await objects.get("RestateCluster", name)));
    await operator.untilForgotten(name);
  });

  const auto = { cluster: { autoProvision: true } };
  const BAD: readonly { what: string; spec: ClusterSpec; message: RegExp }[] = [
    {
      what: "autoProvision, and Restate would provision itself too",
      spec: { ...MINIMAL, ...auto, config: "auto-provision = true\n" },
      message: /spec\.config: .*set `auto-provision = false`/,
    },
    {
      what: "the base directory is not on the volume",
      spec: {
        ...MINIMAL,
        compute: { ...MINIMAL.compute, env: [{ name: "RESTATE_BASE_DIR", value: "/tmp/data" }] },
      },
      message: /spec\.compute\.env: the variable RESTATE_BASE_DIR must be \/restate-data/,
    },
    {
      what: "autoProvision, and the configuration is not TOML",
      spec: { ...MINIMAL, ...auto, config: 'password = "canary-7f3a91' },
      message: /spec\.config is not valid TOML/,
    },
    {
      what: "autoProvision, and the variable says otherwise",
      spec: {
        ...MINIMAL,
        ...auto,
        config: "auto-provision = false\n",
        compute: { ...MINIMAL.compute, env: [{ name: "RESTATE_AUTO_PROVISION", value: "true" }] },
      },
      message: /spec\.compute\.env: .*RESTATE_AUTO_PROVISION must be "false"/,
    },
  ];

  test.each(BAD)("$what", async ({ spec, message }) => {
    const name = `misconfigured-${BAD.findIndex((bad) => bad.spec === spec)}`;
    await applyCluster(objects, name, { spec });
    const condition = await untilReason(objects, name, "InvalidRestateConfig");
    expect(condition).toMatchObject({ status: "False", message: expect.stringMatching(message) });
    expect(condition.message).not.toContain("canary-7f3a91");
    expect(await objects.get("Namespace", name)).toBeUndefined();

    await applyCluster(objects, name);
    await untilReady(objects, name);
    await dropCluster(objects, name);
  });

  test("what only the API server can refuse: FailedReconcile, the field, and a retry once it is corrected", async () => {
    const name = "refused-by-kubernetes";
    const compute = { ...MINIMAL.compute, labels: { "not a label": "canary-7f3a91" } };
    await applyCluster(objects, name, { spec: { ...MINIMAL, compute } });
    const condition = await untilReason(objects, name, "FailedReconcile");
    expect(condition.status).toBe("Unknown");
    expect(condition.message).toMatch(/apply StatefulSet restate was refused \(422 Invalid\)/);
    expect(condition.message).toMatch(/spec\.template\.(metadata\.)?labels/);
    // The condition is written in the last step of the invocation that fails.
    await until("the invocation has failed with the same words", async () => {
      const failed = await operator.admin.query<{ failure: string }>(
        `SELECT completion_failure AS failure FROM sys_invocation
         WHERE target_service_key = '${name}' AND completion_result = 'failure'`,
      );
      return failed.some(({ failure }) =>
        failure.includes("apply StatefulSet restate was refused"),
      );
    });

    await applyCluster(objects, name);
    await untilReady(objects, name);
    await dropCluster(objects, name);
  });
});

describe("a webhook of somebody else's that is away", () => {
  const name = "behind-a-webhook";
  const webhook = {
    apiVersion: "admissionregistration.k8s.io/v1",
    metadata: { name },
    webhooks: [
      {
        name: "away.example.com",
        admissionReviewVersions: ["v1"],
        sideEffects: "None",
        namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": name } },
        rules: [
          { apiGroups: [""], apiVersions: ["v1"], operations: ["*"], resources: ["configmaps"] },
        ],
        clientConfig: { url: "https://127.0.0.1:1/" },
      },
    ],
  };

  test("is told when it stays away for 15 s, and forgotten when it is back", async () => {
    await objects.apply("ValidatingWebhookConfiguration", webhook);
    await applyCluster(objects, name);
    const beganAtMs = Date.now();
    const condition = await untilReason(objects, name, "FailedReconcile");
    expect(Date.now() - beganAtMs).toBeGreaterThan(15_000);
    expect(condition.status).toBe("Unknown");
    expect(condition.message).toMatch(/apply ConfigMap .* failed calling webhook/);

    await objects.remove("ValidatingWebhookConfiguration", name);
    await untilReady(objects, name);
    await dropCluster(objects, name);
  });
});

describe("restate.dev/reconcile: disabled", () => {
  const name = "disabled";
  const disabled = { annotations: { "restate.dev/reconcile": "disabled" } };
  const changed = { ...MINIMAL, compute: { image: "restatedev/restate:1.7.13" } };

  test("stops every write but the one that says so, and its removal takes up what was asked for meanwhile", async () => {
    await applyCluster(objects, name);
    await untilReady(objects, name);
    await operator.idle();
    const mark = await operator.mark();
    await applyCluster(objects, name, { ...disabled, spec: changed });
    await objects.remove("Service", "restate", name);
    await operator.wake("ClusterReconciler", name);
    await sleep(3_000);
    await operator.idle();
    expect(await operator.writesSince(mark)).toEqual([
      `patch restateclusters/status ${name} → 200`,
    ]);
    const paused = await objects.get("RestateCluster", name);
    expect(paused?.["status"]).toMatchObject({ reconciliation: "Disabled" });
    expect(await objects.get("Service", "restate", name)).toBeUndefined();

    await applyCluster(objects, name, { spec: changed });
    const resumed = await untilReady(objects, name);
    expect(resumed["status"]).toMatchObject({ reconciliation: "Reconciling" });
    expect(await objects.get("Service", "restate", name)).toBeDefined();
    const set = await objects.get("StatefulSet", "restate", name);
    expect(JSON.stringify(set?.["spec"])).toContain("restatedev/restate:1.7.13");
  });

  test("does not stop the deletion", async () => {
    await applyCluster(objects, name, disabled);
    await dropCluster(objects, name);
    await operator.untilForgotten(name);
  });

  test("any other value stops nothing", async () => {
    const other = "not-disabled";
    await applyCluster(objects, other, { annotations: { "restate.dev/reconcile": "false" } });
    await untilReady(objects, other);
    await dropCluster(objects, other);
  });
});

/** Files below the operator's data folder that contain a text. */
async function filesWith(text: string): Promise<string[]> {
  const grep = promisify(execFile)("grep", [
    "--recursive",
    "--files-with-matches",
    "--text",
    text,
    operator.dir,
  ]);
  const found = await grep.catch((error: { code?: number; stdout?: string }) => {
    if (error.code === 1) return { stdout: "" };
    throw error;
  });
  return found.stdout.split("\n").filter((line) => line !== "");
}

/** Everything the operator's Restate keeps, as it shows it. */
async function journalAndState(): Promise<string> {
  const tables = ["sys_journal", "sys_journal_events", "state", "sys_invocation"];
  const texts = tables.map(async (table) => {
    const answer = await request(`${operator.restate.adminUrl}/query`, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify({ query: `SELECT * FROM ${table}` }),
    });
    expect(answer.statusCode).toBe(200);
    return answer.body.text();
  });
  return (await Promise.all(texts)).join("\n");
}

/** Whether a text is in another one, as it is, as hexadecimal digits, or as a list of bytes: journals are shown in all three. */
function isIn(where: string, text: string): boolean {
  const bytes = Buffer.from(text);
  return [text, bytes.toString("hex"), [...bytes].join(",")].some((form) => where.includes(form));
}

describe("what is secret in a RestateCluster", () => {
  const name = "secretive";
  // without words: compression would replace what occurred before, and the search would miss it
  const secret = "hq5zr8wm2ykp";
  const shown = "x7jwq0vt3zgk";

  test("is in none of the operator's files, logs, metrics, journals, states, events and conditions", async () => {
    const spec: ClusterSpec = {
      ...MINIMAL,
      config: `# ${secret}\n`,
      compute: { ...MINIMAL.compute, env: [{ name: "TOKEN", value: secret }] },
    };
    await applyCluster(objects, name, { spec });
    await untilReady(objects, name);
    // what every search below must find: a cause that somebody sent with a wake
    await operator.wake("ClusterReconciler", name, shown);
    await operator.idle();
    // a refusal quotes what it refuses
    const refused = {
      ...spec.compute,
      env: [
        { name: "TOKEN", value: secret, valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
      ],
    };
    await applyCluster(objects, name, { spec: { ...spec, compute: refused } });
    await untilReason(objects, name, "FailedReconcile");
    const cluster = await objects.get("RestateCluster", name);
    expect(JSON.stringify(cluster?.["status"])).not.toContain(secret);
    const events = (await objects.list("Event", "default")).filter(
      (event) => (event["involvedObject"] as { name?: string }).name === name,
    );
    expect(events.length).toBeGreaterThan(0);
    expect(JSON.stringify(events)).not.toContain(secret);

    // one cluster that works, for the state of a reconcile that went well
    await applyCluster(objects, name, { spec });
    await untilReady(objects, name);
    await operator.idle();
    const metrics = await (await request(`${operator.servicesHealthUrl}/metrics`)).body.text();
    expect(metrics).toContain("restate_operator_");
    expect(metrics).not.toContain(secret);
    const kept = await journalAndState();
    expect(isIn(kept, shown)).toBe(true);
    expect(isIn(kept, secret)).toBe(false);
    // a start writes what the last run had in a compressed log only
    await operator.restart("restate");
    const data = join(operator.dir, "restate");
    expect((await filesWith(shown)).filter((file) => file.startsWith(data))).not.toEqual([]);
    expect(await filesWith(secret)).toEqual([]);
    await dropCluster(objects, name);
  });
});
