/**
 * Generated settings (S1 to S4 in services/cluster/settings.ts): which specifications get them, which keep the very pod template
 * they have, and what is refused because it would make two clusters or lose data.
 */
import { describe, expect, test } from "vitest";
import type { RestateClusterSpec } from "../../crds/restate-cluster.ts";
import type { ClusterBuilding } from "../../services/cluster/api.ts";
import { configProblem } from "../../services/cluster/plan/config-problem.ts";
import type { ObservedCluster } from "../../services/cluster/observe/observe.ts";
import { planCluster } from "../../services/cluster/plan/plan.ts";
import { formedOf, settingsOf } from "../../services/cluster/plan/settings.ts";
import { refOf } from "../../services/core/children.ts";
import { titleOf } from "../../services/core/resource.ts";
import { CONFIG, NOW_MS, aClaim, aCluster, liveOf, manifestsOf } from "./cluster-samples.ts";

const ALL = {
  RESTATE_ROLES: '["admin","http-ingress","log-server","metadata-server","worker"]',
  RESTATE_METADATA_CLIENT__TYPE: "replicated",
  RESTATE_METADATA_CLIENT__ADDRESSES:
    '["http://restate-0.restate-cluster:5122","http://restate-1.restate-cluster:5122","http://restate-2.restate-cluster:5122"]',
  RESTATE_LOCATION: "$(POD_REGION).$(POD_ZONE)",
  RESTATE_AUTO_PROVISION: "false",
  RESTATE_DEFAULT_REPLICATION: "2",
};
type Name = keyof typeof ALL;
const without = (...names: Name[]) =>
  Object.fromEntries(Object.entries(ALL).filter(([name]) => !names.includes(name as Name)));

type Sample = NonNullable<Parameters<typeof aCluster>[0]>;
const three = (sample: Sample = {}) =>
  aCluster({ ...sample, compute: { replicas: 3, ...sample.compute } });

const nothingThere = (cluster: ReturnType<typeof aCluster>): ObservedCluster => ({
  cluster,
  children: [],
  claims: [],
});

/** What a new cluster gets. */
function settingsOfNew(sample: Sample) {
  const cluster = three(sample);
  const formed = formedOf(nothingThere(cluster));
  const { env, provisions } = settingsOf(cluster.spec, formed === undefined ? {} : { formed });
  return { env: Object.fromEntries(env.map(({ name, value }) => [name, value])), provisions };
}

const variable = (name: string, value = "x") => ({ compute: { env: [{ name, value }] } });
const AUTO = { cluster: { autoProvision: true } };

describe("S1: what is set is never generated", () => {
  test.each<{ name: string; sample: Sample; env: object; provisions?: boolean }>([
    { name: "nothing is set", sample: {}, env: ALL },
    {
      name: "some of it in the file",
      sample: { spec: { config: 'roles = ["worker"]\nlocation = "a.b"\n' } },
      env: without("RESTATE_ROLES", "RESTATE_LOCATION"),
    },
    {
      name: "replication in the file",
      sample: { spec: { config: 'default-replication = "{zone: 2}"' } },
      env: without("RESTATE_DEFAULT_REPLICATION"),
    },
    {
      name: "a variable",
      sample: variable("RESTATE_LOCATION"),
      env: without("RESTATE_LOCATION"),
    },
    {
      name: "a variable that another is made of",
      sample: variable("POD_ZONE"),
      env: without("RESTATE_LOCATION"),
    },
    {
      name: "the metadata type alone does not say where it is",
      sample: { spec: { config: '[metadata-client]\ntype = "replicated"' } },
      env: without("RESTATE_METADATA_CLIENT__TYPE"),
    },
    {
      name: "provisioning is the user's own business where it is off in the file",
      sample: { spec: { config: "auto-provision = false" } },
      env: without("RESTATE_AUTO_PROVISION"),
      provisions: false,
    },
    {
      name: "provisioning is the user's own business where it is declined",
      sample: { spec: { cluster: { autoProvision: false } } },
      env: ALL,
      provisions: false,
    },
    {
      name: "off in the file, asked of the operator",
      sample: { spec: { ...AUTO, config: "auto-provision = false" } },
      env: without("RESTATE_AUTO_PROVISION"),
    },
    {
      name: "told where the metadata is, not who provisions: asked of the operator",
      sample: {
        spec: { ...AUTO, config: '[metadata-client]\naddresses = ["http://a:5122"]' },
      },
      env: without("RESTATE_METADATA_CLIENT__TYPE", "RESTATE_METADATA_CLIENT__ADDRESSES"),
    },
  ])("$name", ({ sample, env, provisions = true }) => {
    expect(settingsOfNew(sample)).toEqual({ env, provisions });
  });

  test("one node that the operator provisions is formed with one copy", () => {
    const { env } = settingsOfNew({ compute: { replicas: 1 }, spec: AUTO });
    expect(env).toEqual({ ...ALL, RESTATE_DEFAULT_REPLICATION: "1" });
  });
});

