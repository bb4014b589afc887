/**
 * The architecture as a table of rules over the repository's own files (design of the layers: ARCHITECTURE.md). Each rule
 * comes with what breaks it, so that every rule is shown to be able to fail.
 */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { basename, dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Folders that are nobody's source: installed, downloaded, built. */
const NOT_OURS = new Set(["node_modules", ".git", ".data", "dist"]);
const TEXT =
  /(?:\.(?:ts|mjs|js|json|ya?ml|md|go|mod|toml|tpl|txt|proto|conf)|Dockerfile|ignore|\.npmrc)$/;
/** Descriptions of the Kubernetes API, and the lists of a package manager: nothing of theirs is our words. */
const NOT_OUR_WORDS = /^(?:package-lock\.json|crds\/kubernetes-openapi\.json|.*\/go\.sum)$/;

/** Files by path, as the rules see them. */
type Tree = ReadonlyMap<string, string>;

const TREE: Tree = new Map(
  readdirSync(ROOT, { withFileTypes: true })
    .filter(({ name }) => !NOT_OURS.has(name))
    .flatMap((entry) =>
      entry.isDirectory()
        ? readdirSync(join(ROOT, entry.name), { recursive: true, encoding: "utf8" })
            .filter((path) => !path.split("/").some((part) => NOT_OURS.has(part)))
            .map((path) => `${entry.name}/${path}`)
        : [entry.name],
    )
    .filter((path) => TEXT.test(path) && !NOT_OUR_WORDS.test(path))
    .toSorted()
    .map((path) => [path, readFileSync(join(ROOT, path), "utf8")]),
);

const isSource = (path: string): boolean =>
  /^(?:services|watcher|crds|bootstrap|test)\/.*\.(?:ts|mjs)$/.test(path);
const isTest = (path: string): boolean => path.startsWith("test/");
const isGenerated = (path: string): boolean => path.endsWith("_pb.ts");

/** Files that decide: functions of their arguments and of nothing else. */
const isPure = (path: string): boolean =>
  /^services\/(?:core|[^/]+\/(?:plan|build))\/|^watcher\/owners\.ts$/.test(path);

interface Import {
  /** Repository path of a file of ours, or the name of a package. */
  readonly of: string;
  readonly ours: boolean;
  /** Erased before anything runs: `import type`, `export type … from`. */
  readonly typeOnly: boolean;
}

const STATIC_IMPORT = /^(?:import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s+)?"([^"]+)"/gm;
const DYNAMIC_IMPORT = /\bimport\(\s*"([^"]+)"/g;

/** All imports of a source. Our sources are formatted, so statements begin their line and strings have double quotes. */
function importsOf(path: string, source: string): Import[] {
  const found = [
    ...[...source.matchAll(STATIC_IMPORT)].map(([, type, from = ""]) => ({
      from,
      typeOnly: type !== undefined,
    })),
    ...[...source.matchAll(DYNAMIC_IMPORT)].map(([, from = ""]) => ({ from, typeOnly: false })),
  ];
  return found.map(({ from, typeOnly }) => {
    const ours = from.startsWith(".");
    return { of: ours ? posix.join(posix.dirname(path), from) : from, ours, typeOnly };
  });
}

const packageOf = (from: string): string => from.split("/", from.startsWith("@") ? 2 : 1).join("/");

/** A source without comments and the contents of strings: what is left is code. */
function codeOf(source: string): string {
  return source.replaceAll(
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g,
    (match) => (match.startsWith("/") ? " " : '""'),
  );
}

