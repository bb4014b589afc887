/** What a user adds to the pods and cannot have: refused by field, with the operator's own names, before anything is written. */
import { describe, expect, test } from "vitest";
import type { RestateClusterSpec } from "../../crds/restate-cluster.ts";
import { clusterViewOf, planCluster } from "../../services/cluster/plan/plan.ts";
import { podProblem } from "../../services/cluster/plan/pod-problem.ts";
import { CONFIG, aCluster, settledQuestion } from "./cluster-samples.ts";

interface Row {
  readonly name: string;
  readonly compute?: Partial<RestateClusterSpec["compute"]>;
  readonly security?: RestateClusterSpec["security"];
  readonly expected: string | undefined;
}

const volume = (name: string) => ({ name, emptyDir: {} });
const at = (mountPath: string, name = "v") => ({ name, mountPath });
const sidecar = (name: string, more: object = {}) => ({ name, image: "i", ...more });
const key = { version: "v1", secret: { secretName: "s", key: "k" } };
const authorities = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ secretName: "s", key: `k${index}` }));

function problem({ compute = {}, security }: Omit<Row, "name" | "expected">, config = CONFIG) {
  const cluster = aCluster({
    spec: { compute: { image: "i", ...compute }, ...(security === undefined ? {} : { security }) },
  });
  return podProblem(clusterViewOf({ cluster }), config);
}

const VOLUMES = "spec.compute.extraVolumes";
const MOUNTS = "spec.compute.extraVolumeMounts";
const SIDECARS = "spec.compute.sidecars";

const ROWS: readonly Row[] = [
  { name: "nothing is added", expected: undefined },
  {
    name: "additions that meet nothing",
    compute: {
      extraVolumes: [volume("v"), volume("w")],
      extraVolumeMounts: [at("/v"), at("/w"), at("/restate-data/more"), at("/tmp2")],
      sidecars: [sidecar("a"), sidecar("b")],
      env: [{ name: "SSL_CERT_FILE", value: "/theirs" }],
    },
    expected: undefined,
  },
  {
    name: "names that are the operator's only with another field",
    compute: {
      extraVolumes: [volume("combined-ca-certs"), volume("request-signing-private-key-secret")],
      extraVolumeMounts: [at("/signing-key", "combined-ca-certs")],
      sidecars: [sidecar("combine-ca-certs")],
    },
    expected: undefined,
  },
  ...["storage", "tmp", "config"].map((name) => ({
    name: `a volume ${name}`,
    compute: { extraVolumes: [volume("v"), volume(name)] },
    expected: `${VOLUMES}[1]: the volume name "${name}" is one of the operator's (storage, tmp, config); choose another`,
  })),
  {
    name: "a volume of the signing key",
    compute: { extraVolumes: [volume("request-signing-private-key-secret")] },
    security: { requestSigningPrivateKey: key },
    expected: `${VOLUMES}[0]: the volume name "request-signing-private-key-secret" is one of the operator's (storage, tmp, config, request-signing-private-key-secret); choose another`,
  },
  {
    name: "a volume of an authority, one of many",
    compute: { extraVolumes: [volume("trusted-ca-19")] },
    security: { trustedCaCerts: authorities(20) },
    expected: `${VOLUMES}[0]: the volume name "trusted-ca-19" is one of the operator's (storage, tmp, config, trusted-ca-0, trusted-ca-1, trusted-ca-2, trusted-ca-3, trusted-ca-4, trusted-ca-5, trusted-ca-6, trusted-ca-7, trusted-ca-8 and 12 more); choose another`,
  },
  {
    name: "a volume name twice",
    compute: { extraVolumes: [volume("v"), volume("w"), volume("v")] },
    expected: `${VOLUMES}[2]: the volume name "v" is taken by ${VOLUMES}[0]; choose another, and none of the operator's (storage, tmp, config)`,
  },
  ...["/tmp", "/tmp/", "//tmp", "/./tmp", "/a/../tmp", "tmp", "/../tmp"].map((path) => ({
    name: `a mount at ${path}`,
    compute: { extraVolumeMounts: [at(path)] },
    expected: `${MOUNTS}[0]: the mount path "/tmp" is one of the operator's (/restate-data, /tmp, /config); choose another`,
  })),
  {
    name: "a mount over the signing key",
    compute: { extraVolumeMounts: [at("/signing-key")] },
    security: { requestSigningPrivateKey: key },
    expected: `${MOUNTS}[0]: the mount path "/signing-key" is one of the operator's (/restate-data, /tmp, /config, /signing-key); choose another`,
  },
  {
    name: "a mount path twice, spelled in two ways",
    compute: { extraVolumeMounts: [at("/v"), at("/v/")] },
    expected: `${MOUNTS}[1]: the mount path "/v" is taken by ${MOUNTS}[0]; choose another, and none of the operator's (/restate-data, /tmp, /config)`,
  },
  {
    name: "a sidecar named like Restate",
    compute: { sidecars: [sidecar("restate")] },
    expected: `${SIDECARS}[0]: the container name "restate" is one of the operator's (restate); choose another`,
  },
  {
    name: "a sidecar named like the init container",
    compute: { sidecars: [sidecar("combine-ca-certs")] },
    security: { trustedCaCerts: authorities(1) },
    expected: `${SIDECARS}[0]: the container name "combine-ca-certs" is one of the operator's (restate, combine-ca-certs); choose another`,
  },
  {
    name: "two sidecars of one name",
    compute: { sidecars: [sidecar("a"), sidecar("a")] },
    expected: `${SIDECARS}[1]: the container name "a" is taken by ${SIDECARS}[0]; choose another, and none of the operator's (restate)`,
  },
  {
    name: "a variable that follows from another field",
    compute: { env: [{ name: "SSL_CERT_FILE", value: "/theirs" }] },
    security: { trustedCaCerts: authorities(1) },
    expected: `spec.compute.env[0]: the variable "SSL_CERT_FILE" is one of the operator's (SSL_CERT_FILE); choose another`,
  },
  {
    name: "what a terminal would act on, and too much of it",
    compute: {
      extraVolumes: [
        volume(`\u001B[31m${"x".repeat(200)}`),
        volume(`\u001B[31m${"x".repeat(200)}`),
      ],
    },
    expected: `${VOLUMES}[1]: the volume name " [31m${"x".repeat(75)}" is taken by ${VOLUMES}[0]; choose another, and none of the operator's (storage, tmp, config)`,
  },
  {
    name: "a secret for pulling twice",
    compute: { imagePullSecrets: [{ name: "a" }, { name: "a" }] },
    expected:
      'spec.compute.imagePullSecrets[1]: the name "a" is taken by spec.compute.imagePullSecrets[0]; choose another',
  },
  {
    name: "two constraints that are one to Kubernetes",
    compute: {
      topologySpreadConstraints: [1, 2].map((maxSkew) => ({
        maxSkew,
        topologyKey: "zone",
        whenUnsatisfiable: "DoNotSchedule",
      })),
    },
    expected:
      'spec.compute.topologySpreadConstraints[1]: the pair of topologyKey and whenUnsatisfiable "zone DoNotSchedule" is taken by spec.compute.topologySpreadConstraints[0]; choose another',
  },
  {
    name: "a variable of a sidecar twice",
    compute: { sidecars: [sidecar("a"), sidecar("b", { env: [{ name: "A" }, { name: "A" }] })] },
    expected: `${SIDECARS}[1].env[1]: the variable "A" is taken by ${SIDECARS}[1].env[0]; choose another`,
  },
  {
    name: "a mount path of a sidecar twice",
    compute: { sidecars: [sidecar("a", { volumeMounts: [at("/tmp"), at("/x"), at("/tmp")] })] },
    expected: `${SIDECARS}[0].volumeMounts[2]: the mount path "/tmp" is taken by ${SIDECARS}[0].volumeMounts[0]; choose another`,
  },
  {
    name: "a port of a sidecar twice, once by default",
    compute: {
      sidecars: [
        sidecar("a", {
          ports: [
            { containerPort: 1 },
            { containerPort: 1, protocol: "UDP" },
            { containerPort: 1, protocol: "TCP" },
          ],
        }),
      ],
    },
    expected: `${SIDECARS}[0].ports[2]: the port "1/TCP" is taken by ${SIDECARS}[0].ports[0]; choose another`,
  },
  {
    name: "a version of request signing that is not known",
    security: { requestSigningPrivateKey: { ...key, version: "v2" } },
    expected: `spec.security.requestSigningPrivateKey.version: "v2" is not known; set "v1"`,
  },
];

