/** What `restate.dev/reconcile: disabled` stops, and what the status says of it. */
import { describe, expect, test } from "vitest";
import {
  disabledStatus,
  isDisabled,
  reconciliationOf,
} from "../../services/core/reconciliation.ts";

const NOW = "2026-01-02T03:04:05Z";
const annotated = (value: string) => ({ annotations: { "restate.dev/reconcile": value } });

const full = (state: string) => (state === "Resuming" ? "ResumingReconciliation" : state);

describe("isDisabled", () => {
  test.each([
    { name: "by that value", metadata: annotated("disabled"), expected: true },
    { name: "in no other spelling", metadata: annotated("Disabled"), expected: false },
    { name: "not by another value", metadata: annotated("false"), expected: false },
    { name: "not without the annotation", metadata: {}, expected: false },
    {
      name: "never while being deleted",
      metadata: { ...annotated("disabled"), deletionTimestamp: NOW },
      expected: false,
    },
  ])("$name", ({ metadata, expected }) => {
    expect(isDisabled({ metadata })).toBe(expected);
  });
});

describe("reconciliationOf", () => {
  test.each([
    { name: "a new resource", ready: "False", expected: "Reconciling" },
    { name: "as ever", before: "Reconciling", ready: "Unknown", expected: "Reconciling" },
    { name: "enabled, not ready", before: "Disabled", ready: "False", expected: "Resuming" },
    { name: "enabled, failing", before: "Disabled", ready: "Unknown", expected: "Resuming" },
    { name: "still not ready", before: "Resuming", ready: "False", expected: "Resuming" },
    { name: "ready again", before: "Resuming", ready: "True", expected: "Reconciling" },
    { name: "ready at once", before: "Disabled", ready: "True", expected: "Reconciling" },
    {
      name: "disabled, whatever Ready says",
      metadata: annotated("disabled"),
      before: "Reconciling",
      ready: "True",
      expected: "Disabled",
    },
    {
      name: "deleted while disabled",
      metadata: { ...annotated("disabled"), deletionTimestamp: NOW },
      before: "Disabled",
      ready: "False",
      expected: "Reconciling",
    },
  ] as const)("$name", (row) => {
    const status = "before" in row ? { reconciliation: full(row.before) } : undefined;
    const metadata = "metadata" in row ? row.metadata : {};
    expect(reconciliationOf({ metadata, status }, row.ready)).toBe(full(row.expected));
  });
});

test("a disabled resource keeps its status and gets that word once", () => {
  const before = { replicas: 3, reconciliation: "Reconciling" };
  const disabled = { replicas: 3, reconciliation: "Disabled" };
  expect(disabledStatus(before)).toEqual(disabled);
  expect(disabledStatus(disabled)).toBeUndefined();
});
