/**
 * Everything the schemas in use before this operator accept, ours accept: both are walked side by side. Where ours is stricter
 * or has more, it is on a list here, so that neither happens by accident.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { buildCustomResourceDefinition } from "../../crds/custom-resource-definition.ts";
import { CUSTOM_RESOURCES } from "../../crds/custom-resources.ts";

type Schema = { readonly [keyword: string]: unknown };
/** Theirs, ours. */
type Pair = readonly [Schema, Schema];

/** Keywords that must be the same in both. */
const EQUAL = [
  "type",
  "format",
  "default",
  "oneOf",
  "x-kubernetes-int-or-string",
  "x-kubernetes-preserve-unknown-fields",
  "x-kubernetes-list-type",
  "x-kubernetes-list-map-keys",
  "x-kubernetes-map-type",
];
/** Keywords by which ours can be stricter. */
const RESTRICTING = [
  "enum",
  "pattern",
  "minLength",
  "maxLength",
  "minimum",
  "maximum",
  "minItems",
  "maxItems",
  "maxProperties",
];

interface Comparison {
  readonly wrong: string[];
  readonly stricter: string[];
  readonly more: string[];
}

const isSchema = (value: unknown): value is Schema =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const names = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);
const json = (value: unknown): string => JSON.stringify(value) ?? "absent";
const rulesOf = (schema: Schema): string[] => {
  const rules = schema["x-kubernetes-validations"];
  return Array.isArray(rules) ? rules.map((rule) => String(rule.rule)) : [];
};

function compareKeywords(at: string, [theirs, ours]: Pair, found: Comparison): void {
  for (const keyword of EQUAL) {
    if (json(theirs[keyword]) !== json(ours[keyword])) {
      found.wrong.push(`${at}: ${keyword} is ${json(ours[keyword])}, was ${json(theirs[keyword])}`);
    }
  }
  if (theirs["nullable"] === true && ours["nullable"] !== true) {
    found.wrong.push(`${at}: no longer nullable`);
  }
  for (const name of names(ours["required"])) {
    if (!names(theirs["required"]).includes(name)) found.wrong.push(`${at}: requires ${name}`);
  }
  for (const keyword of RESTRICTING) {
    if (ours[keyword] !== undefined && json(theirs[keyword]) !== json(ours[keyword])) {
      found.stricter.push(`${at}: ${keyword} ${json(ours[keyword])}`);
    }
  }
  const known = rulesOf(theirs);
  const added = rulesOf(ours).filter((rule) => !known.includes(rule));
  if (added.length > 0) found.stricter.push(`${at}: rules ${added.length}`);
}

function compare(at: string, [theirs, ours]: Pair, found: Comparison): void {
  compareKeywords(at, [theirs, ours], found);
  const theirProperties = isSchema(theirs["properties"]) ? theirs["properties"] : {};
  const ourProperties = isSchema(ours["properties"]) ? ours["properties"] : {};
  for (const [name, theirChild] of Object.entries(theirProperties)) {
    const ourChild = ourProperties[name];
    if (isSchema(theirChild) && isSchema(ourChild)) {
      compare(`${at}.${name}`, [theirChild, ourChild], found);
    } else {
      found.wrong.push(`${at}.${name}: missing`);
    }
  }
  for (const name of Object.keys(ourProperties)) {
    if (theirProperties[name] === undefined) found.more.push(`${at}.${name}`);
  }
  for (const [keyword, suffix] of [
    ["items", "[]"],
    ["additionalProperties", "{}"],
  ] as const) {
    const [theirChild, ourChild] = [theirs[keyword], ours[keyword]];
    if (isSchema(theirChild) && isSchema(ourChild)) {
      compare(`${at}${suffix}`, [theirChild, ourChild], found);
    } else if (json(theirChild) !== json(ourChild)) {
      found.wrong.push(`${at}: ${keyword} differs`);
    }
  }
}

const columns = (list: readonly { name: string; jsonPath: string; priority?: number }[]) =>
  list.map(({ name, jsonPath, priority = 0 }) => ({ name, jsonPath, priority }));

const sorted = ({ wrong, stricter, more }: Comparison): Comparison => ({
  wrong: wrong.toSorted(),
  stricter: stricter.toSorted(),
  more: more.toSorted(),
});

const REFERENCE = path.join(import.meta.dirname, "../fixtures/reference-crds");

const compareKind = (plural: string): Comparison => {
  const resource = CUSTOM_RESOURCES.find(({ kind }) => kind.plural === plural)!;
  const file = path.join(REFERENCE, `${plural}.yaml`);
  const theirs = parse(readFileSync(file, "utf8")).spec.versions[0].schema.openAPIV3Schema;
  const ours = buildCustomResourceDefinition(resource).spec.versions[0]!.schema.openAPIV3Schema;
  const found: Comparison = { wrong: [], stricter: [], more: [] };
  compare("", [theirs, ours], found);
  return found;
};

