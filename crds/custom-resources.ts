/** The kinds this operator serves. */
import type { z } from "zod";
import type { CustomResourceKind } from "./resource.ts";
import { RESTATE_CLOUD_ENVIRONMENT, RestateCloudEnvironment } from "./restate-cloud-environment.ts";
import { RESTATE_CLUSTER, RestateCluster } from "./restate-cluster.ts";
import { RESTATE_DEPLOYMENT, RestateDeployment } from "./restate-deployment.ts";

export interface CustomResource {
  readonly kind: CustomResourceKind;
  readonly schema: z.ZodType;
}

export const CUSTOM_RESOURCES: readonly CustomResource[] = [
  { kind: RESTATE_CLUSTER, schema: RestateCluster },
  { kind: RESTATE_DEPLOYMENT, schema: RestateDeployment },
  { kind: RESTATE_CLOUD_ENVIRONMENT, schema: RestateCloudEnvironment },
];
