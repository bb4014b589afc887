/**
 * What admission says to a new object and to a change. `refused` is a part of the message; without it the manifest is accepted.
 */
import type { Json, Manifest } from "./manifests.ts";
import {
  byService,
  byUrl,
  cluster,
  compute,
  deployment,
  environment,
  register,
  restate,
  signingKey,
  storage,
  token,
} from "./manifests.ts";

export interface CreateRow {
  readonly name: string;
  readonly manifest: Manifest;
  readonly refused?: string;
}

export interface UpdateRow {
  readonly name: string;
  readonly before: Manifest;
  readonly after: Manifest;
  readonly refused?: string;
}

const rows = (
  name: string,
  refused: string | undefined,
  manifests: Readonly<Record<string, Manifest>>,
): CreateRow[] =>
  Object.entries(manifests).map(([detail, manifest]) => ({
    name: `${name}: ${detail}`,
    manifest,
    ...(refused === undefined ? {} : { refused }),
  }));

const urls = (refused: string | undefined, list: readonly string[]): CreateRow[] =>
  rows("register.url", refused, Object.fromEntries(list.map((url) => [url, byUrl(url)])));

const secret = (members: Json): Json => ({
  secret: { secretName: "key", key: "private.pem", ...members },
});
const provider = (path: string): Json => ({ secretProvider: { path, provider: "aws" } });
const ca = (members: Json): Manifest =>
  cluster({ security: { trustedCaCerts: [{ secretName: "ca", key: "ca.pem", ...members }] } });
const named = (name: string): Json => ({ name });

