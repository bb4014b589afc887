/**
 * Cloud identities and other kinds of other projects: the objects a cluster asks for, and what is decided about them (I1-I4 in
 * services/cluster/plan-cloud.ts). Each row is an observation and what follows from it.
 */
import { describe, expect, test } from "vitest";
import type { V1StatefulSet } from "@kubernetes/client-node";
import type { RestateCluster, RestateClusterSpec } from "../../crds/restate-cluster.ts";
import {
  FOREIGN_KINDS,
  type ClusterConfig,
  type ClusterReason,
  type ForeignKind,
} from "../../services/cluster/api.ts";
import { buildCanary, wantedCanary } from "../../services/cluster/build/canary.ts";
import { managedForeignKinds } from "../../services/cluster/build/cloud-request.ts";
import { buildChildren } from "../../services/cluster/build/children.ts";
import type {
  ObservedCanary,
  ObservedCloud,
} from "../../services/cluster/observe/observe-cloud.ts";
import { observeCluster } from "../../services/cluster/observe/observe.ts";
import { clusterViewOf, planCluster } from "../../services/cluster/plan/plan.ts";
import type { ClusterQuestion } from "../../services/cluster/plan/question.ts";
import { refOf } from "../../services/core/children.ts";
import type { AnyManifest } from "../../services/core/manifest.ts";
import { titleOf } from "../../services/core/resource.ts";
import { World } from "../simulation/cluster-model.ts";
import { CONFIG, NOW_MS, aCluster, appliedOf, liveOf, settledQuestion } from "./cluster-samples.ts";

const ROLE = "arn:aws:iam::111122223333:role/restate";
const EMAIL = "restate@shop-prod.iam.gserviceaccount.com";
const CLOUDS: ClusterConfig = {
  ...CONFIG,
  awsPodIdentityAssociationCluster: "eks-1",
  gcpWorkloadIdentity: true,
};

type Security = NonNullable<RestateClusterSpec["security"]>;

const AWS: Security = { awsPodIdentityAssociationRoleArn: ROLE };
const GCP: Security = { serviceAccountAnnotations: { "iam.gke.io/gcp-service-account": EMAIL } };
const GROUPS: Security = { awsPodSecurityGroups: ["sg-1", "sg-2"] };
const CSI: Security = {
  requestSigningPrivateKey: {
    version: "v1",
    secretProvider: { provider: "aws", parameters: { objects: "- key" }, path: "keys/private.pem" },
  },
};

const secured = (security: Security): RestateCluster => aCluster({ spec: { security } });

function childrenOf(
  cluster: RestateCluster,
  kinds: { readonly installed?: readonly ForeignKind[]; readonly inPods?: readonly ForeignKind[] },
  config: ClusterConfig = CLOUDS,
): AnyManifest[] {
  return buildChildren(clusterViewOf({ cluster }), config, { ownsNamespace: true, ...kinds });
}

const isForeign = ({ kind }: AnyManifest): boolean => FOREIGN_KINDS.some((each) => each === kind);

const metadata = (name: string, annotations: object = {}) => ({
  name,
  namespace: "c",
  labels: { "app.kubernetes.io/name": "restate", "app.kubernetes.io/instance": "c" },
  annotations,
  ownerReferences: [
    {
      apiVersion: "restate.dev/v1",
      kind: "RestateCluster",
      name: "c",
      uid: "uid-c",
      controller: true,
    },
  ],
});

