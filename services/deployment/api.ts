/**
 * RestateDeployment as the operator speaks of it: condition reasons (contract, section 3), what is observed of a version,
 * of its registration and of its drain, the actions a plan can hold, and the views that builders work from. Types only.
 */
import type { RestateDeploymentStatus } from "../../crds/restate-deployment-status.ts";
import type { RestateDeploymentSpec } from "../../crds/restate-deployment.ts";
import type { ChildAction } from "../core/children.ts";
import type { Outcome } from "../core/outcome.ts";
import type { TargetPolicy } from "./observe/refused-target.ts";

/** Why a RestateDeployment is or is not Ready. Users' alerts know these words. */
export type DeploymentReason =
  | "Deployed"
  | "ReplicaSetNoStatus"
  | "ReplicaSetScaling"
  | "ReplicaSetPodNotReady"
  | "ReplicaSetPodNotAvailable"
  | "ClusterNotReady"
  | "HashCollision"
  | "AdminCallFailed"
  | "AdminCallRejected"
  | "NotLatest"
  | "ForeignDeployment"
  | "TooManyVersions"
  | "DeploymentPaused"
  | "AwaitingPromotion"
  | "GateNotPassed"
  | "GateFailed"
  | "Aborted"
  | "Deleting"
  | "NotServedYet"
  | "FailedReconcile";

/** A RestateDeployment as its children are built from it. */
export interface DeploymentView {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  /** What children carry of the resource's own labels and annotations. */
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: RestateDeploymentSpec;
}

/** What pods that hold their own tunnel are told, and what the tunnel's URL is made of. */
export interface InProcessTunnel {
  /** In its `env_` form. */
  readonly environmentId: string;
  readonly region: string;
  readonly signingPublicKey: string;
}

/** The RestateCloudEnvironment that a deployment registers by, as far as it matters here; never its token. */
export interface CloudEnvironmentView {
  readonly uid: string;
  /** With or without `env_`. */
  readonly environmentId: string;
  readonly region: string;
  readonly signingPublicKey: string;
  /** Where the token is, in the operator's namespace. */
  readonly token: TokenReference;
}

/** Where a bearer token is: read inside the step that uses it, and nowhere else. */
export interface TokenReference {
  readonly secretName: string;
  readonly key: string;
}

/** What Restate says about one version, by the URL it is or would be registered under. */
export type VersionRegistration =
  /** Its Restate did not answer. */
  | { readonly kind: "unknown" }
  | { readonly kind: "absent" }
  | {
      readonly kind: "registered";
      readonly deploymentId: string;
      /** Services it exposes. */
      readonly services: number;
      /** Those of them whose new invocations Restate sends here. */
      readonly routed: number;
    };

/** A version is not to be registered: Restate refused it for good, its gate did, or its user gave it up. */
export interface Rejection {
  readonly reason: "AdminCallRejected" | "GateFailed" | "Aborted";
  readonly atMs: number;
  readonly message: string;
}

/** What a version waits for before it takes over. */
export type GateKind = "manual" | "http" | "job";

/** How far a version is with its gate. */
export interface GateView {
  /** Restate was asked, without consequences, whether it would take the version. */
  readonly checked: boolean;
  /** The gate has let it through, or the user has (`restate.dev/promote`). */
  readonly passed: boolean;
  /** The Job that decides, once it has been made. */
  readonly job?: "running" | "complete" | "failed";
}

/** One version: a ReplicaSet that this resource controls. */
export interface ObservedVersion {
  readonly name: string;
  readonly uid: string;
  readonly createdAtMs: number;
  /** Whether its name is the one that the spec asks for. */
  readonly isCurrent: boolean;
  /** Whether the template it was made from (annotation `restate.dev/pod-template`) is the one asked for. */
  readonly podTemplateMatches: boolean;
  readonly generation: number;
  /** Absent until its controller has looked at it. */
  readonly observedGeneration?: number;
  readonly specReplicas: number;
  readonly statusReplicas: number;
  readonly readyReplicas: number;
  readonly availableReplicas: number;
  readonly deleting: boolean;
  /** Whether it carries the label `restate.dev/latest`. */
  readonly labelledLatest: boolean;
  /** Annotation `restate.dev/deployment-id`: what was last known, true only where `registration` does not say otherwise. */
  readonly deploymentId?: string;
  /** Annotation `restate.dev/remove-version-at`. */
  readonly removeAtMs?: number;
  readonly registration: VersionRegistration;
  /** Its HorizontalPodAutoscaler, where there is one that this operator made. */
  readonly hpa?: { readonly upToDate: boolean; readonly deleting: boolean };
  /** Only a rejection of the resource's present generation: another one may allow what this one did not. */
  readonly rejected?: Rejection;
  /** Whether it has ever been registered. */
  readonly served?: boolean;
  /** Looked at only where `spec.restate.rollout` asks for a gate. */
  readonly gate?: GateView;
}

