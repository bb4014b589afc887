/**
 * Registers a version with Restate: a dry run first, so that what Restate refuses or what belongs to somebody else is found
 * before anything is changed; then the registration; then a look whether new invocations really go there, which a successful
 * answer does not say (measured: a known deployment is answered 200 and stays what it was).
 *
 * A final refusal is noted on the version, where the next plan finds it; everything else is waited for.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { RESTATE_DEPLOYMENT } from "../../../crds/restate-deployment.ts";
import type { KubeClient } from "../../kube/client.ts";
import type { ActionResult } from "../../reconciler/resource-kind.ts";
import {
  AdminError,
  type RegisteredDeployment,
  type Registration,
  type RestateAdmin,
} from "../../restate/admin.ts";
import type { DeploymentReason, VersionAction, VersionTarget } from "../api.ts";
import { GATE_CHECKED_ANNOTATION, REJECTED_ANNOTATION } from "../build/metadata.ts";
import type { ObservedDeployment, ObserveContext } from "../observe/observe.ts";
import type { NotedRejection } from "../observe/observed-version.ts";
import {
  hasRegistrant,
  isOfAnother,
  readRoutes,
  registrationMetadata,
  servedBy,
  type Registrant,
} from "../observe/registry.ts";
import { adminEvents } from "../plan/status.ts";
import { tell } from "./events.ts";
import { noteRegistration } from "./notes.ts";
import { annotateVersion } from "./patch-version.ts";
import { classifyAdminFailure } from "./rejections.ts";

/** How soon the next step is planned after one that changed something. */
const NEXT_STEP_MS = 500;
const WAITING_MS = 60_000;
/** How often, and how far apart, it is looked where new invocations go. */
const ROUTE_LOOKS = 8;
const ROUTE_LOOK_MS = 250;

type Register = Extract<VersionAction, { kind: "registerVersion" }>;

/** Registers a version, or makes a registered one the latest again (`force`). Throws `KubeError`. */
export async function registerVersion(
  context: ObserveContext,
  observed: ObservedDeployment,
  action: Register,
): Promise<ActionResult> {
  const { deployment } = observed;
  const prepared = await prepare(context, observed, action);
  if (prepared === undefined) return { kind: "superseded" };
  const { adminUrl } = prepared;
  try {
    const done = await register(prepared);
    if (done.kind === "waiting") return waiting(done.reason, done.message, done.requeueAfterMs);
    const on = { kube: context.kube, deployment };
    const noted = { deploymentId: done.id, adminUrl, latest: true };
    await noteRegistration(on, action, noted);
    if (wasRejected(observed, action)) {
      await annotateVersion(on, action, { [REJECTED_ANNOTATION]: null });
    }
    if (action.force) {
      const message = `${action.version} as ${done.id}: ${action.because}`;
      await tell(context.kube, deployment, { type: "Normal", reason: "Promoted", message });
    }
    return { kind: "advanced" };
  } catch (error) {
    if (!(error instanceof AdminError)) throw error;
    return refused(context, observed, { action, error });
  }
}

function wasRejected({ objects }: ObservedDeployment, { version }: VersionTarget): boolean {
  const object = objects.find(({ name }) => name === version);
  return object?.annotations[REJECTED_ANNOTATION] !== undefined;
}

/** The dry run alone, for a version that has a gate to pass before it is registered. Throws `KubeError`. */
export async function checkVersion(
  context: ObserveContext,
  observed: ObservedDeployment,
  action: VersionTarget,
): Promise<ActionResult> {
  const { deployment } = observed;
  const prepared = await prepare(context, observed, { ...action, force: false });
  if (prepared === undefined) return { kind: "superseded" };
  try {
    const foreign = await foresee(prepared);
    if (foreign !== undefined) {
      return waiting(foreign.reason, foreign.message, foreign.requeueAfterMs);
    }
    await annotateVersion({ kube: context.kube, deployment }, action, {
      [GATE_CHECKED_ANNOTATION]: "true",
    });
    return { kind: "done" };
  } catch (error) {
    if (!(error instanceof AdminError)) throw error;
    return refused(context, observed, { action, error });
  }
}

/** A registration, and where it goes. */
interface Prepared {
  readonly admin: RestateAdmin;
  readonly adminUrl: string;
  readonly registration: Registration;
  readonly registrant: Registrant;
  /** Whether a deployment is a version of another RestateDeployment, although it does not say so itself. */
  readonly isAnothersVersion: (holder: RegisteredDeployment) => Promise<boolean>;
}

async function prepare(
  { admins, kube, config }: ObserveContext,
  { deployment, current, target }: ObservedDeployment,
  { version, force }: Pick<Register, "version" | "force">,
): Promise<Prepared | undefined> {
  if (target.kind === "refused" || current.url.kind === "refused") return undefined;
  if (version !== current.name) return undefined;
  const { namespace, name, uid } = deployment.metadata;
  const { restate } = deployment.spec;
  const adminUrl = target.target.url;
  const registrant = { kubernetes: await kube.clusterUid(), namespace, name };
  return {
    admin: admins.of(adminUrl),
    adminUrl,
    registrant,
    isAnothersVersion: async (holder) => {
      const served = hasRegistrant(holder)
        ? undefined
        : servedBy(holder.uri ?? "", config.clusterDns);
      return served !== undefined && belongsToAnother(kube, served, registrant);
    },
    registration: {
      uri: current.url.url,
      force,
      breaking: restate.allowBreaking === "always",
      metadata: registrationMetadata(registrant, { uid, version }),
      ...(restate.useHttp11 == null ? {} : { useHttp11: restate.useHttp11 }),
    },
  };
}

