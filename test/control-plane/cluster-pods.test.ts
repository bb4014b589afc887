/**
 * The pods of a RestateCluster on a real API server: every golden specification is accepted, and so are its manifests and a
 * pod made of them; what a user adds to pods reaches them, or is refused before anything is written; and a cluster that the
 * operator before this one made keeps its pods.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseAllDocuments, stringify } from "yaml";
import type { ClusterAccess } from "../../bootstrap/kubernetes/cluster.ts";
import { configMapName } from "../../services/cluster/build/config-map.ts";
import {
  MINIMAL,
  applyCluster,
  dropCluster,
  untilReady,
  untilReason,
  type ClusterSpec,
} from "../harness/clusters.ts";
import { kubectl, sharedControlPlane, testRunDir } from "../harness/kubernetes.ts";
import {
  Objects,
  type AppliedManifest,
  type KubeObject,
  type ObjectKind,
} from "../harness/objects.ts";
import { TestOperator } from "../harness/operator.ts";
import { until } from "../harness/until.ts";
import { GOLDEN_SPECS, goldenCluster, specOf } from "../unit/cluster-golden-specs.ts";
import { manifestsOf } from "../unit/cluster-samples.ts";

const START_TIMEOUT_MS = 1_500_000;
const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

let cluster: ClusterAccess;
let operator: TestOperator;
let objects: Objects;

beforeAll(async () => {
  cluster = await sharedControlPlane();
  objects = new Objects(cluster);
  // its definitions and roles; it is started when there is something to take over
  operator = await TestOperator.prepare({ cluster, dir: join(testRunDir(), "cluster-pods") });
}, START_TIMEOUT_MS);

afterAll(async () => {
  await operator.stop();
  await objects.close();
});

type Template = {
  readonly metadata: {
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: {
    readonly containers: readonly Container[];
    readonly initContainers?: readonly Container[];
    readonly volumes: readonly { readonly name: string }[];
  };
};

type Container = {
  readonly name: string;
  readonly restartPolicy?: string;
  readonly volumeMounts?: readonly { readonly mountPath: string }[];
};

const templateOf = (set: KubeObject | AppliedManifest): Template =>
  (set["spec"] as { template: Template }).template;

describe("golden specifications", () => {
  const name = "golden";

  beforeAll(async () => {
    await objects.apply("Namespace", { apiVersion: "v1", metadata: { name } });
    await objects.apply("ServiceAccount", {
      apiVersion: "v1",
      metadata: { name: "restate", namespace: name },
    });
  });

  afterAll(() => objects.remove("Namespace", name));

  test.each(Object.entries(GOLDEN_SPECS))("%s: accepted", async (_, golden) => {
    const { metadata = {} } = golden;
    await objects.dryRun("RestateCluster", {
      apiVersion: "restate.dev/v1",
      metadata: { ...metadata, name },
      spec: specOf(golden),
    } as AppliedManifest);
    const manifests = manifestsOf(goldenCluster(golden, name)) as AppliedManifest[];
    for (const manifest of manifests) {
      await objects.dryRun(manifest["kind"] as ObjectKind, manifest);
    }
    // The API server looks into the template of a StatefulSet only when a pod is made of it.
    await objects.dryRun("Pod", podOf(manifests.find(({ kind }) => kind === "StatefulSet")!));
  });

  function podOf(set: AppliedManifest): AppliedManifest {
    const { metadata, spec } = templateOf(set);
    const storage = { name: "storage", persistentVolumeClaim: { claimName: "storage-restate-0" } };
    return {
      apiVersion: "v1",
      metadata: { ...metadata, name: "restate-0", namespace: name },
      spec: { ...spec, volumes: [...spec.volumes, storage] },
    };
  }
});

describe("a cluster that the operator before this one made", () => {
  const name = "c01-minimal";
  /** Where the metadata is: who has several nodes has said so, because nobody said it for them. */
  const CONFIG = '[metadata-client]\naddresses = ["http://restate-0.restate-cluster:5122"]\n';
  const SPEC: ClusterSpec = { ...MINIMAL, config: CONFIG };
  let before: { revision: string; pod: string; annotation: string };

  /** As its user does it, which is what puts the annotation on the resource. */
  const kubectlApply = (spec: object) =>
    kubectl(
      cluster,
      ["apply", "-f", "-"],
      stringify({ apiVersion: "restate.dev/v1", kind: "RestateCluster", metadata: { name }, spec }),
    );

  /** Its objects as they were read back from an API server (fixtures/observed). */
  async function makeAsObserved(): Promise<string> {
    await kubectlApply(SPEC);
    const { metadata } = (await objects.get("RestateCluster", name))!;
    const annotation = metadata.annotations?.[LAST_APPLIED] ?? "";
    const file = join(import.meta.dirname, "../fixtures/observed/cluster-minimal.yaml");
    const observed = parseAllDocuments(
      (await readFile(file, "utf8"))
        .replaceAll("<uid>", metadata.uid)
        .replaceAll(configMapName(""), configMapName(CONFIG)),
    )
      .map((document) => document.toJS() as KubeObject | null)
      .filter((object) => object !== null && object.kind !== "RestateCluster") as KubeObject[];
    const map = observed.find(({ kind }) => kind === "ConfigMap")!;
    Object.assign(map, { data: { "config.toml": CONFIG } });
    const set = observed.find(({ kind }) => kind === "StatefulSet")!;
    Object.assign(templateOf(set).metadata.annotations!, { [LAST_APPLIED]: annotation });
    const namespaceFirst = observed.toSorted(
      (a, b) => Number(b.kind === "Namespace") - Number(a.kind === "Namespace"),
    );
    const yaml = namespaceFirst.map((object) => stringify(object)).join("---\n");
    const manager = "--field-manager=restate-operator";
    await kubectl(cluster, ["apply", "--server-side", manager, "-f", "-"], yaml);
    return annotation;
  }

  /** What would change if a pod were replaced, and what must not. */
  async function now() {
    const set = await objects.get("StatefulSet", "restate", name);
    const pod = await objects.get("Pod", "restate-0", name);
    return {
      revision: (set!["status"] as { updateRevision: string }).updateRevision,
      pod: pod!.metadata.uid,
      annotation: templateOf(set!).metadata.annotations?.[LAST_APPLIED],
    };
  }

  beforeAll(async () => {
    const annotation = await makeAsObserved();
    await until("its pod is ready", async () => {
      const set = await objects.get("StatefulSet", "restate", name);
      return (set!["status"] as { readyReplicas?: number }).readyReplicas === 1;
    });
    before = { ...(await now()), annotation };
    await operator.start("restate");
    await operator.start("services");
    await operator.start("watcher");
    await operator.registered();
    await untilReady(objects, name);
    await operator.idle();
  });

  test("its pod stays, and so does what its template is annotated with", async () => {
    expect(before.annotation).toContain(MINIMAL.compute.image);
    expect(await now()).toEqual(before);
    const set = await objects.get("StatefulSet", "restate", name);
    expect(set?.metadata.generation).toBe(1);
  });

  test("and then nothing is written", async () => {
    const mark = await operator.mark();
    await operator.wake("ClusterReconciler", name);
    await operator.idle();
    expect(await operator.writesSince(mark)).toEqual([]);
  });

  test("it is scaled without a restart", async () => {
    await kubectlApply({ ...SPEC, compute: { ...SPEC.compute, replicas: 2 } });
    await untilReady(objects, name);
    await operator.idle();
    expect(await now()).toEqual(before);
    expect(await objects.list("Pod", name)).toHaveLength(2);
  });

  test("its StatefulSet is deleted and its pods are not: they are taken back", async () => {
    const { metadata } = (await objects.get("StatefulSet", "restate", name))!;
    await kubectl(cluster, [
      "delete",
      "statefulset/restate",
      `--namespace=${name}`,
      "--cascade=orphan",
    ]);
    await until("another StatefulSet is there", async () => {
      const set = await objects.get("StatefulSet", "restate", name);
      return set !== undefined && set.metadata.uid !== metadata.uid;
    });
    await untilReady(objects, name);
    await operator.idle();
    expect(await now()).toEqual(before);
  });

  test("the annotation goes with a change that replaces the pods anyway", async () => {
    const image = "restatedev/restate:1.7.13";
    await kubectlApply({ ...SPEC, compute: { image, replicas: 1 } });
    await untilReady(objects, name);
    await operator.idle();
    const after = await now();
    expect(after.annotation).toBeUndefined();
    expect(after.revision).not.toBe(before.revision);
    expect(after.pod).not.toBe(before.pod);
    await dropCluster(objects, name);
  });
});

