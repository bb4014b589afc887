/**
 * Carries out the actions of a deployment's plan: one idempotent call each, or a few where a last look belongs before them.
 * Manifests are built again from the resource as it is now, because a user's pod template can hold secrets and so is never in
 * the plan.
 */
import type { KubernetesObject } from "@kubernetes/client-node";
import { RESTATE_DEPLOYMENT, type RestateDeployment } from "../../../crds/restate-deployment.ts";
import { assertNever } from "../../core/assert-never.ts";
import { fingerprintOf, keyOf, refOf, type AppliedObject } from "../../core/children.ts";
import { digestOf } from "../../core/digest.ts";
import type { AnyManifest } from "../../core/manifest.ts";
import type { ObjectRef } from "../../core/resource.ts";
import { KubeError } from "../../kube/errors.ts";
import { AUTOSCALING_MANAGER, FIELD_MANAGER } from "../../kube/field-managers.ts";
import { refTo } from "../../kube/kinds.ts";
import { observedObjectOf } from "../../kube/observed.ts";
import type { ActionResult } from "../../reconciler/resource-kind.ts";
import type { DeploymentAction, DeploymentReason } from "../api.ts";
import { buildHpa } from "../build/horizontal-pod-autoscaler.ts";
import { DEPLOYMENT_ID_ANNOTATION, versionLabels } from "../build/metadata.ts";
import { buildReplicaSet } from "../build/replica-set.ts";
import { targetPortOf } from "../build/service.ts";
import type { ObservedDeployment, ObserveContext } from "../observe/observe.ts";
import { FOREIGN, desiredServices } from "../plan/plan.ts";
import { isUsed } from "../drain/usage.ts";
import { deploymentViewOf } from "../plan/view.ts";
import { tell } from "./events.ts";
import { applyGateJob, askGate } from "./gate.ts";
import { isNote, note } from "./notes.ts";
import { annotateVersion, setOnVersion, type Site } from "./patch-version.ts";
import { checkVersion, registerVersion } from "./register.ts";

/** How soon it is looked at what a creation has met. */
const AGAIN_MS = 500;

const DONE: ActionResult = { kind: "done" };
const SUPERSEDED: ActionResult = { kind: "superseded" };

/** What to remember of objects that were applied. */
type Applied = Readonly<Record<string, AppliedObject>>;

type Of<Kind extends DeploymentAction["kind"]> = Extract<DeploymentAction, { kind: Kind }>;

/** Carries out one action on the deployment it was planned for. Throws `KubeError` or `AdminError`. */
export async function applyAction(
  context: ObserveContext,
  observed: ObservedDeployment,
  action: DeploymentAction,
): Promise<ActionResult> {
  const { deployment } = observed;
  const on = { kube: context.kube, deployment };
  if (isNote(action)) return note(on, observed, action);
  switch (action.kind) {
    case "addFinalizer":
      return writeFinalizers(context, deployment, (others) => [
        ...others,
        RESTATE_DEPLOYMENT.finalizer,
      ]);
    case "removeFinalizer":
      return writeFinalizers(context, deployment, (others) => others);
    case "healVersion":
      return healVersion(context, deployment, action);
    case "createVersion":
      return createVersion(context, observed, action);
    case "checkVersion":
      return checkVersion(context, observed, action);
    case "askGate":
      return askGate(context, observed, action);
    case "applyGateJob":
      return applyGateJob(context, observed, action);
    case "registerVersion":
      return registerVersion(context, observed, action);
    case "deregisterVersion":
      return deregisterVersion(context, observed, action);
    case "scaleToZero":
      return scaleToZero(on, observed, action);
    case "removeVersion":
      await context.kube.remove(replicaSet(deployment, action.version), { uid: action.uid });
      await tell(context.kube, deployment, {
        type: "Normal",
        reason: "VersionRemoved",
        message: `${action.version}: ${action.because}`,
      });
      return DONE;
    case "applyHpa":
      return applyHpa(context, deployment, action);
    case "removeHpa":
      return removeHpa(context, observed, action);
    case "applyObject":
      return applyPlannedService(context, observed, action);
    case "removeObject":
      await context.kube.remove(action.target, { uid: action.uid });
      return { kind: "done", applied: { [keyOf(action.target)]: null } };
    case "startDrain":
    case "cancelDrain":
      throw new Error(`${action.kind} is a message, not a step`);
    default:
      return assertNever(action);
  }
}