const CLUSTERS: readonly CreateRow[] = [
  ...rows("cluster", undefined, {
    smallest: cluster(),
    "every nullable field null": cluster({
      clusterName: null,
      config: null,
      security: null,
      cluster: null,
      compute: { image: "r", replicas: null, env: null, affinity: null, dnsPolicy: null },
      storage: { storageRequestBytes: 1, storageClassName: null, volumeAttributesClassName: null },
    }),
    "three nodes with everything": cluster({
      clusterName: "prod",
      config: 'roles = ["worker"]\n',
      cluster: { autoProvision: true },
      compute: {
        image: "restatedev/restate:1.7.12",
        replicas: 3,
        imagePullPolicy: "IfNotPresent",
        dnsPolicy: "None",
        dnsConfig: { nameservers: ["10.0.0.10"] },
        env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }],
        resources: { requests: { cpu: 1, memory: "1Gi" }, limits: { cpu: "1.5" } },
        lifecycle: { preStop: { httpGet: { port: "admin", path: "/" } } },
        affinity: { podAntiAffinity: {} },
        nodeSelector: { disk: "ssd" },
        tolerations: [{ operator: "Exists" }],
        topologySpreadConstraints: [
          { maxSkew: 1, topologyKey: "zone", whenUnsatisfiable: "DoNotSchedule" },
        ],
        terminationGracePeriodSeconds: 0,
        sidecars: [
          {
            name: "s",
            image: "s",
            // given twice: the last one wins in a pod, and users have it
            env: [
              { name: "A", value: "1" },
              { name: "A", value: "2" },
            ],
            ports: [{ containerPort: 1 }, { containerPort: 1, protocol: "UDP" }],
          },
        ],
        extraVolumes: [
          { name: "v", ephemeral: { volumeClaimTemplate: { spec: { accessModes: ["A"] } } } },
          { name: "e", emptyDir: { sizeLimit: "1Gi" } },
        ],
        extraVolumeMounts: [{ name: "v", mountPath: "/v" }],
      },
      security: {
        networkPeers: { ingress: [], admin: null, node: [{ namespaceSelector: {} }] },
        networkEgressRules: [
          {},
          { ports: null, to: [{ ipBlock: { cidr: "10.0.0.0/8" } }] },
          { ports: [{ port: "https" }, { port: 443, endPort: 444 }] },
        ],
        awsPodIdentityAssociationRoleArn: "arn:aws:iam::111122223333:role/r",
        awsPodSecurityGroups: ["sg-1"],
        requestSigningPrivateKey: { version: "v1", secret: { secretName: "k", key: "k.pem" } },
        trustedCaCerts: [{ secretName: "ca", key: "ca.pem" }],
        disableNetworkPolicies: false,
        allowOperatorAccessToAdmin: true,
      },
    }),
    "a volume name of the operator's, which it reports itself": compute({
      extraVolumes: [{ name: "storage", emptyDir: {} }],
    }),
    "default policies spelled as empty": compute({ dnsPolicy: "", imagePullPolicy: "" }),
  }),
  ...rows("cluster name", "metadata.name must not be `default` or begin with `kube-`", {
    default: cluster({}, named("default")),
    "kube-system": cluster({}, named("kube-system")),
    "kube-anything": cluster({}, named("kube-anything")),
  }),
  ...rows("cluster name", "metadata.name must not contain '.'", {
    "a.b": cluster({}, named("a.b")),
  }),
  ...rows("cluster name", "may not be more than 63", {
    "64 characters": cluster({}, named("a".repeat(64))),
  }),
  ...rows("cluster name", undefined, {
    "63 characters": cluster({}, named("a".repeat(63))),
    kubernetes: cluster({}, named("kubernetes")),
  }),
  ...rows("compute", "spec.compute.replicas: Invalid value: -1", {
    "replicas -1": compute({ replicas: -1 }),
  }),
  ...rows("compute", "format int32", { "replicas 2^31": compute({ replicas: 2 ** 31 }) }),
  ...rows("compute", "spec.compute.image: Invalid value", {
    "image empty": compute({ image: "" }),
  }),
  ...rows("compute", "spec.compute.image: Required value", {
    "image absent": cluster({ compute: {} }),
  }),
  ...rows("compute", "spec.compute.dnsPolicy must be one of ClusterFirstWithHostNet", {
    "dnsPolicy clusterfirst": compute({ dnsPolicy: "clusterfirst" }),
  }),
  ...rows("compute", "spec.compute.imagePullPolicy must be one of Always, Never, IfNotPresent", {
    "imagePullPolicy always": compute({ imagePullPolicy: "always" }),
  }),
  ...rows("compute", 'Duplicate value: {"name":"A"}', {
    "env twice": compute({ env: [{ name: "A" }, { name: "A" }] }),
  }),
  ...rows("storage", "spec.storage.storageRequestBytes: Invalid value: 0", {
    "no bytes": storage({ storageRequestBytes: 0 }),
  }),
  ...rows("storage", "spec.storage.storageRequestBytes: Invalid value", {
    "2^53 bytes": storage({ storageRequestBytes: 2 ** 53 }),
  }),
  ...rows("config", "spec.config: Too long", {
    "more than a ConfigMap holds": cluster({ config: "#".repeat(1_048_577) }),
  }),
  ...rows("signing key", undefined, {
    secret: signingKey(secret({})),
    "secret, the other null": signingKey({ ...secret({}), secretProvider: null }),
    provider: signingKey(provider("folder/key.pem")),
    "provider with a key named by an ARN": signingKey(
      provider("arn:aws:secretsmanager:eu-west-1:1:secret:k"),
    ),
  }),
  ...rows("signing key", "must have exactly one of secret and secretProvider", {
    none: signingKey({}),
    "both null": signingKey({ secret: null, secretProvider: null }),
    both: signingKey({ ...secret({}), ...provider("key.pem") }),
  }),
  ...rows("signing key", "requestSigningPrivateKey.version must be v1", {
    v2: signingKey({ ...secret({}), version: "v2" }),
  }),
  ...rows("signing key secretName", "secret.secretName must be the name of an object", {
    traversal: signingKey(secret({ secretName: "../other" })),
    newline: signingKey(secret({ secretName: "key\nother" })),
  }),
  ...rows("signing key key", "secret.key must be a key of a Secret", {
    traversal: signingKey(secret({ key: "../private.pem" })),
    "two dots": signingKey(secret({ key: ".." })),
    shell: signingKey(secret({ key: "$(id)" })),
  }),
  ...rows("signing key path", "secretProvider.path must be a path without '..'", {
    traversal: signingKey(provider("../../etc/passwd")),
    "traversal inside": signingKey(provider("a/../../b")),
    shell: signingKey(provider("$(id)")),
    newline: signingKey(provider("a\nb")),
  }),
  ...rows("trusted CA secretName", "trustedCaCerts[].secretName must be the name of an object", {
    traversal: ca({ secretName: "../ca" }),
  }),
  ...rows("trusted CA key", "trustedCaCerts[].key must be a key of a Secret", {
    "shell text": ca({ key: "ca.pem; rm -rf /" }),
  }),
];

