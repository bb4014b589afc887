/**
 * The objects of a version, field by field as users have them (test/fixtures/observed/deployment.yaml, read back from an API
 * server). What the API server adds by itself is on a list, so that nothing else can hide behind it.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import type { RestateDeploymentSpec } from "../../crds/restate-deployment.ts";
import type { DeploymentView } from "../../services/deployment/api.ts";
import { buildHpa } from "../../services/deployment/build/horizontal-pod-autoscaler.ts";
import { buildReplicaSet, replicaSetProblem } from "../../services/deployment/build/replica-set.ts";
import { buildVersionService, targetPortOf } from "../../services/deployment/build/service.ts";
import { buildStableService } from "../../services/deployment/build/stable-service.ts";
import { versionHash, versionName } from "../../services/deployment/plan/version-hash.ts";

type Json = { readonly [member: string]: unknown };

const FIXTURE = path.join(import.meta.dirname, "../fixtures/observed/deployment.yaml");
const observed = parseAllDocuments(readFileSync(FIXTURE, "utf8")).map((document): Json =>
  document.toJS(),
);
const observedOf = (kind: string): Json => observed.find((each) => each["kind"] === kind)!;

/** What a Kubernetes API server fills in. */
const DEFAULTS = [
  ".spec.internalTrafficPolicy",
  ".spec.ipFamilies",
  ".spec.ipFamilyPolicy",
  ".spec.ports.0.protocol",
  ".spec.sessionAffinity",
  ".spec.template.spec.containers.0.imagePullPolicy",
  ".spec.template.spec.containers.0.ports.0.protocol",
  ".spec.template.spec.containers.0.ports.1.protocol",
  ".spec.template.spec.containers.0.resources",
  ".spec.template.spec.containers.0.terminationMessagePath",
  ".spec.template.spec.containers.0.terminationMessagePolicy",
  ".spec.template.spec.dnsPolicy",
  ".spec.template.spec.restartPolicy",
  ".spec.template.spec.schedulerName",
  ".spec.template.spec.securityContext",
  ".spec.template.spec.terminationGracePeriodSeconds",
  ".spec.type",
];

const isJson = (value: unknown): value is Json => typeof value === "object" && value !== null;

/** Paths at which the two differ, absent and `undefined` being the same. */
function differences(ours: unknown, theirs: unknown, at = ""): string[] {
  if (!isJson(ours) || !isJson(theirs)) return ours === theirs ? [] : [at];
  const members = new Set([...Object.keys(ours), ...Object.keys(theirs)]);
  return [...members].flatMap((member) =>
    differences(ours[member], theirs[member], `${at}.${member}`),
  );
}

