/**
 * The operator of a test: its Restate, services and watcher as processes against a control plane, under the service accounts
 * and roles that the chart renders, each with its own token, and as the bundles that the image holds. Every part can be
 * killed, started again and wiped.
 *
 * One operator per control plane at a time: it reconciles every resource there.
 */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { request } from "undici";
import { stringify } from "yaml";
import type { ClusterAccess } from "../../bootstrap/kubernetes/cluster.ts";
import { bundleOperator } from "../../bootstrap/images/bundle.ts";
import { waitUntil } from "../../bootstrap/kubernetes/wait.ts";
import {
  operatorParts,
  type OperatorOptions,
  type OperatorParts,
} from "../../bootstrap/operator-processes.ts";
import type { RunningProcess } from "../../bootstrap/processes.ts";
import type { RestateServer } from "../../bootstrap/restate/server.ts";
import { RestateAdmin } from "../../services/restate/admin.ts";
import {
  auditPosition,
  isWrite,
  readAudit,
  type AuditPosition,
  type AuditRecord,
} from "./audit.ts";
import { RELEASE, renderChart } from "./charts.ts";
import { kubectl } from "./kubernetes.ts";
import { until } from "./until.ts";

export type Part = "services" | "watcher" | "restate";

/** The services that this operator registers on its Restate. */
export const SERVICES = [
  "ClusterReconciler",
  "DeploymentReconciler",
  "CloudEnvironmentReconciler",
  "ClusterSurvey",
  "VersionDrain",
  "InvocationUsage",
] as const;
export type ServiceName = (typeof SERVICES)[number];

/** Audit identities of the operator's processes: the chart's service accounts. */
export const IDENTITIES = {
  services: `system:serviceaccount:${RELEASE}:${RELEASE}`,
  watcher: `system:serviceaccount:${RELEASE}:${RELEASE}-watcher`,
} as const;

export type TestOperatorOptions = {
  readonly cluster: ClusterAccess;
  /** Data folder of the operator. */
  readonly dir: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Values of the chart, which decide what the operator may do; those of a plain installation when absent. */
  readonly values?: object;
  /** Overrides settings of the operator's Restate. */
  readonly restateEnv?: Readonly<Record<string, string>>;
  /** Every step of every handler is answered with a suspension, and so replayed. */
  readonly alwaysReplay?: boolean;
  /** How the services reach the API server, when not directly: `http://…` of a proxy (api-proxy.ts). */
  readonly servicesApiUrl?: string;
};

/** Files that node runs: the services' and the watcher's. */
export type Entries = NonNullable<OperatorOptions["entries"]>;

/** An invocation on the operator's Restate. */
export type Invocation = {
  readonly id: string;
  readonly service: string;
  readonly key: string;
  readonly handler: string;
  readonly status: string;
};

const RBAC_KINDS = [
  "ServiceAccount",
  "ClusterRole",
  "ClusterRoleBinding",
  "Role",
  "RoleBinding",
] as const;
const SERVER_SIDE = ["apply", "--server-side", "--force-conflicts"];
const CRDS = join(import.meta.dirname, "../../crds/generated");
const TOKEN_DURATION = "24h";
const REGISTRATION_TIMEOUT_MS = 60_000;

/** Starts all parts; resolves when the services are registered on their Restate. If that fails, all are stopped again. */
export async function startTestOperator(options: TestOperatorOptions): Promise<TestOperator> {
  const operator = await TestOperator.prepare(options);
  try {
    await operator.start("restate");
    await operator.start("services");
    await operator.start("watcher");
    await operator.registered();
    return operator;
  } catch (error) {
    await operator.stop();
    throw error;
  }
}

export class TestOperator {
  readonly cluster: ClusterAccess;
  readonly dir: string;
  readonly #options: TestOperatorOptions;
  #parts: OperatorParts;
  #restate: RestateServer | undefined;
  readonly #running = new Map<Part, RunningProcess>();
  #admin: RestateAdmin | undefined;

  private constructor(options: TestOperatorOptions, parts: OperatorParts) {
    this.#options = options;
    this.cluster = options.cluster;
    this.dir = options.dir;
    this.#parts = parts;
  }

  /** Installs CRDs, accounts and roles, and chooses ports; starts nothing. */
  static async prepare(options: TestOperatorOptions): Promise<TestOperator> {
    await mkdir(options.dir, { recursive: true });
    await kubectl(options.cluster, [...SERVER_SIDE, "-f", CRDS]);
    await installIdentities(options.cluster, options.values);
    await bundleOperator(join(options.dir, "bundles"));
    return new TestOperator(options, await partsOf(options, entriesIn(options.dir)));
  }

  /** Starts a part that does not run. */
  async start(part: Part): Promise<void> {
    if (part === "restate") {
      this.#restate = await this.#parts.startRestate();
      this.#running.set(part, this.#restate.process);
      await this.#admin?.close();
      this.#admin = new RestateAdmin({ url: this.#restate.adminUrl });
      return;
    }
    const running =
      part === "services"
        ? this.#parts.startServices(this.restate)
        : this.#parts.startWatcher(this.restate);
    this.#running.set(part, await running);
  }

