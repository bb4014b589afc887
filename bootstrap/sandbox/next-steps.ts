/** What a newcomer types to see what happened, and what to try once the example is Ready: as commands to copy. */

export interface Reached {
  /** Data folder of the Kubernetes cluster. */
  readonly dataDir: string;
  readonly kubeconfig: string;
  readonly example: string;
  readonly bootstrapAdminUrl: string;
  readonly bootstrapIngressUrl: string;
  readonly exampleAdminUrl: string;
  readonly exampleIngressUrl: string;
}

/** What makes the commands that are printed from here on work. */
export function howToFollow(reached: Reached): string {
  const { dataDir, bootstrapAdminUrl, exampleAdminUrl } = reached;
  return `to follow it, in another terminal and in this folder

    alias kubectl='npm run --silent kubernetes -- kubectl --data=${dataDir}'
    alias helm='npm run --silent kubernetes -- helm --data=${dataDir}'
    alias restate='npx restate'
    export RESTATE_ADMIN_URL=${bootstrapAdminUrl}   # the operator's own Restate
    EXAMPLE=${exampleAdminUrl}                      # the Restate cluster it runs
`;
}

/** Commands that show what has just been told. */
export function seeIt(...commands: readonly string[]): string {
  return ["see it:", ...commands.map((command) => `              ${command}`)].join("\n");
}

export function nextSteps(reached: Reached): string {
  const { kubeconfig, example, bootstrapAdminUrl, exampleAdminUrl, exampleIngressUrl } = reached;
  return `what to do next (with the aliases from above)

  Kubernetes (for a kubectl of your own: export KUBECONFIG=${kubeconfig})
    kubectl get restateclusters
    kubectl describe restatecluster ${example}
    kubectl -n ${example} get pods,services,networkpolicies
    kubectl -n greeter get restatedeployments,replicasets,pods
    kubectl -n greeter describe restatedeployment greeter
    helm -n restate-operator list

  The operator's own Restate, where every reconcile can be read step by step
    UI       ${bootstrapAdminUrl}/ui
    ingress  ${reached.bootstrapIngressUrl}
    restate invocations list --all
    restate invocations describe <id of a ClusterReconciler/${example}/reconcile>
    restate kv get ClusterReconciler ${example}
    restate kv get DeploymentReconciler greeter/greeter
    restate kv get VersionDrain greeter/greeter/<version>    (while it drains)

  The Restate cluster it runs
    UI       ${exampleAdminUrl}/ui
    ingress  ${exampleIngressUrl}
    RESTATE_ADMIN_URL=$EXAMPLE restate services list

  Try it: roll out another image, delete a Service, look at what the reconciler does
    kubectl -n greeter edit restatedeployment greeter
    kubectl -n ${example} delete service restate
    kubectl delete restatecluster ${example}
`;
}
