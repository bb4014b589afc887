/** Where the operator calls, under which URL a version is known, and where it does not go whoever asks. */
import { describe, expect, test } from "vitest";
import {
  adminTargetOf,
  inProcessTunnelOf,
} from "../../services/deployment/observe/admin-target.ts";
import { deploymentUrlOf } from "../../services/deployment/observe/deployment-url.ts";
import {
  refusedAddress,
  refusedResolution,
  refusedTarget,
} from "../../services/deployment/observe/refused-target.ts";
import { guardedLookup } from "../../services/restate/dial.ts";

const token = { secretName: "cloud-token", key: "token" };
const environment = {
  uid: "rce-uid",
  environmentId: "env_abc123",
  region: "us",
  signingPublicKey: "publickeyv1_k",
  token,
};
const context = { clusterDns: "cluster.local" };

describe("admin API", () => {
  test.each([
    ["cluster", { cluster: "c1" }, { url: "http://restate.c1.svc.cluster.local:9070" }],
    [
      "service",
      { service: { name: "s", namespace: "n" } },
      { url: "http://s.n.svc.cluster.local:9070" },
    ],
    [
      "service with port and path",
      { service: { name: "s", namespace: "n", port: 80, path: "/restate/" } },
      { url: "http://s.n.svc.cluster.local:80/restate" },
    ],
    ["url", { url: "https://Admin.example:9070/x//" }, { url: "https://admin.example:9070/x" }],
    ["cloud", { cloud: "e" }, { url: "https://abc123.env.us.restate.cloud:9070", token }],
  ])("%s", (_, register, target) => {
    expect(adminTargetOf(register, { ...context, environment })).toEqual({
      kind: "target",
      target,
    });
  });

  test.each([
    ["none", {}, "must have exactly one of cluster, cloud, service and url"],
    [
      "two",
      { cluster: "a", url: "http://a" },
      "must have exactly one of cluster, cloud, service and url",
    ],
    [
      "another host by the cluster's name",
      { cluster: "c@evil.example/" },
      "cluster must be the name of a RestateCluster: a DNS label",
    ],
    [
      "another host by the service's name",
      { service: { name: "s.evil.example#", namespace: "n" } },
      "service.name must be a DNS label",
    ],
    [
      "another host by the namespace",
      { service: { name: "s", namespace: "n/x" } },
      "service.namespace must be a DNS label",
    ],
    [
      "port 0",
      { service: { name: "s", namespace: "n", port: 0 } },
      "service.port must be between 1 and 65535",
    ],
    [
      "a path upwards",
      { service: { name: "s", namespace: "n", path: "/a/%2e%2E/b" } },
      "service.path must be a plain URL path such as /restate",
    ],
    [
      "a path with //",
      { service: { name: "s", namespace: "n", path: "//evil.example" } },
      "service.path must be a plain URL path such as /restate",
    ],
    ["another protocol", { url: "file:///etc/passwd" }, "url must be an http:// or https:// URL"],
    ["credentials", { url: "http://a:b@c" }, "url must not have credentials"],
    ["a query", { url: "http://a/?b" }, "url must not have a query or fragment"],
  ])("refuses %s", (_, register, message) => {
    expect(adminTargetOf(register, context)).toEqual({
      kind: "refused",
      message: `spec.restate.register.${message}`,
    });
  });

  test.each([
    ["no environment", undefined, "there is no RestateCloudEnvironment e"],
    [
      "a region that ends the host",
      { ...environment, region: "us.evil.example/" },
      "RestateCloudEnvironment e: spec.region must be the name of a region, for example us or eu",
    ],
    [
      "an id that ends the host",
      { ...environment, environmentId: "env_x#" },
      "RestateCloudEnvironment e: spec.environmentId must be env_ and then letters and digits",
    ],
  ])("gives no token to %s", (_, given, message) => {
    const result = adminTargetOf(
      { cloud: "e" },
      { ...context, ...(given === undefined ? {} : { environment: given }) },
    );
    expect(result).toEqual({
      kind: "refused",
      message: `spec.restate.register.cloud: ${message}`,
    });
  });
});