describe("S2: what works without generated settings gets none", () => {
  const META = "[metadata-client]\n";
  test.each<[string, Sample]>([
    ["one node", { compute: { replicas: 1 } }],
    ["no node", { compute: { replicas: 0 } }],
    ["addresses", { spec: { config: `${META}addresses = ["http://a:5122"]` } }],
    ["one address", { spec: { config: `${META}address = "http://a:5122"` } }],
    ["the older table", { spec: { config: '[metadata-store-client]\naddress = "http://a"' } }],
    ["an object store", { spec: { config: `${META}type = "object-store"\npath = "s3://b"` } }],
    ["the variable", variable("RESTATE_METADATA_CLIENT__ADDRESSES")],
    ["the variable of the type", variable("RESTATE_METADATA_CLIENT__TYPE", "object-store")],
    ["the older variable", variable("RESTATE_METADATA_STORE_CLIENT__ADDRESS")],
    ["another file", variable("RESTATE_CONFIG", "/mine.toml")],
    ["another command", { compute: { command: ["sh"] } }],
    ["arguments", { compute: { args: ["--x"] } }],
    ["a file that is not TOML", { spec: { config: "= broken" } }],
    [
      "everything that a provisioned node needs",
      { compute: { replicas: 1 }, spec: { ...AUTO, config: "auto-provision = false" } },
    ],
  ])("%s", (_, sample) => {
    expect(settingsOfNew(sample).env).toEqual({});
    const cluster = three(sample);
    const [plain] = manifestsOf(cluster).slice(-1);
    const { actions } = planCluster({
      observed: nothingThere(cluster),
      applied: {},
      config: CONFIG,
      nowMs: NOW_MS,
    });
    expect(JSON.stringify(plain)).not.toContain("formed-with-replication");
    expect(actions.filter((action) => "building" in action)).toEqual([]);
  });
});

/** A cluster that was made by this specification: its children as they were applied, and volumes of so many nodes. */
function made(
  sample: Sample,
  given: { readonly building?: ClusterBuilding; readonly nodes: number },
): Omit<ObservedCluster, "cluster"> {
  const cluster = aCluster(sample);
  const { building = {}, nodes } = given;
  return {
    children: manifestsOf(cluster, { building })
      .filter(({ kind }) => kind === "Service" || kind === "StatefulSet")
      .map((manifest) => liveOf(manifest)),
    claims: Array.from({ length: nodes }, (_, ordinal) => aClaim(ordinal)),
    statefulSet: {
      generation: 1,
      wantedReplicas: nodes,
      replicas: nodes,
      readyReplicas: nodes,
      updatedReplicas: nodes,
    },
  };
}

const templateOf = (replicas: number) =>
  manifestsOf(aCluster({ compute: { replicas } }), { building: { formed: 2 } })
    .map((manifest) => (manifest as { spec?: { template?: unknown } }).spec?.template)
    .find((template) => template !== undefined);

