/**
 * Credentials of the user's choosing for processes we start: a file of ours with one current context, so that the user's own
 * file and current context are never touched.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { KubeConfig } from "@kubernetes/client-node";

export interface KubeconfigChoice {
  /** Default: KUBECONFIG, else ~/.kube/config. */
  readonly kubeconfig?: string;
  /** Default: the file's current one. */
  readonly context?: string;
  /** Folder to write to. */
  readonly dir: string;
}

/** Writes the chosen credentials to `<dir>/kubeconfig`. Throws when there are none or no such context. */
export async function chooseKubeconfig(choice: KubeconfigChoice): Promise<string> {
  const config = new KubeConfig();
  if (choice.kubeconfig === undefined) config.loadFromDefault();
  else config.loadFromFile(choice.kubeconfig);
  if (choice.context !== undefined) {
    const names = config.getContexts().map(({ name }) => name);
    if (!names.includes(choice.context)) {
      throw new Error(`there is no context ${choice.context}; there are: ${names.join(", ")}`);
    }
    config.setCurrentContext(choice.context);
  }
  if (config.getCurrentCluster() === null) {
    throw new Error("the kubeconfig has no current context; name one with --context");
  }
  const file = join(choice.dir, "kubeconfig");
  await writeFile(file, config.exportConfig(), { mode: 0o600 });
  return file;
}
