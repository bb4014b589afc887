/** The names of versions, pinned by three that users have, and by what must and must not make another one. */
import { describe, expect, test } from "vitest";
import {
  podTemplateJson,
  versionHash,
  versionName,
  type VersionQuestion,
} from "../../services/deployment/plan/version-hash.ts";

const D01: VersionQuestion = {
  template: {
    metadata: { labels: { app: "d01" } },
    spec: { containers: [{ name: "s", image: "svc:1" }] },
  },
};
const D02: VersionQuestion = {
  template: {
    metadata: { labels: { v: "1", app: "d02" }, annotations: { sidecar: "no" } },
    spec: {
      containers: [
        {
          name: "s",
          image: "svc:1",
          ports: [{ containerPort: 8000 }, { name: "restate", containerPort: 9081 }],
          env: [
            { name: "B", value: "2" },
            { name: "A", value: "1" },
          ],
        },
      ],
    },
  },
  cluster: "c01-minimal",
};
const D03: VersionQuestion = {
  template: {
    metadata: { labels: { app: "d03" } },
    spec: {
      terminationGracePeriodSeconds: 5,
      containers: [{ name: "s", image: "svc:1", ports: [{ name: "h2c", containerPort: 9090 }] }],
    },
  },
  servicePath: "/svc/v1",
  useHttp11: true,
};
const TUNNEL = { environmentId: "env_123", region: "us", signingPublicKey: "publickeyv1_abc" };

describe("observed", () => {
  test.each([
    ["registered by url", D01, "64589f689"],
    ["registered by cluster", D02, "88866b5b56"],
    ["servicePath and HTTP/1.1", D03, "4887f94747"],
  ])("%s", (_, question, hash) => {
    expect(versionHash(question)).toBe(hash);
  });

  test("the name of a version", () => {
    expect(versionName("d02-cluster", versionHash(D02))).toBe("d02-cluster-88866b5b56");
  });
});

describe("what makes another version", () => {
  test.each<[string, VersionQuestion]>([
    ["a collision", { ...D01, collisionCount: 1 }],
    ["a cluster", { ...D01, cluster: "c" }],
    ["a service path", { ...D01, servicePath: "/" }],
    ["HTTP/1.1", { ...D01, useHttp11: true }],
    ["an in-process tunnel", { ...D01, tunnel: TUNNEL }],
    ["another environment", { ...D01, tunnel: { ...TUNNEL, environmentId: "env_456" } }],
    ["a label", { template: { ...D01.template, metadata: { labels: { app: "d01", x: "" } } } }],
    ["a null", { template: { ...D01.template, spec: { ...D01.template.spec, x: null } } }],
    ["no metadata", { template: { spec: D01.template.spec } }],
  ])("%s", (_, question) => {
    expect(versionHash(question)).not.toBe(versionHash(D01));
  });

  test("no two ways to cut a tunnel's values make one version", () => {
    const one = { environmentId: "env_a", region: "bc", signingPublicKey: "d" };
    const other = { environmentId: "env_ab", region: "c", signingPublicKey: "d" };
    expect(versionHash({ ...D01, tunnel: one })).not.toBe(versionHash({ ...D01, tunnel: other }));
  });
});

describe("what does not", () => {
  test.each<[string, VersionQuestion]>([
    ["HTTP/1.1 said to be off", { ...D01, useHttp11: false }],
    [
      "the order of members",
      {
        template: {
          spec: { containers: [{ image: "svc:1", name: "s" }] },
          metadata: { labels: { app: "d01" } },
        },
      },
    ],
  ])("%s", (_, question) => {
    expect(versionHash(question)).toBe(versionHash(D01));
  });
});

describe("the annotation restate.dev/pod-template", () => {
  test.each([
    [
      "observed",
      D02.template,
      '{"metadata":{"annotations":{"sidecar":"no"},"labels":{"app":"d02","v":"1"}},"spec":{"containers":[{"env":[{"name":"B","value":"2"},{"name":"A","value":"1"}],"image":"svc:1","name":"s","ports":[{"containerPort":8000},{"containerPort":9081,"name":"restate"}]}]}}',
    ],
    ["without metadata", { spec: {} }, '{"metadata":null,"spec":{}}'],
    ["with empty metadata", { metadata: {}, spec: {} }, '{"metadata":{},"spec":{}}'],
    [
      "keys that look like numbers are sorted as text",
      { metadata: { labels: { "9": "a", "10": "b" } }, spec: { b: null, a: "é\n" } },
      '{"metadata":{"labels":{"10":"b","9":"a"}},"spec":{"a":"é\\n","b":null}}',
    ],
  ])("%s", (_, template, json) => {
    expect(podTemplateJson(template)).toBe(json);
  });
});
