/**
 * What the parts of a specification that not every cluster has add to its pods. Their order is part of the pod template
 * (contract, section 2): in every list the operator's own come first, then the signing key, the certificate authorities, and
 * what the user adds.
 */
import type { V1Container, V1Volume } from "@kubernetes/client-node";
import type { Manifest } from "../../core/manifest.ts";
import type { ClusterConfig, ClusterView, ForeignKind } from "../api.ts";
import { buildCloudPart } from "./cloud-part.ts";
import type { PodPart } from "./pod-part.ts";
import { buildSigningKey } from "./signing-key.ts";
import { buildTrustedCas } from "./trusted-cas.ts";

/** All additions of a specification, in order. `inPods`: the kinds of other projects that pods may rely on. */
export function buildPodParts(
  cluster: ClusterView,
  config: ClusterConfig,
  inPods: readonly ForeignKind[],
): PodPart[] {
  return [
    buildSigningKey(cluster),
    buildCloudPart(cluster, config, inPods),
    buildTrustedCas(cluster, config),
    buildUsersPart(cluster),
  ];
}

function buildUsersPart({ spec }: ClusterView): PodPart {
  const { sidecars, extraVolumes, extraVolumeMounts } = spec.compute;
  return {
    // As it was read: JSON, in which there are no dates, whatever the client's model says.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    volumes: (extraVolumes ?? []) as object[] as readonly Manifest<V1Volume>[],
    initContainers: (sidecars ?? []).map(buildSidecar),
    mounts: extraVolumeMounts ?? [],
  };
}

/** A sidecar is an init container that never ends: it starts before Restate and stops after it. */
function buildSidecar(container: Manifest<V1Container>): Manifest<V1Container> {
  return { ...container, restartPolicy: "Always" };
}