describe("S3, S4: as a cluster was made it stays", () => {
  const formedMade = made({ compute: { replicas: 3 } }, { building: { formed: 2 }, nodes: 3 });
  const older = made({ compute: { replicas: 3 } }, { nodes: 3 });
  const { statefulSet: _, ...orphaned } = formedMade;
  const notService = { ...formedMade, children: formedMade.children.slice(-1) };
  const notSet = { ...orphaned, children: formedMade.children.slice(0, -1) };
  type Made = Omit<ObservedCluster, "cluster">;
  const rows: [string, Sample, Made, number | undefined][] = [
    ["three nodes made without: they have clusters of their own", {}, older, undefined],
    ["asked for, and not begun", {}, { ...older, claims: [] }, undefined],
    ["one node made without, grown to three", {}, made({}, { nodes: 1 }), 2],
    ["nothing was ever made", {}, { children: [], claims: [] }, 2],
    ["made with, and settled", {}, formedMade, 2],
    ["made with, now five", { compute: { replicas: 5 } }, formedMade, 2],
    ["made with, now one", { compute: { replicas: 1 } }, formedMade, 2],
    ["made with one copy, grown", {}, made({}, { building: { formed: 1 }, nodes: 1 }), 1],
    ["made with, its Service was deleted", {}, notService, 2],
    ["made with, its StatefulSet is made again", {}, notSet, 2],
    ["made with, and told by arguments since", { compute: { args: ["--x"] } }, formedMade, 2],
    [
      "what another has marked does not count",
      {},
      {
        ...older,
        children: [
          ...older.children,
          {
            ...older.children[0]!,
            ref: { ...older.children[0]!.ref, name: "theirs" },
            annotations: { "restate.dev/formed-with-replication": "2" },
          },
        ],
      },
      undefined,
    ],
  ];
  test.each(rows.map(([name, ...row]) => ({ name, row })))("$name", ({ row }) => {
    const [sample, observed, expected] = row;
    expect(formedOf({ cluster: three(sample), ...observed })).toBe(expected);
  });

  test("S4: the number of nodes is in no pod template", () => {
    expect(templateOf(2)).toEqual(templateOf(7));
    expect(templateOf(1)).toEqual(templateOf(3));
  });

  test("a user's annotation makes no cluster formed, and is on no child", () => {
    const cluster = three({
      metadata: { annotations: { "restate.dev/formed-with-replication": "9" } },
    });
    expect(JSON.stringify(manifestsOf(cluster))).not.toContain("formed-with-replication");
  });
});

function metricsPolicy(
  cluster: ReturnType<typeof aCluster>,
  options: { building?: ClusterBuilding },
): string {
  const policies = manifestsOf(cluster, options);
  return JSON.stringify(policies.find(({ metadata }) => metadata?.name === "allow-metrics-access"));
}

describe("where generated settings are", () => {
  const view = { building: { formed: 2 } };
  const cluster = three(variable("MINE"));
  const manifests = manifestsOf(cluster, view);
  const find = (title: string) =>
    manifests.find((manifest) => titleOf(refOf(manifest)) === title) as {
      metadata: { annotations: object };
      data?: object;
      spec: { template: { spec: { containers: { env: { name: string }[] }[] } } };
    };

  test("in variables between the operator's and the user's, and not in the file", () => {
    const names = find("StatefulSet restate").spec.template.spec.containers[0]?.env.map(
      ({ name }) => name,
    );
    expect(names?.slice(-8)).toEqual(["RESTATE_NODE_NAME", ...Object.keys(ALL), "MINE"]);
    expect(find("ConfigMap restate-config-42c4b0e3").data).toEqual({ "config.toml": "" });
  });

  test("the mark is on two children, so that either may be lost, and never on a pod", () => {
    const marked = manifests.filter(
      ({ metadata }) =>
        metadata?.annotations?.["restate.dev/formed-with-replication"] !== undefined,
    );
    expect(marked.map((manifest) => titleOf(refOf(manifest)))).toEqual([
      "Service restate-cluster",
      "StatefulSet restate",
    ]);
    const { template } = find("StatefulSet restate").spec;
    expect(JSON.stringify(template)).not.toContain("formed-with");
  });

  test("the operator is let in to provision", () => {
    expect(metricsPolicy(cluster, view)).toContain("restate-operator");
    expect(metricsPolicy(cluster, {})).not.toContain("restate-operator");
  });
});

