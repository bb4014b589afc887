/**
 * kubectl and helm as the sandbox runs them: the ones built into the project's own Kubernetes binary, always with the
 * kubeconfig of the cluster at hand, never the user's.
 */
import { join } from "node:path";
import { repositoryDir } from "../images/bundle.ts";
import { runCommand } from "../processes.ts";

export interface Tools {
  kubectl(args: readonly string[], input?: string): Promise<string>;
  helm(args: readonly string[]): Promise<string>;
}

/** Where the operator is installed. */
export const NAMESPACE = "restate-operator";
const CHART = join(repositoryDir, "charts/restate-operator-helm");

export function toolsFor(cluster: {
  readonly kubernetesBinary: string;
  readonly kubeconfig: string;
  /** Folder for helm's caches, so that nothing is written to the user's. */
  readonly dir: string;
}): Tools {
  const run = async (tool: "kubectl" | "helm", args: readonly string[], input?: string) => {
    const { stdout } = await runCommand(cluster.kubernetesBinary, [tool, ...args], {
      env: {
        KUBECONFIG: cluster.kubeconfig,
        HELM_CACHE_HOME: join(cluster.dir, "helm/cache"),
        HELM_CONFIG_HOME: join(cluster.dir, "helm/config"),
        HELM_DATA_HOME: join(cluster.dir, "helm/data"),
      },
      ...(input === undefined ? {} : { input }),
    });
    return stdout;
  };
  return {
    kubectl: (args, input) => run("kubectl", args, input),
    helm: (args) => run("helm", args),
  };
}

/** Installs the operator's chart, or upgrades it to what the checkout holds now; waits until its pods are ready. */
export async function installOperator(tools: Tools, values: readonly string[] = []): Promise<void> {
  await tools.helm([
    "upgrade",
    "--install",
    "restate-operator",
    CHART,
    "--namespace",
    NAMESPACE,
    "--create-namespace",
    "--wait",
    "--timeout=3m",
    ...values.map((value) => `--set=${value}`),
  ]);
}
