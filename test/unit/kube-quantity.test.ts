/** Sizes of volumes as Kubernetes writes them. */
import { expect, test } from "vitest";
import { bytesOf } from "../../services/kube/quantity.ts";

test.each([
  ["2147483648", 2_147_483_648],
  ["2Gi", 2_147_483_648],
  ["1.5Gi", 1_610_612_736],
  [".5Ki", 512],
  ["1P", 1e15],
  ["1e3", 1_000],
  ["1E3", 1_000],
  ["2E", 2e18],
  ["1500m", 2],
  ["100u", 1],
  ["9007199254740991", Number.MAX_SAFE_INTEGER],
  ["0", 0],
])("%s is %d bytes", (quantity, bytes) => {
  expect(bytesOf(quantity)).toBe(bytes);
});

test.each([undefined, "", "Gi", "1GB", "one", "1 Gi", "constructor"])("%s is none", (quantity) => {
  expect(bytesOf(quantity)).toBeUndefined();
});