  /** SIGKILL: nothing is finished, nothing is flushed. */
  async kill(part: Part): Promise<void> {
    const running = this.#running.get(part);
    if (running === undefined) return;
    this.#running.delete(part);
    try {
      process.kill(running.pid, "SIGKILL");
    } catch {
      // it has ended by itself; whoever waits for what it should do will say so
    }
    await running.exited;
  }

  async restart(part: Part): Promise<void> {
    await this.kill(part);
    await this.start(part);
  }

  /** The operator's Restate loses its volume. */
  async wipeRestate(): Promise<void> {
    await this.kill("restate");
    await rm(join(this.dir, "restate"), { recursive: true });
    await this.start("restate");
  }

  /** The next start of the services runs the same code as another build. */
  async replaceBuild(): Promise<void> {
    const entries = entriesIn(this.dir);
    const next = join(this.dir, "bundles", "services-next.js");
    await writeFile(next, `${await readFile(entries.services, "utf8")}\n// the next build\n`);
    this.#parts = await partsOf(this.#options, { ...entries, services: next });
  }

  get restate(): RestateServer {
    if (this.#restate === undefined) throw new Error("Restate was never started");
    return this.#restate;
  }

  get admin(): RestateAdmin {
    if (this.#admin === undefined) throw new Error("Restate was never started");
    return this.#admin;
  }

  get servicesHealthUrl(): string {
    return this.#parts.servicesHealthUrl;
  }

  pidOf(part: Part): number {
    const running = this.#running.get(part);
    if (running === undefined) throw new Error(`${part} is not running`);
    return running.pid;
  }

  logFile(part: Part): string {
    return join(this.dir, "log", `${part}.log`);
  }

  async logOf(part: Part): Promise<string> {
    return readFile(this.logFile(part), "utf8");
  }

  /** Resolves when the services are registered, with replay at every step where that was asked for. */
  async registered(): Promise<void> {
    const services = this.#running.get("services");
    const wait = {
      what: "the registration of the services",
      timeoutMs: REGISTRATION_TIMEOUT_MS,
      processes: services === undefined ? [] : [services],
    };
    await waitUntil(wait, async () => {
      const answer = await request(`${this.#parts.servicesHealthUrl}/ready`);
      const ready = (await answer.body.json()) as { registered?: boolean };
      if (ready.registered !== true) return false;
      const latest = await Promise.all(SERVICES.map((name) => this.admin.latestDeploymentOf(name)));
      return latest.every((id) => id !== undefined);
    });
    if (this.#options.alwaysReplay === true) await this.#replayAlways();
  }

  /** A service's own inactivity timeout wins over the server's, so it is changed where it is kept. */
  async #replayAlways(): Promise<void> {
    for (const name of SERVICES) {
      const answer = await request(`${this.restate.adminUrl}/services/${name}`, {
        method: "PATCH",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ inactivity_timeout: "0s" }),
      });
      const text = await answer.body.text();
      if (answer.statusCode > 299) throw new Error(`PATCH ${name}: ${text}`);
    }
  }

  /** Sends a wake, as the watcher and the sweep do. */
  async wake(service: ServiceName, key: string, why = "test"): Promise<void> {
    const answer = await request(
      `${this.restate.ingressUrl}/${service}/${encodeURIComponent(key)}/wake/send`,
      {
        method: "POST",
        headers: { "content-type": "application/json", "idempotency-key": "wake" },
        body: JSON.stringify({ why }),
      },
    );
    await answer.body.dump();
    if (answer.statusCode > 299) throw new Error(`wake of ${key}: ${answer.statusCode}`);
  }

  /** What a reconciler says it remembers of a key. */
  async describe(service: ServiceName, key: string): Promise<Record<string, unknown>> {
    const answer = await request(
      `${this.restate.ingressUrl}/${service}/${encodeURIComponent(key)}/describe`,
      { method: "POST" },
    );
    return (await answer.body.json()) as Record<string, unknown>;
  }

  /** Invocations of the reconcilers that are not finished; timers (`scheduled`) among them. */
  unfinished(): Promise<Invocation[]> {
    return this.admin.query<Invocation>(
      `SELECT id, target_service_name AS service, target_service_key AS key,
        target_handler_name AS handler, status
       FROM sys_invocation WHERE status <> 'completed' ORDER BY service, key, handler`,
    );
  }

  /**
   * Resolves when no invocation is queued, under way, paused or retried, with the timers, which are all there is. Rejects
   * with those that stay.
   */
  idle(): Promise<Invocation[]> {
    return until("the reconcilers are idle", async () => {
      const unfinished = await this.unfinished();
      const busy = unfinished.filter(({ status }) => status !== "scheduled");
      if (busy.length > 0) throw new Error(JSON.stringify(busy));
      return unfinished;
    });
  }

  /** What is left of a key on the operator's Restate: state and unfinished invocations. */
  async remainsOf(service: ServiceName, key: string): Promise<string[]> {
    const states = await this.admin.query<{ key: string }>(
      `SELECT key FROM state WHERE service_name = '${service}' AND service_key = '${key}'`,
    );
    const invocations = (await this.unfinished()).filter(
      (invocation) => invocation.service === service && invocation.key === key,
    );
    return [
      ...states.map(({ key: name }) => `state ${name}`),
      ...invocations.map(({ handler, status }) => `${handler} ${status}`),
    ];
  }

