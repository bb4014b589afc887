/**
 * Restate's configuration file. The name carries a hash of the content, so that another configuration is another
 * ConfigMap, and pods of the old revision keep theirs until they are replaced.
 */
import type { V1ConfigMap } from "@kubernetes/client-node";
import { sha256Bytes } from "../../core/digest.ts";
import type { Manifest } from "../../core/manifest.ts";
import type { ClusterView } from "../api.ts";
import { childMetadata } from "./metadata.ts";

/** All names of configuration ConfigMaps begin so. */
export const CONFIG_MAP_PREFIX = "restate-config-";

/** `restate-config-<h>`: the first four bytes of the sha256, read little-endian, in hexadecimal without padding. */
export function configMapName(config: string): string {
  const hash = sha256Bytes(config);
  const number = new DataView(hash.buffer, hash.byteOffset).getUint32(0, true);
  return `${CONFIG_MAP_PREFIX}${number.toString(16)}`;
}

export function buildConfigMap(cluster: ClusterView): Manifest<V1ConfigMap> {
  const config = cluster.spec.config ?? "";
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: childMetadata(cluster, { name: configMapName(config) }),
    data: { "config.toml": config },
  };
}
