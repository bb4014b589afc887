/** How a version of a RestateDeployment takes over, and what its pods are made of: the pods of a gate are made the same way. */
import { adminUrl } from "./admission.ts";
import { choice, int32, nullable, object, rules, stringMap, text, untyped } from "./schema.ts";

const ROLLOUT_STRATEGIES = ["immediate", "gated"] as const;

export const PodTemplate = object("The pods of a version.", {
  metadata: nullable(
    object("Labels and annotations of the pods.", {
      annotations: nullable(stringMap("Annotations of the pods.")),
      labels: nullable(stringMap("Labels of the pods.")),
    }),
  ),
  spec: untyped(
    "The pods' PodSpec, passed on as it is to the ReplicaSet or, in Knative mode, to the Configuration, where Knative's own fields (timeoutSeconds, containerConcurrency, …) are possible as well.",
  ),
});

const ROLLOUT = "spec.restate.rollout";

const Gate = object(
  "What a new version waits for before Restate sends new invocations to it. Exactly one of `manual`, `http` and `job`.",
  {
    manual: object(
      "The version waits for the annotation `restate.dev/promote: <version>` on this object.",
      {},
    ).optional(),
    http: object(
      "A GET request that must be answered with 2xx. The headers `restate-version` and `restate-version-url` say which version is asked about and where its pods are.",
      {
        url: text("URL of the check.", adminUrl(`${ROLLOUT}.gate.http.url`)),
        timeoutSeconds: nullable(
          int32("Seconds the answer may take. Defaults to 10.", { minimum: 1, maximum: 15 }),
        ),
      },
    ).optional(),
    job: object(
      "A Job that must complete. Its containers get the variables RESTATE_VERSION and RESTATE_VERSION_URL.",
      {
        template: PodTemplate,
        backoffLimit: nullable(
          int32("Failed pods before the Job has failed. Defaults to 0.", {
            minimum: 0,
            maximum: 10,
          }),
        ),
      },
    ).optional(),
  },
  rules({
    rule: "[has(self.manual), has(self.http), has(self.job)].filter(set, set).size() == 1",
    message: `${ROLLOUT}.gate must have exactly one of manual, http and job`,
  }),
);

export const Rollout = object(
  "How a new version takes over.",
  {
    strategy: nullable(
      choice(
        "`immediate` (default): as soon as its pods are available. `gated`: once it has passed `gate` as well; the version before serves meanwhile. A version that has served before passes without it. The annotation `restate.dev/promote: <version>` opens any gate, `restate.dev/abort: <version>` gives the version up.",
        ROLLOUT_STRATEGIES,
      ),
    ),
    gate: nullable(Gate),
  },
  rules({
    rule: "!has(self.gate) || (has(self.strategy) && self.strategy == 'gated')",
    message: `${ROLLOUT}.gate needs ${ROLLOUT}.strategy gated`,
  }),
);
