/** Errors of the API server: what a retry can cure, and that no value of a field is ever repeated. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KubeError, kubeErrorOf, kubeErrorWithoutAnswer } from "../../services/kube/errors.ts";

const REQUEST = "apply StatefulSet restate";
const status = (body: object): string => JSON.stringify({ kind: "Status", ...body });
const cause = (field: string, message: string) => ({ reason: "FieldValueInvalid", field, message });
const invalid = (...causes: object[]): string =>
  status({ reason: "Invalid", message: "not to be used", details: { causes } });

const forbidden = (...causes: object[]): string =>
  status({ reason: "Forbidden", message: "forbidden", details: { causes } });

describe("what is said", () => {
  test.each<[string, number, string, string]>([
    [
      "the message, when there are no causes",
      403,
      status({ reason: "Forbidden", message: "statefulsets is forbidden" }),
      "apply StatefulSet restate was refused (403 Forbidden): statefulsets is forbidden",
    ],
    [
      "fields, when there are",
      422,
      invalid(
        cause("spec.replicas", "Invalid value: -1: must be at least 0"),
        cause("spec.x", "Required value"),
      ),
      "apply StatefulSet restate was refused (422 Invalid): spec.replicas: Invalid value: …: must be at least 0; spec.x: Required value",
    ],
    [
      "nothing, of what is not JSON",
      502,
      "<html>bad gateway</html>",
      "apply StatefulSet restate was refused (502 HTTP 502)",
    ],
    [
      "nothing, of JSON that is no Status",
      500,
      "[1]",
      "apply StatefulSet restate was refused (500 HTTP 500)",
    ],
    ["nothing, of null", 500, "null", "apply StatefulSet restate was refused (500 HTTP 500)"],
    ["nothing, of no body", 401, "", "apply StatefulSet restate was refused (401 HTTP 401)"],
    [
      "one line, printable",
      409,
      status({ reason: "Conflict", message: "a\nb\u001b[31mc\u202ed" }),
      "apply StatefulSet restate was refused (409 Conflict): a b [31mc d",
    ],
  ])("%s", (...[, code, body, expected]) => {
    expect(kubeErrorOf(REQUEST, code, body).message).toBe(expected);
  });

  test("at most 512 characters", () => {
    const long = kubeErrorOf(REQUEST, 500, status({ message: "x".repeat(5_000) })).message;
    expect([long.length, long.endsWith("…")]).toEqual([512, true]);
  });
});

describe("the reason", () => {
  test.each<[string, object[], string]>([
    ["is the status's own", [], "Forbidden"],
    ["is told from others by no other cause", [cause("a", "b")], "Forbidden"],
    [
      "is that the namespace is going, where that is a cause",
      [cause("a", "b"), { reason: "NamespaceTerminating", field: "metadata.namespace" }],
      "NamespaceTerminating",
    ],
  ])("%s", (_, causes, expected) => {
    expect(kubeErrorOf(REQUEST, 403, forbidden(...causes)).reason).toBe(expected);
  });
});

describe("values of fields never appear", () => {
  const SECRET = "s3cretmarker";
  test.each([
    `Invalid value: "${SECRET}": must be a number`,
    `Invalid value: "a \\"${SECRET}\\" b": must be a number`,
    `Invalid value: {"name":"PASSWORD","value":"${SECRET}"}: must not be`,
    `Invalid value: ["${SECRET}","x"]: must be one`,
    `Invalid value: map[string]interface {}{"value":"${SECRET}"}: must not be`,
    `Invalid value: core.EnvVar{Name:"A", Value:"${SECRET}"}: must not be`,
    `Invalid value: ${SECRET}: must be another`,
    `Duplicate value: {"name":"A","value":"${SECRET}"}`,
    `Unsupported value: "${SECRET}": supported values: "A", "B"`,
    `Invalid value: "first line\\n${SECRET}": must be one line`,
    `Invalid value: {"a":{"b":"${SECRET}"}}: Invalid value: "${SECRET}": twice`,
  ])("%s", (message) => {
    for (const body of [
      invalid(cause("spec.a", message)),
      status({ reason: "Invalid", message }),
    ]) {
      const error = kubeErrorOf(REQUEST, 422, body);
      expect(error.message).not.toContain(SECRET);
      expect(error.message).toContain("refused (422 Invalid): ");
    }
  });

  test("of any string that the API server quotes, as Go quotes it", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (before, after) => {
        const quoted = JSON.stringify(`${before}${SECRET}${after}`);
        const message = `Invalid value: ${quoted}: must be another`;
        return !kubeErrorOf(REQUEST, 422, invalid(cause("spec.a", message))).message.includes(
          SECRET,
        );
      }),
      { numRuns: 500, seed: 1 },
    );
  });
});

describe("without an answer", () => {
  const coded = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
  test.each<[string, unknown, string]>([
    ["a code", coded, "ECONNREFUSED"],
    ["the code of its cause", new TypeError("fetch failed", { cause: coded }), "ECONNREFUSED"],
    [
      "a deadline",
      Object.assign(new Error("aborted"), { name: "TimeoutError", code: 23 }),
      "timeout",
    ],
    ["words only", new Error("broken"), "broken"],
    ["no error at all", "broken", "broken"],
  ])("%s", (_, thrown, said) => {
    const { status: code, reason, message } = kubeErrorWithoutAnswer(REQUEST, thrown);
    expect({ code, reason, message }).toEqual({
      code: 0,
      reason: "NoAnswer",
      message: `apply StatefulSet restate got no answer: ${said}`,
    });
  });
});

test("what a retry can cure, and what may say nothing about the request", () => {
  const codes = [
    0, 400, 401, 403, 404, 405, 408, 409, 410, 413, 415, 422, 429, 500, 501, 502, 503, 504,
  ];
  const curable = codes.filter((code) => new KubeError(code, "r", "m").retryable);
  const passing = codes.filter((code) => new KubeError(code, "r", "m").mayPass);
  expect(curable).toEqual([0, 408, 409, 429, 500, 502, 503, 504]);
  expect(passing).toEqual([0, 403, 404, 408, 409, 429, 500, 502, 503, 504]);
});
