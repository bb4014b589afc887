/** What the operator says about a RestateDeployment. */
import type { z } from "zod";
import { conditions, reconciliation } from "./resource.ts";
import { choice, instant, int32, int64, list, nullable, object, text } from "./schema.ts";

const VERSION_PHASES = [
  "Pending",
  "Gated",
  "Registering",
  "Latest",
  "Draining",
  "Drained",
  "Retained",
  "Rejected",
] as const;

const Deletion = object("How far the deletion of this object is.", {
  policy: nullable(text("`drain` or `force`.")),
  phase: nullable(text("Where the deletion stands, for example `Draining` or `Overdue`.")),
  startedAt: nullable(instant("When deletion was requested.")),
  deadline: nullable(instant("When `onTimeout` applies.")),
  onTimeout: nullable(text("`hold` or `force`.")),
  message: nullable(text("What the deletion waits for, as a sentence.")),
  totalPendingInvocations: nullable(int64("Unfinished invocations of all versions.")),
  pendingInvocations: nullable(
    list(
      "Unfinished invocations by version.",
      object("Unfinished invocations of one version.", {
        version: text("Name of the version."),
        deploymentId: nullable(text("Restate's id of the version.")),
        pinned: nullable(int64("Invocations that have begun on this version.")),
        unpinned: nullable(int64("Invocations that will begin on this version.")),
      }),
    ),
  ),
});

const Version = object("One version of the deployment.", {
  name: text("Name of the version: of its ReplicaSet and its Service."),
  deploymentId: nullable(text("Restate's id of the version, while it is registered.")),
  phase: choice("Where the version stands.", VERSION_PHASES),
  since: instant("When the version came into this phase."),
  replicas: int32("Pods the version should have."),
  readyReplicas: int32("Pods of the version that are ready."),
  invocations: nullable(
    object("Unfinished invocations of the version, as last counted.", {
      pinned: int64("Invocations that have begun on this version."),
      unpinned: int64("Invocations that would begin on this version."),
    }),
  ),
  remedy: nullable(
    object(
      "What `restate.drain.onMaxAge` does about invocations that the version does not finish.",
      {
        action: text("`alert`, `pauseAndMove`, `cancel` or `kill`."),
        at: instant("When `restate.drain.maxAgeSeconds` are over."),
        done: nullable(int64("Invocations that were moved or have ended since then.")),
        remaining: nullable(int64("Invocations that are still unfinished although it is time.")),
        message: nullable(
          text("What is in the way, as a sentence: what failed, and what cannot be moved."),
        ),
      },
    ),
  ),
  removeAt: nullable(instant("When the version is scaled to 0 unless work for it arrives.")),
  reason: nullable(text("Why the version is in this phase, as a sentence.")),
});

export const RestateDeploymentStatus = object("What the deployment is; written by the operator.", {
  replicas: int32("Number of pods of the latest version."),
  desiredReplicas: nullable(
    int32("Number of pods the latest version should have; in Knative mode, as its revision says."),
  ),
  readyReplicas: nullable(int32("Pods of the latest version that are ready.")),
  availableReplicas: nullable(
    int32("Pods of the latest version that have been ready for `minReadySeconds`."),
  ),
  unavailableReplicas: nullable(int32("Pods of the latest version that are not available.")),
  observedGeneration: nullable(int64("The generation that this status is about.")),
  collisionCount: nullable(
    int32("How often the name of a new version was taken; part of its hash."),
  ),
  labelSelector: nullable(text("Selects the pods of the latest version; read by autoscalers.")),
  deploymentId: nullable(text("Restate's id of the latest version.")),
  conditions,
  knative: nullable(
    object("Knative's objects of the latest version.", {
      configurationName: nullable(text("Name of the Configuration.")),
      routeName: nullable(text("Name of the Route.")),
      url: nullable(text("URL of the Route.")),
      latestRevision: nullable(text("Name of the latest ready Revision.")),
    }),
  ),
  latest: nullable(text("Name of the version that serves.")),
  draining: nullable(int32("Number of older versions that still have work.")),
  inFlight: nullable(int64("Unfinished invocations of older versions, as last counted.")),
  versions: nullable(
    list("The versions, newest first.", Version, {
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["name"],
    }),
  ),
  deletion: nullable(Deletion),
  reconciliation,
});
export type RestateDeploymentStatus = z.infer<typeof RestateDeploymentStatus>;
