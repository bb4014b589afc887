/**
 * Carries out the actions of a cluster's plan: one idempotent call each. Manifests are built again from the resource as it
 * is now, because they can hold a user's inline secrets and so are never in the plan; if the digest is not the planned one,
 * the plan is superseded.
 */
import { RESTATE_CLUSTER, type RestateCluster } from "../../../crds/restate-cluster.ts";
import { assertNever } from "../../core/assert-never.ts";
import { fingerprintOf, keyOf, refOf } from "../../core/children.ts";
import { digestOf } from "../../core/digest.ts";
import type { AnyManifest } from "../../core/manifest.ts";
import type { KubeClient } from "../../kube/client.ts";
import { KubeError } from "../../kube/errors.ts";
import { FIELD_MANAGER } from "../../kube/field-managers.ts";
import { refTo } from "../../kube/kinds.ts";
import { observedObjectOf } from "../../kube/observed.ts";
import type { ActionResult } from "../../reconciler/resource-kind.ts";
import { provisionCluster } from "../../restate/node-control.ts";
import type { Dial } from "../../restate/dial.ts";
import { FOREIGN_KINDS, type ClusterAction, type ClusterConfig, type ForeignKind } from "../api.ts";
import { buildCanary } from "../build/canary.ts";
import { buildChildren } from "../build/children.ts";
import { FIRST_POD_NAME } from "../observe/observe.ts";
import { clusterViewOf } from "../plan/plan.ts";
import { changeClaim, orphanStatefulSet } from "./apply-volumes.ts";
import { applyStatefulSet } from "./kept-annotation.ts";

/** How soon a node that has only just started is asked again. */
const STARTING_RETRY_MS = 1_000;
const CONFLICT = 409;

export interface ApplyContext {
  readonly kube: KubeClient;
  readonly config: ClusterConfig;
  readonly dial: Dial;
}

/** Carries out one action on the cluster it was planned for. Throws `KubeError` or `ProvisioningError`. */
export async function applyAction(
  context: ApplyContext,
  cluster: RestateCluster,
  action: ClusterAction,
): Promise<ActionResult> {
  switch (action.kind) {
    case "applyObject":
      return applyObject(context, cluster, action);
    case "removeObject":
      await context.kube.remove(action.target, { uid: action.uid });
      return { kind: "done", applied: { [keyOf(action.target)]: null } };
    case "orphanStatefulSet":
      return orphanStatefulSet(context.kube, action);
    case "changeClaim":
      return changeClaim(context.kube, action);
    case "addFinalizer":
      return writeFinalizers(context.kube, cluster, (present) => [
        ...present.filter((finalizer) => finalizer !== RESTATE_CLUSTER.finalizer),
        RESTATE_CLUSTER.finalizer,
      ]);
    case "removeFinalizer":
      return writeFinalizers(context.kube, cluster, (present) =>
        present.filter((finalizer) => finalizer !== RESTATE_CLUSTER.finalizer),
      );
    case "createCanary":
      return createCanary(context, cluster, action);
    case "provisionCluster":
      return provision(context, cluster, action);
    case "survey":
      throw new Error("the reconciler sends what is for the survey");
    default:
      return assertNever(action);
  }
}

async function applyObject(
  { kube, config }: ApplyContext,
  cluster: RestateCluster,
  action: Extract<ClusterAction, { kind: "applyObject" }>,
): Promise<ActionResult> {
  const key = keyOf(action.target);
  const manifest = plannedManifest(cluster, config, action);
  if (manifest === undefined) return { kind: "superseded" };
  if (action.target.kind === "Namespace" && (await isForeignNamespace(kube, cluster))) {
    return { kind: "superseded" };
  }
  const live =
    action.target.kind === "StatefulSet"
      ? await applyStatefulSet(kube, manifest, FIELD_MANAGER)
      : await kube.apply(manifest, FIELD_MANAGER);
  const observed = observedObjectOf(action.target.kind, live);
  return {
    kind: "done",
    applied: { [key]: { manifest: action.manifest, live: fingerprintOf(observed, manifest) } },
  };
}

