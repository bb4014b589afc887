/** The environment of the services: every default, and every bad value named with what is wrong about it. */
import { describe, expect, test } from "vitest";
import { ConfigError, parseConfig } from "../../services/config.ts";

const REQUIRED = {
  BOOTSTRAP_INGRESS_URL: "http://restate-operator-bootstrap:8080",
  BOOTSTRAP_ADMIN_URL: "http://restate-operator-bootstrap:9070",
  SERVICES_URL: "http://restate-operator:9080",
  REQUEST_IDENTITY_KEY_FILE: "/identity/private.pem",
};
const DEFAULTS = {
  ...REQUIRED,
  OPERATOR_NAMESPACE: "restate-operator",
  OPERATOR_LABEL_NAME: "app.kubernetes.io/name",
  OPERATOR_LABEL_VALUE: "restate-operator",
  CLUSTER_DNS: "cluster.local",
  MANAGE_NETWORK_POLICIES: true,
  MANAGE_SECRET_PROVIDER_CLASSES: true,
  GCP_WORKLOAD_IDENTITY: false,
  CANARY_IMAGE: "alpine:3.21",
  ALLOW_HOST_ACCESS: false,
  SERVICES_PORT: 9080,
  HEALTH_PORT: 8080,
  BIND_ADDRESS: "0.0.0.0",
  LOG_LEVEL: "info",
};

describe("what is understood", () => {
  test.each<[string, Record<string, string>, object]>([
    ["only what is required", {}, {}],
    ["empty is unset", { OPERATOR_NAMESPACE: "", SERVICES_PORT: "", CLUSTER_PROXY: "" }, {}],
    [
      "URLs lose their last slash",
      { SERVICES_URL: "https://s/x//" },
      { SERVICES_URL: "https://s/x" },
    ],
    [
      "ports",
      { SERVICES_PORT: "0", HEALTH_PORT: "65535" },
      { SERVICES_PORT: 0, HEALTH_PORT: 65_535 },
    ],
    ["flags", { MANAGE_NETWORK_POLICIES: "false" }, { MANAGE_NETWORK_POLICIES: false }],
    [
      "clouds",
      {
        AWS_POD_IDENTITY_ASSOCIATION_CLUSTER: "eks",
        GCP_WORKLOAD_IDENTITY: "true",
        MANAGE_SECRET_PROVIDER_CLASSES: "false",
        CANARY_IMAGE: "example.test/canary:1",
      },
      {
        AWS_POD_IDENTITY_ASSOCIATION_CLUSTER: "eks",
        GCP_WORKLOAD_IDENTITY: true,
        MANAGE_SECRET_PROVIDER_CLASSES: false,
        CANARY_IMAGE: "example.test/canary:1",
      },
    ],
    ["domains", { CLUSTER_DNS: "k8s.example-1.org" }, { CLUSTER_DNS: "k8s.example-1.org" }],
    [
      "a proxy",
      { CLUSTER_PROXY: "127.0.0.1:8001" },
      { CLUSTER_PROXY: { host: "127.0.0.1", port: 8001 } },
    ],
    [
      "public keys",
      { REQUEST_IDENTITY_PUBLIC_KEYS: "publickeyv1_a, publickeyv1_b" },
      { REQUEST_IDENTITY_PUBLIC_KEYS: ["publickeyv1_a", "publickeyv1_b"] },
    ],
    ["what is none of its business", { HOME: "/x", PATH: "y" }, {}],
  ])("%s", (_, environment, expected) => {
    expect(parseConfig({ ...REQUIRED, ...environment })).toEqual({ ...DEFAULTS, ...expected });
  });

  test("public keys alone are enough", () => {
    const { REQUEST_IDENTITY_KEY_FILE: _, ...others } = REQUIRED;
    const environment = { ...others, REQUEST_IDENTITY_PUBLIC_KEYS: "publickeyv1_a" };
    expect(parseConfig(environment).REQUEST_IDENTITY_PUBLIC_KEYS).toEqual(["publickeyv1_a"]);
  });
});

const problemOf = (environment: Record<string, string | undefined>): string => {
  try {
    parseConfig(environment);
    return "none";
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message.replace("the environment cannot be used: ", "");
  }
};

describe("what is not, by name", () => {
  test.each<[string, string, string]>([
    ["BOOTSTRAP_INGRESS_URL", "restate:8080", "must be an http or https URL"],
    ["BOOTSTRAP_ADMIN_URL", "ftp://restate", "must be an http or https URL"],
    ["SERVICES_URL", "nothing", "must be an http or https URL"],
    ["SERVICES_PORT", "many", "must be a port number"],
    ["SERVICES_PORT", "-1", "must be 0 to 65535"],
    ["HEALTH_PORT", "65536", "must be 0 to 65535"],
    ["MANAGE_NETWORK_POLICIES", "yes", "must be true or false"],
    ["MANAGE_NETWORK_POLICIES", "TRUE", "must be true or false"],
    ["MANAGE_SECRET_PROVIDER_CLASSES", "no", "must be true or false"],
    ["GCP_WORKLOAD_IDENTITY", "1", "must be true or false"],
    ["CLUSTER_DNS", "cluster.local.", "must be a DNS domain"],
    ["CLUSTER_DNS", "evil/../x", "must be a DNS domain"],
    ["CLUSTER_PROXY", "localhost", "must be host:port"],
    ["CLUSTER_PROXY", "http://localhost:1", "must be host:port"],
    ["LOG_LEVEL", "loud", "must be a log level"],
    ["REQUEST_IDENTITY_PUBLIC_KEYS", "publickeyv1_a,key", "must be publickeyv1_…, comma separated"],
  ])("%s=%s", (name, value, problem) => {
    expect(problemOf({ ...REQUIRED, [name]: value })).toBe(`${name} ${problem}`);
  });

  test("HEALTH_PORT=9.5", () => {
    expect(problemOf({ ...REQUIRED, HEALTH_PORT: "9.5" })).toMatch(/^HEALTH_PORT /);
  });

  test.each(["BOOTSTRAP_INGRESS_URL", "BOOTSTRAP_ADMIN_URL", "SERVICES_URL"])(
    "%s missing or empty",
    (name) => {
      for (const value of [undefined, ""]) {
        expect(problemOf({ ...REQUIRED, [name]: value })).toBe(`${name} is missing`);
      }
    },
  );

  test("all of them at once", () => {
    expect(problemOf({ LOG_LEVEL: "loud" }).split("; ")).toEqual([
      "BOOTSTRAP_INGRESS_URL is missing",
      "BOOTSTRAP_ADMIN_URL is missing",
      "SERVICES_URL is missing",
      "LOG_LEVEL must be a log level",
      "REQUEST_IDENTITY_KEY_FILE or REQUEST_IDENTITY_PUBLIC_KEYS is missing: the services answer only a Restate they can recognise",
    ]);
  });
});
