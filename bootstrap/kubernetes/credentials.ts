/**
 * Who may talk to a cluster, and how each side is recognised: the API server's certificate, the key that signs service
 * account tokens, a bearer token per component, and a kubeconfig for each. Made on the first start of a data folder and
 * kept: tokens that were handed out stay valid over restarts.
 *
 * Every component has the identity that RBAC's bootstrap policy knows, so the audit log tells them apart.
 */
import { generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { z } from "zod";
import { runCommand } from "../processes.ts";

/** Name → groups, as in the API server's token file. */
const USERS = {
  admin: ["system:masters"],
  // these two write as the cloud they stand for would: to everything
  kwok: ["system:masters"],
  provisioner: ["system:masters"],
  "system:kube-controller-manager": [],
  "system:kube-scheduler": [],
  "system:kube-proxy": [],
  "system:node:node-1": ["system:nodes"],
} as const satisfies Record<string, readonly string[]>;

export type User = keyof typeof USERS;

export type Credentials = {
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly serviceAccountKeyFile: string;
  readonly serviceAccountPublicKeyFile: string;
  readonly tokenFile: string;
  readonly adminToken: string;
  /** PEM: the authority that clients trust. */
  readonly certificate: string;
};

const Tokens = z.record(z.string(), z.string());

const RENEW_BEFORE_DAYS = 30;
const DAY_MS = 86_400_000;

/** The credentials of a data folder, made if it has none. `ips`: every address the API server is reached at. */
export async function prepareCredentials(
  dir: string,
  kubernetesBinary: string,
  ips: readonly string[],
): Promise<Credentials> {
  const pki = join(dir, "pki");
  await mkdir(pki, { recursive: true, mode: 0o700 });
  const files = {
    certificateFile: join(pki, "apiserver.crt"),
    keyFile: join(pki, "apiserver.key"),
    serviceAccountKeyFile: join(pki, "service-accounts.key"),
    serviceAccountPublicKeyFile: join(pki, "service-accounts.pub"),
    tokenFile: join(pki, "tokens.csv"),
  };
  if (!(await isValid(files.certificateFile))) {
    await runCommand(kubernetesBinary, [
      "certificate",
      `--ips=${ips.join(",")}`,
      "--names=kubernetes,kubernetes.default,kubernetes.default.svc",
      `--cert-file=${files.certificateFile}`,
      `--key-file=${files.keyFile}`,
    ]);
  }
  if ((await readText(files.serviceAccountPublicKeyFile)) === undefined) {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const pem = privateKey.export({ type: "pkcs1", format: "pem" });
    await writeFile(files.serviceAccountKeyFile, pem, { mode: 0o600 });
    const publicPem = publicKey.export({ type: "spki", format: "pem" });
    await writeFile(files.serviceAccountPublicKeyFile, publicPem);
  }
  const tokens = await prepareTokens(pki, files.tokenFile);
  const certificate = await readFile(files.certificateFile, "utf8");
  return { ...files, adminToken: tokens["admin"] ?? "", certificate };
}

/** The kubeconfig that a component of the cluster uses. */
export function componentKubeconfig(dir: string, user: User): string {
  return join(dir, "kubeconfigs", user.replaceAll(":", "-"));
}

/** Writes a kubeconfig for one user and returns its path. The token is in it: mode 600. */
export async function writeKubeconfig(
  dir: string,
  kubeconfig: { readonly user: User; readonly server: string; readonly file: string },
): Promise<string> {
  const pki = join(dir, "pki");
  const tokens = Tokens.parse(JSON.parse(await readFile(join(pki, "tokens.json"), "utf8")));
  const certificate = await readFile(join(pki, "apiserver.crt"));
  const { user, server, file } = kubeconfig;
  const name = "restate-operator";
  const content = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      {
        name,
        cluster: { server, "certificate-authority-data": certificate.toString("base64") },
      },
    ],
    users: [{ name: user, user: { token: tokens[user] } }],
    contexts: [{ name, context: { cluster: name, user } }],
    "current-context": name,
  };
  await mkdir(join(file, ".."), { recursive: true });
  await writeFile(file, stringify(content), { mode: 0o600 });
  return file;
}

async function prepareTokens(pki: string, tokenFile: string): Promise<z.infer<typeof Tokens>> {
  const file = join(pki, "tokens.json");
  const kept = await readText(file);
  if (kept !== undefined) return Tokens.parse(JSON.parse(kept));
  const tokens = Object.fromEntries(
    Object.keys(USERS).map((user) => [user, randomBytes(24).toString("base64url")]),
  );
  const lines = Object.entries(USERS).map(
    ([user, groups]) => `${tokens[user]},${user},${user},"${groups.join(",")}"\n`,
  );
  await writeFile(tokenFile, lines.join(""), { mode: 0o600 });
  await writeFile(file, JSON.stringify(tokens), { mode: 0o600 });
  return tokens;
}

async function isValid(certificateFile: string): Promise<boolean> {
  const pem = await readText(certificateFile);
  if (pem === undefined) return false;
  const remainingMs = new X509Certificate(pem).validToDate.getTime() - Date.now();
  return remainingMs > RENEW_BEFORE_DAYS * DAY_MS;
}

async function readText(file: string): Promise<string | undefined> {
  return readFile(file, "utf8").catch(() => undefined);
}
