/**
 * Golden manifests: what each specification changes in the manifests of the smallest one, whole. The smallest one itself is
 * pinned to the objects of a real cluster (cluster-golden.test.ts). A value that differs here restarts the pods of those who
 * have that specification.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { podProblem } from "../../services/cluster/plan/pod-problem.ts";
import { clusterViewOf } from "../../services/cluster/plan/plan.ts";
import {
  GOLDEN_SPECS,
  changesOf,
  goldenCluster,
  specOf,
  type Changes,
} from "./cluster-golden-specs.ts";
import { CONFIG } from "./cluster-samples.ts";

const fixture = (path: string): unknown =>
  parse(readFileSync(new URL(`../fixtures/${path}`, import.meta.url), "utf8"));

const GOLDEN = fixture("golden/clusters.yaml") as Record<string, Changes>;

describe("golden manifests", () => {
  test.each(Object.entries(GOLDEN_SPECS))("%s", (name, golden) => {
    expect(changesOf(golden)).toEqual(GOLDEN[name]);
  });

  test("each has its specification, and there are at least 40", () => {
    expect(Object.keys(GOLDEN)).toEqual(Object.keys(GOLDEN_SPECS));
    expect(Object.keys(GOLDEN).length).toBeGreaterThanOrEqual(40);
  });

  test.each(Object.entries(GOLDEN_SPECS))("%s is served", (_, golden) => {
    const cluster = goldenCluster(golden);
    expect(podProblem(clusterViewOf({ cluster }), CONFIG)).toBeUndefined();
  });
});

describe("fields that no specification above sets", () => {
  interface Schema {
    readonly properties: Readonly<Record<string, Schema>>;
  }
  const crd = parse(
    readFileSync(new URL("../../crds/generated/restateclusters.yaml", import.meta.url), "utf8"),
  ) as { spec: { versions: { schema: { openAPIV3Schema: Schema } }[] } };
  const spec = crd.spec.versions[0]?.schema.openAPIV3Schema.properties["spec"];

  /** The cloud's have tests of their own. */
  const NOT_HERE = {
    compute: [],
    storage: [],
    security: ["awsPodIdentityAssociationRoleArn", "awsPodSecurityGroups"],
  };

  test.each(["compute", "storage", "security"] as const)("%s", (part) => {
    const set = Object.values(GOLDEN_SPECS).flatMap((golden) =>
      Object.keys((specOf(golden) as Record<string, object | undefined>)[part] ?? {}),
    );
    const fields = Object.keys(spec?.properties[part]?.properties ?? {});
    expect(fields.length).toBeGreaterThan(2);
    expect(fields.filter((field) => !set.includes(field))).toEqual(NOT_HERE[part]);
  });
});
