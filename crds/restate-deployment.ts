/**
 * RestateDeployment: the pods of Restate services, one ReplicaSet or Knative Configuration per version, registered with
 * Restate. Namespaced. Field descriptions are the user's documentation (`kubectl explain restatedeployment.spec`).
 */
import { z } from "zod";
import { adminPath, adminUrl, dnsLabel, dnsSubdomain, onCreate, servicePath } from "./admission.ts";
import { RestateDeploymentStatus } from "./restate-deployment-status.ts";
import { PodTemplate, Rollout } from "./rollout.ts";
import type { CustomResourceKind } from "./resource.ts";
import { AGE, GROUP, ObjectMeta } from "./resource.ts";
import {
  choice,
  flag,
  freeForm,
  int32,
  int64,
  list,
  nullable,
  object,
  rules,
  stringMap,
  text,
} from "./schema.ts";

const API_VERSION = "restate.dev/v1beta1";
const KIND = "RestateDeployment";

const DEPLOYMENT_MODES = ["replicaset", "knative"] as const;
const TUNNEL_MODES = ["external", "in-process"] as const;
const DELETE_POLICIES = ["drain", "force"] as const;
const DRAIN_TIMEOUT_ACTIONS = ["hold", "force"] as const;
const REMEDIES = ["alert", "pauseAndMove", "cancel", "kill"] as const;
const ALLOW_BREAKING = ["never", "always"] as const;
const DEPLOYMENT_STRATEGIES = ["RollingUpdate", "Recreate"] as const;

/** Room in the 63 characters of a Service's name for `-` and a version's hash of one character at least. */
const NAME_LENGTH_MAX = 61;

const REGISTER = "spec.restate.register";
const EXACTLY_ONE = "Exactly one of `cluster`, `cloud`, `service` and `url` must be set.";

const Register = object(
  `The Restate to register with. ${EXACTLY_ONE}`,
  {
    cluster: text(
      `Name of a RestateCluster. ${EXACTLY_ONE}`,
      dnsLabel(`${REGISTER}.cluster`),
    ).optional(),
    cloud: text(
      `Name of a RestateCloudEnvironment. ${EXACTLY_ONE}`,
      dnsSubdomain(`${REGISTER}.cloud`),
    ).optional(),
    service: object(`A Service that serves the admin API. ${EXACTLY_ONE}`, {
      name: text("Name of the Service.", dnsLabel(`${REGISTER}.service.name`)),
      namespace: text("Namespace of the Service.", dnsLabel(`${REGISTER}.service.namespace`)),
      port: nullable(
        int32("Port of the admin API. Defaults to 9070.", { minimum: 1, maximum: 65_535 }),
      ),
      path: nullable(
        text(
          "Path in front of the paths of the admin API, without a slash at its end.",
          adminPath(`${REGISTER}.service.path`),
        ),
      ),
    }).optional(),
    url: text(`URL of the admin API. ${EXACTLY_ONE}`, adminUrl(`${REGISTER}.url`)).optional(),
  },
  rules({
    rule: "[has(self.cluster), has(self.cloud), has(self.service), has(self.url)].filter(set, set).size() == 1",
    message: `${REGISTER} must have exactly one of cluster, cloud, service and url`,
  }),
);

const Drain = object(
  "How unfinished invocations are waited for: by a deletion (`timeoutSeconds`, `onTimeout`, `onUnreachable`), and by older versions (`maxAgeSeconds`, `onMaxAge`).",
  {
    timeoutSeconds: nullable(
      int64("Seconds from the request to delete until `onTimeout` applies. Defaults to 3600.", {
        minimum: 0,
      }),
    ),
    onTimeout: nullable(
      choice(
        "What happens to invocations that are unfinished at the timeout: `hold` (default) waits on and reports it, `force` abandons them.",
        DRAIN_TIMEOUT_ACTIONS,
      ),
    ),
    onUnreachable: nullable(
      choice(
        "What happens at the timeout when the admin API does not answer, so that nobody knows what is unfinished: `hold` (default) waits on and reports it, `force` lets the object go and leaves the registrations behind.",
        DRAIN_TIMEOUT_ACTIONS,
      ),
    ),
    maxAgeSeconds: nullable(
      int64(
        "Seconds for which an older version may have unfinished invocations before `onMaxAge` applies to them. Absent: for ever, which is always safe and costs the version's pods.",
        { minimum: 1 },
      ),
    ),
    onMaxAge: nullable(
      choice(
        "What happens to invocations that an older version has not finished within `maxAgeSeconds`. `alert` (default): nothing, but the condition Draining and an event say so. `pauseAndMove`: each is paused, also by ending an attempt under way when its abort timeout is over, and resumed on the version that its service has now; one whose journal does not fit the code there goes back to its own version and is named in status. `cancel`: each is cancelled, so that its own code ends it and can undo what it did. `kill`: each is ended at once, and nothing is undone. Never touched: invocations of a service that no newer version has, and those of the latest version.",
        REMEDIES,
      ),
    ),
  },
  rules({
    rule: "!has(self.onMaxAge) || has(self.maxAgeSeconds)",
    message: "spec.restate.drain.onMaxAge needs spec.restate.drain.maxAgeSeconds",
  }),
);