describe("refused", () => {
  const EACH =
    "spec.config: with several replicas set `auto-provision = false` in it, or every node would provision a cluster of its own";
  const problem = (sample: Sample, formed?: number) =>
    configProblem(three(sample).spec, formed === undefined ? {} : { formed });

  test.each<[string, Sample, string | undefined]>([
    ["nothing is said", {}, undefined],
    ["off", { spec: { config: "auto-provision = false" } }, undefined],
    ["on", { spec: { config: "auto-provision = true" } }, EACH],
    [
      "on by the variable",
      variable("RESTATE_AUTO_PROVISION", "true"),
      'spec.compute.env: with several replicas the variable RESTATE_AUTO_PROVISION must be "false"',
    ],
    [
      "asked of the operator, and nothing is said",
      { compute: { replicas: 1 }, spec: AUTO },
      undefined,
    ],
    [
      "asked of the operator, and on by an argument",
      { compute: { args: ["--auto-provision", "true"] }, spec: AUTO },
      "spec.compute.args: with spec.cluster.autoProvision --auto-provision must be false, or Restate would provision a second time",
    ],
  ])("formed of generated settings: %s", (_, sample, expected) => {
    expect(problem(sample, 2)).toBe(expected);
  });

  test("what is not formed of them provisions itself as it always has", () => {
    const config = 'auto-provision = true\n[metadata-client]\naddresses = ["http://a:5122"]';
    expect(problem({ spec: { config } })).toBeUndefined();
    expect(problem({ spec: { config } }, 2)).toBeUndefined();
    expect(problem({ spec: { config: "auto-provision = true" } })).toBeUndefined();
  });

  const BASE = "RESTATE_BASE_DIR";
  const mounts: RestateClusterSpec["compute"]["extraVolumeMounts"] = [
    { name: "v", mountPath: "/mnt/v/" },
  ];
  test.each<[string, Sample, boolean]>([
    ["the volume", variable(BASE, "/restate-data"), true],
    ["with a slash", variable(BASE, "/restate-data/"), true],
    ["a folder in it", variable(BASE, "/restate-data/a/b"), true],
    ["a name that begins like it", variable(BASE, "/restate-data-2"), false],
    ["out of it again", variable(BASE, "/restate-data/../tmp"), false],
    ["another folder", variable(BASE, "/tmp/data"), false],
    ["a relative one", variable(BASE, "restate-data"), false],
    ["another variable", variable(BASE, "$(DIR)"), true],
    [
      "a volume of the user's",
      { compute: { ...variable(BASE, "/mnt/v/x").compute, extraVolumeMounts: mounts } },
      true,
    ],
    ["by an argument", { compute: { args: ["--base-dir", "/tmp"] } }, false],
    ["by an argument, in one word", { compute: { args: ["--base-dir=/tmp"] } }, false],
    ["in the file, where it has no effect", { spec: { config: 'base-dir = "/tmp"' } }, true],
    [
      "from elsewhere",
      { compute: { env: [{ name: BASE, valueFrom: { fieldRef: { fieldPath: "x" } } }] } },
      true,
    ],
  ])("base directory: %s", (_, sample, fine) => {
    const said = problem(sample) ?? "";
    expect(said).toMatch(
      fine ? /^$/ : /^spec\.compute\.(args|env): .* must be \/restate-data or a folder/,
    );
  });
});