interface Obstacle {
  readonly kind: "waiting";
  readonly reason: DeploymentReason;
  readonly message: string;
  readonly requeueAfterMs: number;
}

type Registered = { readonly kind: "registered"; readonly id: string } | Obstacle;

/** What a dry run finds in the way. */
async function foresee(prepared: Prepared): Promise<Obstacle | undefined> {
  const { admin, registration } = prepared;
  const foreseen = await admin.registerDeployment({ ...registration, force: false, dryRun: true });
  const services = foreseen.services.map(({ name }) => name);
  return foreignHolder(prepared, services);
}

async function register(prepared: Prepared): Promise<Registered> {
  const { admin, registration } = prepared;
  if (!registration.force) {
    const foreign = await foresee(prepared);
    if (foreign !== undefined) return foreign;
  }
  const deployment = await admin.registerDeployment(registration);
  const { id } = deployment;
  const elsewhere = await routedElsewhere(admin, deployment);
  if (elsewhere === undefined) return { kind: "registered", id };
  // Known already, and not changed by this: another Kubernetes cluster has the same names.
  const known = await admin.deployment(id);
  if (known !== undefined && isOfAnother(known, prepared.registrant)) {
    return leftAlone(`${registration.uri} is registered as ${id} for another Kubernetes cluster`);
  }
  return {
    kind: "waiting",
    reason: "NotLatest",
    message: `registered as ${id}, but new invocations of ${elsewhere.service} go to ${elsewhere.to}`,
    requeueAfterMs: NEXT_STEP_MS,
  };
}

/**
 * A service whose new invocations do not go to a deployment that has just been registered. The nodes of a cluster learn of a
 * registration one after the other, and any of them may answer: they are given a moment.
 */
async function routedElsewhere(
  admin: RestateAdmin,
  { id, services }: RegisteredDeployment,
): Promise<{ readonly service: string; readonly to: string } | undefined> {
  const names = services.map(({ name }) => name);
  for (let look = 1; ; look += 1) {
    const routes = await readRoutes(admin, names);
    const service = names.find((name) => routes.get(name) !== id);
    if (service === undefined) return undefined;
    if (look === ROUTE_LOOKS) return { service, to: routes.get(service) ?? "nobody" };
    await sleep(ROUTE_LOOK_MS);
  }
}

/** A service that a deployment of another resource serves is not to be taken from it. */
async function foreignHolder(
  { admin, registrant, isAnothersVersion }: Prepared,
  services: readonly string[],
): Promise<Obstacle | undefined> {
  const routes = await readRoutes(admin, services);
  for (const id of new Set(routes.values())) {
    const holder = await admin.deployment(id);
    if (holder === undefined) continue;
    if (!isOfAnother(holder, registrant) && !(await isAnothersVersion(holder))) continue;
    const service = services.find((name) => routes.get(name) === id) ?? "";
    return leftAlone(
      `service ${service} is served by deployment ${id}, which belongs to another RestateDeployment; nothing was registered`,
    );
  }
  return undefined;
}

/** Whether a ReplicaSet is a version of another RestateDeployment. One that does not exist is nobody's. */
async function belongsToAnother(
  kube: KubeClient,
  version: { readonly namespace: string; readonly name: string },
  { namespace, name }: Registrant,
): Promise<boolean> {
  const live = await kube.get("ReplicaSet", version.name, version.namespace);
  const owner = live?.metadata?.ownerReferences?.find(({ controller }) => controller === true);
  if (owner?.kind !== RESTATE_DEPLOYMENT.kind) return false;
  return version.namespace !== namespace || owner.name !== name;
}

function leftAlone(message: string): Obstacle {
  return { kind: "waiting", reason: "ForeignDeployment", message, requeueAfterMs: WAITING_MS };
}

async function refused(
  context: ObserveContext,
  { deployment }: ObservedDeployment,
  { action, error }: { readonly action: VersionTarget; readonly error: AdminError },
): Promise<ActionResult> {
  const rejected = classifyAdminFailure(error);
  const message = `${action.version}: ${rejected.message}`;
  if (rejected.kind === "waiting") {
    for (const event of adminEvents(deployment, { reason: rejected.reason, message })) {
      await tell(context.kube, deployment, event);
    }
    return waiting(rejected.reason, message, rejected.requeueAfterMs);
  }
  const noted: NotedRejection = {
    generation: deployment.metadata.generation,
    atMs: Date.now(),
    message,
  };
  await annotateVersion({ kube: context.kube, deployment }, action, {
    [REJECTED_ANNOTATION]: JSON.stringify(noted),
  });
  const { reason } = rejected;
  await tell(context.kube, deployment, { type: "Warning", reason, message });
  return waiting(reason, message, NEXT_STEP_MS);
}

function waiting(reason: DeploymentReason, message: string, requeueAfterMs: number): ActionResult {
  return { kind: "waiting", outcome: { kind: "waiting", reason, message, requeueAfterMs } };
}
