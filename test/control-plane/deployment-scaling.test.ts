/**
 * Pods of versions: the scale subresource, autoscalers of older versions with work, ports that change between versions; and what
 * a resource passes on to its children, or does not do at all while it is disabled.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DeploymentStage, STAGE_TIMEOUT_MS } from "../harness/deployment-stage.ts";
import {
  applyDeployment,
  eventsOf,
  untilDeployed,
  untilPhase,
  untilStatus,
  type DeploymentChange,
  type DeploymentStatus,
  type Key,
} from "../harness/deployments.ts";
import { kubectl } from "../harness/kubernetes.ts";
import type { KubeObject } from "../harness/objects.ts";
import { until } from "../harness/until.ts";

let stage: DeploymentStage;

beforeAll(async () => {
  stage = await DeploymentStage.start({ name: "deployment-scaling" });
}, STAGE_TIMEOUT_MS);

afterAll(() => stage.stop());

const keyOf = (name: string): Key => ({ namespace: stage.namespace, name });

/** Releases a version of `<name>`, in one container with these ports; resolves with its name. */
async function release(
  name: string,
  version: string,
  more: Pick<DeploymentChange, "spec" | "annotations"> = {},
): Promise<string> {
  const image = `${name}:${version}`;
  await stage.world.addImage(image, stage.worker.services(`Scaled${name}`, version));
  await applyDeployment(stage.objects, keyOf(name), { image, restate: stage.byUrl(), ...more });
  return latestOf(await untilDeployed(stage.objects, keyOf(name)));
}

const latestOf = ({ versions }: DeploymentStatus): string =>
  versions!.find(({ phase }) => phase === "Latest")!.name;

const get = (kind: "HorizontalPodAutoscaler" | "ReplicaSet" | "Service", name: string) =>
  stage.objects.get(kind, name, stage.namespace);

/** What a user's autoscaler sees and does. */
const scale = (name: string, replicas: number) =>
  kubectl(stage.cluster, [
    "--namespace",
    stage.namespace,
    "scale",
    `restatedeployment/${name}`,
    `--replicas=${replicas}`,
  ]);

test("the scale subresource scales the latest version, and says what it is", async () => {
  const key = keyOf("subresource");
  const name = await release("subresource", "v1");
  await scale("subresource", 3);
  const status = await untilStatus(stage.objects, key, {
    what: "three pods are ready",
    is: ({ readyReplicas }) => readyReplicas === 3,
  });
  expect(status).toMatchObject({
    replicas: 3,
    desiredReplicas: 3,
    availableReplicas: 3,
    unavailableReplicas: 0,
    labelSelector: `app=subresource,pod-template-hash=${name.slice("subresource-".length)}`,
  });
  await scale("subresource", 0);
  await untilStatus(stage.objects, key, {
    what: "no pods are left, and it is registered still",
    is: ({ replicas, versions }) => replicas === 0 && versions?.[0]?.phase === "Latest",
  });
  expect(await stage.registered("subresource")).toHaveLength(1);
});

test("V6: an older version with work has an autoscaler, which is gone before the pods are; V4: and it has pods", async () => {
  const autoscaling = {
    minReplicas: 0,
    maxReplicas: 4,
    metrics: [
      {
        type: "Resource",
        resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 50 } },
      },
    ],
  };
  const first = await release("scaled", "v1", { spec: { autoscaling } });
  const work = await stage.worker.start("suspended", "Scaledscaled");
  expect(await get("HorizontalPodAutoscaler", first)).toBeUndefined();
  const second = await release("scaled", "v2", { spec: { autoscaling } });
  const hpa = await until("the older version has an autoscaler", () =>
    get("HorizontalPodAutoscaler", first),
  );
  expect(hpa["spec"]).toMatchObject({
    ...autoscaling,
    minReplicas: 1,
    scaleTargetRef: { apiVersion: "apps/v1", kind: "ReplicaSet", name: first },
  });
  const managers = hpa.metadata.managedFields?.map(({ manager }) => manager);
  expect(managers).toContain("restate-operator/autoscaling");
  expect(managers).not.toContain("restate-operator");
  expect(await get("HorizontalPodAutoscaler", second)).toBeUndefined();

  // as an autoscaler does it
  const setReplicas = (replicas: number) =>
    stage.objects.patch(
      "ReplicaSet",
      { name: first, namespace: stage.namespace },
      { spec: { replicas } },
    );
  await setReplicas(2);
  await sleep(12_000);
  expect((await get("ReplicaSet", first))?.["spec"]).toMatchObject({ replicas: 2 });

  // V4: as nobody should
  await setReplicas(0);
  const told = await until("it is healed", async () => {
    const events = await eventsOf(stage.objects, keyOf("scaled"), "VersionHealed");
    return events.length > 0 && events;
  });
  expect(told).toEqual([`${first}: it has no pods, but 1 unfinished invocation`]);
  expect((await get("ReplicaSet", first))?.["spec"]).toMatchObject({ replicas: 1 });

  const mark = await stage.operator.mark();
  expect(await work.finish()).toBe("v1");
  await untilPhase(stage.objects, keyOf("scaled"), { name: first, phase: "Retained" });
  expect(await get("HorizontalPodAutoscaler", first)).toBeUndefined();
  const writes = await stage.operator.writesSince(mark);
  const removed = writes.findIndex((line) => line.startsWith("delete horizontalpodautoscalers"));
  const last = writes.findLastIndex((line) => line.startsWith("patch replicasets"));
  expect(removed).toBeGreaterThanOrEqual(0);
  expect(removed).toBeLessThan(last);
});

