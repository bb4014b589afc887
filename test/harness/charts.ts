/**
 * Renders and installs the project's charts with the helm that the project builds, and hands their objects to tests.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type {
  V1ClusterRole,
  V1ConfigMap,
  V1Deployment,
  V1NetworkPolicy,
  V1Role,
  V1Secret,
  V1Service,
  V1StatefulSet,
} from "@kubernetes/client-node";
import { parseAllDocuments } from "yaml";
import { buildKubernetes, type KubernetesBinaries } from "../../bootstrap/kubernetes/build.ts";
import { runCommand } from "../../bootstrap/processes.ts";

export const chartDir = join(import.meta.dirname, "../../charts/restate-operator-helm");
export const crdChartDir = join(import.meta.dirname, "../../charts/restate-operator-crds");

/** Where tests install: the namespace and release that the documentation names. */
export const RELEASE = "restate-operator";

/** The kinds whose objects tests look into. */
type KindTypes = {
  readonly ClusterRole: V1ClusterRole;
  readonly ConfigMap: V1ConfigMap;
  readonly Deployment: V1Deployment;
  readonly NetworkPolicy: V1NetworkPolicy;
  readonly Role: V1Role;
  readonly Secret: V1Secret;
  readonly Service: V1Service;
  readonly StatefulSet: V1StatefulSet;
};

/** One object of a chart. */
export type ChartObject = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
};

/** What a chart renders to. */
export class RenderedChart {
  readonly objects: readonly ChartObject[];

  constructor(yaml: string) {
    this.objects = parseAllDocuments(yaml)
      .map((document): unknown => document.toJS())
      .filter((object): object is ChartObject => object !== null);
  }

  /** `Kind name`, sorted. */
  get names(): string[] {
    return this.objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`).toSorted();
  }

  has(kind: string, name: string): boolean {
    return this.names.includes(`${kind} ${name}`);
  }

  /** The object, as the type that its kind stands for. */
  get<K extends keyof KindTypes>(kind: K, name: string): KindTypes[K] {
    const found = this.objects.find(
      (object) => object.kind === kind && object.metadata.name === name,
    );
    if (found === undefined) throw new Error(`the chart renders no ${kind} ${name}`);
    return found;
  }
}

/** The first use of a checkout builds Kubernetes, and helm with it. */
export const BUILD_TIMEOUT_MS = 1_500_000;

/** A test that renders the chart runs helm, which takes its time on a busy machine. */
export const HELM_TIMEOUT_MS = 60_000;

let binaries: Promise<KubernetesBinaries> | undefined;

const helmHome = mkdtempSync(join(tmpdir(), "restate-operator-helm-"));

/**
 * Runs helm, with nothing of the user's configuration. Returns its standard output.
 *
 * @throws Error with what helm wrote to standard error.
 */
export async function helm(args: readonly string[], input = ""): Promise<string> {
  binaries ??= buildKubernetes(() => undefined);
  const { kubernetes } = await binaries;
  const { stdout } = await runCommand(kubernetes, ["helm", ...args], {
    input,
    env: { HOME: helmHome },
  });
  return stdout;
}

/**
 * Renders the operator's chart with the given values, as for a first installation into a cluster that has these APIs beside
 * those of Kubernetes (`group/version/Kind`).
 */
export async function renderChart(
  values: object = {},
  apis: readonly string[] = [],
): Promise<RenderedChart> {
  const served = apis.flatMap((api) => ["--api-versions", api]);
  const args = ["template", RELEASE, chartDir, "--namespace", RELEASE, "--values", "-", ...served];
  return new RenderedChart(await helm(args, JSON.stringify(values)));
}
