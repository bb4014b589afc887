/** Notes on a version's ReplicaSet: how many pods it is to have, and what is known of it. One write each, mostly. */
import { assertNever } from "../../core/assert-never.ts";
import { timestampOf } from "../../core/conditions.ts";
import { ANNOTATIONS_MANAGER } from "../../kube/field-managers.ts";
import type { ActionResult } from "../../reconciler/resource-kind.ts";
import type { DeploymentAction, VersionTarget } from "../api.ts";
import {
  ADMIN_URL_ANNOTATION,
  DEPLOYMENT_ID_ANNOTATION,
  LATEST_LABEL,
  REMOVE_VERSION_AT_ANNOTATION,
  SERVED_ANNOTATION,
} from "../build/metadata.ts";
import type { ObservedDeployment } from "../observe/observe.ts";
import { annotateVersion, patchVersion, setOnVersion, type Site } from "./patch-version.ts";

const NOTES = [
  "scaleVersion",
  "annotateVersion",
  "recordDeploymentId",
  "forgetDeploymentId",
  "scheduleRemoval",
  "unscheduleRemoval",
  "markLatest",
  "unmarkLatest",
] as const;
/** What is a write to a version's ReplicaSet and nothing else. */
type Note = Extract<DeploymentAction, { kind: (typeof NOTES)[number] }>;

/** Whether an action is such a write. */
export function isNote(action: DeploymentAction): action is Note {
  const kinds: readonly string[] = NOTES;
  return kinds.includes(action.kind);
}

/** Carries it out. Throws `KubeError`. */
export function note(on: Site, observed: ObservedDeployment, action: Note): Promise<ActionResult> {
  switch (action.kind) {
    case "scaleVersion":
      return scaleVersion(on, action);
    case "annotateVersion":
      return propagateAnnotations(on, action);
    case "recordDeploymentId":
      return recordDeploymentId(on, observed, action);
    case "forgetDeploymentId":
      return annotateVersion(on, action, { [DEPLOYMENT_ID_ANNOTATION]: null });
    case "scheduleRemoval":
      return setOnVersion(on, action, {
        manager: "restate-operator/remove-version-at",
        annotations: { [REMOVE_VERSION_AT_ANNOTATION]: timestampOf(action.removeAtMs) },
      });
    case "unscheduleRemoval":
      return annotateVersion(on, action, { [REMOVE_VERSION_AT_ANNOTATION]: null });
    case "markLatest":
      return patchVersion(on, action, { labels: { [LATEST_LABEL]: "true" } });
    case "unmarkLatest":
      return patchVersion(on, action, { labels: { [LATEST_LABEL]: null } });
    default:
      return assertNever(action);
  }
}

function scaleVersion(
  on: Site,
  action: Extract<Note, { kind: "scaleVersion" }>,
): Promise<ActionResult> {
  const { replicas } = action;
  const manager =
    replicas === 0 ? "restate-operator/scale-down" : "restate-operator/propagate-replicas";
  return setOnVersion(on, action, { manager, spec: { replicas } });
}

/** What was inherited when the version was made has no other manager than that who made it, so it has to be taken off. */
async function propagateAnnotations(
  on: Site,
  action: Extract<Note, { kind: "annotateVersion" }>,
): Promise<ActionResult> {
  const { annotations, obsolete } = action;
  const set: ActionResult =
    annotations === undefined
      ? { kind: "done" }
      : await setOnVersion(on, action, { manager: ANNOTATIONS_MANAGER, annotations });
  if (set.kind !== "done" || obsolete.length === 0) return set;
  return annotateVersion(on, action, Object.fromEntries(obsolete.map((key) => [key, null])));
}

/** A registration whose note was lost, or that somebody else's operator has made. */
function recordDeploymentId(
  on: Site,
  { versions, adminUrls }: ObservedDeployment,
  action: Extract<Note, { kind: "recordDeploymentId" }>,
): Promise<ActionResult> {
  const { version, deploymentId } = action;
  const latest = versions.some(({ name, labelledLatest }) => name === version && labelledLatest);
  return noteRegistration(on, action, { deploymentId, adminUrl: adminUrls[version], latest });
}

/** Notes a registration on the version it is of: under which id, where, and whether new invocations go there. */
export function noteRegistration(
  on: Site,
  target: VersionTarget,
  noted: {
    readonly deploymentId: string;
    readonly adminUrl: string | undefined;
    readonly latest: boolean;
  },
): Promise<ActionResult> {
  const { deploymentId, adminUrl, latest } = noted;
  return setOnVersion(on, target, {
    manager: "restate-operator/deployment-id",
    annotations: {
      [DEPLOYMENT_ID_ANNOTATION]: deploymentId,
      ...(adminUrl === undefined ? {} : { [ADMIN_URL_ANNOTATION]: adminUrl }),
      [SERVED_ANNOTATION]: "true",
    },
    ...(latest ? { labels: { [LATEST_LABEL]: "true" } } : {}),
  });
}
