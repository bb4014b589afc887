/** Which children have to be written (C1-C3 in services/core/children.ts), apart from any kind. */
import { describe, expect, test } from "vitest";
import {
  fingerprintOf,
  keyOf,
  planChildren,
  refOf,
  type AppliedObject,
  type ChildAction,
  type ObservedObject,
} from "../../services/core/children.ts";
import { digestOf } from "../../services/core/digest.ts";

const REF = { apiVersion: "v1", kind: "ConfigMap", namespace: "ns", name: "a" };
const MANIFEST = {
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { namespace: "ns", name: "a", labels: { l: "1" }, annotations: { n: "1" } },
  data: { k: "v" },
};
const DIGEST = digestOf(MANIFEST);
const LIVE: ObservedObject = {
  ref: REF,
  uid: "u1",
  content: "c1",
  labels: { l: "1" },
  annotations: { n: "1" },
  controllerUid: "owner",
  deleting: false,
};
const REMEMBERED: AppliedObject = { manifest: DIGEST, live: fingerprintOf(LIVE, MANIFEST) };

const apply = (because: string): ChildAction[] => [
  { kind: "applyObject", target: REF, manifest: DIGEST, because },
];

describe("a child that is asked for", () => {
  test.each<{
    name: string;
    observed?: Partial<ObservedObject>;
    applied?: Partial<AppliedObject>;
    expected: ChildAction[];
  }>([
    { name: "C1: as it was applied → no call", observed: {}, applied: {}, expected: [] },
    {
      name: "C1: labels and annotations of others → no call",
      observed: { labels: { l: "1", x: "1" }, annotations: { n: "1", x: "1" } },
      applied: {},
      expected: [],
    },
    { name: "not there, never was", expected: apply("it does not exist yet") },
    { name: "not there, but was", applied: {}, expected: apply("it was deleted") },
    {
      name: "C2: there, not remembered",
      observed: {},
      expected: apply("it exists, but what was applied to it is not remembered"),
    },
    {
      name: "another manifest",
      observed: {},
      applied: { manifest: "other" },
      expected: apply("what is asked for changed"),
    },
    {
      name: "another object of the name",
      observed: { uid: "u2" },
      applied: {},
      expected: apply("it was changed by someone else"),
    },
    {
      name: "another generation",
      observed: { generation: 2 },
      applied: {},
      expected: apply("it was changed by someone else"),
    },
    {
      name: "another content",
      observed: { content: "c2" },
      applied: {},
      expected: apply("it was changed by someone else"),
    },
    {
      name: "another controller",
      observed: { controllerUid: "x" },
      applied: {},
      expected: apply("it was changed by someone else"),
    },
    {
      name: "our label changed",
      observed: { labels: { l: "2" } },
      applied: {},
      expected: apply("it was changed by someone else"),
    },
    {
      name: "our label removed",
      observed: { labels: {} },
      applied: {},
      expected: apply("it was changed by someone else"),
    },
    {
      name: "our annotation changed",
      observed: { annotations: { n: "2" } },
      applied: {},
      expected: apply("it was changed by someone else"),
    },
  ])("$name", ({ observed, applied, expected }) => {
    const actions = planChildren({
      desired: [MANIFEST],
      observed: observed === undefined ? [] : [{ ...LIVE, ...observed }],
      applied: applied === undefined ? {} : { [keyOf(REF)]: { ...REMEMBERED, ...applied } },
      ownerUid: "owner",
      isObsolete: () => true,
    });
    expect(actions).toEqual(expected);
  });

  test("C1: no controller is another fingerprint than one", () => {
    const { controllerUid: _, ...orphan } = LIVE;
    expect(fingerprintOf(orphan, MANIFEST)).not.toBe(fingerprintOf(LIVE, MANIFEST));
  });
});

describe("C3: a child that is not asked for", () => {
  const removal: ChildAction[] = [
    { kind: "removeObject", target: REF, uid: "u1", because: "ConfigMap a is no longer asked for" },
  ];
  const { controllerUid: _, ...orphan } = LIVE;
  test.each([
    { name: "ours", observed: LIVE, obsolete: true, expected: removal },
    { name: "ours, still of use", observed: LIVE, obsolete: false, expected: [] },
    {
      name: "another controller's",
      observed: { ...LIVE, controllerUid: "x" },
      obsolete: true,
      expected: [],
    },
    { name: "nobody's", observed: orphan, obsolete: true, expected: [] },
    { name: "on its way out", observed: { ...LIVE, deleting: true }, obsolete: true, expected: [] },
  ])("$name", ({ observed, obsolete, expected }) => {
    const question = { desired: [], observed: [observed], applied: {}, ownerUid: "owner" };
    expect(planChildren({ ...question, isObsolete: () => obsolete })).toEqual(expected);
  });

  test("removals come last, applies in the order of the manifests", () => {
    const other = { ...MANIFEST, metadata: { ...MANIFEST.metadata, name: "b" } };
    const obsolete = { ...LIVE, ref: { ...REF, name: "c" } };
    const actions = planChildren({
      desired: [other, MANIFEST],
      observed: [obsolete],
      applied: {},
      ownerUid: "owner",
      isObsolete: () => true,
    });
    expect(actions.map(({ kind, target }) => `${kind} ${target.name}`)).toEqual([
      "applyObject b",
      "applyObject a",
      "removeObject c",
    ]);
  });
});

describe("names", () => {
  test.each([
    [{ apiVersion: "v1", kind: "Namespace", name: "a" }, "Namespace/a"],
    [REF, "ConfigMap/ns/a"],
  ])("%j is remembered as %s", (ref, key) => {
    expect(keyOf(ref)).toBe(key);
  });

  test.each([
    { kind: "ConfigMap", metadata: { name: "a" } },
    { apiVersion: "v1", metadata: { name: "a" } },
    { apiVersion: "v1", kind: "ConfigMap", metadata: {} },
    {},
  ])("a manifest without all of its name is a mistake: %j", (manifest) => {
    expect(() => refOf(manifest)).toThrow("a manifest needs apiVersion, kind and metadata.name");
  });
});