/** Which folder may import which, itself apart; the longest matching folder counts. Types count as values do. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  "services/core": [],
  "services/kube": ["services/core"],
  "services/restate": ["services/core"],
  "services/telemetry": ["services/core"],
  "services/reconciler": ["services/core", "services/kube", "services/telemetry"],
  "services/cluster": [
    "services/core",
    "services/kube",
    "services/restate",
    "services/reconciler",
    "crds",
  ],
  "services/deployment": [
    "services/core",
    "services/kube",
    "services/restate",
    "services/reconciler",
    "crds",
  ],
  "services/cloud-environment": [
    "services/core",
    "services/kube",
    "services/restate",
    "services/reconciler",
    "crds",
  ],
  // The process: puts everything together, and registers itself with what is in bootstrap/restate.
  services: ["services", "bootstrap/restate", "package.json"],
  watcher: ["crds", "package.json"],
  crds: [],
  // The clients of the services serve what brings them up, too.
  bootstrap: [
    "bootstrap",
    "services/core",
    "services/kube",
    "services/restate",
    "crds",
    "package.json",
  ],
  "bootstrap/images/example": [],
  test: ["test", "services", "watcher", "crds", "bootstrap", "package.json"],
};
const KINDS = /^services\/(?:cluster|deployment|cloud-environment)\/(api\.ts$)?/;

const layerOf = (path: string): string =>
  Object.keys(LAYERS)
    .filter((folder) => path.startsWith(`${folder}/`))
    .toSorted((a, b) => b.length - a.length)[0] ?? path;

function mayImport(from: string, { of, typeOnly }: Import): boolean {
  const layer = layerOf(from);
  if (layerOf(of) === layer) return true;
  if (LAYERS[layer]?.some((allowed) => of === allowed || of.startsWith(`${allowed}/`))) return true;
  // What kinds tell each other are the types of their api.ts.
  return typeOnly && KINDS.test(from) && KINDS.exec(of)?.[1] !== undefined;
}

/** Where a package may be imported: values, and types only. */
const PACKAGES: readonly {
  readonly name: string;
  readonly values: RegExp;
  readonly types: RegExp;
}[] = [
  {
    name: "@restatedev/restate-sdk",
    values:
      /^services\/(?:main\.ts|reconciler\/|[^/]+\/(?:drain|survey)\/)|^bootstrap\/images\/example\/|^test\//,
    types: /^services\/telemetry\/sdk-logger\.ts$/,
  },
  {
    name: "@kubernetes/client-node",
    values: /^(?:services\/kube|bootstrap|test)\/|^watcher\/watch\.ts$/,
    // Its models are how Kubernetes objects are written down everywhere.
    types: /./,
  },
  { name: "@connectrpc/connect", values: /^services\/restate\/|^test\//, types: /^$/ },
  { name: "vitest", values: /^test\//, types: /^$/ },
];

/** Packages that are functions of their arguments. */
const PURE_PACKAGES = new Set(["@noble/hashes", "smol-toml", "zod"]);

/**
 * Everything that runs when a file is imported: chains of files, and the packages at their ends, each with the file that
 * imports it. `types`: what only types are imported of, too.
 */
function reachedFrom(
  path: string,
  tree: Tree,
  { types, seen = new Map<string, string>() }: { types: boolean; seen?: Map<string, string> },
): Map<string, string> {
  for (const { of, ours, typeOnly } of importsOf(path, tree.get(path) ?? "")) {
    if ((typeOnly && !types) || seen.has(of)) continue;
    seen.set(of, path);
    if (ours) reachedFrom(of, tree, { types, seen });
  }
  return seen;
}

const EFFECT =
  /\bnew Date\(\s*\)|\bDate\.now\b|\bMath\.random\b|\bperformance\b|\bprocess\b|\bsetTimeout\b|\bsetInterval\b|\bfetch\(|\bcrypto\b|\blocaleCompare\b|\btoLocale\w*\b/;
/** Whether importing it, and calling what it has, depends on nothing but arguments. */
function isHarmless(reached: string, tree: Tree): boolean {
  const source = tree.get(reached);
  return source === undefined
    ? PURE_PACKAGES.has(packageOf(reached))
    : !EFFECT.test(codeOf(source));
}

const HOME_FOLDER = /(?<![\w.}~*-])\/(?:root|home|work|Users)\/\w/;
const PACKAGE_REGISTRY =
  /\bregistry\.(?:npmjs|yarnpkg|npmmirror)\.\w+|\bproxy\.golang\.\w+|\bpypi\.org|\b(?:deb|ftp)\.debian\.org/;
const VAGUE_NAME = /(?:^|[-_])(?:utils?|helpers?|misc|common|stuff|manager)(?:[-_.]|$)/;
const VAGUE_EXPORT =
  /^export (?:async )?(?:const|function|class|interface|type) (\w*(?:[Uu]til|[Hh]elper|(?<!Controller)Manager)s?)\b/m;
const KEBAB = /^\.?[a-z0-9]+(?:[-.][a-z0-9]+)*$/;

interface Rule {
  readonly name: string;
  readonly applies: (path: string) => boolean;
  /** What is wrong with one file. */
  readonly wrong: (path: string, source: string, tree: Tree) => string[];
  /** Files that break the rule, by what they would be called. */
  readonly broken: readonly (readonly [string, string])[];
  /** Files that do not. */
  readonly fine: readonly (readonly [string, string])[];
}

const RULES: readonly Rule[] = [
  {
    name: "folders import what their layer may",
    applies: isSource,
    wrong: (path, source) =>
      importsOf(path, source)
        .filter((imported) => imported.ours && !mayImport(path, imported))
        .map(({ of }) => of),
    broken: [
      ["services/core/x.ts", 'import type { X } from "../kube/x.ts";'],
      ["services/kube/x.ts", 'import { x } from "../reconciler/x.ts";'],
      ["services/reconciler/x.ts", 'import { x } from "../cluster/plan/plan.ts";'],
      ["services/cluster/x.ts", 'import type { X } from "../deployment/plan/plan.ts";'],
      ["services/cluster/x.ts", 'import { x } from "../deployment/api.ts";'],
      ["services/cluster/x.ts", 'import { x } from "../../bootstrap/restate/wait.ts";'],
      ["services/x.ts", 'import { x } from "../bootstrap/kubernetes/node.ts";'],
      ["services/x.ts", 'export { x } from "../test/harness/x.ts";'],
      ["services/x.ts", 'const x = await import("../watcher/x.ts");'],
      ["watcher/x.ts", 'import type { X } from "../services/core/resource.ts";'],
      ["watcher/x.ts", 'import { x } from "../services/core/digest.ts";'],
      ["crds/x.ts", 'import { x } from "../services/core/digest.ts";'],
      ["bootstrap/x.ts", 'import { x } from "../services/cluster/plan/plan.ts";'],
      ["bootstrap/x.ts", 'import "../test/harness/x.ts";'],
      ["bootstrap/images/example/x.ts", 'import { x } from "../scratch.ts";'],
      ["services/core/x.ts", 'import {\n  type A,\n  b,\n} from "../kube/x.ts";'],
    ],
    fine: [
      ["services/core/x.ts", 'import { x } from "./digest.ts";'],
      ["services/cluster/x.ts", 'import type { X } from "../deployment/api.ts";'],
      ["services/cluster/build/x.ts", 'import { x } from "../../core/digest.ts";'],
      ["test/unit/x.test.ts", 'import { x } from "../../services/cluster/plan/plan.ts";'],
    ],
  },
  {
    name: "no file imports itself by way of others, not even a type",
    applies: (path) => isSource(path) && !isTest(path),
    wrong: (path, _source, tree) => {
      const last = reachedFrom(path, tree, { types: true }).get(path);
      return last === undefined ? [] : [`is imported by ${last}`];
    },
    broken: [
      ["services/core/digest.ts", 'import type { X } from "./children.ts";'],
      ["services/cluster/api.ts", 'import { x } from "./plan/plan.ts";'],
    ],
    fine: [["services/core/digest.ts", 'import type { X } from "./backoff.ts";']],
  },
  {
    name: "packages are used where they belong",
    applies: isSource,
    wrong: (path, source) =>
      importsOf(path, source).flatMap(({ of, ours, typeOnly }) => {
        const rule = ours ? undefined : PACKAGES.find(({ name }) => name === packageOf(of));
        const allowed = rule?.values.test(path) !== false || (typeOnly && rule.types.test(path));
        return allowed ? [] : [of];
      }),
    broken: [
      ["services/cluster/reconciler.ts", 'import { object } from "@restatedev/restate-sdk";'],
      ["services/cluster/plan/plan.ts", 'import type { Context } from "@restatedev/restate-sdk";'],
      ["services/telemetry/sdk-logger.ts", 'import { x } from "@restatedev/restate-sdk";'],
      ["watcher/x.ts", 'import { x } from "@restatedev/restate-sdk/fetch";'],
      [
        "services/cluster/observe/observe.ts",
        'import { KubeConfig } from "@kubernetes/client-node";',
      ],
      [
        "services/cluster/observe/observe.ts",
        'import { type V1Pod } from "@kubernetes/client-node";',
      ],
      ["watcher/follow.ts", 'import { Watch } from "@kubernetes/client-node";'],
      ["services/cluster/apply/apply.ts", 'import { createClient } from "@connectrpc/connect";'],
      ["bootstrap/x.ts", 'import { vi } from "vitest";'],
    ],
    fine: [
      ["services/deployment/drain/drain.ts", 'import { object } from "@restatedev/restate-sdk";'],
      [
        "services/cluster/observe/observe.ts",
        'import type { V1Pod } from "@kubernetes/client-node";',
      ],
      ["watcher/watch.ts", 'import { KubeConfig } from "@kubernetes/client-node";'],
    ],
  },
  {
    name: "what decides runs nothing but functions of their arguments, however far its imports go",
    applies: isPure,
    wrong: (path, _, tree) =>
      [...reachedFrom(path, tree, { types: false })]
        .filter(([reached]) => !isHarmless(reached, tree))
        .map(([reached, by]) => `${reached}, by ${by}`),
    broken: [
      ["services/core/x.ts", 'import { createHash } from "node:crypto";'],
      ["services/cluster/plan/plan.ts", 'import { emitEvent } from "../../kube/events.ts";'],
      ["services/cluster/plan/x.ts", 'import { applyAction } from "../apply/apply.ts";'],
      ["services/cluster/build/x.ts", 'import { x } from "../../kube/client.ts";'],
      ["services/deployment/plan/plan-versions.ts", 'import { request } from "undici";'],
      ["watcher/owners.ts", 'import { log } from "./log.ts";'],
    ],
    fine: [
      [
        "services/cluster/plan/plan.ts",
        'import type { ObservedCluster } from "../observe/observe.ts";',
      ],
      ["services/core/x.ts", 'import { sha256 } from "@noble/hashes/sha2.js";'],
    ],
  },
  {
    name: "what decides has no clock, chance, environment or locale",
    applies: isPure,
    wrong: (_, source) => EFFECT.exec(codeOf(source)) ?? [],
    broken: [
      ["services/core/x.ts", "const now = new Date();"],
      ["services/cluster/plan/plan.ts", "const now = Date.now();"],
      ["services/deployment/plan/status.ts", "const r = Math.random();"],
      ["services/cluster/build/x.ts", "const x = process.env;"],
      ["watcher/owners.ts", "setTimeout(run, 1);"],
      ["services/core/x.ts", "names.toSorted((a, b) => a.localeCompare(b));"],
      ["services/core/x.ts", "const at = performance.now();"],
    ],
    fine: [
      ["services/core/x.ts", "const at = new Date(atMs).toISOString(); // not Date.now()"],
      ["services/core/x.ts", '/** Never `Math.random`. */\nconst message = "process ended";'],
    ],
  },
  {
    name: "the environment is read by files called config.ts",
    // install.mjs runs before anything is installed, and so before any other file of ours can.
    applies: (path) => isSource(path) && !isTest(path) && path !== "bootstrap/install.mjs",
    wrong: (path, source) =>
      basename(path) === "config.ts"
        ? []
        : (/\bprocess\.env\b|\bprocess\[|\{[^}]*\benv\b[^}]*\} = process\b/.exec(codeOf(source)) ??
          []),
    broken: [
      ["services/main.ts", 'const level = process.env["LOG_LEVEL"];'],
      ["services/main.ts", "const { env } = process;"],
      ["bootstrap/x.ts", "start({ env: { ...process.env } });"],
    ],
    fine: [
      ["watcher/config.ts", "parse(process.env);"],
      ["services/main.ts", "process.exitCode = 1; // process.env"],
    ],
  },
  {
    name: "every file opens by saying why it is there",
    applies: (path) => isSource(path) && !isTest(path) && !isGenerated(path),
    wrong: (_, source) =>
      /^(?:#![^\n]*\n)?(?:\/\*\*?[\s*]+[A-Za-z`]|\/\/ [A-Za-z`])/.test(source)
        ? []
        : ["no comment at the top"],
    broken: [
      ["services/core/x.ts", 'import { x } from "./y.ts";\n/** Late. */\n'],
      ["bootstrap/x.ts", "#!/usr/bin/env node\nrun();\n"],
      ["bootstrap/x.ts", "/** */\nrun();\n"],
    ],
    fine: [
      ["services/core/x.ts", "/** Why. */\n"],
      ["services/main.ts", "#!/usr/bin/env node\n/**\n * Why.\n */\n"],
    ],
  },
  {
    name: "no barrels",
    applies: isSource,
    wrong: (path, source) => [
      ...(basename(path).startsWith("index.") ? ["it is called index"] : []),
      ...(/^export \*/m.exec(source) ?? []),
    ],
    broken: [
      ["services/core/index.ts", ""],
      ["services/core/x.ts", 'export * from "./y.ts";'],
      ["services/core/x.ts", 'export * as y from "./y.ts";'],
    ],
    fine: [["services/core/x.ts", 'export { y } from "./y.ts";']],
  },
  {
    name: "names say what a thing is",
    applies: isSource,
    wrong: (path, source) => [
      ...path.split("/").filter((part) => VAGUE_NAME.test(part)),
      ...(VAGUE_EXPORT.exec(source)?.slice(1) ?? []),
    ],
    broken: [
      ["services/core/utils.ts", ""],
      ["services/helpers/x.ts", ""],
      ["services/core/string-util.ts", ""],
      ["test/harness/common.ts", ""],
      ["services/core/x.ts", "export function nameHelper(): void {}"],
      ["services/core/x.ts", "export class ClusterManager {}"],
    ],
    fine: [
      ["services/core/utilization.ts", "export const FIELD_MANAGER = 1;"],
      // A component of Kubernetes is called so.
      ["bootstrap/x.ts", "export function startControllerManager(): void {}"],
    ],
  },
  {
    name: "files and folders are in kebab-case",
    applies: (path) => isSource(path) && !isGenerated(path),
    wrong: (path) => path.split("/").filter((part) => !KEBAB.test(part)),
    broken: [
      ["services/core/aFile.ts", ""],
      ["services/a_folder/x.ts", ""],
    ],
    fine: [["test/unit/a-file.test.ts", ""]],
  },
  {
    name: "no path of somebody's machine, no host of a package registry",
    applies: () => true,
    wrong: (_, source) =>
      [HOME_FOLDER, PACKAGE_REGISTRY].flatMap((pattern) => pattern.exec(source) ?? []),
    broken: [
      ["README.md", `run ${["", "home", "me", "node"].join("/")}`],
      ["bootstrap/x.ts", `const dir = "${["", "root", "x"].join("/")}";`],
      ["charts/x/values.yaml", `path: ${["", "work", "x"].join("/")}`],
      ["Dockerfile", `RUN npm --registry https://${["registry", "npmjs", "org"].join(".")}`],
      ["bootstrap/x.ts", `"https://${["proxy", "golang", "org"].join(".")}/"`],
    ],
    fine: [
      [
        "README.md",
        `see docs${["", "work", "x"].join("/")}, ~${["", "work", "x"].join("/")} and https://example.org/home/x`,
      ],
      ["Dockerfile", "FROM gcr.io/distroless/nodejs24-debian12"],
    ],
  },
  {
    name: "links between documents lead somewhere",
    applies: (path) => path.endsWith(".md"),
    wrong: (path, source, tree) =>
      linksOf(source).filter((link) => {
        const target = posix.join(posix.dirname(path), decodeURI(link.replace(/#.*$/, "")));
        if (target.startsWith("..")) return true;
        if (link.startsWith("#")) return !anchorsOf(source).includes(link.slice(1));
        return !tree.has(target) && !existsSync(join(ROOT, target));
      }),
    broken: [
      ["README.md", "see [this](missing.md)"],
      ["README.md", "see [this](services/missing/#part)"],
      ["test/README.md", "see [this](../../outside.md)"],
      ["README.md", "[this]: missing.md"],
      ["README.md", "# A part\n[this](#another-part)"],
    ],
    fine: [
      [
        "README.md",
        "see [this](package.json), [that](services/main.ts#L1) and [others](https://example.org/x)",
      ],
      ["README.md", "# A part: `x`\n[this](#a-part-x)"],
      ["README.md", "```\n[x](missing.md)\n```"],
    ],
  },
];

/** Relative links of a Markdown text, code apart. */
function linksOf(markdown: string): string[] {
  const text = markdown.replaceAll(/```[\s\S]*?```|`[^`\n]*`/g, "");
  return [...text.matchAll(/\]\(([^)\s]+)(?:\s+"[^"]*")?\)|^\[[^\]]+\]:\s*(\S+)/gm)]
    .map(([, inline, reference]) => inline ?? reference ?? "")
    .filter((link) => !/^(?:[a-z]+:|\/\/)/.test(link));
}

/** Anchors of the headings of a Markdown text, as GitHub makes them. */
function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

describe.each(RULES)("$name", ({ applies, wrong, broken, fine }) => {
  test("holds", () => {
    const found = [...TREE]
      .filter(([path]) => applies(path))
      .flatMap(([path, source]) =>
        wrong(path, source, TREE).map((problem) => `${path}: ${problem}`),
      );
    expect(found).toEqual([]);
  });

  test.each(broken)("is broken by %s: %s", (path, source) => {
    expect(applies(path)).toBe(true);
    expect(wrong(path, source, new Map([...TREE, [path, source]]))).not.toEqual([]);
  });

  test.each(fine)("is not broken by %s: %s", (path, source) => {
    expect(applies(path)).toBe(true);
    expect(wrong(path, source, new Map([...TREE, [path, source]]))).toEqual([]);
  });
});

test("the rules look at the files they are about", () => {
  const count = (applies: (path: string) => boolean) =>
    [...TREE.keys()].filter((path) => applies(path)).length;
  expect(count(isSource)).toBeGreaterThan(100);
  expect(count(isPure)).toBeGreaterThan(15);
  const folders = new Set(
    [...TREE.keys()].filter((path) => isSource(path)).map((path) => dirname(path)),
  );
  for (const folder of Object.keys(LAYERS))
    expect([...folders].some((found) => found.startsWith(folder))).toBe(true);
});