/** What is to happen to unfinished work of an older version whose time is over. */
export type RemedyAction = "alert" | "pauseAndMove" | "cancel" | "kill";

export interface RemedyOrder {
  readonly action: RemedyAction;
  /** When its time is over. */
  readonly atMs: number;
}

/** What came of an order that is due. */
export interface RemedyProgress {
  /** Invocations that were moved or have ended. */
  readonly done: number;
  /** Invocations that are still unfinished. */
  readonly remaining: number;
  /** What is in the way, as a sentence. */
  readonly message?: string;
}

/** What a drain last found out about a deployment: the newest reading of its unfinished work. */
export interface DrainReport {
  /** Name of the version; of a version without pods and objects, the one it was registered for. */
  readonly version: string;
  readonly deploymentId: string;
  /** `unknown`: nothing has been read yet, or the last attempt got no answer. */
  readonly phase: "draining" | "drained" | "unknown";
  /** Unfinished invocations that have begun on it. */
  readonly activePinned: number;
  /** Unfinished invocations that would begin on it. */
  readonly activeUnpinned: number;
  /** Services whose new invocations Restate sends to it. */
  readonly latestFor: number;
  /** When the newest reading was made or, while `unknown`, attempted. */
  readonly atMs: number;
  /** Whether two readings at least 10 s apart, the newest among them, agree that no invocation is unfinished. */
  readonly confirmed: boolean;
  /** What it was told to do about work that is not finished in time; `progress`: once that time is over. */
  readonly remedy?: RemedyOrder & { readonly progress?: RemedyProgress };
}

/** A deployment that is registered for this resource while the version it belongs to does not exist (any more). */
export interface LostDeployment {
  readonly deploymentId: string;
  readonly version: string;
}

/** Everything about registration that is not about one version. */
export interface RegistrationView {
  /** Whether the admin API that the spec names answered. */
  readonly reachable: boolean;
  /** Why not, or why nothing is registered yet although it answers. */
  readonly blocked?: {
    readonly reason: "AdminCallFailed" | "AdminCallRejected" | "ClusterNotReady";
    readonly message: string;
    readonly requeueAfterMs: number;
  };
  /** Services of the current version whose new invocations go to a deployment of somebody else. */
  readonly foreign: readonly { readonly service: string; readonly deploymentId: string }[];
  readonly lost: readonly LostDeployment[];
}

/** A version as it was seen: the precondition of every write to it. */
export interface VersionTarget {
  readonly version: string;
  readonly uid: string;
}

type Because = { readonly because: string };

/** What can be done to versions. Each is one idempotent step. */
export type VersionAction = Because &
  (
    | { readonly kind: "createVersion"; readonly version: string; readonly replicas: number }
    | ({ readonly kind: "scaleVersion"; readonly replicas: number } & VersionTarget)
    /** Gives pods to a version that Restate needs and that has none, and tells so: somebody else took them (V4). */
    | ({ readonly kind: "healVersion"; readonly replicas: number } & VersionTarget)
    /** A dry run of the registration: what Restate would refuse is found before the gate is asked. */
    | ({ readonly kind: "checkVersion" } & VersionTarget)
    /** Asks the gate of kind `http`; `applyGateJob` makes the Job of kind `job`. */
    | ({ readonly kind: "askGate" } & VersionTarget)
    | ({ readonly kind: "applyGateJob" } & VersionTarget)
    /** Dry run, registration, then `GET /services`; `force` makes a known deployment the latest again. */
    | ({ readonly kind: "registerVersion"; readonly force: boolean } & VersionTarget)
    /** Writes what Restate says into `restate.dev/deployment-id` of ReplicaSet and Service. */
    | ({ readonly kind: "recordDeploymentId"; readonly deploymentId: string } & VersionTarget)
    | ({ readonly kind: "forgetDeploymentId" } & VersionTarget)
    | ({ readonly kind: "markLatest" } & VersionTarget)
    | ({ readonly kind: "unmarkLatest" } & VersionTarget)
    /** Also where a drain is under way: it goes on by this order. */
    | {
        readonly kind: "startDrain";
        readonly version: string;
        readonly deploymentId: string;
        readonly remedy?: RemedyOrder;
      }
    | { readonly kind: "cancelDrain"; readonly version: string }
    | ({ readonly kind: "scheduleRemoval"; readonly removeAtMs: number } & VersionTarget)
    | ({ readonly kind: "unscheduleRemoval" } & VersionTarget)
    /**
     * Deletes the deployment in Restate, and `restate.dev/deployment-id` of ReplicaSet and Service with it; but first a last
     * look (V3). What it must not find: anything that makes the version active, unfinished work, or nothing at all. Where it
     * finds that, the step is done without having deleted anything, and the drain begins anew.
     */
    | {
        readonly kind: "deregisterVersion";
        readonly version: string;
        readonly deploymentId: string;
        readonly unless: "active" | "unfinished" | "nothing";
      }
    /** After a last look too: where Restate has the version after all, the step is done without having changed anything. */
    | ({ readonly kind: "scaleToZero" } & VersionTarget)
    | ({ readonly kind: "removeVersion" } & VersionTarget)
    | { readonly kind: "applyHpa"; readonly version: string }
    | { readonly kind: "removeHpa"; readonly version: string }
    | { readonly kind: "removeFinalizer" }
  );

