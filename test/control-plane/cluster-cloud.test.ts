/**
 * Kinds of other projects, with their CRDs and their controllers played: an identity is given, tried and removed again, a
 * canary that fails is not made again and again, CRDs come and go while the operator runs.
 *
 * The nodes refuse pods that do not tolerate a taint, so that a canary can be kept from running: its pods are failed by hand.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { V1PodTemplateSpec } from "@kubernetes/client-node";
import type { ClusterAccess } from "../../bootstrap/kubernetes/cluster.ts";
import {
  MINIMAL,
  applyCluster,
  dropCluster,
  untilReady,
  untilReason,
  type ClusterSpec,
} from "../harness/clusters.ts";
import {
  carryOut,
  foreignObjects,
  installForeignCrd,
  removeForeignCrd,
  removeForeignCrds,
  type ForeignCrdName,
} from "../harness/foreign-kinds.ts";
import { kubectl, sharedControlPlane, testRunDir } from "../harness/kubernetes.ts";
import { Objects } from "../harness/objects.ts";
import { TestOperator } from "../harness/operator.ts";
import { until } from "../harness/until.ts";

const START_TIMEOUT_MS = 1_500_000;
const TAINT = "restate.dev/test";
const TOLERANT = {
  ...MINIMAL.compute,
  tolerations: [{ key: TAINT, operator: "Exists", effect: "NoSchedule" }],
};
const ROLE = "arn:aws:iam::111122223333:role/restate";
const EMAIL = "restate@shop-prod.iam.gserviceaccount.com";
/** For so long after it failed a canary must not be made again; the next one is due after 30 s. */
const FAILING_MS = 20_000;
const SETTLED_MS = 3_000;

const AWS: ClusterSpec = {
  ...MINIMAL,
  security: { awsPodIdentityAssociationRoleArn: ROLE, awsPodSecurityGroups: ["sg-1"] },
};
const GCP: ClusterSpec = {
  ...MINIMAL,
  compute: TOLERANT,
  security: { serviceAccountAnnotations: { "iam.gke.io/gcp-service-account": EMAIL } },
};
const CSI: ClusterSpec = {
  ...MINIMAL,
  compute: TOLERANT,
  security: {
    requestSigningPrivateKey: { version: "v1", secretProvider: { provider: "p", path: "key.pem" } },
  },
};

let cluster: ClusterAccess;
let operator: TestOperator;
let objects: Objects;
/** When the canary of cluster `pia` had failed. */
let failedAtMs = 0;

beforeAll(async () => {
  cluster = await sharedControlPlane();
  objects = new Objects(cluster);
  await kubectl(cluster, ["taint", "nodes", "--all", "--overwrite", `${TAINT}=:NoSchedule`]);
  operator = await TestOperator.prepare({
    cluster,
    dir: join(testRunDir(), "cluster-cloud"),
    values: {
      awsPodIdentityAssociationCluster: "eks-1",
      gcpWorkloadIdentity: true,
      secretProviderClasses: true,
      securityGroupPolicies: true,
    },
    env: { AWS_POD_IDENTITY_ASSOCIATION_CLUSTER: "eks-1", GCP_WORKLOAD_IDENTITY: "true" },
  });
  await operator.start("restate");
}, START_TIMEOUT_MS);

afterAll(async () => {
  await operator.stop();
  await removeTaint();
  await removeForeignCrds(cluster);
  await objects.close();
});

/** One that is gone already is fine. */
async function removeTaint(): Promise<void> {
  await kubectl(cluster, ["taint", "nodes", "--all", `${TAINT}-`]).catch(() => undefined);
}

async function templateOf(name: string): Promise<V1PodTemplateSpec | undefined> {
  const set = await objects.get("StatefulSet", "restate", name);
  return (set?.["spec"] as { template?: V1PodTemplateSpec } | undefined)?.template;
}

const volumesOf = async (name: string): Promise<string[]> =>
  ((await templateOf(name))?.spec?.volumes ?? []).map((volume) => volume.name);

async function specsOf(name: ForeignCrdName, namespace: string): Promise<unknown[]> {
  return (await foreignObjects(cluster, name, namespace)).map((object) => object["spec"]);
}

