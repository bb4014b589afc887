/** What every test of RestateDeployments stands on: namespaces, a Restate to register with, the pods' code, the operator. */
import { join } from "node:path";
import type { ClusterAccess } from "../../bootstrap/kubernetes/cluster.ts";
import { startApiProxy, type ApiProxy } from "./api-proxy.ts";
import { sharedControlPlane, testRunDir } from "./kubernetes.ts";
import { Objects } from "./objects.ts";
import { startTestOperator, type TestOperator, type TestOperatorOptions } from "./operator.ts";
import { PodWorld } from "./pods.ts";
import { until } from "./until.ts";
import { Worker } from "./work.ts";

export const STAGE_TIMEOUT_MS = 1_500_000;

export type StageOptions = Pick<TestOperatorOptions, "alwaysReplay"> & {
  /** The operator's services reach the API server through `stage.apiProxy`, where faults can be placed. */
  readonly proxied?: boolean;
  /** A control plane of the test's own, instead of the one that tests share. */
  readonly cluster?: ClusterAccess;
  /** URLs, beside the Restate's own, that RestateDeployments may name. */
  readonly urls?: readonly string[];
  /** Folder of the test, and its namespace where no others are given. */
  readonly name: string;
  readonly namespaces?: readonly string[];
};

export class DeploymentStage {
  readonly cluster: ClusterAccess;
  readonly objects: Objects;
  readonly world: PodWorld;
  readonly worker: Worker;
  readonly operator: TestOperator;
  readonly namespace: string;
  readonly #apiProxy: ApiProxy | undefined;
  readonly #namespaces: readonly string[];

  private constructor(
    parts: {
      cluster: ClusterAccess;
      objects: Objects;
      world: PodWorld;
      operator: TestOperator;
      apiProxy: ApiProxy | undefined;
    },
    namespaces: readonly string[],
  ) {
    this.cluster = parts.cluster;
    this.objects = parts.objects;
    this.world = parts.world;
    this.operator = parts.operator;
    this.#apiProxy = parts.apiProxy;
    this.worker = new Worker(parts.world, parts.world.admin);
    this.namespace = namespaces[0]!;
    this.#namespaces = namespaces;
  }

  static async start(options: StageOptions): Promise<DeploymentStage> {
    const { name, namespaces = [name], alwaysReplay = false, proxied = false, urls = [] } = options;
    const cluster = options.cluster ?? (await sharedControlPlane());
    const objects = new Objects(cluster);
    for (const each of namespaces) {
      await objects.apply("Namespace", { apiVersion: "v1", metadata: { name: each } });
    }
    const dir = join(testRunDir(), name);
    const world = await PodWorld.start({ dir, objects, namespaces });
    const apiProxy = proxied ? await startApiProxy(cluster) : undefined;
    const operator = await startTestOperator({
      cluster,
      ...(apiProxy === undefined ? {} : { servicesApiUrl: apiProxy.url }),
      dir: join(dir, "operator"),
      alwaysReplay,
      env: {
        CLUSTER_PROXY: world.proxy.address,
        ADMIN_URL_ALLOWED_HOSTS: [world.adminUrl, ...urls].map((url) => new URL(url).host).join(),
      },
    });
    return new DeploymentStage({ cluster, objects, world, operator, apiProxy }, namespaces);
  }

  /** Between the services and the API server, where it was asked for. */
  get apiProxy(): ApiProxy {
    if (this.#apiProxy === undefined) throw new Error("the stage was not started with `proxied`");
    return this.#apiProxy;
  }

  /** `spec.restate` of a RestateDeployment that registers by `url` and drains as soon as may be. */
  byUrl(more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
    return { register: { url: this.world.adminUrl }, drainDelaySeconds: 0, ...more };
  }

  /** What is left of a RestateDeployment on the operator's Restate: state, timers, unfinished invocations, of its drains too. */
  async remainsOf(namespace: string, name: string): Promise<string[]> {
    const key = `${namespace}/${name}`;
    const states = await this.operator.admin.query<{ service: string; key: string }>(
      `SELECT service_name AS service, service_key AS key FROM state
       WHERE service_key = '${key}' OR starts_with(service_key, '${key}/')`,
    );
    const invocations = (await this.operator.unfinished()).filter(
      (each) => each.key === key || each.key?.startsWith(`${key}/`),
    );
    return [
      ...states.map((state) => `state of ${state.service} ${state.key}`),
      ...invocations.map((each) => `${each.status} ${each.service} ${each.key} ${each.handler}`),
    ];
  }

  /** Resolves when a RestateDeployment is gone, and with it all that was remembered of it. */
  async untilGone(name: string, namespace = this.namespace, timeoutMs = 60_000): Promise<void> {
    const { objects } = this;
    await until(
      `RestateDeployment ${namespace}/${name} is gone`,
      async () => {
        const left = await objects.get("RestateDeployment", name, namespace);
        if (left === undefined) return true;
        throw new Error(JSON.stringify(left["status"]));
      },
      { timeoutMs },
    );
    await until(`nothing of ${namespace}/${name} is left on the operator's Restate`, async () => {
      const left = await this.remainsOf(namespace, name);
      if (left.length > 0) throw new Error(left.join(", "));
      return true;
    });
  }

  async remove(name: string, namespace = this.namespace): Promise<void> {
    await this.objects.remove("RestateDeployment", name, namespace);
  }

  /** URLs of the deployments of one RestateDeployment, as its Restate has them. */
  async registered(name: string, namespace = this.namespace): Promise<string[]> {
    const deployments = await this.world.admin.deployments();
    return deployments
      .map(({ uri }) => uri ?? "")
      .filter((uri) => uri.startsWith(`http://${name}-`) && uri.includes(`.${namespace}.svc.`))
      .toSorted();
  }

  async stop(): Promise<void> {
    await this.operator.stop();
    await this.#apiProxy?.close();
    for (const each of this.#namespaces) await this.objects.remove("Namespace", each);
    await this.world.stop();
    await this.objects.close();
  }
}
