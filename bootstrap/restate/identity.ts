/**
 * The key by which the bootstrap signs what it sends to the services, so that they answer nobody else: an ed25519 key in
 * PKCS8 PEM, and its public half as Restate writes it.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { base58 } from "@scure/base";

/** A new private key, PKCS8 PEM. */
export function generateIdentityKey(): string {
  const { privateKey } = generateKeyPairSync("ed25519", {
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  return privateKey;
}

/** `publickeyv1_…` of a private key: base58 of the 32 raw bytes, as the server prints it when it starts. */
export function publicIdentityOf(privateKeyPem: string): string {
  const key = createPrivateKey(privateKeyPem);
  if (key.asymmetricKeyType !== "ed25519") {
    throw new Error(`a request identity key is ed25519, not ${key.asymmetricKeyType}`);
  }
  const raw = createPublicKey(key).export({ format: "jwk" }).x ?? "";
  return `publickeyv1_${base58.encode(Buffer.from(raw, "base64url"))}`;
}