const Restate = object("How the deployment is known to Restate.", {
  register: Register,
  servicePath: nullable(
    text(
      "Path of the services below the URL of the pods. Absent: the root.",
      servicePath("spec.restate.servicePath"),
    ),
  ),
  useHttp11: nullable(flag("Have Restate call the pods with HTTP/1.1. Defaults to false.")),
  tunnelMode: nullable(
    choice(
      "How Restate Cloud reaches the pods; only with `register.cloud`. `external` (default): through the tunnel pods of the RestateCloudEnvironment and the version's Service. `in-process`: the pods hold a tunnel of their own (for example @restatedev/restate-sdk-tunnel), for which the operator sets RESTATE_INPROC_* in every container; nothing needs to reach them over the network. Not in Knative mode.",
      TUNNEL_MODES,
    ),
  ),
  drainDelaySeconds: nullable(
    int64(
      "Seconds between the end of a version's last invocation and its removal. Defaults to 300.",
      { minimum: 0 },
    ),
  ),
  rollout: nullable(Rollout),
  deletePolicy: nullable(
    choice(
      "What deleting this object does to unfinished invocations: `drain` (default) waits for them as `drain` says, `force` abandons them at once.",
      DELETE_POLICIES,
    ),
  ),
  drain: nullable(Drain),
  allowBreaking: nullable(
    choice(
      "Whether a version may be registered that changes the type of a service: `never` (default) leaves the previous version in charge and reports the refusal, `always` registers it.",
      ALLOW_BREAKING,
    ),
  ),
  maxVersions: nullable(
    int32(
      "Most versions that have pods or are registered at once; no new version is made beyond it, and the condition Ready says so. Those kept for a rollback do not count. Defaults to 20.",
      { minimum: 2, maximum: 100 },
    ),
  ),
});

const Knative = object("Options of Knative mode.", {
  tag: nullable(
    text(
      "Name of the version. Changes under one tag are made in place and Restate sees one deployment; a new tag is a new deployment. Absent: every change of the template is a new deployment. Lower-case letters, digits and `-`, beginning with a letter.",
      { maxLength: NAME_LENGTH_MAX, pattern: "^[a-z]([-a-z0-9]*[a-z0-9])?$" },
    ),
  ),
  minScale: nullable(int32("Fewest replicas. Defaults to 0: scale to zero.", { minimum: 0 })),
  maxScale: nullable(int32("Most replicas. Unlimited when absent.", { minimum: 0 })),
  target: nullable(
    int32("Requests at once that a replica should take. Knative's default is 100.", { minimum: 0 }),
  ),
});

const Selector = object(
  "Selects the pods; must match the template's labels. ReplicaSet mode only.",
  {
    matchLabels: stringMap("Labels the pods have.").optional(),
    matchExpressions: list(
      "Conditions on labels, all of which must hold.",
      object("A condition on a label.", {
        key: text("Key of the label."),
        operator: text("`In`, `NotIn`, `Exists` or `DoesNotExist`."),
        values: list("Values for `In` and `NotIn`; none for the others.", z.string(), {
          "x-kubernetes-list-type": "atomic",
        }).optional(),
      }),
      { "x-kubernetes-list-type": "atomic" },
    ).optional(),
  },
  { "x-kubernetes-map-type": "atomic" },
);