const gated = (gate: Json): Manifest => restate({ rollout: { strategy: "gated", gate } });

const DEPLOYMENTS: readonly CreateRow[] = [
  ...rows("deployment", undefined, {
    smallest: deployment(),
    "without selector": deployment({ selector: undefined }),
    "every nullable field null": deployment({
      knative: null,
      minReadySeconds: null,
      restate: {
        register: { cluster: "c" },
        servicePath: null,
        useHttp11: null,
        drainDelaySeconds: null,
        drain: null,
      },
    }),
    "drain policy": restate({
      deletePolicy: "drain",
      drain: { timeoutSeconds: 0, onTimeout: "force" },
    }),
    "delete at once": restate({ deletePolicy: "force" }),
    "an end to draining": restate({ drain: { maxAgeSeconds: 86_400 } }),
    "an end to draining, with a remedy": restate({
      drain: { maxAgeSeconds: 1, onMaxAge: "pauseAndMove" },
    }),
    "a PodSpec with fields nobody knows": deployment({
      template: { spec: { containers: [], timeoutSeconds: 5, anything: { at: ["all"] } } },
    }),
    autoscaling: deployment({ autoscaling: { maxReplicas: 3, metrics: [{ anything: true }] } }),
    knative: deployment({ deploymentMode: "knative", knative: { tag: "v1-0", minScale: 1 } }),
    "scaled to zero": deployment({ replicas: 0, revisionHistoryLimit: 0 }),
    "a very long drain delay": restate({ drainDelaySeconds: 9_000_000_000_000_000 }),
    "in-process tunnel by cloud": restate({ register: { cloud: "e" }, tunnelMode: "in-process" }),
    "external tunnel by cluster": restate({ tunnelMode: "external" }),
    "name of 61 characters": deployment({}, named("a".repeat(61))),
    "name that begins with a digit": deployment({}, named("1st")),
  }),
  ...rows("deployment name", "metadata.name is too long", {
    "62 characters": deployment({}, named("a".repeat(62))),
    "253 characters": deployment({}, named("a".repeat(253))),
  }),
  ...rows("deployment name", "metadata.name must not contain '.'", {
    "a.b": deployment({}, named("a.b")),
  }),
  ...rows("deployment", "spec.autoscaling is only supported in replicaset mode", {
    "autoscaling in Knative mode": deployment({
      deploymentMode: "knative",
      autoscaling: { maxReplicas: 1 },
    }),
  }),
  ...rows("deployment", "tunnelMode in-process is only possible with spec.restate.register.cloud", {
    "in-process tunnel by cluster": restate({ tunnelMode: "in-process" }),
  }),
  ...rows("deployment", "tunnelMode in-process is only supported in replicaset mode", {
    "in-process tunnel in Knative mode": deployment({
      deploymentMode: "knative",
      restate: { register: { cloud: "e" }, tunnelMode: "in-process" },
    }),
  }),
  ...rows("deployment", 'supported values: "replicaset", "knative"', {
    "unknown mode": deployment({ deploymentMode: "statefulset" }),
  }),
  ...rows("deployment", 'supported values: "drain", "force"', {
    "unknown delete policy": restate({ deletePolicy: "orphan" }),
  }),
  ...rows("deployment", 'supported values: "hold", "force"', {
    "unknown drain action": restate({ drain: { onTimeout: "kill" } }),
  }),
  ...rows("deployment", 'supported values: "alert", "pauseAndMove", "cancel", "kill"', {
    "unknown remedy": restate({ drain: { maxAgeSeconds: 1, onMaxAge: "hold" } }),
  }),
  ...rows("deployment", "spec.restate.drain.onMaxAge needs spec.restate.drain.maxAgeSeconds", {
    "a remedy without an age": restate({ drain: { onMaxAge: "kill" } }),
  }),
  ...rows("deployment", "spec.restate.drain.maxAgeSeconds: Invalid value: 0", {
    "an age of no time": restate({ drain: { maxAgeSeconds: 0 } }),
  }),
  ...rows("deployment", "spec.restate.drain.timeoutSeconds: Invalid value: -1", {
    "drain timeout -1": restate({ drain: { timeoutSeconds: -1 } }),
  }),
  ...rows("deployment", "spec.restate.drainDelaySeconds: Invalid value: -1", {
    "drain delay -1": restate({ drainDelaySeconds: -1 }),
  }),
  ...rows("deployment", "spec.replicas: Invalid value: -1", {
    "replicas -1": deployment({ replicas: -1 }),
  }),
  ...rows("deployment", "spec.template.spec: Required value", {
    "no pod spec": deployment({ template: {} }),
  }),
  ...rows("deployment", "spec.knative.tag: Too long", {
    "tag of 62 characters": deployment({ knative: { tag: "a".repeat(62) } }),
  }),
  ...rows("rollout", undefined, {
    "gated without a gate": restate({ rollout: { strategy: "gated" } }),
    manual: gated({ manual: {} }),
    http: gated({ http: { url: "http://check.default.svc/ready", timeoutSeconds: 5 } }),
    job: gated({ job: { template: { spec: { containers: [{ any: "thing" }] } } } }),
    "as a Deployment has it": deployment({
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%", maxUnavailable: 0 } },
      paused: true,
      progressDeadlineSeconds: 600,
    }),
  }),
  ...rows("rollout", "spec.restate.rollout.gate must have exactly one of manual, http and job", {
    "no gate at all": gated({}),
    "two gates": gated({ manual: {}, http: { url: "http://check" } }),
  }),
  ...rows("rollout", "spec.restate.rollout.gate needs spec.restate.rollout.strategy gated", {
    "a gate nobody asks": restate({ rollout: { gate: { manual: {} } } }),
    immediate: restate({ rollout: { strategy: "immediate", gate: { manual: {} } } }),
  }),
  ...rows("rollout", "spec.restate.rollout.gate.http.url must be http:// or https://", {
    "another protocol": gated({ http: { url: "file:///etc/passwd" } }),
  }),
  ...rows("rollout", "spec.restate.rollout.gate.http.url must not be a link-local", {
    "a metadata service": gated({ http: { url: "http://169.254.169.254/latest" } }),
  }),
  ...rows("rollout", 'supported values: "immediate", "gated"', {
    "unknown strategy": restate({ rollout: { strategy: "canary" } }),
  }),
  ...rows("deployment", 'supported values: "RollingUpdate", "Recreate"', {
    "unknown strategy": deployment({ strategy: { type: "BlueGreen" } }),
  }),
  ...rows("deployment", "spec.progressDeadlineSeconds: Invalid value: 0", {
    "a deadline of no time": deployment({ progressDeadlineSeconds: 0 }),
  }),
  ...rows("register", undefined, {
    cluster: register({ cluster: "restate-test" }),
    cloud: register({ cloud: "my.env" }),
    "service with port and path": byService({ port: 65_535, path: "/restate/admin" }),
    "service with a path without slash": byService({ path: "admin" }),
    "service with nulls": byService({ port: null, path: null }),
  }),
  ...rows("register", "spec.restate.register must have exactly one of cluster, cloud, service", {
    none: register({}),
    two: register({ cluster: "a", url: "http://b" }),
    four: register({
      cluster: "a",
      cloud: "b",
      service: { name: "c", namespace: "d" },
      url: "http://e",
    }),
  }),
  ...rows("register.cluster", "spec.restate.register.cluster must be a DNS label", {
    "another host": register({ cluster: "x.evil.example/#" }),
    empty: register({ cluster: "" }),
  }),
  ...rows("register.cloud", "spec.restate.register.cloud must be the name of an object", {
    path: register({ cloud: "a/b" }),
  }),
  ...rows("register.service.name", "spec.restate.register.service.name must be a DNS label", {
    "another host": byService({ name: "evil.example:80/#" }),
    user: byService({ name: "user@evil" }),
    newline: byService({ name: "restate\n" }),
  }),
  ...rows(
    "register.service.namespace",
    "spec.restate.register.service.namespace must be a DNS label",
    {
      "another host": byService({ namespace: "x.evil.example/" }),
    },
  ),
  ...rows("register.service", "spec.restate.register.service.port: Invalid value", {
    "port 0": byService({ port: 0 }),
    "port 65536": byService({ port: 65_536 }),
  }),
  ...rows("register.service.path", "spec.restate.register.service.path must be a plain URL path", {
    "two slashes": byService({ path: "//evil.example/" }),
    traversal: byService({ path: "/a/../b" }),
    "encoded traversal": byService({ path: "/a/%2e%2E/b" }),
    "encoded slash": byService({ path: "/a%2fb" }),
    query: byService({ path: "/a?b" }),
    user: byService({ path: "\\@evil" }),
  }),
  ...rows("servicePath", undefined, {
    "/svc/v1": restate({ servicePath: "/svc/v1" }),
    "without slash": restate({ servicePath: "svc" }),
    "/a..b": restate({ servicePath: "/a..b" }),
  }),
  ...rows("servicePath", "spec.restate.servicePath must be a plain URL path", {
    traversal: restate({ servicePath: "../../other" }),
    "encoded traversal": restate({ servicePath: "/%2e%2e/x" }),
    backslash: restate({ servicePath: "\\\\evil.example" }),
    newline: restate({ servicePath: "/a\nb" }),
  }),
  ...urls(undefined, [
    "http://restate.restate-test.svc.cluster.local:9070",
    "HTTPS://Admin.example.com/base/?x=1#y",
    "http://my_restate:9070/",
    "http://10.0.0.1:9070",
    "http://[2001:db8::1]:9070/",
    "http://1password.example",
    "http://host-1.2a/",
    "http://metadata.example.com",
    "http://kubernetes.example.com",
    // whether an operator may reach its own machine is its configuration: see admission.ts
    "http://127.0.0.1:9070",
    "http://localhost:9070",
    "http://[::1]:9070",
  ]),
  ...urls("must be http:// or https:// with a host name", [
    "ftp://restate:9070",
    "file:///etc/passwd",
    "restate:9070",
    "http:restate",
    "http:///path",
    "",
    "http://user:password@restate:9070",
    "http://restate@evil.example",
    "http://restate\\@evil.example",
    "http://restate:9070\n.evil.example",
    "http://%31%36%39.254.169.254",
    "http://１６９.254.169.254",
    "http://[fe80::1%25eth0]/",
  ]),
  ...urls("must have a port between 1 and 65535", ["http://restate:0", "http://restate:65536"]),
  ...urls("must write an IPv4 address as four decimal numbers, for example", [
    "http://2852039166/latest/meta-data",
    "http://0xa9fea9fe/",
    "http://0XA9FEA9FE",
    "http://169.254.43518",
    "http://0251.0376.0251.0376",
    "http://169.254.169.254./",
    "http://127.1:9070",
    "http://0x7f.0.0.1",
    "http://2130706433:9070",
    "http://10.0.0.256",
  ]),
  ...urls("must write an IPv4 address as four decimal numbers, not as an IPv6 address", [
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[0:0:0:0:0:FFFF:a9fe:a9fe]/",
    "http://[::169.254.169.254]/",
  ]),
  ...urls("must not be a link-local, multicast, unspecified or metadata address", [
    "http://169.254.169.254/latest/meta-data",
    "http://169.254.170.2",
    "http://0.0.0.0:9070",
    "http://100.100.100.200",
    "http://168.63.129.16",
    "http://[fe80::1]/",
    "http://[FEBF::1]/",
    "http://[::]:9070",
    "http://[fd00:ec2::254]",
    "http://[fd00:0ec2:0:0:0:0:0:254]",
    "http://[64:ff9b::a9fe:a9fe]",
    "http://[ff02::1]",
  ]),
  ...urls("must not be a metadata service or the Kubernetes API server", [
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://METADATA.google.internal./",
    "http://metadata",
    "https://kubernetes.default.svc",
    "https://kubernetes.default.svc.cluster.local:443/api",
    "https://kubernetes",
  ]),
];

