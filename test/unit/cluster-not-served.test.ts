/** Fields this release does not carry out are refused by name; an empty list asks for nothing. */
import { describe, expect, test } from "vitest";
import { notServedFields } from "../../services/cluster/not-served.ts";

const compute = { image: "restatedev/restate:1.7.12" };
const storage = { storageRequestBytes: 1 };

describe("notServedFields", () => {
  test.each([
    { name: "a plain cluster", spec: { compute, storage }, expected: [] },
    {
      name: "empty lists",
      spec: {
        compute: { ...compute, sidecars: [], extraVolumes: [] },
        storage,
        security: { trustedCaCerts: [] },
      },
      expected: [],
    },
    {
      name: "all of them",
      spec: {
        compute: {
          ...compute,
          sidecars: [{ name: "s" }],
          extraVolumes: [{ name: "v" }],
          extraVolumeMounts: [{ name: "v", mountPath: "/v" }],
        },
        storage,
        security: {
          requestSigningPrivateKey: { version: "v1", secret: { secretName: "s", key: "k" } },
          trustedCaCerts: [{ secretName: "ca", key: "ca.pem" }],
        },
      },
      expected: [
        "spec.compute.sidecars",
        "spec.compute.extraVolumes",
        "spec.compute.extraVolumeMounts",
        "spec.security.requestSigningPrivateKey.secret",
        "spec.security.trustedCaCerts",
      ],
    },
  ])("$name", ({ spec, expected }) => {
    expect(notServedFields(spec)).toEqual(expected);
  });
});