function replicaSet({ metadata }: RestateDeployment, version: string): ObjectRef {
  return refTo("ReplicaSet", version, metadata.namespace);
}

/** Writes the finalizers on the very revision that was read: a concurrent change makes this a conflict, not a loss. */
async function writeFinalizers(
  { kube }: ObserveContext,
  { metadata }: RestateDeployment,
  change: (others: readonly string[]) => readonly string[],
): Promise<ActionResult> {
  const { name, namespace, resourceVersion } = metadata;
  const others = (metadata.finalizers ?? []).filter(
    (each) => each !== RESTATE_DEPLOYMENT.finalizer,
  );
  await kube.patch(refTo("RestateDeployment", name, namespace), {
    body: { metadata: { resourceVersion, finalizers: change(others) } },
  });
  return DONE;
}

/**
 * Makes a version's ReplicaSet, and the Services that lead to it. The ReplicaSet is made, never applied: what exists under its
 * name already is somebody's, and the next plan looks whose.
 */
async function createVersion(
  context: ObserveContext,
  observed: ObservedDeployment,
  { version, replicas }: Of<"createVersion">,
): Promise<ActionResult> {
  const { deployment, current, versions, objects } = observed;
  if (version !== current.name) return SUPERSEDED;
  const { name, hash } = current;
  const view = deploymentViewOf(deployment);
  const manifest = buildReplicaSet(view, { version: { name, hash }, replicas });
  let uid: string;
  try {
    uid = (await context.kube.create(manifest)).metadata?.uid ?? "";
  } catch (error) {
    if (!(error instanceof KubeError) || error.status !== 409) throw error;
    return waiting("HashCollision", `a ReplicaSet ${name} exists already`);
  }
  const made = {
    name,
    uid,
    hash,
    annotations: {},
    inherited: [],
    matchLabels: versionLabels(view, { name, hash }),
    targetPort: targetPortOf(view.spec.template.spec),
  };
  const latest = versions.find(({ labelledLatest }) => labelledLatest)?.name ?? name;
  const services = desiredServices(
    { deployment, versions: [{ name, deleting: false }], objects: [made] },
    latest,
  );
  let applied: Applied = {};
  for (const service of services) {
    const owners = [deployment.metadata.uid, uid, ...objects.map((each) => each.uid)];
    applied = { ...applied, ...(await applyService(context, deployment, { service, owners })) };
  }
  return { kind: "advanced", applied };
}

async function healVersion(
  { kube }: ObserveContext,
  deployment: RestateDeployment,
  action: Of<"healVersion">,
): Promise<ActionResult> {
  const { version, replicas, because } = action;
  const manager = "restate-operator/scale-restore";
  const result = await setOnVersion({ kube, deployment }, action, { manager, spec: { replicas } });
  if (result.kind === "done") {
    const message = `${version}: ${because}`;
    await tell(kube, deployment, { type: "Warning", reason: "VersionHealed", message });
  }
  return result;
}

async function deregisterVersion(
  context: ObserveContext,
  { deployment, adminUrls, objects }: ObservedDeployment,
  { version, deploymentId, unless, because }: Of<"deregisterVersion">,
): Promise<ActionResult> {
  const url = adminUrls[version];
  if (url === undefined) return SUPERSEDED;
  const admin = context.admins.of(url);
  const used =
    unless !== "nothing" && (await isUsed(admin, deploymentId, { routed: unless === "active" }));
  // The drain finds the same with its next reading, and the version stays.
  if (used) return DONE;
  await admin.removeDeployment(deploymentId);
  const object = objects.find(({ name }) => name === version);
  if (object !== undefined) {
    const target = { version, uid: object.uid };
    await annotateVersion({ kube: context.kube, deployment }, target, {
      [DEPLOYMENT_ID_ANNOTATION]: null,
    });
  }
  const message = `${version} (${deploymentId}): ${because}`;
  await tell(context.kube, deployment, { type: "Normal", reason: "VersionDeregistered", message });
  return DONE;
}

/** On what was seen within the last moments (`reconciler.ts`): what is registered again by now keeps its pods. */
async function scaleToZero(
  on: Site,
  { versions }: ObservedDeployment,
  action: Of<"scaleToZero">,
): Promise<ActionResult> {
  const version = versions.find(({ name }) => name === action.version);
  if (version?.registration.kind !== "absent") return DONE;
  return setOnVersion(on, action, {
    manager: "restate-operator/scale-down",
    spec: { replicas: 0 },
  });
}