describe("objects", () => {
  test("all of them, where everything is asked for and installed", () => {
    const cluster = secured({ ...AWS, ...GCP, ...GROUPS, ...CSI });
    expect(childrenOf(cluster, { installed: FOREIGN_KINDS }).filter(isForeign)).toEqual([
      {
        apiVersion: "eks.services.k8s.aws/v1alpha1",
        kind: "PodIdentityAssociation",
        metadata: metadata("restate"),
        spec: { clusterName: "eks-1", namespace: "c", roleARN: ROLE, serviceAccount: "restate" },
      },
      {
        apiVersion: "vpcresources.k8s.aws/v1beta1",
        kind: "SecurityGroupPolicy",
        metadata: metadata("restate"),
        spec: {
          podSelector: {
            matchLabels: { "app.kubernetes.io/name": "restate", "app.kubernetes.io/instance": "c" },
          },
          securityGroups: { groupIds: ["sg-1", "sg-2"] },
        },
      },
      {
        apiVersion: "iam.cnrm.cloud.google.com/v1beta1",
        kind: "IAMPolicyMember",
        metadata: metadata("restate-workload-identity", {
          "cnrm.cloud.google.com/project-id": "shop-prod",
        }),
        spec: {
          member: "serviceAccount:shop-prod.svc.id.goog[c/restate]",
          role: "roles/iam.workloadIdentityUser",
          resourceRef: {
            kind: "IAMServiceAccount",
            external: `projects/shop-prod/serviceAccounts/${EMAIL}`,
          },
        },
      },
      {
        apiVersion: "secrets-store.csi.x-k8s.io/v1",
        kind: "SecretProviderClass",
        metadata: metadata("request-signing-key-v1"),
        spec: { provider: "aws", parameters: { objects: "- key" } },
      },
    ]);
  });

  test.each<[string, Security, ClusterConfig]>([
    ["nothing is asked for", {}, CLOUDS],
    ["an empty list asks for nothing", { awsPodSecurityGroups: [] }, CLOUDS],
    ["the operator is not told of a cloud", { ...AWS, ...GCP }, CONFIG],
    ["SecretProviderClasses are off", CSI, { ...CLOUDS, manageSecretProviderClasses: false }],
  ])("none: %s", (_, security, config) => {
    const children = childrenOf(secured(security), { installed: FOREIGN_KINDS }, config);
    expect(children.filter(isForeign)).toEqual([]);
  });

  test("none of a kind that is not installed", () => {
    const cluster = secured({ ...AWS, ...GCP, ...GROUPS, ...CSI });
    expect(childrenOf(cluster, { installed: [] }).filter(isForeign)).toEqual([]);
  });
});

describe("pods", () => {
  const templateOf = (security: Security, inPods: readonly ForeignKind[]) => {
    const set = childrenOf(secured(security), { inPods }).find(
      ({ kind }) => kind === "StatefulSet",
    );
    const { template } = (set as V1StatefulSet).spec!;
    const [container] = template.spec!.containers;
    return {
      annotations: template.metadata?.annotations,
      volumes: template.spec!.volumes!.slice(2),
      mounts: container!.volumeMounts!.slice(3),
      env: container!.env!.slice(11),
    };
  };
  const plain = { annotations: {}, volumes: [], mounts: [], env: [] };
  const signing = {
    volumes: [
      {
        name: "request-signing-private-key-secret-provider",
        csi: {
          driver: "secrets-store.csi.k8s.io",
          readOnly: true,
          volumeAttributes: { secretProviderClass: "request-signing-key-v1" },
        },
      },
    ],
    mounts: [
      {
        name: "request-signing-private-key-secret-provider",
        mountPath: "/signing-key",
        readOnly: true,
      },
    ],
    env: [
      {
        name: "RESTATE_WORKER__INVOKER__REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE",
        value: "/signing-key/keys/private.pem",
      },
    ],
  };
  test.each<[string, Security, readonly ForeignKind[], object]>([
    ["nothing asked for", {}, FOREIGN_KINDS, plain],
    [
      "a role",
      AWS,
      [],
      {
        ...plain,
        annotations: {
          "restate.dev/aws-pod-identity-association-cluster": "eks-1",
          "restate.dev/aws-pod-identity-association-role-arn": ROLE,
        },
      },
    ],
    [
      "a Google service account",
      GCP,
      [],
      { ...plain, annotations: { "restate.dev/gcp-service-account": EMAIL } },
    ],
    [
      "security groups",
      GROUPS,
      ["SecurityGroupPolicy"],
      { ...plain, annotations: { "restate.dev/aws-security-groups": "sg-1,sg-2" } },
    ],
    ["security groups that nobody knows here", GROUPS, [], plain],
    ["a secret provider", CSI, ["SecretProviderClass"], { ...plain, ...signing }],
    ["a secret provider that nobody knows here", CSI, [], plain],
  ])("%s", (...[, security, inPods, expected]) => {
    expect(templateOf(security, inPods)).toEqual(expected);
  });
});

