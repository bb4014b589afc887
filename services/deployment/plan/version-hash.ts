/**
 * The name of a version: `<resource>-<hash>`, bit for bit as users have it today (contract, section 3). Whatever makes a
 * deployment another one for Restate is in the hash, so that versions and deployments stay one to one; a change of one byte
 * here would roll and re-register every version of every user.
 */
import type { RestateDeploymentSpec } from "../../../crds/restate-deployment.ts";
import { canonicalJson } from "../../core/digest.ts";
import type { InProcessTunnel } from "../api.ts";

type PodTemplate = RestateDeploymentSpec["template"];

/** Everything a version's name depends on. */
export interface VersionQuestion {
  readonly template: PodTemplate;
  /** `register.cluster`; the other three ways to register leave no trace. */
  readonly cluster?: string | undefined;
  readonly servicePath?: string | undefined;
  readonly useHttp11?: boolean | undefined;
  /** Only in tunnel mode `in-process`. */
  readonly tunnel?: InProcessTunnel | undefined;
  /** `status.collisionCount`. */
  readonly collisionCount?: number | undefined;
}

const FNV_OFFSET_BASIS = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;
/** Stands for the decimal digits 0 to 9: no vowels, nothing that reads as another character. */
const DIGITS = "456789bcdf";

/**
 * The annotation `restate.dev/pod-template`, which is also what is hashed: `metadata` (null where absent), then `spec`,
 * compact, members sorted at every level, nulls inside the spec kept.
 */
export function podTemplateJson({ metadata, spec }: PodTemplate): string {
  return canonicalJson({
    metadata:
      metadata == null
        ? null
        : {
            annotations: metadata.annotations ?? undefined,
            labels: metadata.labels ?? undefined,
          },
    spec,
  });
}

/** The hash of a version: up to ten characters. */
export function versionHash(question: VersionQuestion): string {
  const high = Number(fnv1a64(hashedBytes(question)) >> 32n);
  return String(high)
    .split("")
    .toReversed()
    .map((digit) => DIGITS[Number(digit)])
    .join("");
}

/** The name of a version: of its ReplicaSet, its Service and its HorizontalPodAutoscaler. */
export function versionName(resource: string, hash: string): string {
  return `${resource}-${hash}`;
}

function hashedBytes(question: VersionQuestion): Uint8Array[] {
  const { cluster, servicePath, tunnel, collisionCount } = question;
  return [
    utf8(podTemplateJson(question.template)),
    ...(cluster === undefined ? [] : [utf8(cluster)]),
    ...(servicePath === undefined ? [] : [utf8(servicePath)]),
    ...(question.useHttp11 === true ? [utf8("use_http11")] : []),
    ...(tunnel === undefined ? [] : tunnelBytes(tunnel)),
    ...(collisionCount === undefined ? [] : [bigEndian(collisionCount, 4)]),
  ];
}

/** Each value is preceded by its length, so that no two tunnels concatenate to the same bytes. */
function tunnelBytes({ environmentId, region, signingPublicKey }: InProcessTunnel): Uint8Array[] {
  return [
    utf8("tunnel_mode=in-process"),
    ...[environmentId, region, signingPublicKey].flatMap((value) => {
      const bytes = utf8(value);
      return [bigEndian(bytes.length, 8), bytes];
    }),
  ];
}

function fnv1a64(parts: readonly Uint8Array[]): bigint {
  let hash = FNV_OFFSET_BASIS;
  for (const part of parts) {
    for (const byte of part) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * FNV_PRIME);
  }
  return hash;
}

const encoder = new TextEncoder();

function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

function bigEndian(value: number, bytes: 4 | 8): Uint8Array {
  const view = new DataView(new ArrayBuffer(bytes));
  view.setInt32(bytes - 4, value);
  return new Uint8Array(view.buffer);
}