describe("podProblem", () => {
  test.each(ROWS)("$name", ({ expected, ...asked }) => {
    expect(problem(asked)).toBe(expected);
  });
});

const refusal = (field: string) =>
  `${field} gives the pods their node; remove it, or allow it in the operator's environment (ALLOW_HOST_ACCESS=true)`;

describe("what would give the pods their node", () => {
  const withContext = (securityContext: object) => ({
    compute: { sidecars: [sidecar("a"), sidecar("b", { securityContext })] },
  });
  const CASES = [
    {
      asked: { compute: { extraVolumes: [{ name: "v", hostPath: { path: "/" } }] } },
      field: `${VOLUMES}[0].hostPath`,
    },
    {
      asked: withContext({ privileged: true }),
      field: `${SIDECARS}[1].securityContext.privileged`,
    },
    {
      asked: withContext({ capabilities: { add: ["CHOWN", "SYS_ADMIN"] } }),
      field: `${SIDECARS}[1].securityContext.capabilities.add`,
    },
    {
      asked: withContext({ procMount: "Unmasked" }),
      field: `${SIDECARS}[1].securityContext.procMount`,
    },
    {
      asked: withContext({ windowsOptions: { hostProcess: true } }),
      field: `${SIDECARS}[1].securityContext.windowsOptions.hostProcess`,
    },
    {
      asked: {
        compute: { sidecars: [sidecar("a", { ports: [{ containerPort: 1, hostPort: 1 }] })] },
      },
      field: `${SIDECARS}[0].ports[].hostPort`,
    },
  ];

  test.each(CASES)("$field is refused, unless the operator allows it", ({ asked, field }) => {
    expect(problem(asked)).toBe(refusal(field));
    expect(problem(asked, { ...CONFIG, allowHostAccess: true })).toBeUndefined();
  });

  test("what stays within a pod is not", () => {
    const securityContext = {
      privileged: false,
      procMount: "Default",
      capabilities: { add: ["NET_BIND_SERVICE"], drop: ["ALL"] },
    };
    expect(problem(withContext(securityContext))).toBeUndefined();
  });
});

test("a cluster whose pods cannot be made as asked is left as it is", () => {
  const cluster = aCluster({ compute: { extraVolumes: [volume("tmp")] }, status: undefined });
  const plan = planCluster(settledQuestion(cluster));
  expect(plan.actions).toEqual([]);
  expect(plan.outcome).toEqual({
    kind: "stalled",
    reason: "InvalidRestateConfig",
    message: expect.stringContaining(`${VOLUMES}[0]: the volume name "tmp"`) as string,
  });
});
