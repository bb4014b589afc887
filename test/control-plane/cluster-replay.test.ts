/**
 * Replay forced at every step of every handler: whatever a handler does besides its steps would be done twice, or be
 * different the second time. A life so lived ends in the same state, and writes each object as often, as an undisturbed one.
 */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ClusterAccess } from "../../bootstrap/kubernetes/cluster.ts";
import type { AuditRecord } from "../harness/audit.ts";
import { readyOf } from "../harness/clusters.ts";
import { sharedControlPlane, testRunDir } from "../harness/kubernetes.ts";
import { live, withoutName, writesAbout, type Life } from "../harness/lives.ts";
import { Objects } from "../harness/objects.ts";
import { describeRecord, startTestOperator } from "../harness/operator.ts";
import { until } from "../harness/until.ts";

const TIMEOUT_MS = 1_500_000;
const ENVIRONMENT = {
  apiVersion: "restate.dev/v1beta1",
  metadata: { name: "replayed" },
  spec: {
    environmentId: "env_201a",
    region: "us",
    signingPublicKey: "publickeyv1_2G8dCQhArfvGpzPw5Vx2ALciR4xCLHfS5YaT93XjNxX9",
    authentication: { secret: { name: "none", key: "token" } },
  },
};

let cluster: ClusterAccess;
let objects: Objects;

beforeAll(async () => {
  cluster = await sharedControlPlane();
  objects = new Objects(cluster);
}, TIMEOUT_MS);

afterAll(() => objects.close());

type LivedLife = {
  readonly life: Life;
  /** Writes of children, finalizers and namespace: `verb resource namespace/name → code`, sorted. */
  readonly writes: readonly string[];
  /** Reads of the RestateCluster. */
  readonly reads: number;
};

/** One life with an operator of its own, and a resource of the kind that is only observed. */
async function liveWith(name: string, alwaysReplay: boolean): Promise<LivedLife> {
  const operator = await startTestOperator({
    cluster,
    dir: join(testRunDir(), name),
    alwaysReplay,
  });
  try {
    const mark = await operator.mark();
    const life = await live(objects, name);
    await operator.untilForgotten(name);
    const records = await operator.requestsSince(mark);
    const written = writesAbout(records, name).filter((record) => !isStatus(record));
    const lines = written.map((record) => describeRecord(record)).toSorted();
    expect(await operator.logOf("restate")).not.toContain("RT0016");
    return {
      life,
      writes: withoutName(lines, name) as string[],
      reads: records.filter(
        ({ verb, resource }) => verb === "get" && resource === "restateclusters",
      ).length,
    };
  } finally {
    await operator.stop();
  }
}

/** Which states in between are seen, and so said, depends on how fast everything is. */
const isStatus = ({ subresource }: AuditRecord): boolean => subresource === "status";

test(
  "a life with every step replayed is the same life",
  async () => {
    const undisturbed = await liveWith("undisturbed", false);
    const replayed = await liveWith("replayed", true);
    expect(replayed.life.state).toEqual(undisturbed.life.state);
    expect(replayed.writes).toEqual(undisturbed.writes);
    // Steps were replayed: an attempt that begins afresh has nothing in hand and reads the resource before it writes.
    expect(replayed.reads).toBeGreaterThan(undisturbed.reads + replayed.writes.length / 2);
  },
  TIMEOUT_MS,
);

test(
  "an environment is observed with every step replayed: one status, written once",
  async () => {
    const dir = join(testRunDir(), "replayed-environment");
    const operator = await startTestOperator({ cluster, dir, alwaysReplay: true });
    try {
      const mark = await operator.mark();
      await objects.apply("RestateCloudEnvironment", ENVIRONMENT);
      await until("it has a condition", async () =>
        readyOf(await objects.get("RestateCloudEnvironment", ENVIRONMENT.metadata.name)),
      );
      await operator.wake("CloudEnvironmentReconciler", ENVIRONMENT.metadata.name);
      await operator.idle();
      expect(await operator.writesSince(mark)).toEqual([
        "patch restatecloudenvironments/status replayed → 200",
      ]);
      await objects.remove("RestateCloudEnvironment", ENVIRONMENT.metadata.name);
      await until("nothing of it is left", async () => {
        const left = await operator.remainsOf("CloudEnvironmentReconciler", "replayed");
        return left.length === 0;
      });
    } finally {
      await operator.stop();
    }
  },
  TIMEOUT_MS,
);