test("an autoscaler that the API server refuses stops nothing else, and is said", async () => {
  const first = await release("rejected", "v1");
  const work = await stage.worker.start("suspended", "Scaledrejected");
  const autoscaling = { maxReplicas: 2, minReplicas: 5 };
  await release("rejected", "v2", { spec: { autoscaling } });
  const [event] = await until("it is said", async () => {
    const events = await eventsOf(stage.objects, keyOf("rejected"), "AutoscalingApplyFailed");
    return events.length > 0 && events;
  });
  expect(event).toMatch(new RegExp(`^${first}: spec\\.autoscaling: `));
  expect(await work.finish()).toBe("v1");
  await untilPhase(stage.objects, keyOf("rejected"), { name: first, phase: "Retained" });
});

/** The port of the pods that a Service leads to. */
function targetOf(service: KubeObject | undefined): number | undefined {
  const spec = service?.["spec"] as { ports: { targetPort: number }[] } | undefined;
  return spec?.ports[0]?.targetPort;
}

const ports = (image: string, containerPort: number) => ({
  template: {
    metadata: { labels: { app: "ports" } },
    spec: {
      containers: [{ name: "service", image, ports: [{ name: "restate", containerPort }] }],
    },
  },
});

test("the port of an older version's Service stays its own when the next version has another", async () => {
  const first = await release("ports", "v1", { spec: ports("ports:v1", 9081) });
  const work = await stage.worker.start("suspended", "Scaledports");
  const second = await release("ports", "v2", { spec: ports("ports:v2", 9082) });
  await stage.operator.idle();
  expect(targetOf(await get("Service", first))).toBe(9081);
  expect(targetOf(await get("Service", second))).toBe(9082);
  expect(targetOf(await get("Service", "ports"))).toBe(9082);
  expect(await work.finish()).toBe("v1");
});

test("labels and annotations are passed on, without a new version; the operator's own keys are not", async () => {
  const annotate = (annotations: Readonly<Record<string, string | null>>) =>
    stage.objects.patch(
      "RestateDeployment",
      { name: "marked", namespace: stage.namespace },
      { metadata: { labels: { team: "a" }, annotations } },
    );
  const name = await release("marked", "v1", { annotations: { "born-with": "it" } });
  const before = await get("ReplicaSet", name);
  expect(before?.metadata.annotations).toMatchObject({ "born-with": "it" });
  await stage.objects.patch(
    "ReplicaSet",
    { name, namespace: stage.namespace },
    { metadata: { annotations: { others: "z" } } },
  );
  await annotate({ note: "x", "born-with": null, "restate.dev/deployment-id": "dp_forged" });
  await until("they are passed on", async () => {
    const [set, service] = [await get("ReplicaSet", name), await get("Service", name)];
    expect(set?.metadata.annotations).toMatchObject({ note: "x" });
    expect(service?.metadata).toMatchObject({ labels: { team: "a" }, annotations: { note: "x" } });
    return true;
  });
  const after = await get("ReplicaSet", name);
  expect(after?.metadata.generation).toBe(before?.metadata.generation);
  expect(after?.metadata.annotations?.["restate.dev/deployment-id"]).toBe(
    before?.metadata.annotations?.["restate.dev/deployment-id"],
  );
  expect(await stage.registered("marked")).toHaveLength(1);

  await annotate({ note: null, kept: "y" });
  await until("what was taken off is taken off, what was added is added", async () => {
    const set = await get("ReplicaSet", name);
    expect(set?.metadata.annotations).toMatchObject({ kept: "y", others: "z" });
    expect(set?.metadata.annotations).not.toHaveProperty("note");
    expect(set?.metadata.annotations).not.toHaveProperty("born-with");
    return true;
  });
  expect(await appliedBy(name)).toEqual([
    "restate-operator/deployment-id",
    "restate-operator/propagate-annotations",
  ]);
});

test("what another operator has noted on the Service of a version that is not registered goes", async () => {
  const first = await release("noted", "v1");
  await release("noted", "v2");
  await untilPhase(stage.objects, keyOf("noted"), { name: first, phase: "Retained" });
  const spec = { ports: [{ name: "restate", port: 9080, targetPort: 1 }] };
  await stage.objects.patch(
    "Service",
    { name: first, namespace: stage.namespace },
    { metadata: { annotations: { "restate.dev/deployment-id": "dp_gone" } }, spec },
  );
  await until("it is as it was", async () => {
    const service = await get("Service", first);
    expect(targetOf(service)).toBe(9080);
    expect(service?.metadata.annotations ?? {}).not.toHaveProperty("restate.dev/deployment-id");
    return true;
  });
});

/** Who has set something on a version's ReplicaSet by server-side apply. */
async function appliedBy(version: string): Promise<string[]> {
  const set = await get("ReplicaSet", version);
  return (set?.metadata.managedFields ?? [])
    .filter(({ operation }) => operation === "Apply")
    .map(({ manager }) => manager)
    .toSorted();
}

test("restate.dev/reconcile: disabled stops everything but saying so and deletion", async () => {
  const first = await release("disabled", "v1");
  await applyDeployment(stage.objects, keyOf("disabled"), {
    image: "disabled:v2",
    restate: stage.byUrl(),
    annotations: { "restate.dev/reconcile": "disabled" },
  });
  const mark = await stage.operator.mark();
  await stage.operator.wake("DeploymentReconciler", `${stage.namespace}/disabled`);
  await sleep(3_000);
  await stage.operator.idle();
  const writes = await stage.operator.writesSince(mark);
  expect(writes.filter((line) => line.includes("disabled"))).toEqual([
    `patch restatedeployments/status ${stage.namespace}/disabled → 200`,
  ]);
  expect(await get("ReplicaSet", first)).toBeDefined();
  await stage.remove("disabled");
  await stage.untilGone("disabled");
  expect(await stage.registered("disabled")).toEqual([]);
});