/** When the services made which Jobs in a namespace, in order. */
async function canariesMade(namespace: string): Promise<{ name: string; atMs: number }[]> {
  const records = await operator.requestsSince(0);
  return records
    .filter(({ verb, resource, code }) => verb === "create" && resource === "jobs" && code === 201)
    .filter((record) => record.namespace === namespace)
    .map(({ name, receivedAtMs }) => ({ name, atMs: receivedAtMs }));
}

const warningsOf = async (name: string): Promise<string[]> =>
  (await objects.list("Event", "default"))
    .filter((event) => (event["involvedObject"] as { name: string }).name === name)
    .map((event) => String(event["reason"]));

/** Fails every pod of a Job that waits for a node, until the Job has had enough of it. */
async function failPods(namespace: string, job: string): Promise<void> {
  await until(
    `Job ${job} has failed`,
    async () => {
      for (const pod of await objects.list("Pod", namespace)) {
        const { phase } = pod["status"] as { phase: string };
        if (pod.metadata.labels?.["batch.kubernetes.io/job-name"] !== job || phase !== "Pending") {
          continue;
        }
        const patch = JSON.stringify({ status: { phase: "Failed" } });
        const which = [`pod/${pod.metadata.name}`, `--namespace=${namespace}`];
        await kubectl(cluster, ["patch", ...which, "--subresource=status", `--patch=${patch}`]);
      }
      const live = await objects.get("Job", job, namespace);
      const status = live?.["status"] as { conditions?: { type: string; status: string }[] };
      return status.conditions?.some((each) => each.type === "Failed" && each.status === "True");
    },
    { timeoutMs: 60_000, intervalMs: 500 },
  );
}

test("with the EKS cluster named, the services refuse to start without the ACK CRD", async () => {
  await operator.start("services");
  await until("the services have said why", async () =>
    (await operator.logOf("services")).includes(
      "AWS_POD_IDENTITY_ASSOCIATION_CLUSTER is set, but the CRD podidentityassociations.eks.services.k8s.aws is not installed",
    ),
  );
  await operator.kill("services");
  await installForeignCrd(cluster, "podIdentityAssociations");
  await installForeignCrd(cluster, "securityGroupPolicies");
  await operator.start("services");
  await operator.start("watcher");
  await operator.registered();
});

test("Pod Identity: nothing runs before the association is carried out and a canary has got it", async () => {
  await applyCluster(objects, "pia", { spec: AWS });
  await untilReason(objects, "pia", "PodIdentityAssociationNotSynced");
  expect(await specsOf("podIdentityAssociations", "pia")).toEqual([
    { clusterName: "eks-1", namespace: "pia", roleARN: ROLE, serviceAccount: "restate" },
  ]);
  expect(await specsOf("securityGroupPolicies", "pia")).toMatchObject([
    { securityGroups: { groupIds: ["sg-1"] } },
  ]);
  expect(await canariesMade("pia")).toEqual([]);
  await carryOut(cluster, "podIdentityAssociations", "pia");
  await untilReason(objects, "pia", "PodIdentityAssociationCanaryPending");
  await failPods("pia", "restate-pia-canary");
  failedAtMs = Date.now();
  await untilReason(objects, "pia", "PodIdentityAssociationCanaryFailed");
  expect(await templateOf("pia")).toBeUndefined();
});

test("Workload Identity: Config Connector comes while the operator runs", async () => {
  const services = operator.pidOf("services");
  await applyCluster(objects, "wi", { spec: GCP });
  await untilReason(objects, "wi", "IAMPolicyMemberCRDNotFound");
  await installForeignCrd(cluster, "iamPolicyMembers");
  await untilReason(objects, "wi", "IAMPolicyMemberNotReady");
  expect(await specsOf("iamPolicyMembers", "wi")).toMatchObject([
    { member: "serviceAccount:shop-prod.svc.id.goog[wi/restate]" },
  ]);
  expect(await templateOf("wi")).toBeUndefined();
  await carryOut(cluster, "iamPolicyMembers", "wi");
  await untilReady(objects, "wi");
  expect((await canariesMade("wi")).map(({ name }) => name)).toEqual(["restate-wi-canary"]);
  expect((await templateOf("wi"))?.metadata?.annotations).toEqual({
    "restate.dev/gcp-service-account": EMAIL,
  });
  expect(operator.pidOf("services")).toBe(services);
});

