/** RestateDeployments in tests: made, changed and looked at as a user would. */
import type { KubeObject, Objects } from "./objects.ts";
import type { Condition } from "./clusters.ts";
import { until, type UntilOptions } from "./until.ts";

const TIMEOUT_MS = 60_000;

export type DeploymentChange = {
  readonly image: string;
  readonly restate: Readonly<Record<string, unknown>>;
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly annotations?: Readonly<Record<string, string>>;
};

export type Key = { readonly namespace: string; readonly name: string };

/** Creates a RestateDeployment or changes it. */
export function applyDeployment(
  objects: Objects,
  { namespace, name }: Key,
  { image, restate, spec, annotations }: DeploymentChange,
): Promise<KubeObject> {
  return objects.apply("RestateDeployment", {
    apiVersion: "restate.dev/v1beta1",
    metadata: { name, namespace, ...(annotations === undefined ? {} : { annotations }) },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { containers: [{ name: "service", image }] },
      },
      restate,
      ...spec,
    },
  });
}

export type VersionEntry = {
  readonly name: string;
  readonly phase: string;
  readonly since: string;
  readonly deploymentId?: string;
  readonly replicas: number;
  readonly readyReplicas: number;
  readonly invocations?: { readonly pinned: number; readonly unpinned: number };
  readonly reason?: string;
  readonly removeAt?: string;
};

export type DeploymentStatus = {
  readonly observedGeneration?: number;
  readonly deploymentId?: string;
  readonly conditions?: readonly Condition[];
  readonly versions?: readonly VersionEntry[];
  readonly deletion?: Readonly<Record<string, unknown>>;
  readonly [member: string]: unknown;
};

/** The status, if it speaks of the resource as it is now. */
export function statusOf(deployment: KubeObject | undefined): DeploymentStatus | undefined {
  const status = deployment?.["status"] as DeploymentStatus | undefined;
  return status?.observedGeneration === deployment?.metadata.generation ? status : undefined;
}

/** Resolves with the status once it is as asked for. The error says what it was last. */
export async function untilStatus(
  objects: Objects,
  { namespace, name }: Key,
  expected: {
    readonly what: string;
    readonly is: (status: DeploymentStatus) => boolean;
  } & UntilOptions,
): Promise<DeploymentStatus> {
  const { what, is, timeoutMs = TIMEOUT_MS } = expected;
  let last: DeploymentStatus | undefined;
  try {
    return await until(
      `RestateDeployment ${namespace}/${name}: ${what}`,
      async () => {
        last = statusOf(await objects.get("RestateDeployment", name, namespace));
        return last !== undefined && is(last) ? last : undefined;
      },
      { timeoutMs },
    );
  } catch (error) {
    throw new Error(`${String(error)}; it was ${JSON.stringify(last)}`, { cause: error });
  }
}

/** The condition Ready. */
export function readyOf({ conditions }: DeploymentStatus): Condition | undefined {
  return conditions?.find(({ type }) => type === "Ready");
}

/** Resolves when Ready is True. */
export function untilDeployed(objects: Objects, key: Key): Promise<DeploymentStatus> {
  return untilStatus(objects, key, {
    what: "Ready",
    is: (status) => readyOf(status)?.status === "True",
  });
}

/** Resolves when Ready has this reason. */
export async function untilReason(objects: Objects, key: Key, reason: string): Promise<Condition> {
  const is = (status: DeploymentStatus) => readyOf(status)?.reason === reason;
  return readyOf(await untilStatus(objects, key, { what: reason, is }))!;
}

/** Resolves when a version is in a phase. */
export async function untilPhase(
  objects: Objects,
  key: Key,
  version: { readonly name: string; readonly phase: string },
): Promise<VersionEntry> {
  const find = ({ versions }: DeploymentStatus) =>
    versions?.find(({ name, phase }) => name === version.name && phase === version.phase);
  const what = `${version.name} is ${version.phase}`;
  const status = await untilStatus(objects, key, { what, is: (each) => find(each) !== undefined });
  return find(status)!;
}

/** URL under which Restate knows a version. */
export function urlOfVersion({ namespace }: Key, version: string): string {
  return `http://${version}.${namespace}.svc.cluster.local:9080/`;
}

/** Events about a RestateDeployment with this reason, as their messages, oldest first. */
export async function eventsOf(
  objects: Objects,
  { namespace, name }: Key,
  reason: string,
): Promise<string[]> {
  const events = (await objects.list("Event", namespace)) as unknown as EventObject[];
  return events
    .filter((event) => (event.regarding ?? event.involvedObject)?.name === name)
    .filter((event) => event.reason === reason)
    .map(({ message, note }) => message ?? note ?? "");
}

type EventObject = {
  readonly reason?: string;
  readonly message?: string;
  readonly note?: string;
  readonly regarding?: { readonly name?: string };
  readonly involvedObject?: { readonly name?: string };
};