/** What can be done about a RestateDeployment: to its versions, to their Services, to itself. */
export type DeploymentAction =
  | Exclude<VersionAction, { kind: "startDrain" }>
  | (Extract<VersionAction, { kind: "startDrain" }> & {
      /** Admin API of the Restate that has the deployment. */
      readonly adminUrl: string;
    })
  | (Because &
      VersionTarget & {
        readonly kind: "annotateVersion";
        /** All annotations of the resource, where the ReplicaSet lacks one of them. */
        readonly annotations?: Readonly<Record<string, string>>;
        /** Keys of annotations that it has of the resource, which has them no longer. */
        readonly obsolete: readonly string[];
      })
  | (Because & { readonly kind: "addFinalizer" })
  | ChildAction;

export type DeploymentStatus = RestateDeploymentStatus;

/** What a RestateDeployment is spoken of with. */
export interface DeploymentTerms {
  readonly action: DeploymentAction;
  readonly status: DeploymentStatus;
  readonly reason: DeploymentReason;
  readonly report: DrainReport;
}

/** The operator's own settings that deployments depend on. */
export interface DeploymentConfig {
  /** Domain of the Kubernetes cluster: `cluster.local`. */
  readonly clusterDns: string;
  /** Which admin APIs the operator connects to. */
  readonly targets: TargetPolicy;
}

/** Where a version stands (design, section 4). */
export type VersionPhase =
  "Pending" | "Gated" | "Registering" | "Latest" | "Draining" | "Drained" | "Retained" | "Rejected";

type Statuses = NonNullable<RestateDeploymentStatus["versions"]>;
/** An entry of `status.versions`. */
export type VersionStatus = Statuses[number];
/** `status.deletion`. */
export type DeletionStatus = NonNullable<RestateDeploymentStatus["deletion"]>;

/** What the condition Ready is to say. */
export interface ReadyClaim {
  readonly status: "True" | "False" | "Unknown";
  readonly reason: DeploymentReason;
  readonly message: string;
}

/** What `planVersions` decides from. */
export interface VersionsQuestion {
  /** The version that the spec asks for; `takenBy`: whose object of that name is not a version of this resource. */
  readonly current: { readonly name: string; readonly takenBy?: string };
  /** All versions, in any order. */
  readonly versions: readonly ObservedVersion[];
  /** Of every drain there is, also of versions that no longer exist. */
  readonly reports: readonly DrainReport[];
  readonly registration: RegistrationView;
  readonly spec: {
    readonly replicas: number;
    readonly revisionHistoryLimit: number;
    readonly drainDelaySeconds: number;
    /** Whether `spec.autoscaling` is there. */
    readonly autoscaling: boolean;
    readonly maxVersions: number;
    readonly paused: boolean;
    readonly progressDeadlineSeconds: number;
    /** Absent: new versions take over as soon as they can. */
    readonly gate?: GateKind;
    /** Absent: older versions may have unfinished work for ever. */
    readonly remedy?: { readonly action: RemedyAction; readonly maxAgeSeconds: number };
  };
  /** `status.versions` as it is. */
  readonly previous: readonly VersionStatus[];
  readonly nowMs: number;
}

export interface VersionsPlan {
  /** In the order in which they are carried out. */
  readonly actions: readonly VersionAction[];
  /** `status.versions`, newest first. */
  readonly versions: readonly VersionStatus[];
  /** Name of the version that the Service `<resource>` leads to. */
  readonly latest: string;
  readonly ready: ReadyClaim;
  readonly outcome: Outcome<DeploymentReason>;
  /** The name of the current version is taken: `status.collisionCount` is to be one more. */
  readonly collided: boolean;
  /** Why the current version is not getting on, once that takes longer than `spec.progressDeadlineSeconds`. */
  readonly overdue?: string;
  /** When to look again without an event, whatever the outcome. */
  readonly lookAgainMs?: number;
}