test("a secret provider: ignored visibly without the CSI driver, used when it comes, kept when it goes", async () => {
  const volume = "request-signing-private-key-secret-provider";
  await applyCluster(objects, "csi", { spec: CSI });
  await untilReady(objects, "csi");
  const ignored = await untilReason(objects, "csi", "Reconciled");
  expect(ignored.message).toContain("secretProvider is ignored");
  expect(await warningsOf("csi")).toEqual(["SecretProviderClassCRDNotFound"]);
  expect(await volumesOf("csi")).not.toContain(volume);

  await installForeignCrd(cluster, "secretProviderClasses");
  await operator.wake("ClusterReconciler", "csi");
  await until("pods mount the key", async () => (await volumesOf("csi")).includes(volume));
  expect(await specsOf("secretProviderClasses", "csi")).toEqual([{ provider: "p" }]);
  await until("nothing is ignored", async () => {
    const { message } = await untilReason(objects, "csi", "Reconciled");
    return !message.includes("ignored");
  });

  const before = await objects.get("StatefulSet", "restate", "csi");
  await removeForeignCrd(cluster, "secretProviderClasses");
  // What was said of the kind counts for five seconds; a reconcile in between fails and is repeated, and nobody is told.
  await until("the condition says that it is gone", async () => {
    await operator.wake("ClusterReconciler", "csi");
    const { message } = await untilReason(objects, "csi", "Reconciled");
    return message.includes("left in the pods as it was");
  });
  const after = await objects.get("StatefulSet", "restate", "csi");
  expect(after?.metadata.generation).toBe(before?.metadata.generation);
  expect(await warningsOf("csi")).not.toContain("FailedReconcile");

  await installForeignCrd(cluster, "secretProviderClasses");
  await operator.wake("ClusterReconciler", "csi");
  await until(
    "its class is made again",
    async () => (await specsOf("secretProviderClasses", "csi")).length === 1,
  );
  await applyCluster(objects, "csi", { spec: { ...CSI, security: {} } });
  await untilReady(objects, "csi");
  expect(await specsOf("secretProviderClasses", "csi")).toEqual([]);
  expect(await volumesOf("csi")).not.toContain(volume);
});

test("a canary that fails is not made again at once; the next one succeeds", async () => {
  await sleep(Math.max(0, failedAtMs + FAILING_MS - Date.now()));
  const early = (await canariesMade("pia")).filter(({ atMs }) => atMs < failedAtMs + FAILING_MS);
  expect(early).toHaveLength(1);
  expect(await warningsOf("pia")).toEqual(["PodIdentityAssociationCanaryFailed"]);
  expect(await templateOf("pia")).toBeUndefined();
  await removeTaint();
  await untilReady(objects, "pia");
  expect(await canariesMade("pia")).toHaveLength(2);
  expect((await templateOf("pia"))?.metadata?.annotations).toEqual({
    "restate.dev/aws-pod-identity-association-cluster": "eks-1",
    "restate.dev/aws-pod-identity-association-role-arn": ROLE,
    "restate.dev/aws-security-groups": "sg-1",
  });
});

test("nothing is written while nothing changes, and only what needs it is watched", async () => {
  await operator.idle();
  const mark = await operator.mark();
  for (const name of ["pia", "wi", "csi"]) await operator.wake("ClusterReconciler", name);
  await sleep(SETTLED_MS);
  expect(await operator.writesSince(mark)).toEqual([]);
  const foreign = (await operator.requestsSince(0, "watcher"))
    .map(({ apiGroup }) => apiGroup)
    .filter((group) => /amazonaws|k8s\.aws|cnrm|secrets-store/.test(group));
  expect([...new Set(foreign)].toSorted()).toEqual([
    "eks.services.k8s.aws",
    "iam.cnrm.cloud.google.com",
  ]);
});

test("what is no longer asked for is removed", async () => {
  await applyCluster(objects, "pia");
  await applyCluster(objects, "wi", { spec: { ...GCP, security: {} } });
  for (const name of ["pia", "wi"]) {
    await untilReady(objects, name);
    expect(await objects.list("Job", name)).toEqual([]);
    expect((await templateOf(name))?.metadata?.annotations ?? {}).toEqual({});
  }
  const left = ["podIdentityAssociations", "securityGroupPolicies"] as const;
  for (const kind of left) expect(await specsOf(kind, "pia")).toEqual([]);
  expect(await specsOf("iamPolicyMembers", "wi")).toEqual([]);
  for (const name of ["pia", "wi", "csi"]) await dropCluster(objects, name);
});