export const RestateDeploymentSpec = object(
  "What the deployment should be.",
  {
    deploymentMode: nullable(
      choice(
        "`replicaset` (default) or `knative`. Immutable.",
        DEPLOYMENT_MODES,
        rules({
          rule: "self == oldSelf",
          message:
            "spec.deploymentMode is immutable after creation: create another RestateDeployment",
        }),
      ),
    ),
    replicas: int32("Number of pods of the latest version. Defaults to 1. ReplicaSet mode only.", {
      minimum: 0,
    }).default(1),
    revisionHistoryLimit: int32(
      "Number of old versions kept for a rollback. Defaults to 10. ReplicaSet mode only.",
      { minimum: 0 },
    ).default(10),
    minReadySeconds: nullable(
      int32("Seconds a pod must be ready to count as available. ReplicaSet mode only.", {
        minimum: 0,
      }),
    ),
    strategy: nullable(
      object(
        "As a Deployment has it, and without effect: every version has pods of its own, so no pod is ever replaced by one of another version. See `restate.rollout` for how a version takes over.",
        {
          type: nullable(choice("`RollingUpdate` or `Recreate`.", DEPLOYMENT_STRATEGIES)),
          rollingUpdate: nullable(freeForm("Without effect.")),
        },
      ),
    ),
    paused: nullable(
      flag(
        "Makes and registers no new version while true; versions that serve or drain go on, and so does scaling.",
      ),
    ),
    progressDeadlineSeconds: nullable(
      int32(
        "Seconds a new version may stay in one phase before the condition Stalled says so. Defaults to 600.",
        { minimum: 1 },
      ),
    ),
    selector: Selector.optional(),
    template: PodTemplate,
    restate: Restate,
    knative: nullable(Knative),
    autoscaling: freeForm(
      "Scales older versions that still have work: the spec of a HorizontalPodAutoscaler without `scaleTargetRef`, of which the operator makes one per such version and removes it with the version's last invocation. `minReplicas` is at least 1. The latest version is scaled by an autoscaler of yours on this object's scale subresource. ReplicaSet mode only.",
    ).optional(),
  },
  rules(
    {
      rule: "!has(self.autoscaling) || !has(self.deploymentMode) || self.deploymentMode != 'knative'",
      message: "spec.autoscaling is only supported in replicaset mode (not knative)",
    },
    {
      rule: "!has(self.restate.tunnelMode) || self.restate.tunnelMode != 'in-process' || has(self.restate.register.cloud)",
      message:
        "spec.restate.tunnelMode in-process is only possible with spec.restate.register.cloud",
    },
    {
      rule: "!has(self.restate.tunnelMode) || self.restate.tunnelMode != 'in-process' || !has(self.deploymentMode) || self.deploymentMode != 'knative'",
      message:
        "spec.restate.tunnelMode in-process is only supported in replicaset mode (not knative)",
    },
    {
      rule: "!has(oldSelf.deploymentMode) || oldSelf.deploymentMode != 'knative' || has(self.deploymentMode)",
      message: "spec.deploymentMode is immutable after creation: put back knative",
    },
    {
      rule: "has(oldSelf.deploymentMode) || has(oldSelf.knative) || !has(self.deploymentMode) || self.deploymentMode != 'knative'",
      message:
        "spec.deploymentMode is immutable after creation and was replicaset: create another RestateDeployment for knative",
    },
  ),
);
export type RestateDeploymentSpec = z.infer<typeof RestateDeploymentSpec>;

export const RestateDeployment = z.object({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal(KIND),
  metadata: ObjectMeta.extend({ namespace: z.string() }),
  spec: RestateDeploymentSpec,
  status: nullable(RestateDeploymentStatus),
});
export type RestateDeployment = z.infer<typeof RestateDeployment>;

const wide = (name: string, jsonPath: string, type: "string" | "integer" = "string") =>
  ({ name, type, jsonPath, priority: 1 }) as const;

export const RESTATE_DEPLOYMENT = {
  group: GROUP,
  version: "v1beta1",
  apiVersion: API_VERSION,
  kind: KIND,
  plural: "restatedeployments",
  singular: "restatedeployment",
  shortNames: ["rsd"],
  scope: "Namespaced",
  finalizer: "deployments.restate.dev",
  description:
    "Pods of Restate services. Like a Deployment, but each version has its own pods, which stay until Restate has no more work for them.",
  columns: [
    { name: "Ready", type: "string", jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
    { name: "Latest", type: "string", jsonPath: ".status.latest" },
    { name: "Draining", type: "integer", jsonPath: ".status.draining" },
    { name: "In-flight", type: "integer", jsonPath: ".status.inFlight" },
    AGE,
    wide("Desired", ".status.desiredReplicas", "integer"),
    wide("Up-To-Date", ".status.replicas", "integer"),
    wide("Ready", ".status.readyReplicas", "integer"),
    wide("Available", ".status.availableReplicas", "integer"),
    wide("Deployment ID", ".status.deploymentId"),
    wide("Containers", ".spec.template.spec.containers[*].name"),
    wide("Images", ".spec.template.spec.containers[*].image"),
    wide("Selector", ".status.labelSelector"),
    wide("Deletion", ".status.deletion.phase"),
    wide("Pending Invocations", ".status.deletion.totalPendingInvocations", "integer"),
  ],
  scale: {
    specReplicasPath: ".spec.replicas",
    statusReplicasPath: ".status.replicas",
    labelSelectorPath: ".status.labelSelector",
  },
  root: rules(
    onCreate(
      `size(self.metadata.name) <= ${NAME_LENGTH_MAX}`,
      "metadata.name is too long: a version is named <name>-<hash> and must fit into 63 characters; use at most 52 (the hash has up to 10)",
    ),
    onCreate(
      "!self.metadata.name.contains('.')",
      "metadata.name must not contain '.': the Services of its versions are named after it; use '-' instead",
    ),
  ),
} as const satisfies CustomResourceKind;
