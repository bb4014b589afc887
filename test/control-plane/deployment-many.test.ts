/** Many versions of one RestateDeployment: as many as may be at once, and those that are kept for a rollback. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { DeploymentStage, STAGE_TIMEOUT_MS } from "../harness/deployment-stage.ts";
import {
  applyDeployment,
  untilDeployed,
  untilReason,
  untilStatus,
  urlOfVersion,
  type DeploymentStatus,
  type Key,
} from "../harness/deployments.ts";

let stage: DeploymentStage;

beforeAll(async () => {
  stage = await DeploymentStage.start({ name: "deployment-many" });
}, STAGE_TIMEOUT_MS);

afterAll(() => stage.stop());

const keyOf = (name: string): Key => ({ namespace: stage.namespace, name });

/** Releases a version of the service `<service>`. */
async function release(
  key: Key,
  { service, version, spec = {} }: { service: string; version: string; spec?: object },
): Promise<void> {
  const image = `${key.name}:${version}`;
  await stage.world.addImage(image, stage.worker.services(service, version));
  await applyDeployment(stage.objects, key, { image, restate: stage.byUrl(), spec: { ...spec } });
}

const latestOf = ({ versions }: DeploymentStatus): string =>
  versions!.find(({ phase }) => phase === "Latest")!.name;

test("V9: twenty versions with work; the twenty-first waits until one has ended", async () => {
  const key = keyOf("many");
  const work = [];
  for (let number = 1; number <= 20; number += 1) {
    const version = `v${number}`;
    await release(key, { service: "Many", version });
    await untilDeployed(stage.objects, key);
    work.push({ version, unfinished: await stage.worker.start("suspended", "Many") });
  }
  await release(key, { service: "Many", version: "v21" });
  const { message } = await untilReason(stage.objects, key, "TooManyVersions");
  expect(message).toMatch(/^20 versions still have pods or are registered, .*maxVersions is 20/);
  const counted = await untilStatus(stage.objects, key, {
    what: "the work of all older versions is counted",
    is: ({ versions }) => versions!.filter((each) => each.invocations?.pinned === 1).length >= 19,
  });
  expect(counted.versions).toHaveLength(20);
  const last = work.pop()!;
  for (const { version, unfinished } of work) expect(await unfinished.finish()).toBe(version);
  const status = await untilDeployed(stage.objects, key);
  expect(await stage.world.call("Many/runningUnbegun", "x")).toBe("v21");
  expect(status.versions![0]).toMatchObject({ phase: "Latest" });
  expect(await last.unfinished.finish()).toBe("v20");
  // every step of reconciles that ask twenty drains ran once
  expect(await stage.operator.logOf("services")).not.toMatch(/awaitNext|RT0016/);
}, 600_000);

test("versions beyond revisionHistoryLimit go for good", async () => {
  const key = keyOf("history");
  const names: string[] = [];
  for (const version of ["v1", "v2", "v3", "v4"]) {
    await release(key, { service: "History", version, spec: { revisionHistoryLimit: 1 } });
    names.push(latestOf(await untilDeployed(stage.objects, key)));
  }
  const status = await untilStatus(stage.objects, key, {
    what: "one version is kept beside the latest",
    is: ({ versions }) => versions?.length === 2 && versions[1]?.phase === "Retained",
  });
  expect(status.versions!.map(({ name }) => name)).toEqual([names[3], names[2]]);
  const sets = await stage.objects.list("ReplicaSet", key.namespace);
  const own = sets
    .map(({ metadata }) => metadata.name)
    .filter((name) => name.startsWith("history-"));
  expect(own.toSorted()).toEqual([names[2]!, names[3]!].toSorted());
  expect(await stage.registered("history")).toEqual([urlOfVersion(key, names[3]!)]);
});