  /** Resolves when nothing of a RestateCluster is left on the operator's Restate: the last echoes have been answered. */
  async untilForgotten(name: string): Promise<void> {
    await until(`nothing of ${name} is left on Restate`, async () => {
      const remains = [
        ...(await this.remainsOf("ClusterReconciler", name)),
        ...(await this.remainsOf("ClusterSurvey", name)),
      ];
      if (remains.length > 0) throw new Error(remains.join(", "));
      return true;
    });
  }

  /** A mark in the audit log, for `requestsSince`. */
  mark(): Promise<AuditPosition> {
    return auditPosition(this.cluster.auditLog);
  }

  /** Requests of one part since a mark. */
  async requestsSince(
    mark: AuditPosition,
    part: keyof typeof IDENTITIES = "services",
  ): Promise<AuditRecord[]> {
    const user = IDENTITIES[part];
    return (await readAudit(this.cluster.auditLog, mark)).filter((record) => record.user === user);
  }

  /** Writes of the operator, by either identity, since a mark, as `verb resource/subresource namespace/name → code`. */
  async writesSince(mark: AuditPosition): Promise<string[]> {
    const users: readonly string[] = Object.values(IDENTITIES);
    return (await readAudit(this.cluster.auditLog, mark))
      .filter((record) => users.includes(record.user) && isWrite(record))
      .map(describeRecord);
  }

  /** Stops every part and takes its accounts and roles away. */
  async stop(): Promise<void> {
    for (const part of ["watcher", "services", "restate"] as const) {
      const running = this.#running.get(part);
      this.#running.delete(part);
      await running?.stop();
    }
    await this.#admin?.close();
    await kubectl(this.cluster, [
      "delete",
      `namespace/${RELEASE}`,
      "--ignore-not-found",
      "--wait=false",
    ]);
    await kubectl(this.cluster, [
      "delete",
      "clusterrole,clusterrolebinding",
      "--ignore-not-found",
      `--selector=app.kubernetes.io/part-of=${RELEASE}`,
    ]);
  }
}

/** One request as a line. */
export function describeRecord(record: AuditRecord): string {
  const resource =
    record.subresource === "" ? record.resource : `${record.resource}/${record.subresource}`;
  const where = record.namespace === "" ? record.name : `${record.namespace}/${record.name}`;
  return `${record.verb} ${resource} ${where} → ${record.code}`;
}

function entriesIn(dir: string): Entries {
  return {
    services: join(dir, "bundles", "services.js"),
    watcher: join(dir, "bundles", "watcher.js"),
  };
}

async function partsOf(options: TestOperatorOptions, entries: Entries): Promise<OperatorParts> {
  const { cluster, dir } = options;
  return operatorParts({
    dir,
    kubeconfig: await tokenKubeconfig(options, RELEASE, options.servicesApiUrl ?? cluster.server),
    watcherKubeconfig: await tokenKubeconfig(options, `${RELEASE}-watcher`, cluster.server),
    env: { OPERATOR_NAMESPACE: RELEASE, ...options.env },
    ...(options.restateEnv === undefined ? {} : { restateEnv: options.restateEnv }),
    entries,
  });
}

/** The chart's accounts, roles and bindings, as `helm install` would create them. */
async function installIdentities(cluster: ClusterAccess, values: object = {}): Promise<void> {
  const chart = await renderChart(values);
  const kinds: readonly string[] = RBAC_KINDS;
  const objects = chart.objects.filter(({ kind }) => kinds.includes(kind));
  const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: RELEASE } };
  await until("the operator's namespace is not being deleted", async () => {
    const found = await kubectl(cluster, [
      "get",
      `namespace/${RELEASE}`,
      "--ignore-not-found",
      "--output=jsonpath={.metadata.deletionTimestamp}",
    ]);
    return found === "";
  });
  const yaml = [namespace, ...objects].map((object) => stringify(object)).join("---\n");
  await kubectl(cluster, [...SERVER_SIDE, "-f", "-"], yaml);
}

/** A kubeconfig with a token of one of the chart's service accounts. */
async function tokenKubeconfig(
  { cluster, dir }: TestOperatorOptions,
  account: string,
  server: string,
): Promise<string> {
  const create = ["--namespace", RELEASE, "create", "token", account];
  const token = await kubectl(cluster, [...create, `--duration=${TOKEN_DURATION}`]);
  const authority = server.startsWith("https:")
    ? { "certificate-authority-data": Buffer.from(cluster.certificate).toString("base64") }
    : { "insecure-skip-tls-verify": true };
  const file = join(dir, `${account}.kubeconfig`);
  const content = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "c", cluster: { server, ...authority } }],
    users: [{ name: account, user: { token: token.trim() } }],
    contexts: [{ name: "c", context: { cluster: "c", user: account } }],
    "current-context": "c",
  };
  await writeFile(file, stringify(content), { mode: 0o600 });
  return file;
}
