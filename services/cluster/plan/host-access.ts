/**
 * What would give a cluster's pods their node. Whoever may write a RestateCluster need not be its administrator, so it takes a
 * setting of the operator's (ALLOW_HOST_ACCESS) to have it.
 */
import type { V1Container } from "@kubernetes/client-node";
import type { RestateClusterSpec } from "../../../crds/restate-cluster.ts";

/** Capabilities that a container may add without getting further than its pod (Pod Security Standards, level baseline). */
const HARMLESS_CAPABILITIES = new Set([
  "AUDIT_WRITE",
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "MKNOD",
  "NET_BIND_SERVICE",
  "SETFCAP",
  "SETGID",
  "SETPCAP",
  "SETUID",
  "SYS_CHROOT",
]);

/** Which field asks for the node, as a sentence that says what to do; `undefined` when none does. */
export function hostAccessProblem({ compute }: RestateClusterSpec): string | undefined {
  const asked = [
    ...(compute.extraVolumes ?? []).flatMap(({ hostPath }, index) =>
      hostPath == null ? [] : [`spec.compute.extraVolumes[${index}].hostPath`],
    ),
    ...(compute.sidecars ?? []).flatMap((sidecar, index) =>
      fieldsOf(sidecar).map((field) => `spec.compute.sidecars[${index}].${field}`),
    ),
  ];
  const [first] = asked;
  return first === undefined
    ? undefined
    : `${first} gives the pods their node; remove it, or allow it in the operator's environment (ALLOW_HOST_ACCESS=true)`;
}

function fieldsOf({ securityContext, ports }: V1Container): string[] {
  const { privileged, procMount, windowsOptions, capabilities } = securityContext ?? {};
  const added = capabilities?.add ?? [];
  return [
    ...(privileged === true ? ["securityContext.privileged"] : []),
    ...(added.some((name) => !HARMLESS_CAPABILITIES.has(name))
      ? ["securityContext.capabilities.add"]
      : []),
    ...(procMount === "Unmasked" ? ["securityContext.procMount"] : []),
    ...(windowsOptions?.hostProcess === true ? ["securityContext.windowsOptions.hostProcess"] : []),
    ...((ports ?? []).some(({ hostPort }) => (hostPort ?? 0) !== 0) ? ["ports[].hostPort"] : []),
  ];
}
