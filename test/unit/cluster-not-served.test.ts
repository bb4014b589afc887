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
        compute,
        storage,
        security: { awsPodSecurityGroups: [] },
      },
      expected: [],
    },
    {
      name: "a signing key from a Secret",
      spec: {
        compute,
        storage,
        security: {
          requestSigningPrivateKey: { version: "v1", secret: { secretName: "s", key: "k" } },
        },
      },
      expected: [],
    },
    {
      name: "all of them",
      spec: {
        compute,
        storage,
        security: {
          requestSigningPrivateKey: { version: "v1", secretProvider: { path: "key.pem" } },
          awsPodIdentityAssociationRoleArn: "arn:aws:iam::111122223333:role/r",
          awsPodSecurityGroups: ["sg-1"],
        },
      },
      expected: [
        "spec.security.requestSigningPrivateKey.secretProvider",
        "spec.security.awsPodIdentityAssociationRoleArn",
        "spec.security.awsPodSecurityGroups",
      ],
    },
  ])("$name", ({ spec, expected }) => {
    expect(notServedFields(spec)).toEqual(expected);
  });
});