const ENVIRONMENTS: readonly CreateRow[] = [
  ...rows("environment", undefined, {
    smallest: environment(),
    "id without prefix": environment({ environmentId: "2a3b" }),
    "region of two parts": environment({ region: "inl4edhpbxasp9yuz1n0yvvkme.byoc" }),
    "name of 56 characters": environment({}, named("a".repeat(56))),
    "name with a dot": environment({}, named("a.b")),
    "tunnel with everything": environment({
      tunnel: {
        replicas: 2,
        image: "tunnel",
        imagePullPolicy: "Never",
        remoteProxy: true,
        env: [{ name: "A", value: "1" }],
        resources: { limits: { cpu: 2 } },
        dnsPolicy: "Default",
        dnsConfig: {},
        nodeSelector: {},
        affinity: {},
        tolerations: [],
      },
    }),
    "tunnel of nulls": environment({
      tunnel: { replicas: null, image: null, affinity: null, env: null, dnsPolicy: null },
    }),
  }),
  ...rows("environment name", "may not be more than 56", {
    "57 characters": environment({}, named("a".repeat(57))),
  }),
  ...rows("environmentId", "spec.environmentId must be the id of an environment", {
    "another host": environment({ environmentId: "env_x.evil.example/#" }),
    "two labels": environment({ environmentId: "env_a.b" }),
    user: environment({ environmentId: "env_a@evil" }),
    port: environment({ environmentId: "env_a:80" }),
    empty: environment({ environmentId: "env_" }),
    newline: environment({ environmentId: "env_a\n" }),
  }),
  ...rows("region", "spec.region must be the name of a region", {
    "another host": environment({ region: "evil.example/" }),
    query: environment({ region: "evil.example?" }),
    fragment: environment({ region: "evil.example#" }),
    user: environment({ region: "eu@evil.example" }),
    port: environment({ region: "evil.example:80" }),
    backslash: environment({ region: "evil.example\\" }),
    "empty part": environment({ region: "eu..x" }),
    space: environment({ region: "eu west" }),
    empty: environment({ region: "" }),
  }),
  ...rows("signingPublicKey", "it begins with publickeyv1_ and has no spaces", {
    "another prefix": environment({ signingPublicKey: "privatekey_x" }),
    newline: environment({ signingPublicKey: "publickeyv1_a\nRESTATE_X=1" }),
  }),
  ...rows("token name", "spec.authentication.secret.name must be the name of an object", {
    traversal: token({ name: "../other-namespace/secrets/x" }),
  }),
  ...rows("token key", "spec.authentication.secret.key must be a key of a Secret", {
    traversal: token({ key: "../token" }),
  }),
  ...rows("tunnel", "spec.tunnel.replicas: Invalid value: -1", {
    "replicas -1": environment({ tunnel: { replicas: -1 } }),
  }),
];

