/**
 * The annotation that the operator before this one left on pod templates: which manifest keeps it. That keeping it keeps the
 * pods is for a real API server to show (control-plane/cluster-pods.test.ts).
 */
import { describe, expect, test } from "vitest";
import type { AnyManifest } from "../../services/core/manifest.ts";
import { withAnnotationOf } from "../../services/cluster/apply/kept-annotation.ts";
import { aCluster, manifestsOf } from "./cluster-samples.ts";

const KEY = "kubectl.kubernetes.io/last-applied-configuration";
const live = (annotations?: Record<string, string>) => ({
  metadata: annotations === undefined ? {} : { annotations },
});

const setOf = (annotations: Record<string, string>): AnyManifest =>
  manifestsOf(aCluster({ compute: { annotations } })).find(({ kind }) => kind === "StatefulSet")!;

const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe("withAnnotationOf", () => {
  test("adds the very value to the pods' annotations, and changes nothing else", () => {
    const manifest = setOf({ note: "theirs" });
    const before = json(manifest);
    const kept = withAnnotationOf(live({ [KEY]: "{}", other: "x" }), manifest);
    expect(json(kept)).toEqual(json(setOf({ note: "theirs", [KEY]: "{}" })));
    expect(json(manifest)).toEqual(before);
  });

  test.each([
    { name: "nothing is live", annotated: undefined, manifest: setOf({}) },
    { name: "it has no annotations", annotated: live(), manifest: setOf({}) },
    { name: "it has others", annotated: live({ other: "x" }), manifest: setOf({}) },
    {
      name: "the user sets it on the pods",
      annotated: live({ [KEY]: "{}" }),
      manifest: setOf({ [KEY]: "own" }),
    },
  ])("keeps nothing: $name", ({ annotated, manifest }) => {
    expect(withAnnotationOf(annotated, manifest)).toBeUndefined();
  });
});