const SPEC: RestateDeploymentSpec = {
  replicas: 2,
  revisionHistoryLimit: 10,
  restate: { register: { cluster: "c01-minimal" } },
  selector: { matchLabels: { app: "d02" } },
  template: {
    metadata: { labels: { app: "d02", v: "1" }, annotations: { sidecar: "no" } },
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
};

const view = (spec: Partial<RestateDeploymentSpec> = {}): DeploymentView => ({
  name: "d02-cluster",
  namespace: "rd",
  uid: "<uid>",
  labels: { team: "a" },
  annotations: { note: "x" },
  spec: { ...SPEC, ...spec },
});

const hash = versionHash({ template: SPEC.template, cluster: "c01-minimal" });
const version = { name: versionName("d02-cluster", hash), hash };
/** As it is once it has been made. */
const served = {
  ...version,
  matchLabels: { app: "d02", "pod-template-hash": hash },
  targetPort: 9081,
};
const url = { restate: { register: { url: "http://admin:9070" } } };
const withPod = (spec: Json): Partial<RestateDeploymentSpec> => ({
  ...url,
  template: { ...SPEC.template, spec },
});
const TUNNEL = { environmentId: "env_1", region: "us", signingPublicKey: "publickeyv1_k" };

describe("as observed", () => {
  test.each<[string, object]>([
    ["ReplicaSet", buildReplicaSet(view(), { version, replicas: 2 })],
    ["Service", buildVersionService(view(), served, { replicaSetUid: "<uid>", latest: false })],
  ])("%s", (kind, ours) => {
    const found = differences(ours, observedOf(kind));
    expect(found.filter((at) => !DEFAULTS.includes(at))).toEqual([]);
  });

  test("the labels that select a version's pods are those the status names", () => {
    const { matchLabels } = buildReplicaSet(view(), { version, replicas: 2 }).spec!.selector!;
    const selector = Object.entries(matchLabels!).map(([key, value]) => `${key}=${value}`);
    const status = observedOf("RestateDeployment")["status"] as Json;
    expect(selector.join(",")).toBe(status["labelSelector"]);
  });
});

describe("ReplicaSet", () => {
  test("matchExpressions, minReadySeconds, and no allow label unless registered by cluster", () => {
    const matchExpressions = [{ key: "app", operator: "Exists" }];
    const { metadata, spec } = buildReplicaSet(
      view({ ...url, minReadySeconds: 7, selector: { matchExpressions } }),
      { version, replicas: 1 },
    );
    expect({ labels: metadata?.labels, spec: { ...spec, template: undefined } }).toEqual({
      labels: {
        app: "d02",
        v: "1",
        "app.kubernetes.io/managed-by": "restate-operator",
        "restate.dev/owned-by": "d02-cluster",
        "pod-template-hash": hash,
      },
      spec: {
        replicas: 1,
        minReadySeconds: 7,
        selector: { matchLabels: { "pod-template-hash": hash }, matchExpressions },
      },
    });
  });

  test("in-process tunnel: every container learns who it is, before the user's own variables", () => {
    const containers = [
      { name: "s", env: [{ name: "X", value: "$(RESTATE_INPROC_TUNNEL_NAME)" }] },
    ];
    const manifest = buildReplicaSet(
      view(withPod({ containers, initContainers: [{ name: "i" }] })),
      {
        version,
        replicas: 1,
        tunnel: TUNNEL,
      },
    );
    const env = [
      { name: "RESTATE_INPROC_TUNNEL_NAME", value: version.name },
      { name: "RESTATE_INPROC_ENVIRONMENT_ID", value: "env_1" },
      { name: "RESTATE_INPROC_CLOUD_REGION", value: "us" },
      { name: "RESTATE_INPROC_SIGNING_PUBLIC_KEY", value: "publickeyv1_k" },
    ];
    expect(manifest.spec?.template?.spec).toEqual({
      containers: [{ name: "s", env: [...env, ...containers[0]!.env] }],
      initContainers: [{ name: "i", env }],
    });
    expect(manifest.metadata?.annotations?.["restate.dev/tunnel-name"]).toBe(version.name);
  });

  test.each([
    ["nothing is wrong", view(), undefined, undefined],
    [
      "a selector that misses the pods",
      view({ selector: { matchLabels: { app: "other" } } }),
      undefined,
      "spec.selector.matchLabels: the pods do not have app=other; add it to spec.template.metadata.labels",
    ],
    [
      "a variable of the tunnel",
      view(
        withPod({
          initContainers: [{ name: "i", env: [{ name: "RESTATE_INPROC_CLOUD_REGION" }] }],
        }),
      ),
      TUNNEL,
      "spec.template.spec: RESTATE_INPROC_CLOUD_REGION is set by the operator in tunnel mode in-process; remove it",
    ],
  ])("refusal: %s", (...[, deployment, tunnel, problem]) => {
    expect(replicaSetProblem(deployment, tunnel)).toBe(problem);
  });
});

describe("Service", () => {
  test.each([
    ["the port named restate", [{ containerPort: 1 }, { name: "restate", containerPort: 2 }], 2],
    ["else the first", [{ name: "a", containerPort: 1 }, { containerPort: 2 }], 1],
    ["else 9080", undefined, 9080],
  ])("leads to %s", (_, ports, targetPort) => {
    expect(targetPortOf({ containers: [{ name: "s", ports }] })).toBe(targetPort);
  });

  test("of an older version leads to what that version is, whatever the template is by now", () => {
    const deployment = view(
      withPod({ containers: [{ name: "s", ports: [{ containerPort: 1 }] }] }),
    );
    const spec = { replicaSetUid: "u", latest: false };
    expect(buildVersionService(deployment, served, spec).spec).toEqual({
      selector: { app: "d02", "pod-template-hash": hash },
      ports: [{ name: "restate", port: 9080, targetPort: 9081 }],
    });
  });

  test("the stable one leads to the latest version and belongs to the resource", () => {
    expect(buildStableService(view(), served)).toEqual({
      apiVersion: "v1",
      kind: "Service",
      metadata: {
        name: "d02-cluster",
        namespace: "rd",
        labels: {
          team: "a",
          "app.kubernetes.io/managed-by": "restate-operator",
          "restate.dev/owned-by": "d02-cluster",
        },
        annotations: { note: "x" },
        ownerReferences: [
          {
            apiVersion: "restate.dev/v1beta1",
            kind: "RestateDeployment",
            name: "d02-cluster",
            uid: "<uid>",
            controller: true,
          },
        ],
      },
      spec: {
        selector: { app: "d02", "pod-template-hash": hash },
        ports: [{ name: "restate", port: 9080, targetPort: 9081 }],
      },
    });
  });
});

describe("HorizontalPodAutoscaler", () => {
  const scaleTargetRef = { apiVersion: "apps/v1", kind: "ReplicaSet", name: version.name };
  test.each([
    ["passed on", { minReplicas: 2, maxReplicas: 5, metrics: [] }, 2],
    ["at least one pod", { minReplicas: 0, maxReplicas: 5 }, 1],
    ["at least one pod where it does not say", { maxReplicas: 5 }, 1],
    ["never another target", { maxReplicas: 5, scaleTargetRef: { name: "x" } }, 1],
  ])("%s", (_, autoscaling, minReplicas) => {
    expect(buildHpa(view({ autoscaling }), version)?.spec).toEqual({
      ...autoscaling,
      minReplicas,
      scaleTargetRef,
    });
  });

  test("none without spec.autoscaling", () => {
    expect(buildHpa(view(), version)).toBeUndefined();
  });
});