export const CREATE_ROWS: readonly CreateRow[] = [...CLUSTERS, ...DEPLOYMENTS, ...ENVIRONMENTS];

const GIB = 1_073_741_824;

export const UPDATE_ROWS: readonly UpdateRow[] = [
  {
    name: "storage grows",
    before: storage({ storageRequestBytes: GIB }),
    after: storage({ storageRequestBytes: 2 * GIB }),
  },
  {
    name: "storage shrinks",
    before: storage({ storageRequestBytes: 2 * GIB }),
    after: storage({ storageRequestBytes: GIB }),
    refused: "spec.storage.storageRequestBytes must not shrink",
  },
  {
    name: "storage class changes",
    before: storage({ storageClassName: "fast" }),
    after: storage({ storageClassName: "slow" }),
    refused: "spec.storage.storageClassName is immutable",
  },
  {
    name: "storage class goes",
    before: storage({ storageClassName: "fast" }),
    after: storage({}),
    refused: "spec.storage.storageClassName is immutable",
  },
  {
    name: "storage class becomes null",
    before: storage({ storageClassName: "fast" }),
    after: storage({ storageClassName: null }),
    refused: "spec.storage.storageClassName is immutable",
  },
  {
    name: "storage class is written down",
    before: storage({}),
    after: storage({ storageClassName: "the-default" }),
  },
  {
    name: "volume attributes class changes",
    before: storage({ storageClassName: "fast", volumeAttributesClassName: "a" }),
    after: storage({ storageClassName: "fast", volumeAttributesClassName: "b" }),
  },
  {
    name: "cluster scales and changes its image",
    before: compute({ replicas: 1 }),
    after: compute({ replicas: 3, image: "restatedev/restate:1.7.13" }),
  },
  {
    name: "replicaset to knative",
    before: deployment({ deploymentMode: "replicaset" }),
    after: deployment({ deploymentMode: "knative" }),
    refused: "spec.deploymentMode is immutable after creation",
  },
  {
    name: "knative to replicaset",
    before: deployment({ deploymentMode: "knative" }),
    after: deployment({ deploymentMode: "replicaset" }),
    refused: "spec.deploymentMode is immutable after creation",
  },
  {
    name: "knative to the default",
    before: deployment({ deploymentMode: "knative" }),
    after: deployment(),
    refused: "spec.deploymentMode is immutable after creation: put back knative",
  },
  {
    name: "the default to knative",
    before: deployment(),
    after: deployment({ deploymentMode: "knative" }),
    refused: "spec.deploymentMode is immutable after creation and was replicaset",
  },
  {
    name: "the default is written down",
    before: deployment(),
    after: deployment({ deploymentMode: "replicaset" }),
  },
  {
    name: "replicaset is left to the default",
    before: deployment({ deploymentMode: "replicaset" }),
    after: deployment(),
  },
  {
    name: "registration moves",
    before: register({ cluster: "a" }),
    after: byUrl("http://b:9070"),
  },
  {
    name: "registration moves to the metadata service",
    before: register({ cluster: "a" }),
    after: byUrl("http://169.254.169.254"),
    refused: "must not be a link-local",
  },
  {
    name: "environment moves to another region",
    before: environment(),
    after: environment({ region: "us" }),
  },
  {
    name: "environment moves to another host",
    before: environment(),
    after: environment({ region: "evil.example/" }),
    refused: "spec.region must be the name of a region",
  },
];

/** Objects that admission would refuse today, stored before it did (safety: nothing of a user's gets stuck). */
export const STORED_BEFORE_THE_RULES: readonly Manifest[] = [
  cluster({ security: { requestSigningPrivateKey: { version: "v2" } } }, named("default")),
  compute({ dnsPolicy: "nonsense", replicas: -1 }),
  deployment({}, named("a".repeat(70))),
  deployment({ restate: { register: { url: "http://user:pass@2852039166/" } } }, named("a.b")),
  byService({ name: "restate-0.restate", path: "//x" }),
  environment({ region: "eu/x", environmentId: "env_.." }),
];
