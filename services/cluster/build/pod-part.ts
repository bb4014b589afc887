/** What a part of a specification adds to the pods of a cluster. */
import type { V1Container, V1EnvVar, V1Volume, V1VolumeMount } from "@kubernetes/client-node";
import type { Manifest } from "../../core/manifest.ts";

/** An addition; what is absent adds nothing. */
export interface PodPart {
  /** Of the pods: they win over the user's and the resource's. */
  readonly annotations?: Readonly<Record<string, string>>;
  readonly volumes?: readonly Manifest<V1Volume>[];
  readonly initContainers?: readonly Manifest<V1Container>[];
  /** Of the Restate container, like `env`. */
  readonly mounts?: readonly Manifest<V1VolumeMount>[];
  readonly env?: readonly Manifest<V1EnvVar>[];
}
