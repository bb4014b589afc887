/**
 * Kubernetes Events about the watcher itself, on the operator's pod: a CRD is waited for, all CRDs are there. Only created,
 * never read or changed; one that cannot be written is logged and forgotten.
 */
import type { OperatorPod } from "./config.ts";
import type { Log } from "./log.ts";
import type { KubernetesApi } from "./watch.ts";

export type AnnouncementReason = "WaitingForCRD" | "CRDsAvailable";

/** Something to tell a person who describes the operator's pod. */
export interface Announcement {
  readonly reason: AnnouncementReason;
  readonly note: string;
}

export type Announce = (announcement: Announcement) => void;

const TIMEOUT_MS = 10_000;

/** Announces on the operator's pod; without one to name, nowhere. */
export function announcerOf(api: KubernetesApi, pod: OperatorPod | undefined, log: Log): Announce {
  if (pod === undefined) return () => {};
  const create = async (announcement: Announcement): Promise<void> => {
    const path = `/apis/events.k8s.io/v1/namespaces/${pod.namespace}/events`;
    const response = await api.request(path, {
      accept: "application/json",
      signal: AbortSignal.timeout(TIMEOUT_MS),
      bodyTimeoutMs: TIMEOUT_MS,
      body: JSON.stringify(buildEvent(pod, announcement, new Date())),
    });
    await response.body.dump();
    if (response.statusCode !== 201) {
      const { reason } = announcement;
      log.warn({ reason, status: response.statusCode }, "event was not created");
    }
  };
  return (announcement) => {
    create(announcement).catch((error: unknown) => {
      const failure = error instanceof Error ? error.name : "unknown";
      log.warn({ reason: announcement.reason, failure }, "event was not created");
    });
  };
}

/** The Event as the API server gets it. */
export function buildEvent(pod: OperatorPod, announcement: Announcement, at: Date): object {
  return {
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    metadata: { generateName: `${pod.name.slice(0, 200)}-`, namespace: pod.namespace },
    eventTime: at.toISOString().replace("Z", "000Z"),
    reportingController: "restate-operator",
    reportingInstance: pod.name.slice(0, 128),
    action: "WatchResources",
    reason: announcement.reason,
    note: announcement.note,
    type: announcement.reason === "WaitingForCRD" ? "Warning" : "Normal",
    regarding: {
      apiVersion: "v1",
      kind: "Pod",
      namespace: pod.namespace,
      name: pod.name,
      uid: pod.uid,
    },
  };
}
