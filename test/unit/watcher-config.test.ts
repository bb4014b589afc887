/** The environment: what is accepted, and what a wrong variable is told. */
import { describe, expect, test } from "vitest";
import { buildEvent } from "../../watcher/events.ts";
import { ConfigError, parseConfig } from "../../watcher/config.ts";

const GIVEN = { BOOTSTRAP_INGRESS_URL: "http://bootstrap:8080/", KUBECONFIG: "/k" };

describe("configuration", () => {
  test("defaults", () => {
    expect(parseConfig(GIVEN, undefined)).toEqual({
      ingressUrl: "http://bootstrap:8080",
      authTokenFile: undefined,
      bindAddress: "0.0.0.0",
      healthPort: 8080,
      logLevel: "info",
      operatorNamespace: undefined,
      operatorPod: undefined,
      managed: { networkPolicies: true, podIdentity: false, workloadIdentity: false },
      resyncMs: 600_000,
      idleMs: 100_000,
      concurrency: 16,
      credentials: { kind: "environment" },
    });
  });

  test("everything given; empty is absent", () => {
    const environment = {
      ...GIVEN,
      BOOTSTRAP_AUTH_TOKEN_FILE: "/token",
      BIND_ADDRESS: "127.0.0.1",
      HEALTH_PORT: "0",
      LOG_LEVEL: "debug",
      OPERATOR_NAMESPACE: "restate-operator",
      OPERATOR_POD_NAME: "watcher-0",
      OPERATOR_POD_UID: "u",
      RESYNC_SECONDS: "60",
      WATCH_IDLE_SECONDS: "",
      WAKE_CONCURRENCY: "4",
      MANAGE_NETWORK_POLICIES: "false",
      AWS_POD_IDENTITY_ASSOCIATION_CLUSTER: "eks",
      GCP_WORKLOAD_IDENTITY: "true",
    };
    expect(parseConfig(environment, "/file")).toEqual({
      ingressUrl: "http://bootstrap:8080",
      authTokenFile: "/token",
      bindAddress: "127.0.0.1",
      healthPort: 0,
      logLevel: "debug",
      operatorNamespace: "restate-operator",
      operatorPod: { namespace: "restate-operator", name: "watcher-0", uid: "u" },
      managed: { networkPolicies: false, podIdentity: true, workloadIdentity: true },
      resyncMs: 60_000,
      idleMs: 100_000,
      concurrency: 4,
      credentials: { kind: "file", path: "/file" },
    });
  });

  test("in a pod, without a kubeconfig, the service account is used", () => {
    const environment = { ...GIVEN, KUBECONFIG: "", KUBERNETES_SERVICE_HOST: "10.96.0.1" };
    expect(parseConfig(environment, undefined).credentials).toEqual({ kind: "serviceAccount" });
  });

  test.each([
    [{ BOOTSTRAP_INGRESS_URL: "" }, "BOOTSTRAP_INGRESS_URL: is required"],
    [{ BOOTSTRAP_INGRESS_URL: "bootstrap:8080" }, "must be an http:// or https:// URL"],
    [{ BOOTSTRAP_INGRESS_URL: "ftp://x" }, "must be an http:// or https:// URL"],
    [{ HEALTH_PORT: "80a" }, "HEALTH_PORT: must be a whole number"],
    [{ HEALTH_PORT: "70000" }, "HEALTH_PORT: must be between 0 and 65535"],
    [{ RESYNC_SECONDS: "0" }, "RESYNC_SECONDS: must be between 1 and 86400"],
    [{ WATCH_IDLE_SECONDS: "-1" }, "WATCH_IDLE_SECONDS: must be a whole number"],
    [{ WAKE_CONCURRENCY: "0" }, "WAKE_CONCURRENCY: must be between 1 and 256"],
    [{ OPERATOR_NAMESPACE: "a/b" }, "OPERATOR_NAMESPACE: must be the name of a namespace"],
    [{ GCP_WORKLOAD_IDENTITY: "yes" }, "GCP_WORKLOAD_IDENTITY: must be true or false"],
    [{ LOG_LEVEL: "loud" }, "LOG_LEVEL"],
    [{ KUBECONFIG: "" }, "no Kubernetes credentials"],
  ])("%j → %s", (wrong, message) => {
    const parse = () => parseConfig({ ...GIVEN, ...wrong }, undefined);
    expect(parse).toThrow(ConfigError);
    expect(parse).toThrow(message);
  });

  test("every wrong variable is named at once", () => {
    expect(() => parseConfig({ HEALTH_PORT: "x", RESYNC_SECONDS: "y" }, undefined)).toThrow(
      /BOOTSTRAP_INGRESS_URL.*HEALTH_PORT.*RESYNC_SECONDS/,
    );
  });
});

test("an event on the operator's pod", () => {
  const pod = { namespace: "op", name: "watcher-0", uid: "u" };
  const announcement = { reason: "WaitingForCRD", note: "x is not installed" } as const;
  expect(buildEvent(pod, announcement, new Date("2026-01-02T03:04:05.678Z"))).toEqual({
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    metadata: { generateName: "watcher-0-", namespace: "op" },
    eventTime: "2026-01-02T03:04:05.678000Z",
    reportingController: "restate-operator",
    reportingInstance: "watcher-0",
    action: "WatchResources",
    reason: "WaitingForCRD",
    note: "x is not installed",
    type: "Warning",
    regarding: { apiVersion: "v1", kind: "Pod", namespace: "op", name: "watcher-0", uid: "u" },
  });
});