test("a canary: the cluster's identity, tolerations and metadata, and what it was made for", () => {
  const tolerations = [{ key: "only-restate", operator: "Exists" }];
  const cluster = aCluster({
    compute: { tolerations },
    metadata: { labels: { team: "a" } },
    spec: { security: AWS },
  });
  const view = clusterViewOf({ cluster });
  const wanted = wantedCanary(view, CLOUDS, "restate-pia-canary")!;
  const pia = { name: "restate-pia-canary", attempt: 3 } as const;
  const base = metadata("restate-pia-canary", {
    "restate.dev/canary-identity": wanted.identity,
    "restate.dev/canary-template": wanted.template,
    "restate.dev/canary-attempt": "3",
  });
  expect(buildCanary(view, CLOUDS, pia)).toEqual({
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      ...base,
      labels: { ...base.labels, team: "a", "app.kubernetes.io/name": "restate-pia-canary" },
    },
    spec: {
      backoffLimit: 1,
      activeDeadlineSeconds: 300,
      template: {
        spec: {
          serviceAccountName: "restate",
          restartPolicy: "Never",
          tolerations,
          containers: [
            {
              name: "canary",
              image: "alpine:3.21",
              command: [
                "grep",
                "-q",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                "/proc/self/environ",
              ],
            },
          ],
        },
      },
    },
  });
  expect(buildCanary(view, CLOUDS, { name: "restate-wi-canary", attempt: 1 })).toBeUndefined();
});

const NOTHING: ObservedCloud = { installed: [], objects: [], synced: [], canaries: [] };

/** A running cluster that did not ask for anything before, its objects of other kinds as they are to be. */
function asking(security: Security, cloud: Partial<ObservedCloud> = {}): ClusterQuestion {
  const cluster = secured(security);
  const before = settledQuestion(aCluster(), { config: CLOUDS });
  const installed = cloud.installed ?? [];
  const objects = childrenOf(cluster, { installed }).filter(isForeign);
  const all = childrenOf(cluster, { installed });
  return {
    ...before,
    applied: {
      ...before.applied,
      ...appliedOf(all.filter(({ kind }) => kind !== "StatefulSet")),
    },
    observed: {
      ...before.observed,
      cluster,
      children: before.observed.children
        .filter(({ ref }) => !all.some((child) => titleOf(refOf(child)) === titleOf(ref)))
        .concat(
          all
            .filter((child) => !isForeign(child) && child.kind !== "Namespace")
            .map((child) => liveOf(child)),
        ),
      cloud: { ...NOTHING, objects: objects.map((object) => liveOf(object)), ...cloud },
    },
  };
}

/** What a plan does, in words, and what it says. */
function decided(question: ClusterQuestion) {
  const { actions, status, events, outcome, lookAgainMs } = planCluster(question);
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  return {
    does: actions.map((action) =>
      "target" in action
        ? `${action.kind} ${titleOf(action.target)}`
        : action.kind === "createCanary"
          ? `createCanary ${action.canary} ${action.attempt}`
          : action.kind,
    ),
    says: ready?.reason,
    message: ready?.message,
    events: (events ?? []).map(({ reason }) => reason),
    requeueAfterMs: outcome.kind === "waiting" ? outcome.requeueAfterMs : undefined,
    lookAgainMs,
  };
}

/** A canary that says nothing of what it was made for. */
function unmarked(canary: ObservedCanary): ObservedCanary {
  const { identity: _, template: __, ...rest } = canary;
  return rest;
}

const ROLLS = "applyObject StatefulSet restate";

interface Provider {
  readonly name: string;
  readonly security: Security;
  readonly kind: ForeignKind;
  readonly canary: ObservedCanary["name"];
  readonly missing: ClusterReason;
  readonly notSynced: ClusterReason;
  readonly pending: ClusterReason;
  readonly failed: ClusterReason;
}

