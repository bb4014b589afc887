/**
 * The private key that signs requests to services: a file below /signing-key that Restate is told of. The operator names
 * where the key is and never reads it.
 */
import type { V1Volume } from "@kubernetes/client-node";
import type { Manifest } from "../../core/manifest.ts";
import type { ClusterView } from "../api.ts";
import type { PodPart } from "./pod-parts.ts";

const MOUNT_PATH = "/signing-key";
/** Readable by its owner alone; the pod's group is added by the kubelet. */
const KEY_MODE = 0o400;

interface KeySource {
  readonly volume: Manifest<V1Volume> & { readonly name: string };
  /** Path of the key in the volume. */
  readonly file: string;
}

export function buildSigningKey(cluster: ClusterView): PodPart {
  const source = sourceOf(cluster);
  if (source === undefined) return {};
  const { volume, file } = source;
  return {
    volumes: [volume],
    mounts: [{ name: volume.name, mountPath: MOUNT_PATH, readOnly: true }],
    env: [
      {
        name: "RESTATE_WORKER__INVOKER__REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE",
        value: `${MOUNT_PATH}/${file}`,
      },
    ],
  };
}

/** Where the key comes from. A `secretProvider` (refused by not-served.ts) is a source like the Secret, and belongs here. */
function sourceOf({ spec }: ClusterView): KeySource | undefined {
  const secret = spec.security?.requestSigningPrivateKey?.secret;
  if (secret === undefined) return undefined;
  const file = "private.pem";
  return {
    volume: {
      name: "request-signing-private-key-secret",
      secret: {
        secretName: secret.secretName,
        items: [{ key: secret.key, path: file, mode: KEY_MODE }],
      },
    },
    file,
  };
}
