/** With autoProvision Restate's own provisioning must be off: rows of a configuration and what is said about it. */
import { describe, expect, test } from "vitest";
import * as fc from "fast-check";
import { configProblem } from "../../services/cluster/plan/config-problem.ts";
import { aCluster } from "./cluster-samples.ts";

const SET_IT =
  "spec.config: with spec.cluster.autoProvision set `auto-provision = false` in it, or Restate would provision a second time";
const SET_VARIABLE =
  'spec.compute.env: with spec.cluster.autoProvision the variable RESTATE_AUTO_PROVISION must be "false"';

interface Row {
  readonly name: string;
  readonly config?: string;
  readonly variable?: { value?: string; valueFrom?: object };
  /** Default true. */
  readonly autoProvision?: boolean;
  readonly expected: string | undefined;
}

function problemOf({ config, variable, autoProvision = true }: Omit<Row, "name" | "expected">) {
  const { spec } = aCluster({
    spec: {
      ...(config === undefined ? {} : { config }),
      ...(autoProvision ? { cluster: { autoProvision } } : {}),
    },
    compute:
      variable === undefined ? {} : { env: [{ name: "RESTATE_AUTO_PROVISION", ...variable }] },
  });
  return configProblem(spec, {});
}

test.each<Row>([
  {
    name: "no autoProvision: nothing is looked at",
    autoProvision: false,
    config: "= broken",
    expected: undefined,
  },
  { name: "off", config: "auto-provision = false", expected: undefined },
  {
    name: "off, among others",
    config: '# c\nroles = ["admin"]\nauto-provision=false\n[x]\ny=1',
    expected: undefined,
  },
  { name: "a quoted key", config: '"auto-provision" = false', expected: undefined },
  { name: "on", config: "auto-provision = true", expected: SET_IT },
  { name: "a string is not a boolean", config: 'auto-provision = "false"', expected: SET_IT },
  {
    name: "in a table it is another key",
    config: "[worker]\nauto-provision = false",
    expected: SET_IT,
  },
  { name: "another spelling is another key", config: "auto_provision = false", expected: SET_IT },
  { name: "in a comment", config: "# auto-provision = false", expected: SET_IT },
  { name: "no configuration", expected: SET_IT },
  {
    name: "dates and the largest integers of TOML are fine",
    config: "auto-provision = false\nd = 2026-01-01\ni = 9223372036854775807",
    expected: undefined,
  },
  { name: "the variable", variable: { value: "false" }, expected: undefined },
  {
    name: "the variable wins over the configuration",
    config: "auto-provision = true",
    variable: { value: "false" },
    expected: undefined,
  },
  {
    name: "the variable wins, wrong",
    config: "auto-provision = false",
    variable: { value: "true" },
    expected: SET_VARIABLE,
  },
  { name: "the variable, another spelling", variable: { value: "False" }, expected: SET_VARIABLE },
  { name: "the variable, empty", variable: { value: "" }, expected: SET_VARIABLE },
  {
    name: "the variable from elsewhere cannot be known",
    variable: { valueFrom: {} },
    expected: SET_VARIABLE,
  },
  {
    name: "not TOML",
    config: "= broken",
    expected: "spec.config is not valid TOML: Invalid TOML document: unexpected end of key",
  },
  {
    name: "twice the same key",
    config: "a = 1\na = 2",
    expected:
      "spec.config is not valid TOML: Invalid TOML document: trying to redefine an already defined table or value",
  },
  {
    name: "too long to be read",
    config: "#".repeat(256 * 1024 + 1),
    expected: "spec.config has 262145 characters, at most 262144 are read; shorten it",
  },
])("$name", ({ expected, ...row }) => {
  expect(problemOf(row)).toBe(expected);
});

describe("what is wrong is said without a word of the configuration, which can hold secrets", () => {
  const MARKER = "s3cretmarker";

  test.each([
    `password = ${MARKER}`,
    `password = "${MARKER}`,
    `password = '${MARKER}' ${MARKER}`,
    MARKER,
    `[${MARKER}`,
    `a = 1\na = "${MARKER}"`,
    `a.b = 1\n[a]\nb = "${MARKER}"\n= ${MARKER}`,
    `a = "\\${MARKER}"`,
    `a = "\\u${MARKER}"`,
    `a = { ${MARKER} = 1`,
    `a = [1, ${MARKER}]`,
    `a = 12${MARKER}`,
    `a = 2026-01-01T${MARKER}`,
    `a = 0x${MARKER}`,
    `a = "${MARKER}\n"`,
    `x = 1 ${MARKER}\ny = ${MARKER}`,
  ])("%j", (config) => {
    const problem = problemOf({ config });
    expect(problem).toContain("spec.config");
    expect(problem).not.toContain(MARKER);
  });

  test("whatever surrounds it", () => {
    const piece = fc.constantFrom(
      "=",
      '"',
      "'",
      "\n",
      "[",
      "]",
      "{",
      "}",
      ".",
      ",",
      "1",
      "a",
      "\\",
      "#",
      " ",
      MARKER,
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const problem = problemOf({
          config: `${pieces.join("")}${MARKER}${pieces.toReversed().join("")}`,
        });
        return problem?.includes(MARKER) !== true;
      }),
      { numRuns: 2_000, seed: 1 },
    );
  });
});