const PROVIDERS: readonly Provider[] = [
  {
    name: "EKS",
    security: AWS,
    kind: "PodIdentityAssociation",
    canary: "restate-pia-canary",
    missing: "PodIdentityAssociationNotSynced",
    notSynced: "PodIdentityAssociationNotSynced",
    pending: "PodIdentityAssociationCanaryPending",
    failed: "PodIdentityAssociationCanaryFailed",
  },
  {
    name: "Google",
    security: GCP,
    kind: "IAMPolicyMember",
    canary: "restate-wi-canary",
    missing: "IAMPolicyMemberCRDNotFound",
    notSynced: "IAMPolicyMemberNotReady",
    pending: "WorkloadIdentityCanaryPending",
    failed: "WorkloadIdentityCanaryFailed",
  },
];

describe.each(PROVIDERS)("an identity from $name", (provider) => {
  const { security, kind, canary: name } = provider;
  const synced = { installed: [kind], synced: [kind] };
  const wanted = wantedCanary(clusterViewOf({ cluster: secured(security) }), CLOUDS, name)!;
  const canary = (over: Partial<ObservedCanary> = {}): Partial<ObservedCloud> => ({
    ...synced,
    canaries: [
      {
        name,
        uid: "uid-job",
        controllerUid: "uid-c",
        deleting: false,
        state: "running",
        createdAtMs: NOW_MS - 20_000,
        injected: false,
        identity: wanted.identity,
        template: wanted.template,
        attempt: 1,
        ...over,
      },
    ],
  });
  const failed = (attempt: number, agoMs: number) =>
    canary({ state: "failed", attempt, failedAtMs: NOW_MS - agoMs });
  const again = [`removeObject Job ${name}`];

  test.each<{
    name: string;
    cloud: Partial<ObservedCloud>;
    does: string[];
    says: string | undefined;
    requeueAfterMs: number | undefined;
  }>([
    {
      name: "the kind is not installed",
      cloud: {},
      does: [],
      says: provider.missing,
      requeueAfterMs: 60_000,
    },
    {
      name: "the object is not there",
      cloud: { installed: [kind], objects: [] },
      does: [
        `applyObject ${kind} ${kind === "IAMPolicyMember" ? "restate-workload-identity" : "restate"}`,
      ],
      says: provider.notSynced,
      requeueAfterMs: 60_000,
    },
    {
      name: "I1: its controller has not carried it out",
      cloud: { installed: [kind] },
      does: [],
      says: provider.notSynced,
      requeueAfterMs: 60_000,
    },
    {
      name: "I1: it is tried first",
      cloud: synced,
      does: [`createCanary ${name} 1`],
      says: provider.pending,
      requeueAfterMs: 2_000,
    },
    {
      name: "a canary runs",
      cloud: canary(),
      does: [],
      says: provider.pending,
      requeueAfterMs: 10_000,
    },
    {
      name: "a canary that was just made, and one that hangs, are looked at in time",
      cloud: canary({ createdAtMs: NOW_MS - 290_000 }),
      does: [],
      says: provider.pending,
      requeueAfterMs: 30_000,
    },
    {
      name: "a canary that is on its way out is waited for",
      cloud: canary({ deleting: true }),
      does: [],
      says: provider.pending,
      requeueAfterMs: 2_000,
    },
    {
      name: "a Job of somebody else",
      cloud: canary({ controllerUid: "uid-other", state: "complete" }),
      does: [],
      says: provider.pending,
      requeueAfterMs: 60_000,
    },
    {
      name: "I1: it succeeded, and the pods roll",
      cloud: canary({ state: "complete" }),
      does: [ROLLS],
      says: "StatefulSetScaling",
      requeueAfterMs: 60_000,
    },
    {
      name: "one of the operator before counts",
      cloud: {
        ...canary({ state: "complete" }),
        canaries: canary({ state: "complete" }).canaries!.map(unmarked),
      },
      does: [ROLLS],
      says: "StatefulSetScaling",
      requeueAfterMs: 60_000,
    },
    {
      name: "its pod was given the identity",
      cloud: canary({ injected: true }),
      does: [ROLLS],
      says: "StatefulSetScaling",
      requeueAfterMs: 60_000,
    },
    {
      name: "I3: it tried another identity",
      cloud: canary({ state: "complete", identity: "another", attempt: 4 }),
      does: [...again, `createCanary ${name} 1`],
      says: provider.pending,
      requeueAfterMs: 2_000,
    },
    {
      name: "a success with other tolerations is one",
      cloud: canary({ state: "complete", template: "another" }),
      does: [ROLLS],
      says: "StatefulSetScaling",
      requeueAfterMs: 60_000,
    },
    {
      name: "other tolerations are tried at once",
      cloud: canary({ template: "another", attempt: 4 }),
      does: [...again, `createCanary ${name} 4`],
      says: provider.pending,
      requeueAfterMs: 2_000,
    },
    {
      name: "I2: it has just failed",
      cloud: failed(1, 0),
      does: [],
      says: provider.failed,
      requeueAfterMs: 30_000,
    },
    {
      name: "I2: it failed the third time",
      cloud: failed(3, 20_000),
      does: [],
      says: provider.failed,
      requeueAfterMs: 100_000,
    },
    {
      name: "I2: it failed for the hundredth time",
      cloud: failed(100, 0),
      does: [],
      says: provider.failed,
      requeueAfterMs: 600_000,
    },
    {
      name: "I2: it is due again",
      cloud: failed(2, 60_000),
      does: [...again, `createCanary ${name} 3`],
      says: provider.pending,
      requeueAfterMs: 2_000,
    },
  ])("$name", ({ cloud, does, says, requeueAfterMs }) => {
    expect(decided(asking(security, cloud))).toMatchObject({ does, says, requeueAfterMs });
  });

  test("a failure is an event once, and says when it is tried again", () => {
    const question = asking(security, failed(1, 10_000));
    const { events, message = "" } = decided(question);
    expect(events).toEqual([provider.failed]);
    expect(message).toContain(`Job ${name}, attempt 1, failed`);
    expect(message).toContain("it is made again at 2026-01-02T03:04:25Z");
    const { status } = planCluster(question);
    const cluster = { ...question.observed.cluster, status };
    const next = planCluster({ ...question, observed: { ...question.observed, cluster } });
    expect(next).toMatchObject({ actions: [] });
    expect([next.status, next.events]).toEqual([undefined, undefined]);
  });

  test("what is no longer asked for is removed, if it is the cluster's, and before anything else", () => {
    const owned = asking(security, canary({ state: "complete" })).observed.cloud!;
    const question = settledQuestion(aCluster(), { config: CLOUDS, observed: { cloud: owned } });
    expect(decided(question).does).toEqual([
      `removeObject ${titleOf(owned.objects[0]!.ref)}`,
      `removeObject Job ${name}`,
    ]);
    const others = {
      ...owned,
      objects: owned.objects.map((object) => ({ ...object, controllerUid: "uid-other" })),
      canaries: owned.canaries.map((job) => ({ ...job, controllerUid: "uid-other" })),
    };
    const theirs = settledQuestion(aCluster(), { config: CLOUDS, observed: { cloud: others } });
    expect(decided(theirs).does).toEqual([]);
  });
});

