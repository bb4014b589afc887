/** The public half of a request identity key, as Restate writes it. */
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { generateIdentityKey, publicIdentityOf } from "../../bootstrap/restate/identity.ts";

/** The first key pair of RFC 8032, section 7.1, as PKCS8: a published example, not a secret. */
const RFC_8032_SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PKCS8_ED25519 = "302e020100300506032b657004220420";

function pem(der: Buffer): string {
  const label = "PRIVATE KEY";
  return `-----BEGIN ${label}-----\n${der.toString("base64")}\n-----END ${label}-----\n`;
}

describe("publicIdentityOf", () => {
  test("is what restate-server 1.7.12 prints at its start for the same key", () => {
    const key = pem(Buffer.from(PKCS8_ED25519 + RFC_8032_SEED, "hex"));
    expect(publicIdentityOf(key)).toBe("publickeyv1_FVen3X669xLzsi6N2V91DoiyzHzg1uAgqiT8jZ9nS96Z");
  });

  test("every generated key is another, and has one public half", () => {
    const [a, b] = [generateIdentityKey(), generateIdentityKey()];
    expect(publicIdentityOf(a)).toMatch(/^publickeyv1_[1-9A-HJ-NP-Za-km-z]{43,44}$/);
    expect(publicIdentityOf(a)).toBe(publicIdentityOf(a));
    expect(publicIdentityOf(a)).not.toBe(publicIdentityOf(b));
  });

  test("a key of another kind is refused", () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    expect(() => publicIdentityOf(key)).toThrow("a request identity key is ed25519, not ec");
  });
});
