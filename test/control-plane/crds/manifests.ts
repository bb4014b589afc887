/** The smallest valid manifest of each kind, and ways to change it. `name` is filled in per row unless a row sets it. */

export type Json = { readonly [member: string]: unknown };
export type Manifest = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Json;
  readonly spec: Json;
};

export const cluster = (spec: Json = {}, metadata: Json = {}): Manifest => ({
  apiVersion: "restate.dev/v1",
  kind: "RestateCluster",
  metadata,
  spec: {
    compute: { image: "restatedev/restate:1.7.12" },
    storage: { storageRequestBytes: 2_147_483_648 },
    ...spec,
  },
});

export const compute = (members: Json): Manifest =>
  cluster({ compute: { image: "restatedev/restate:1.7.12", ...members } });

export const storage = (members: Json): Manifest =>
  cluster({ storage: { storageRequestBytes: 2_147_483_648, ...members } });

export const signingKey = (members: Json): Manifest =>
  cluster({ security: { requestSigningPrivateKey: { version: "v1", ...members } } });

export const deployment = (spec: Json = {}, metadata: Json = {}): Manifest => ({
  apiVersion: "restate.dev/v1beta1",
  kind: "RestateDeployment",
  metadata: { namespace: "default", ...metadata },
  spec: {
    restate: { register: { cluster: "restate-test" } },
    selector: { matchLabels: { app: "greeter" } },
    template: {
      metadata: { labels: { app: "greeter" } },
      spec: { containers: [{ name: "app", image: "greeter:1" }] },
    },
    ...spec,
  },
});

/** `restate` of a RestateDeployment beside its registration. */
export const restate = (members: Json): Manifest =>
  deployment({ restate: { register: { cluster: "restate-test" }, ...members } });

export const register = (members: Json): Manifest => deployment({ restate: { register: members } });

export const byUrl = (url: string): Manifest => register({ url });

export const byService = (members: Json): Manifest =>
  register({ service: { name: "restate", namespace: "restate", ...members } });

export const environment = (spec: Json = {}, metadata: Json = {}): Manifest => ({
  apiVersion: "restate.dev/v1beta1",
  kind: "RestateCloudEnvironment",
  metadata,
  spec: {
    environmentId: "env_2a3b4c5d6e7f8g9h",
    region: "eu",
    signingPublicKey: "publickeyv1_7Vc1g5HdRNeC",
    authentication: { secret: { name: "token-1", key: "token" } },
    ...spec,
  },
});

export const token = (members: Json): Manifest =>
  environment({ authentication: { secret: { name: "token-1", key: "token", ...members } } });