describe("a changed identity is not believed to be carried out at once", () => {
  const question = asking(AWS, {
    installed: ["PodIdentityAssociation"],
    synced: ["PodIdentityAssociation"],
  });
  const other = secured({ awsPodIdentityAssociationRoleArn: `${ROLE}-2` });
  test.each([
    ["changed", question.applied, other, "PodIdentityAssociationNotSynced"],
    [
      "merely forgotten",
      Object.fromEntries(
        Object.entries(question.applied).filter(([key]) => !key.startsWith("PodIdentity")),
      ),
      question.observed.cluster,
      "PodIdentityAssociationCanaryPending",
    ],
  ])("%s", (...[, applied, cluster, says]) => {
    const found = decided({ ...question, applied, observed: { ...question.observed, cluster } });
    expect(found).toMatchObject({ says });
    expect(found.does[0]).toBe("applyObject PodIdentityAssociation restate");
  });
});

describe("what cannot be carried out here is ignored, visibly", () => {
  test.each<[string, Security, ClusterConfig, string, string, number | undefined]>([
    [
      "no CSI driver",
      CSI,
      CLOUDS,
      "SecretProviderClassCRDNotFound",
      "spec.security.requestSigningPrivateKey.secretProvider is ignored",
      60_000,
    ],
    [
      "no VPC resource controller",
      GROUPS,
      CLOUDS,
      "SecurityGroupPolicyCRDNotFound",
      "spec.security.awsPodSecurityGroups is ignored",
      60_000,
    ],
    [
      "no EKS cluster name",
      AWS,
      CONFIG,
      "PodIdentityAssociationsDisabled",
      "spec.security.awsPodIdentityAssociationRoleArn is ignored",
      60_000,
    ],
  ])("%s", (...[, security, config, reason, message, lookAgainMs]) => {
    const cluster = secured(security);
    const question = settledQuestion(cluster, { config, observed: { cloud: NOTHING } });
    const found = decided(question);
    expect(found).toMatchObject({ does: [], says: "Reconciled", events: [reason], lookAgainMs });
    expect(found.message).toMatch(/^Restate Cluster reconciled successfully; /);
    expect(found.message).toContain(message);
    const { status } = planCluster(question);
    const next = { ...question.observed, cluster: { ...cluster, status } };
    expect(decided({ ...question, observed: next })).toMatchObject({ says: undefined, events: [] });
  });

  test.each<[string, Security, ForeignKind]>([
    ["a signing key", CSI, "SecretProviderClass"],
    ["security groups", GROUPS, "SecurityGroupPolicy"],
  ])("I4: %s that pods have are not taken from them when the CRD goes", (_, security, kind) => {
    const cluster = secured(security);
    const manifests = childrenOf(cluster, { inPods: [kind] });
    const settled = settledQuestion(cluster, { config: CLOUDS, applied: appliedOf(manifests) });
    const statefulSet = { ...settled.observed.statefulSet!, reliesOn: [kind] };
    const question = { ...settled, observed: { ...settled.observed, statefulSet, cloud: NOTHING } };
    expect(decided(question)).toMatchObject({ does: [], says: "Reconciled" });
    expect(decided(question).message).toContain("is left in the pods as it was");
    const removed = { ...question, observed: { ...question.observed, cluster: aCluster() } };
    expect(decided(removed).does).toEqual([ROLLS]);
  });
});

