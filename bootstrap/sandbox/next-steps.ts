/** What a newcomer does once the example is Ready, as commands to copy. */

export interface Reached {
  readonly kubeconfig: string;
  readonly example: string;
  readonly bootstrapAdminUrl: string;
  readonly bootstrapIngressUrl: string;
  readonly exampleAdminUrl: string;
  readonly exampleIngressUrl: string;
}

export function nextSteps(reached: Reached): string {
  const { kubeconfig, example, bootstrapAdminUrl, exampleAdminUrl, exampleIngressUrl } = reached;
  return `what to do next (in another terminal, in this folder)

  Kubernetes
    export KUBECONFIG=${kubeconfig}
    npm run --silent kubernetes -- kubectl get restateclusters
    npm run --silent kubernetes -- kubectl describe restatecluster ${example}
    npm run --silent kubernetes -- kubectl -n ${example} get pods,services,networkpolicies
    npm run --silent kubernetes -- kubectl -n greeter get restatedeployments,replicasets,pods
    npm run --silent kubernetes -- kubectl -n greeter describe restatedeployment greeter
    npm run --silent kubernetes -- helm -n restate-operator list

  The operator's own Restate, where every reconcile can be read step by step
    UI       ${bootstrapAdminUrl}/ui
    ingress  ${reached.bootstrapIngressUrl}
    export RESTATE_ADMIN_URL=${bootstrapAdminUrl}
    npx restate invocations list --all
    npx restate invocations describe <id of a ClusterReconciler/${example}/reconcile>
    npx restate kv get ClusterReconciler ${example}
    npx restate kv get DeploymentReconciler greeter/greeter
    npx restate kv get VersionDrain greeter/greeter/<version>    (while it drains)

  The Restate cluster it runs
    UI       ${exampleAdminUrl}/ui
    ingress  ${exampleIngressUrl}

  Try it: roll out another image, delete a Service, look at what the reconciler does
    npm run --silent kubernetes -- kubectl -n greeter edit restatedeployment greeter
    npm run --silent kubernetes -- kubectl -n ${example} delete service restate
    npm run --silent kubernetes -- kubectl delete restatecluster ${example}

  Ctrl-C stops everything.
`;
}