const VERSION = { version: "d-4f", namespace: "ns", clusterDns: "cluster.local" };
const PROXY = "https://tunnel.us.restate.cloud:9080/abc123";

describe("URL of a version", () => {
  test.each([
    ["no path", {}, "http://d-4f.ns.svc.cluster.local:9080/"],
    ["a path", { servicePath: "svc/v1" }, "http://d-4f.ns.svc.cluster.local:9080/svc/v1"],
    ["one slash", { servicePath: "//svc/v1/" }, "http://d-4f.ns.svc.cluster.local:9080/svc/v1/"],
    [
      "a path stays a path",
      { servicePath: "a?b#c" },
      "http://d-4f.ns.svc.cluster.local:9080/a%3Fb%23c",
    ],
    [
      "another host does not hide in it",
      { servicePath: "http://evil.example/" },
      "http://d-4f.ns.svc.cluster.local:9080/http://evil.example/",
    ],
    [
      "through the tunnel",
      { tunnel: { environment, mode: "external" as const }, servicePath: "/v1" },
      `${PROXY}/rce-uid/http/d-4f.ns.svc.cluster.local/9080/v1`,
    ],
    [
      "in-process",
      { tunnel: { environment, mode: "in-process" as const }, servicePath: "/v1" },
      `${PROXY}/d-4f/http/in-process/9080/v1`,
    ],
  ])("%s", (_, question, url) => {
    expect(deploymentUrlOf({ ...VERSION, ...question })).toEqual({ kind: "url", url });
  });

  test.each(["..", "a/../../b", "a/%2e%2e/b", "%2E%2E", ".", "\\..\\x"])(
    "a path only appends: %s",
    (servicePath) => {
      const tunnel = { environment, mode: "in-process" as const };
      expect(deploymentUrlOf({ ...VERSION, tunnel, servicePath })).toEqual({
        kind: "refused",
        message: "spec.restate.servicePath must be a plain URL path such as /v1, without '..'",
      });
    },
  );

  test("a tunnel only of an environment that can have one", () => {
    const tunnel = { environment: { ...environment, region: "" }, mode: "external" as const };
    expect(deploymentUrlOf({ ...VERSION, tunnel })).toEqual({
      kind: "refused",
      message:
        "spec.restate.register.cloud: spec.region must be the name of a region, for example us or eu",
    });
  });

  test("pods that hold a tunnel get the id in its long form", () => {
    const unprefixed = { ...environment, environmentId: "abc123" };
    expect([environment, unprefixed].map(inProcessTunnelOf)).toEqual([
      { environmentId: "env_abc123", region: "us", signingPublicKey: "publickeyv1_k" },
      { environmentId: "env_abc123", region: "us", signingPublicKey: "publickeyv1_k" },
    ]);
  });
});

