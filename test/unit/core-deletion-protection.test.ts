/** A resource whose deletion is held is not gone for those who use it. */
import { expect, test } from "vitest";
import { isDeletionProtected, isGoing } from "../../services/core/deletion-protection.ts";

const deletionTimestamp = "2026-01-02T03:04:05Z";
const annotated = (value: string) => ({
  annotations: { "restate.dev/deletion-protection": value },
});

test.each([
  { name: "as any other", metadata: {}, held: false, going: false },
  { name: "deleted", metadata: { deletionTimestamp }, held: false, going: true },
  { name: "protected", metadata: annotated("enabled"), held: true, going: false },
  {
    name: "protected and deleted",
    metadata: { ...annotated("enabled"), deletionTimestamp },
    held: true,
    going: false,
  },
  {
    name: "deleted, with another value",
    metadata: { ...annotated("true"), deletionTimestamp },
    held: false,
    going: true,
  },
])("$name", ({ metadata, held, going }) => {
  expect([isDeletionProtected(metadata), isGoing(metadata)]).toEqual([held, going]);
});
