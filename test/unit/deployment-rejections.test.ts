/** What an unsuccessful answer of the admin API means. */
import { expect, test } from "vitest";
import { classifyAdminFailure } from "../../services/deployment/apply/rejections.ts";

const message = "said";
const stalled = { kind: "stalled", reason: "AdminCallRejected", message };
const waiting = (
  reason: "AdminCallFailed" | "AdminCallRejected",
  requeueAfterMs: number,
): object => ({ kind: "waiting", reason, message, requeueAfterMs });

test.each([
  ["no answer", { status: 0 }, waiting("AdminCallFailed", 10_000)],
  ["META0003", { status: 500, restateCode: "META0003" }, waiting("AdminCallFailed", 10_000)],
  ["META0014", { status: 500, restateCode: "META0014" }, waiting("AdminCallFailed", 10_000)],
  ["META0003 as 400", { status: 400, restateCode: "META0003" }, waiting("AdminCallFailed", 10_000)],
  ["503", { status: 503 }, waiting("AdminCallFailed", 10_000)],
  ["503, later", { status: 503, retryAfterMs: 20_000 }, waiting("AdminCallFailed", 20_000)],
  ["429, later", { status: 429, retryAfterMs: 7_000 }, waiting("AdminCallFailed", 7_000)],
  ["429, at once", { status: 429, retryAfterMs: 0 }, waiting("AdminCallFailed", 1_000)],
  ["429, next year", { status: 429, retryAfterMs: 9e18 }, waiting("AdminCallFailed", 300_000)],
  ["429, never", { status: 429, retryAfterMs: Infinity }, waiting("AdminCallFailed", 10_000)],
  ["a redirect", { status: 302 }, waiting("AdminCallFailed", 10_000)],
  ["401", { status: 401 }, waiting("AdminCallRejected", 60_000)],
  ["403 of Restate", { status: 403, restateCode: "X" }, waiting("AdminCallRejected", 60_000)],
  ["404 of a proxy", { status: 404 }, waiting("AdminCallRejected", 60_000)],
  ["META0006", { status: 409, restateCode: "META0006" }, stalled],
  ["META0005", { status: 400, restateCode: "META0005" }, stalled],
])("%s", (_, failure, expected) => {
  expect(classifyAdminFailure({ ...failure, message })).toEqual(expected);
});