describe("where nobody is sent", () => {
  test.each([
    ["http://127.0.0.1:9070", "127.0.0.1 is a loopback address"],
    ["http://2130706433/", "127.0.0.1 is a loopback address"],
    ["http://0x7f.1/", "127.0.0.1 is a loopback address"],
    ["http://0177.0.0.1/", "127.0.0.1 is a loopback address"],
    ["http://127.0.0.1./", "127.0.0.1 is a loopback address"],
    ["http://LOCALHOST./", "localhost is this machine"],
    ["http://a.localhost/", "a.localhost is this machine"],
    ["http://[::1]:9070", "[::1] is a loopback address"],
    ["http://[::ffff:127.0.0.1]/", "[::ffff:7f00:1] is a loopback address"],
    ["http://[::127.0.0.1]/", "[::7f00:1] is a loopback address"],
    ["http://[64:ff9b::169.254.169.254]/", "[64:ff9b::a9fe:a9fe] is a link-local address"],
    ["http://[2002:a9fe:a9fe::1]/", "[2002:a9fe:a9fe::1] is a link-local address"],
    ["http://[fe80::1]/", "[fe80::1] is a link-local address"],
    ["http://[fd00:ec2::254]/", "[fd00:ec2::254] is a metadata service"],
    ["http://[::]/", "[::] is an unspecified address"],
    ["http://0/", "0.0.0.0 is an unspecified address"],
    ["http://169.254.169.254/latest", "169.254.169.254 is a link-local address"],
    ["http://2852039166/", "169.254.169.254 is a link-local address"],
    ["http://metadata.google.internal/", "metadata.google.internal is a metadata service"],
    ["http://100.100.100.200/", "100.100.100.200 is a metadata service"],
    ["http://224.0.0.1/", "224.0.0.1 is a multicast or reserved address"],
    ["https://kubernetes.default.svc/", "kubernetes.default.svc is the Kubernetes API server"],
    [
      "https://Kubernetes.default.svc.cluster.local./",
      "kubernetes.default.svc.cluster.local is the Kubernetes API server",
    ],
    ["http://boot.op.svc:9070", "boot.op.svc is one of the operator's own"],
    ["http://10.96.0.1:443", "10.96.0.1 is one of the operator's own"],
    ["ftp://a/", "it begins with ftp:, not with http: or https:"],
    ["http://u:p@a/", "it has credentials in it"],
    ["not a URL", "it is not a URL"],
  ])("%s", (url, reason) => {
    const policy = { allowed: [], reserved: ["boot.op.svc", "10.96.0.1"] };
    expect(refusedTarget(url, policy)).toBe(reason);
  });

  test.each([
    "http://10.0.0.1:9070",
    "http://192.168.1.1",
    "http://restate.c1.svc.cluster.local:9070",
    "https://abc.env.us.restate.cloud:9070",
    "http://[2001:db8::1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://kubernetes.example/",
    "http://127.0.0.1.nip.example/",
  ])("but to %s", (url) => {
    expect(refusedTarget(url, { allowed: [] })).toBeUndefined();
  });

  test.each([
    ["http://127.0.0.1:9070", ["127.0.0.1"], true],
    ["http://127.0.0.1:9070", ["127.0.0.1:9070"], true],
    ["http://127.0.0.1:9071", ["127.0.0.1:9070"], false],
    ["http://127.0.0.1", ["127.0.0.1:80"], true],
    ["http://[::1]:9070", ["[::1]:9070"], true],
    ["http://localhost.:9070", ["localhost"], true],
    ["http://127.0.0.2", ["127.0.0.1"], false],
    ["http://127.0.0.1", [""], false],
  ])("%s, allowed %j: %s", (url, allowed, passes) => {
    expect(refusedTarget(url, { allowed }) === undefined).toBe(passes);
  });

  test.each([
    ["127.0.0.1", "127.0.0.1 is a loopback address"],
    ["::ffff:127.0.0.1", "::ffff:127.0.0.1 is a loopback address"],
    ["fe80::1%eth0", "fe80::1%eth0 is a link-local address"],
    ["10.0.0.1", undefined],
    ["2001:db8::1", undefined],
    ["a.example", undefined],
  ])("after resolution: %s", (address, reason) => {
    expect(refusedAddress(address)).toBe(reason);
  });
});

const resolve = (host: string, allowed: readonly string[]): Promise<string> =>
  new Promise((answer) => {
    const lookup = guardedLookup((resolved) => refusedResolution(resolved, { allowed }));
    lookup(host, { all: true }, (error) => answer(error?.message ?? "resolved"));
  });

describe("a name that is connected to", () => {
  test("is refused by what it resolves to", async () => {
    expect(await resolve("localhost", [])).toMatch(
      /^localhost is not to be connected to: .* is a loopback address$/,
    );
  });

  test.each([["localhost"], ["LOCALHOST:9070"]])(
    "is connected to where %s is allowed",
    async (entry) => {
      expect(await resolve("localhost", [entry])).toBe("resolved");
    },
  );
});
