/** What the tests read from the API server's audit log, and how images are named: pure. */
import { describe, expect, test } from "vitest";
import { qualifiedImageName } from "../../bootstrap/images/scratch.ts";
import { isWrite, parseAuditLine } from "../harness/audit.ts";

describe("an audit line becomes a record", () => {
  const line = {
    verb: "patch",
    user: { username: "system:serviceaccount:restate-operator:restate-operator" },
    userAgent: "restate-operator/0.1.0",
    objectRef: {
      resource: "restateclusters",
      name: "example",
      apiGroup: "restate.dev",
      subresource: "status",
    },
    responseStatus: { code: 200 },
    requestReceivedTimestamp: "2026-01-02T03:04:05.678901Z",
    stageTimestamp: "2026-01-02T03:04:05.700000Z",
  };

  test("with every member, absent ones empty, and times to the microsecond", () => {
    const record = parseAuditLine(JSON.stringify(line));
    expect(record).toEqual({
      user: "system:serviceaccount:restate-operator:restate-operator",
      verb: "patch",
      apiGroup: "restate.dev",
      resource: "restateclusters",
      namespace: "",
      name: "example",
      subresource: "status",
      code: 200,
      receivedAtMs: expect.closeTo(Date.parse("2026-01-02T03:04:05Z") + 678.901, 3) as number,
      answeredAtMs: Date.parse("2026-01-02T03:04:05.700Z"),
      userAgent: "restate-operator/0.1.0",
    });
    expect(isWrite(record)).toBe(true);
  });

  test.each(["get", "list", "watch"])("%s is not a write", (verb) => {
    expect(isWrite(parseAuditLine(JSON.stringify({ ...line, verb })))).toBe(false);
  });
});

test.each([
  ["nginx", "docker.io/library/nginx:latest"],
  ["nginx:1.27", "docker.io/library/nginx:1.27"],
  ["restatedev/restate:1.7.12", "docker.io/restatedev/restate:1.7.12"],
  ["ghcr.io/restatedev/restate-operator:0.1.0", "ghcr.io/restatedev/restate-operator:0.1.0"],
  ["localhost/pause", "localhost/pause:latest"],
  ["localhost:5000/pause:1", "localhost:5000/pause:1"],
])("the kubelet looks up %s as %s", (name, expected) => {
  expect(qualifiedImageName(name)).toBe(expected);
});
