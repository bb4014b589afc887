/** Versions of a RestateDeployment and what is known of them, as tables of tests write them down. */
import type {
  DrainReport,
  ObservedVersion,
  VersionsQuestion,
} from "../../services/deployment/api.ts";
import type { DeletionQuestion } from "../../services/deployment/plan/plan-deletion.ts";

export const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5);
export const NOW = "2026-01-02T03:04:05Z";
export const BEFORE = "2026-01-01T00:00:00Z";
const BEFORE_MS = Date.parse(BEFORE);

/** An older version with one available pod, registered as `dp_<name>`, with nothing routed to it. */
export function aVersion(
  sample: Partial<ObservedVersion> & { readonly name: string },
): ObservedVersion {
  const replicas = sample.specReplicas ?? 1;
  return {
    uid: `uid-${sample.name}`,
    createdAtMs: BEFORE_MS,
    isCurrent: false,
    podTemplateMatches: false,
    generation: 1,
    observedGeneration: 1,
    specReplicas: replicas,
    statusReplicas: replicas,
    readyReplicas: replicas,
    availableReplicas: replicas,
    deleting: false,
    labelledLatest: false,
    deploymentId: `dp_${sample.name}`,
    registration: registered(sample.name, 0),
    ...sample,
  };
}

/** One service, routed to it or not. */
export function registered(name: string, routed: number): ObservedVersion["registration"] {
  return { kind: "registered", deploymentId: `dp_${name}`, services: 1, routed };
}

/** The version asked for, latest unless the sample says otherwise. */
export function theCurrent(sample: Partial<ObservedVersion> = {}): ObservedVersion {
  return aVersion({
    name: "v2",
    createdAtMs: BEFORE_MS + 1000,
    isCurrent: true,
    podTemplateMatches: true,
    labelledLatest: true,
    registration: registered("v2", 1),
    ...sample,
  });
}

/** A version that is not registered and never was. */
export const UNREGISTERED = { registration: { kind: "absent" } } as const;

/** A version without its id. */
export function withoutId(version: ObservedVersion): ObservedVersion {
  return without(version, "deploymentId");
}

/** A version without an optional member. */
export function without(
  version: ObservedVersion,
  member: "deploymentId" | "observedGeneration",
): ObservedVersion {
  const copy = { ...version };
  delete copy[member];
  return copy;
}

/** Kept for a rollback: no pods, not registered. */
export function retained(name: string, createdAtMs: number): ObservedVersion {
  return withoutId(aVersion({ name, createdAtMs, specReplicas: 0, ...UNREGISTERED }));
}

/** A fresh, confirmed report that a version is drained. */
export function aReport(sample: Partial<DrainReport> & { readonly version: string }): DrainReport {
  return {
    deploymentId: `dp_${sample.version}`,
    phase: "drained",
    activePinned: 0,
    activeUnpinned: 0,
    latestFor: 0,
    atMs: NOW_MS - 5_000,
    confirmed: true,
    ...sample,
  };
}

export function aQuestion(
  sample: Partial<Omit<VersionsQuestion, "spec">> & {
    readonly spec?: Partial<VersionsQuestion["spec"]>;
  },
): VersionsQuestion {
  return {
    current: { name: "v2" },
    versions: [],
    reports: [],
    registration: { reachable: true, foreign: [], lost: [] },
    previous: [],
    nowMs: NOW_MS,
    ...sample,
    spec: {
      replicas: 1,
      revisionHistoryLimit: 10,
      drainDelaySeconds: 300,
      autoscaling: false,
      maxVersions: 20,
      paused: false,
      progressDeadlineSeconds: 600,
      ...sample.spec,
    },
  };
}

export function aDeletion(
  sample: Partial<Omit<DeletionQuestion, "policy">> & {
    readonly policy?: Partial<DeletionQuestion["policy"]>;
  },
): DeletionQuestion {
  return {
    name: "d",
    versions: [],
    reports: [],
    lost: [],
    startedAtMs: NOW_MS - 120_000,
    namespaceTerminating: false,
    clusterGone: false,
    nowMs: NOW_MS,
    ...sample,
    policy: {
      deletePolicy: "drain",
      timeoutSeconds: 3600,
      onTimeout: "hold",
      onUnreachable: "hold",
      ...sample.policy,
    },
  };
}
