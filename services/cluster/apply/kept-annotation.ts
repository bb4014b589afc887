/**
 * Pod templates of the operator before this one carry an annotation of the resource's own, written by `kubectl apply`. It
 * has no use, but to take it away is to change the template, and so to replace every pod. So it is kept as it is until
 * the template changes anyway; then it goes with it (contract, section 2).
 *
 * Whether the template changes is for the API server to say, which alone knows what it fills in: a dry run of what is going
 * to be applied, annotation and all, must leave the template as it is. The value can hold what is secret in a resource:
 * it goes from the live object to the applied one in one step, and is in no manifest that is built, digested or planned.
 * So settled clusters are settled with or without it, and a lost memory costs the apply that it always costs.
 */
import type { KubernetesObject, V1PodTemplateSpec, V1StatefulSet } from "@kubernetes/client-node";
import { refOf } from "../../core/children.ts";
import { canonicalJson } from "../../core/digest.ts";
import type { AnyManifest, Manifest } from "../../core/manifest.ts";
import type { KubeClient } from "../../kube/client.ts";
import { FIRST_POD_NAME } from "../observe/observe.ts";

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

/** Applies the StatefulSet of a cluster; answers the live object. Pods are replaced only for what the manifest says. */
export async function applyStatefulSet(
  kube: KubeClient,
  manifest: AnyManifest,
  fieldManager: string,
): Promise<KubernetesObject> {
  const kept = await keptManifest(kube, manifest, fieldManager);
  return kube.apply(kept ?? manifest, fieldManager);
}

/** The manifest with the annotation that is there, where keeping it keeps the template. */
async function keptManifest(
  kube: KubeClient,
  manifest: AnyManifest,
  fieldManager: string,
): Promise<AnyManifest | undefined> {
  const { name, namespace } = refOf(manifest);
  const live = await kube.get("StatefulSet", name, namespace);
  if (live === undefined) {
    // It was deleted and its pods were left running: they are adopted if they are of the template that is made now.
    const pod = await kube.get("Pod", FIRST_POD_NAME, namespace);
    const orphan = pod?.metadata?.deletionTimestamp === undefined ? pod : undefined;
    return withAnnotationOf(orphan, manifest);
  }
  const kept = withAnnotationOf(live.spec?.template, manifest);
  if (kept === undefined) return undefined;
  const applied: V1StatefulSet = await kube.apply(kept, fieldManager, { dryRun: true });
  return isSameTemplate(applied.spec?.template, live.spec?.template) ? kept : undefined;
}

/** The manifest with its pods annotated as a template or pod is; `undefined` when that adds nothing. */
export function withAnnotationOf(
  annotated: Pick<V1PodTemplateSpec, "metadata"> | undefined,
  manifest: AnyManifest,
): AnyManifest | undefined {
  const value = annotated?.metadata?.annotations?.[LAST_APPLIED];
  const { spec } = manifest as Manifest<V1StatefulSet>;
  const metadata = spec?.template?.metadata;
  // A user who sets it on the pods means what is set there.
  if (value === undefined || metadata?.annotations?.[LAST_APPLIED] !== undefined) return undefined;
  const annotations = { ...metadata?.annotations, [LAST_APPLIED]: value };
  const template = { ...spec?.template, metadata: { ...metadata, annotations } };
  return { ...manifest, spec: { ...spec, template } } as AnyManifest;
}

function isSameTemplate(
  one: V1PodTemplateSpec | undefined,
  other: V1PodTemplateSpec | undefined,
): boolean {
  return canonicalJson(one) === canonicalJson(other);
}