describe("what a user adds to the pods", () => {
  const name = "equipped";
  const { compute = {}, security = {} } = GOLDEN_SPECS["everything"]!;
  // the test's control plane has nodes without the label
  const { nodeSelector: _, affinity: _none, ...scheduled } = compute;
  const spec = (more: object = {}): ClusterSpec => ({
    ...MINIMAL,
    compute: { ...MINIMAL.compute, ...scheduled, ...more },
    security,
  });

  test("reaches them in the order of the contract, and settles", async () => {
    await applyCluster(objects, name, { spec: spec({ replicas: 1 }) });
    await untilReady(objects, name);
    await operator.idle();
    const pod = await objects.get("Pod", "restate-0", name);
    const { containers, initContainers, volumes } = (pod as unknown as Template).spec;
    expect({
      initContainers: initContainers?.map((container) => [container.name, container.restartPolicy]),
      mounts: containers[0]?.volumeMounts?.map(({ mountPath }) => mountPath),
      volumes: volumes.map((volume) => volume.name).filter((volume) => volume !== "storage"),
    }).toEqual({
      initContainers: [
        ["combine-ca-certs", undefined],
        ["proxy", "Always"],
      ],
      mounts: ["/restate-data", "/tmp", "/config", "/signing-key", "/combined-certs", "/shared"],
      volumes: [
        "tmp",
        "config",
        "request-signing-private-key-secret",
        "trusted-ca-0",
        "trusted-ca-1",
        "combined-ca-certs",
        "shared",
      ],
    });
    const mark = await operator.mark();
    await operator.wake("ClusterReconciler", name);
    await operator.idle();
    expect(await operator.writesSince(mark)).toEqual([]);
  });

  const REFUSED = [
    {
      what: "a volume name",
      more: { extraVolumes: [{ name: "trusted-ca-1", emptyDir: {} }], extraVolumeMounts: [] },
      message:
        /extraVolumes\[0\]: .*"trusted-ca-1" is one of the operator's \(storage, tmp, config/,
    },
    {
      what: "a mount path",
      more: { extraVolumeMounts: [{ name: "shared", mountPath: "/signing-key/" }] },
      message: /extraVolumeMounts\[0\]: .*"\/signing-key" is one of the operator's/,
    },
    {
      what: "a name twice",
      more: { imagePullSecrets: [{ name: "a" }, { name: "a" }] },
      message:
        /imagePullSecrets\[1\]: the name "a" is taken by spec\.compute\.imagePullSecrets\[0\]/,
    },
    {
      what: "the node",
      more: { extraVolumes: [{ name: "shared", hostPath: { path: "/" } }] },
      message: /extraVolumes\[0\]\.hostPath gives the pods their node/,
    },
  ];

  test.each(REFUSED)("takes $what: refused, and nothing is written", async ({ more, message }) => {
    const mark = await operator.mark();
    await applyCluster(objects, name, { spec: spec({ replicas: 1, ...more }) });
    const condition = await untilReason(objects, name, "InvalidRestateConfig");
    expect(condition).toMatchObject({ status: "False", message: expect.stringMatching(message) });
    await operator.idle();
    expect((await operator.writesSince(mark)).filter((write) => !isStatus(write))).toEqual([]);
  });

  test("is corrected: Ready again", async () => {
    await applyCluster(objects, name, { spec: spec({ replicas: 1 }) });
    await untilReady(objects, name);
    await dropCluster(objects, name);
  });
});

const isStatus = (write: string): boolean => write.includes("restateclusters/status");