/** An autoscaler that the API server refuses stops nothing else: it is said, and tried again with the next reconcile. */
async function applyHpa(
  context: ObserveContext,
  deployment: RestateDeployment,
  { version }: Of<"applyHpa">,
): Promise<ActionResult> {
  const manifest = buildHpa(deploymentViewOf(deployment), { name: version });
  if (manifest === undefined) return SUPERSEDED;
  try {
    return { kind: "done", applied: await applyManifest(context, manifest, AUTOSCALING_MANAGER) };
  } catch (error) {
    if (!(error instanceof KubeError) || error.retryable) throw error;
    const message = `${version}: spec.autoscaling: ${error.message}`;
    const reason = "AutoscalingApplyFailed";
    await tell(context.kube, deployment, { type: "Warning", reason, message });
    return DONE;
  }
}

async function removeHpa(
  { kube }: ObserveContext,
  { hpas }: ObservedDeployment,
  { version }: Of<"removeHpa">,
): Promise<ActionResult> {
  const hpa = hpas.find(({ ref }) => ref.name === version);
  if (hpa === undefined) return DONE;
  await kube.remove(hpa.ref, { uid: hpa.uid });
  return { kind: "done", applied: { [keyOf(hpa.ref)]: null } };
}

async function applyPlannedService(
  context: ObserveContext,
  observed: ObservedDeployment,
  { target, manifest: digest }: Of<"applyObject">,
): Promise<ActionResult> {
  const { deployment, versions, objects } = observed;
  const service = versions
    .flatMap(({ name }) => desiredServices(observed, name))
    .find((each) => keyOf(refOf(each)) === keyOf(target) && digestOf(each) === digest);
  if (service === undefined) return SUPERSEDED;
  const owners = [deployment.metadata.uid, ...objects.map(({ uid }) => uid)];
  return { kind: "done", applied: await applyService(context, deployment, { service, owners }) };
}

/** Applies a Service, unless there is one of its name that is neither the resource's nor one of its versions'. */
async function applyService(
  context: ObserveContext,
  deployment: RestateDeployment,
  { service, owners }: { readonly service: AnyManifest; readonly owners: readonly string[] },
): Promise<Applied> {
  const ref = refOf(service);
  // Names of versions have a hash in them: nobody else has one by chance.
  const live =
    ref.name === deployment.metadata.name
      ? await context.kube.get("Service", ref.name, ref.namespace)
      : undefined;
  if (live === undefined) return applyManifest(context, service);
  const controller = observedObjectOf("Service", live).controllerUid;
  if (controller !== undefined && owners.includes(controller)) {
    return applyManifest(context, service);
  }
  const message = `Service ${ref.name} belongs to somebody else, so there is no Service that always leads to the latest version`;
  const reason = "StableServiceNameTaken";
  await tell(context.kube, deployment, { type: "Warning", reason, message });
  return { [keyOf(ref)]: { manifest: digestOf(service), live: FOREIGN } };
}

async function applyManifest(
  { kube }: ObserveContext,
  manifest: AnyManifest,
  fieldManager = FIELD_MANAGER,
): Promise<Applied> {
  const ref = refOf(manifest);
  const live = await kube.apply(manifest, fieldManager);
  if (saysAnotherId(live, manifest)) {
    const { uid } = live.metadata ?? {};
    const annotations = { [DEPLOYMENT_ID_ANNOTATION]: null };
    await kube.patch(ref, { body: { metadata: { uid, annotations } } });
  }
  const fingerprint = fingerprintOf(observedObjectOf(ref.kind, live), manifest);
  return { [keyOf(ref)]: { manifest: digestOf(manifest), live: fingerprint } };
}

/** Of a Service that was taken over: the id belongs to a field manager that has nothing to say any more. */
function saysAnotherId(live: KubernetesObject, { metadata }: AnyManifest): boolean {
  const { annotations = {} } = live.metadata ?? {};
  return (
    annotations[DEPLOYMENT_ID_ANNOTATION] !== metadata?.annotations?.[DEPLOYMENT_ID_ANNOTATION]
  );
}

function waiting(reason: DeploymentReason, message: string): ActionResult {
  return {
    kind: "waiting",
    outcome: { kind: "waiting", reason, message, requeueAfterMs: AGAIN_MS },
  };
}
