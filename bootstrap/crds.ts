/** Applies the generated CustomResourceDefinitions to a cluster, as `helm install` would. */
import { readFile, readdir } from "node:fs/promises";
import {
  KubeConfig,
  KubernetesObjectApi,
  PatchStrategy,
  type KubernetesObject,
} from "@kubernetes/client-node";
import { parse } from "yaml";

const FOLDER = new URL("../crds/generated/", import.meta.url);
const FIELD_MANAGER = "restate-operator-crds";

/** Creates or updates all three; answers their names. */
export async function applyCrds(kubeconfig: string): Promise<string[]> {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  const api = KubernetesObjectApi.makeApiClient(config);
  const names: string[] = [];
  for (const file of (await readdir(FOLDER)).toSorted()) {
    // Our own generated file.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    const crd = parse(await readFile(new URL(file, FOLDER), "utf8")) as KubernetesObject;
    await api.patch(crd, undefined, undefined, FIELD_MANAGER, true, PatchStrategy.ServerSideApply);
    names.push(crd.metadata?.name ?? file);
  }
  return names;
}
