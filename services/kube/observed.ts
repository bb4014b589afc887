/**
 * Live objects projected to what decides (`ObservedObject`), sorted: past this border nothing depends on the order of
 * the wire or on what a kind looks like.
 */
import type {
  V1ConfigMap,
  V1ObjectMeta,
  V1Service,
  V2HorizontalPodAutoscaler,
} from "@kubernetes/client-node";
import type { ObservedObject } from "../core/children.ts";
import { digestOf } from "../core/digest.ts";
import { refTo } from "./kinds.ts";

/** Anything with metadata; `data`, `binaryData` and `spec` are looked at where a kind has no generation. */
interface LiveObject {
  readonly metadata?: V1ObjectMeta;
}

/** The projection of one live object. */
export function observedObjectOf(kind: string, live: LiveObject): ObservedObject {
  const metadata = live.metadata ?? {};
  const controller = metadata.ownerReferences?.find((owner) => owner.controller === true);
  const content = contentOf(kind, live);
  return {
    ref: refTo(kind, metadata.name ?? "", metadata.namespace),
    uid: metadata.uid ?? "",
    ...(metadata.generation === undefined ? {} : { generation: metadata.generation }),
    ...(content === undefined ? {} : { content }),
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
    ...(controller === undefined ? {} : { controllerUid: controller.uid }),
    deleting: metadata.deletionTimestamp !== undefined,
  };
}

/** Projections of a list, sorted by name. */
export function observedObjectsOf(kind: string, live: readonly LiveObject[]): ObservedObject[] {
  return live
    .map((object) => observedObjectOf(kind, object))
    .toSorted((a, b) => (a.ref.name < b.ref.name ? -1 : 1));
}

/** Kinds without a generation show an edit only in their content. */
function contentOf(kind: string, live: LiveObject): string | undefined {
  switch (kind) {
    case "ConfigMap": {
      const { data, binaryData } = live as V1ConfigMap;
      return digestOf([data, binaryData]);
    }
    case "Service":
      return digestOf((live as V1Service).spec);
    case "HorizontalPodAutoscaler":
      return digestOf((live as V2HorizontalPodAutoscaler).spec);
    default:
      return undefined;
  }
}
