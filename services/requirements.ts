/**
 * What must be installed for the services to do what they are configured to do. Started without, they would leave clusters
 * waiting for an identity that nobody gives them; so they refuse to start, and say why.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError, type ServicesConfig } from "./config.ts";
import type { KubeClient } from "./kube/client.ts";
import { KubeError } from "./kube/errors.ts";

/** How often an API server that does not answer is asked before the process ends (and is started again). */
const ATTEMPTS = 10;
const PAUSE_MS = 2_000;

/** Throws `ConfigError` when the EKS cluster is named and its controller's CRD is not installed; `KubeError` without an answer. */
export async function refuseUnmetRequirements(
  kube: KubeClient,
  config: Pick<ServicesConfig, "AWS_POD_IDENTITY_ASSOCIATION_CLUSTER">,
): Promise<void> {
  if (config.AWS_POD_IDENTITY_ASSOCIATION_CLUSTER === undefined) return;
  if (await servesPodIdentity(kube)) return;
  throw new ConfigError(
    "AWS_POD_IDENTITY_ASSOCIATION_CLUSTER is set, but the CRD podidentityassociations.eks.services.k8s.aws is not installed: install the EKS controller of AWS Controllers for Kubernetes, or unset the variable",
  );
}

async function servesPodIdentity(kube: KubeClient): Promise<boolean> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await kube.serves("PodIdentityAssociation", { asked: true });
    } catch (error) {
      if (!(error instanceof KubeError) || !error.retryable || attempt === ATTEMPTS) throw error;
      await sleep(PAUSE_MS);
    }
  }
}
