/** The small values everything else is made of: digests, conditions, waiting times, inherited metadata. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { backoffMs, jitteredMs } from "../../services/core/backoff.ts";
import {
  conditionOf,
  timestampOf,
  type ObservedCondition,
} from "../../services/core/conditions.ts";
import { canonicalJson, digestOf, sha256Hex } from "../../services/core/digest.ts";
import { inherited } from "../../services/core/inherit.ts";

describe("digests", () => {
  test.each<[unknown, string]>([
    [{ b: 1, a: [{ d: null, c: "x" }] }, '{"a":[{"c":"x","d":null}],"b":1}'],
    [{ a: undefined, b: { c: undefined } }, '{"b":{}}'],
    [[undefined, 1], "[null,1]"],
    [undefined, "null"],
    ['q"\u2028', '"q\\"\u2028"'],
    [{ "10": 1, "9": 2, B: 3, a: 4 }, '{"10":1,"9":2,"B":3,"a":4}'],
  ])("canonical JSON of %j", (value, expected) => {
    expect(canonicalJson(value)).toBe(expected);
  });

  test("of any JSON value: parses to the same value, and does not depend on the order of members", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const plain: unknown = JSON.parse(JSON.stringify(value));
        expect(JSON.parse(canonicalJson(plain))).toEqual(plain);
        expect(digestOf(reversed(plain))).toBe(digestOf(plain));
      }),
      { numRuns: 300, seed: 1 },
    );
  });

  test("known answers of sha256", () => {
    expect(sha256Hex("")).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect(sha256Hex("abc")).toBe(
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    );
    expect(digestOf(null)).toBe(sha256Hex("null").slice(0, 16));
  });
});

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([member, inner]) => [member, reversed(inner)]),
  );
}

describe("conditions", () => {
  const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
  const NOW = "2026-01-02T03:04:05Z";
  const BEFORE = "2026-01-01T00:00:00Z";
  const claim = { type: "Ready", status: "True", reason: "R", message: "m" } as const;
  test.each<[string, ObservedCondition[], string]>([
    ["none before", [], NOW],
    ["another type", [{ type: "Other", status: "True", lastTransitionTime: BEFORE }], NOW],
    ["another status", [{ type: "Ready", status: "False", lastTransitionTime: BEFORE }], NOW],
    [
      "the same status, another reason",
      [{ type: "Ready", status: "True", reason: "X", lastTransitionTime: BEFORE }],
      BEFORE,
    ],
    ["the same status without a time", [{ type: "Ready", status: "True" }], NOW],
    [
      "the same status with a time of null",
      [{ type: "Ready", status: "True", lastTransitionTime: null }],
      NOW,
    ],
  ])("%s", (_, observed, lastTransitionTime) => {
    expect(conditionOf(claim, observed, NOW_MS)).toEqual({ ...claim, lastTransitionTime });
  });

  test("instants have whole seconds", () => {
    expect([timestampOf(0), timestampOf(NOW_MS)]).toEqual(["1970-01-01T00:00:00Z", NOW]);
  });
});

describe("waiting times", () => {
  test.each([
    [1, 5_000, 3_500],
    [2, 10_000, 7_000],
    [3, 20_000, 14_000],
    [6, 160_000, 112_000],
    [7, 300_000, 210_000],
    [1_000_000, 300_000, 210_000],
  ])("failure %i: at most %i ms, at least %i ms", (failures, most, least) => {
    expect(backoffMs(failures, 0)).toBe(most);
    expect(backoffMs(failures, 1)).toBe(least);
  });

  test("periods are shortened by a tenth at most", () => {
    expect([jitteredMs(300_000, 0), jitteredMs(300_000, 1)]).toEqual([300_000, 270_000]);
  });
});

describe("what children inherit", () => {
  test.each<[string, Record<string, string> | null | undefined, Record<string, string>]>([
    ["nothing of nothing", undefined, {}],
    ["nothing of null", null, {}],
    ["sorted by key", { b: "1", a: "2" }, { a: "2", b: "1" }],
    [
      "not what tools say about the resource itself",
      {
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "applyset.kubernetes.io/part-of": "x",
        "applyset.kubernetes.io/id": "x",
        "kubectl.kubernetes.io/restartedAt": "kept",
      },
      { "kubectl.kubernetes.io/restartedAt": "kept" },
    ],
    [
      "not the operator's own keys",
      Object.fromEntries(
        [
          "reconcile",
          "deployment-id",
          "remove-version-at",
          "pod-template",
          "tunnel-name",
          "tag",
          "registered-at",
          "deployment",
          "owned-by",
          "somebody-elses",
        ].map((key) => [`restate.dev/${key}`, "x"]),
      ),
      { "restate.dev/somebody-elses": "x" },
    ],
  ])("%s", (_, own, expected) => {
    expect(Object.entries(inherited(own))).toEqual(Object.entries(expected));
  });
});
