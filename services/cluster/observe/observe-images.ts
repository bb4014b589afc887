/**
 * Which Restate runs, for the guard of version changes: asked only when another image is wanted than the one the StatefulSet
 * has, so that it costs a settled cluster nothing.
 */
import type { V1Pod, V1PodSpec, V1StatefulSet } from "@kubernetes/client-node";
import type { RestateCluster } from "../../../crds/restate-cluster.ts";
import type { KubeClient } from "../../kube/client.ts";
import { instanceLabels } from "../build/metadata.ts";

/** Why a container whose image could not be had waits: it has never run. */
const WITHOUT_IMAGE: ReadonlySet<string> = new Set([
  "ErrImagePull",
  "ImagePullBackOff",
  "InvalidImageName",
  "ErrImageNeverPull",
  "ImageInspectError",
  "RegistryUnavailable",
]);

/** See `runningImagesOf`; `undefined` when the image is not going to change. */
export async function observeRunningImages(
  kube: KubeClient,
  { metadata, spec }: RestateCluster,
  statefulSet: V1StatefulSet | undefined,
): Promise<readonly string[] | undefined> {
  const applied = imageOf(statefulSet?.spec?.template.spec);
  if (applied === spec.compute.image) return undefined;
  const { name } = metadata;
  const pods = await kube.list({ kind: "Pod", namespace: name, labels: instanceLabels(name) });
  return runningImagesOf(pods, applied);
}

/** Images of the Restate containers that may have run, sorted; the one that was applied last where there is none. */
export function runningImagesOf(
  pods: readonly V1Pod[],
  applied: string | undefined,
): readonly string[] {
  const images = pods.filter(mayHaveRun).flatMap((pod) => imageOf(pod.spec) ?? []);
  return images.length === 0 && applied !== undefined
    ? [applied]
    : [...new Set(images)].toSorted((a, b) => (a < b ? -1 : 1));
}

function imageOf(spec: V1PodSpec | undefined): string | undefined {
  return spec?.containers.find(({ name }) => name === "restate")?.image;
}

/** Only a pod that waits for its image has certainly not written anything. */
function mayHaveRun({ status }: V1Pod): boolean {
  const restate = status?.containerStatuses?.find(({ name }) => name === "restate");
  const waitsFor = restate?.state?.waiting?.reason;
  const hasRun = (restate?.restartCount ?? 0) > 0 || restate?.lastState?.terminated !== undefined;
  return hasRun || waitsFor === undefined || !WITHOUT_IMAGE.has(waitsFor);
}
