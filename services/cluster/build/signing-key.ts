/**
 * The private key that signs requests to services: a file below /signing-key that Restate is told of. The operator names
 * where the key is and never reads it.
 */
import type { V1Volume } from "@kubernetes/client-node";
import type { Manifest } from "../../core/manifest.ts";
import type { ClusterView } from "../api.ts";
import type { PodPart } from "./pod-part.ts";

const MOUNT_PATH = "/signing-key";
/** Readable by its owner alone; the pod's group is added by the kubelet. */
const KEY_MODE = 0o400;

export type NamedVolume = Manifest<V1Volume> & { readonly name: string };

/** The key of a Secret; that of a `secretProvider` is in cloud-part.ts, because it needs what may not be installed. */
export function buildSigningKey({ spec }: ClusterView): PodPart {
  const secret = spec.security?.requestSigningPrivateKey?.secret;
  if (secret === undefined) return {};
  const file = "private.pem";
  const { secretName, key } = secret;
  return keyFrom(
    {
      name: "request-signing-private-key-secret",
      secret: { secretName, items: [{ key, path: file, mode: KEY_MODE }] },
    },
    file,
  );
}

/** A key that is in a volume, as a file of this path in it. */
export function keyFrom(
  volume: NamedVolume,
  file: string,
): Pick<PodPart, "volumes" | "mounts" | "env"> {
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