/** Where ours differs on purpose; why is said beside the rule in crds/. Messages and effect: test/control-plane/crds.test.ts. */
const EXPECTED: Readonly<Record<string, Comparison>> = {
  restateclusters: {
    wrong: [],
    stricter: [
      // metadata.name, on create only
      ": rules 2",
      ".spec.compute.dnsPolicy: maxLength 63",
      ".spec.compute.dnsPolicy: rules 1",
      ".spec.compute.image: minLength 1",
      ".spec.compute.imagePullPolicy: maxLength 63",
      ".spec.compute.imagePullPolicy: rules 1",
      ".spec.compute.replicas: minimum 0",
      ".spec.config: maxLength 1048576",
      ".spec.security.requestSigningPrivateKey.secret.key: maxLength 253",
      ".spec.security.requestSigningPrivateKey.secret.key: rules 1",
      ".spec.security.requestSigningPrivateKey.secret.secretName: maxLength 253",
      ".spec.security.requestSigningPrivateKey.secret.secretName: rules 1",
      ".spec.security.requestSigningPrivateKey.secretProvider.path: maxLength 1024",
      ".spec.security.requestSigningPrivateKey.secretProvider.path: rules 1",
      ".spec.security.requestSigningPrivateKey.version: maxLength 16",
      ".spec.security.requestSigningPrivateKey.version: rules 1",
      ".spec.security.requestSigningPrivateKey: rules 1",
      ".spec.security.trustedCaCerts: maxItems 1000",
      ".spec.security.trustedCaCerts[].key: maxLength 253",
      ".spec.security.trustedCaCerts[].key: rules 1",
      ".spec.security.trustedCaCerts[].secretName: maxLength 253",
      ".spec.security.trustedCaCerts[].secretName: rules 1",
      ".spec.storage.storageClassName: maxLength 253",
      ".spec.storage.storageRequestBytes: maximum 9007199254740991",
      ".spec.storage.storageRequestBytes: rules 1",
      ".spec.storage: rules 1",
    ],
    more: [
      // a newer Kubernetes than the one the schemas in use were made from
      ".spec.compute.extraVolumes[].projected.sources[].podCertificate.userAnnotations",
      ".status.nodes",
      ".status.observedGeneration",
      ".status.readyReplicas",
      ".status.reconciliation",
      ".status.replicas",
      ".status.version",
    ],
  },
  restatedeployments: {
    // said by a rule instead, whose message is clear: a violated oneOf keeps the API server from evaluating rules at all
    wrong: [
      '.spec.restate.register: oneOf is absent, was [{"required":["cluster"]},{"required":["cloud"]},{"required":["service"]},{"required":["url"]}]',
    ],
    stricter: [
      // metadata.name, on create only
      ": rules 2",
      ".spec.knative.tag: maxLength 61",
      ".spec.restate.register.cloud: maxLength 253",
      ".spec.restate.register.cloud: rules 1",
      ".spec.restate.register.cluster: maxLength 63",
      ".spec.restate.register.cluster: rules 1",
      ".spec.restate.register.service.name: maxLength 63",
      ".spec.restate.register.service.name: rules 1",
      ".spec.restate.register.service.namespace: maxLength 63",
      ".spec.restate.register.service.namespace: rules 1",
      ".spec.restate.register.service.path: maxLength 1024",
      ".spec.restate.register.service.path: rules 1",
      ".spec.restate.register.url: maxLength 2048",
      ".spec.restate.register.url: rules 6",
      ".spec.restate.register: rules 1",
      ".spec.restate.servicePath: maxLength 2048",
      ".spec.restate.servicePath: rules 1",
      ".spec: rules 4",
    ],
    more: [
      ".spec.restate.allowBreaking",
      ".spec.restate.deletePolicy",
      ".spec.restate.drain",
      ".spec.restate.maxVersions",
      ".spec.restate.rollout",
      ".spec.paused",
      ".spec.progressDeadlineSeconds",
      ".spec.strategy",
      ".status.draining",
      ".status.inFlight",
      ".status.latest",
      ".status.deletion",
      ".status.reconciliation",
      ".status.versions",
    ],
  },
  restatecloudenvironments: {
    wrong: [],
    stricter: [
      ".spec.authentication.secret.key: maxLength 253",
      ".spec.authentication.secret.key: rules 1",
      ".spec.authentication.secret.name: maxLength 253",
      ".spec.authentication.secret.name: rules 1",
      ".spec.environmentId: maxLength 67",
      ".spec.environmentId: rules 1",
      ".spec.region: maxLength 190",
      ".spec.region: rules 1",
      ".spec.signingPublicKey: maxLength 1024",
      ".spec.signingPublicKey: rules 1",
      ".spec.tunnel.dnsPolicy: maxLength 63",
      ".spec.tunnel.dnsPolicy: rules 1",
      ".spec.tunnel.image: minLength 1",
      ".spec.tunnel.imagePullPolicy: maxLength 63",
      ".spec.tunnel.imagePullPolicy: rules 1",
      ".spec.tunnel.replicas: minimum 0",
    ],
    more: [".status"],
  },
};

describe("schemas in use stay accepted", () => {
  test.each(CUSTOM_RESOURCES.map(({ kind }) => kind.plural))("%s", (plural) => {
    expect(sorted(compareKind(plural))).toEqual(sorted(EXPECTED[plural]!));
  });

  test("identity, scope and names are those in use", () => {
    for (const resource of CUSTOM_RESOURCES) {
      const file = `${resource.kind.plural}.yaml`;
      const theirs = parse(readFileSync(path.join(REFERENCE, file), "utf8"));
      const ours = buildCustomResourceDefinition(resource);
      expect(ours.metadata.name).toBe(theirs.metadata.name);
      expect({ ...ours.spec, versions: [] }).toEqual({ ...theirs.spec, versions: [] });
      const [their, our] = [theirs.spec.versions[0], ours.spec.versions[0]!];
      expect([our.name, our.served, our.storage]).toEqual([
        their.name,
        their.served,
        their.storage,
      ]);
      expect(our.subresources).toMatchObject(their.subresources);
      // A RestateDeployment shows what is new first; what was there stays, in the wide table.
      const isWide = resource.kind.plural === "restatedeployments";
      const theirColumns = columns(their.additionalPrinterColumns).map((column) =>
        isWide && column.name !== "Age" ? { ...column, priority: 1 } : column,
      );
      expect(columns(our.additionalPrinterColumns)).toEqual(expect.arrayContaining(theirColumns));
    }
  });
});
