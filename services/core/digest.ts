/**
 * Digests of JSON values, the same on every machine and in every run: members sorted, absent members left out.
 * They stand for manifests and live objects in plans and state, where the values themselves (which can hold a user's
 * inline secrets) must never appear.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

/** Hexadecimal digits kept of a digest: 64 bits tell any two manifests of one resource apart. */
const DIGEST_HEX_DIGITS = 16;

/** JSON with sorted members at every level; `undefined` members are left out, as `JSON.stringify` does. */
export function canonicalJson(value: unknown): string {
  if (value === undefined) return "null";
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
  return `{${members.join(",")}}`;
}

/** A short digest of a JSON value: the first 64 bits of the sha256 of its canonical JSON, in hexadecimal. */
export function digestOf(value: unknown): string {
  return sha256Hex(canonicalJson(value)).slice(0, DIGEST_HEX_DIGITS);
}

/** sha256 of a text's UTF-8 bytes. */
export function sha256Bytes(text: string): Uint8Array {
  return sha256(utf8ToBytes(text));
}

/** sha256 of a text's UTF-8 bytes in lower-case hexadecimal. */
export function sha256Hex(text: string): string {
  return bytesToHex(sha256Bytes(text));
}