describe("what the user must change", () => {
  test.each<[string, Security, ClusterConfig, string, string]>([
    [
      "an address without a project",
      { serviceAccountAnnotations: { "iam.gke.io/gcp-service-account": "restate@example.com" } },
      CLOUDS,
      "InvalidRestateConfig",
      "spec.security.serviceAccountAnnotations: iam.gke.io/gcp-service-account names no project; write <name>@<project>.iam.gserviceaccount.com",
    ],
    [
      "SecretProviderClasses are off",
      CSI,
      { ...CLOUDS, manageSecretProviderClasses: false },
      "SecretProviderClassesDisabled",
      "spec.security.requestSigningPrivateKey.secretProvider: this operator does not manage SecretProviderClasses (MANAGE_SECRET_PROVIDER_CLASSES); switch that on, or use a Secret",
    ],
  ])("%s", (...[, security, config, says, message]) => {
    const question = settledQuestion(secured(security), { config });
    expect(decided(question)).toMatchObject({ does: [], says, message });
  });
});

test("a plan holds nothing of a provider's parameters, and no role", () => {
  const secret = "s3cretmarker";
  const cluster = secured({
    awsPodIdentityAssociationRoleArn: secret,
    awsPodSecurityGroups: [secret],
    requestSigningPrivateKey: {
      version: "v1",
      secretProvider: { provider: secret, parameters: { a: secret }, path: secret },
    },
  });
  const cloud = { ...NOTHING, installed: FOREIGN_KINDS };
  for (const observed of [{ cloud }, { cloud: NOTHING }]) {
    const question = settledQuestion(cluster, { config: CLOUDS, observed, applied: {} });
    expect(JSON.stringify(planCluster(question))).not.toContain(secret);
  }
});

test("a new cluster is planned with what is installed, before it has a namespace", async () => {
  const world = new World();
  const { apiVersion, kind, spec } = secured({ ...GROUPS, ...CSI });
  world.add({ apiVersion, kind, metadata: { name: "c", generation: 1 }, spec });
  const kube = Object.assign(world.kube, { serves: async () => true });
  const remembered = { uid: undefined, applied: {} };
  const observed = await observeCluster(kube, "c", { config: CLOUDS, remembered });
  expect(observed?.namespace).toBeUndefined();
  expect(observed?.cloud).toEqual({ ...NOTHING, installed: managedForeignKinds(CLOUDS) });
});
