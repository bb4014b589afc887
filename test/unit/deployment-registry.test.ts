/** Whose a deployment is: by its URL, and by the metadata it was registered with. */
import { describe, expect, test } from "vitest";
import {
  isOfAnother,
  registrationMetadata,
  servedBy,
  versionOf,
  type RegistrySite,
} from "../../services/deployment/observe/registry.ts";

const SITE: RegistrySite = {
  registrant: { kubernetes: "cluster-uid", namespace: "shop", name: "cart" },
  urlPrefix: "http://cart-",
  urlRest: ".shop.svc.cluster.local:9080",
};

describe("the version of a URL", () => {
  test.each<[string, string | undefined]>([
    ["http://cart-64589f689.shop.svc.cluster.local:9080/", "cart-64589f689"],
    ["http://cart-64589f689.shop.svc.cluster.local:9080/svc/v1", "cart-64589f689"],
    // another resource whose name begins the same
    ["http://cart-api-64589f689.shop.svc.cluster.local:9080/", undefined],
    ["http://cart-64589f689.other.svc.cluster.local:9080/", undefined],
    ["http://cart-64589f689.shop.svc.cluster.example:9080/", undefined],
    ["http://cart-.shop.svc.cluster.local:9080/", undefined],
    ["http://cart-1234567890.shop.svc.cluster.local:9080/", undefined],
    ["http://elsewhere/?http://cart-64589f689.shop.svc.cluster.local:9080/", undefined],
    ["https://cart-64589f689.shop.svc.cluster.local:9080/", undefined],
  ])("%s", (url, expected) => {
    expect(versionOf(url, SITE)).toBe(expected);
  });
});

describe("the version that a URL without metadata leads to", () => {
  test.each<[string, ReturnType<typeof servedBy>]>([
    [
      "http://till-64589f689.shop.svc.cluster.local:9080/",
      { namespace: "shop", name: "till-64589f689" },
    ],
    [
      "http://till-api-64589f689.other.svc.cluster.local:9080/svc/v1",
      { namespace: "other", name: "till-api-64589f689" },
    ],
    // a Service that somebody registered by hand
    ["http://till.shop.svc.cluster.local:9080/", undefined],
    ["http://till-v1.shop.svc.cluster.local:9080/", undefined],
    ["http://till-64589f689.shop.svc.cluster.example:9080/", undefined],
    ["http://till-64589f689.shop.svc.cluster.local.evil.example/", undefined],
    ["http://till-64589f689:9080/", undefined],
    ["arn:aws:lambda:eu-central-1:123:function:till:1", undefined],
    ["", undefined],
  ])("%s", (url, expected) => {
    expect(servedBy(url, "cluster.local")).toEqual(expected);
  });
});

describe("belongs to another resource", () => {
  const own = registrationMetadata(SITE.registrant, { uid: "u", version: "cart-64589f689" });
  test.each<[string, Record<string, string> | undefined, boolean]>([
    ["registered by this operator for this resource", own, false],
    ["for a resource of this name that was deleted", { ...own, "restate.dev/uid": "older" }, false],
    ["in another Kubernetes cluster", { ...own, "restate.dev/kubernetes-uid": "other" }, true],
    ["in another namespace", { ...own, "restate.dev/namespace": "other" }, true],
    ["for another resource", { ...own, "restate.dev/name": "other" }, true],
    ["by hand, without metadata", undefined, false],
    ["by hand, with metadata of its own", { team: "blue" }, false],
  ])("%s", (_, metadata, expected) => {
    const deployment = {
      id: "dp_1",
      services: [],
      ...(metadata === undefined ? {} : { metadata }),
    };
    expect(isOfAnother(deployment, SITE.registrant)).toBe(expected);
  });
});