/**
 * The manifest that was planned, found by its digest. Which kinds of other projects pods rely on was observed when the plan
 * was made, and is not asked again: of the few pod templates this leaves, the plan means the one with its digest.
 */
function plannedManifest(
  cluster: RestateCluster,
  config: ClusterConfig,
  action: Extract<ClusterAction, { kind: "applyObject" }>,
): AnyManifest | undefined {
  const key = keyOf(action.target);
  const view = clusterViewOf({ cluster }, action.building);
  for (const inPods of IN_PODS) {
    const options = { ownsNamespace: true, installed: FOREIGN_KINDS, inPods };
    const manifest = buildChildren(view, config, options).find(
      (child) => keyOf(refOf(child)) === key,
    );
    if (manifest !== undefined && digestOf(manifest) === action.manifest) return manifest;
  }
  return undefined;
}

/** What a pod template can rely on of what need not be installed. */
const IN_PODS: readonly (readonly ForeignKind[])[] = [
  [],
  ["SecretProviderClass"],
  ["SecurityGroupPolicy"],
  ["SecretProviderClass", "SecurityGroupPolicy"],
];

/** One of its name that is there already is looked at next time. It is remembered, to be removed when no longer asked for. */
async function createCanary(
  { kube, config }: ApplyContext,
  cluster: RestateCluster,
  { canary: name, attempt }: Extract<ClusterAction, { kind: "createCanary" }>,
): Promise<ActionResult> {
  const manifest = buildCanary(clusterViewOf({ cluster }), config, { name, attempt });
  if (manifest === undefined) return { kind: "superseded" };
  try {
    await kube.create(manifest);
  } catch (error) {
    if (!(error instanceof KubeError && error.status === CONFLICT)) throw error;
  }
  const manifestDigest = digestOf(manifest);
  return {
    kind: "done",
    applied: { [keyOf(refOf(manifest))]: { manifest: manifestDigest, live: "" } },
  };
}

/** P3 again, at the last moment: the plan may be as old as an outage was long, and somebody may have made the namespace since. */
async function isForeignNamespace(
  kube: KubeClient,
  { metadata }: RestateCluster,
): Promise<boolean> {
  const live = await kube.get("Namespace", metadata.name);
  return live !== undefined && observedObjectOf("Namespace", live).controllerUid !== metadata.uid;
}

/** Writes the finalizers on the very revision that was read: a concurrent change makes this a conflict, not a loss. */
async function writeFinalizers(
  kube: KubeClient,
  { metadata }: RestateCluster,
  change: (present: readonly string[]) => string[],
): Promise<ActionResult> {
  const { name, resourceVersion } = metadata;
  const finalizers = change(metadata.finalizers ?? []);
  await kube.patch(refTo("RestateCluster", name), {
    body: { metadata: { resourceVersion, finalizers } },
  });
  return { kind: "done" };
}

async function provision(
  { config, dial }: ApplyContext,
  { metadata }: RestateCluster,
  action: Extract<ClusterAction, { kind: "provisionCluster" }>,
): Promise<ActionResult> {
  const host = `${FIRST_POD_NAME}.restate-cluster.${metadata.name}.svc.${config.clusterDns}`;
  const answer = await provisionCluster(dial, { host, port: 5122 });
  if (answer.kind === "provisioned") return { kind: "done" };
  if (!action.justStarted) throw new Error(`provisioning: ${answer.message}`);
  return {
    kind: "waiting",
    outcome: {
      kind: "waiting",
      reason: "ProvisioningPodNotRunning",
      message: `pod ${FIRST_POD_NAME} runs but does not answer yet: ${answer.message}`,
      requeueAfterMs: STARTING_RETRY_MS,
    },
  };
}
