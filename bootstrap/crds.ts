/** Applies the generated CustomResourceDefinitions to a cluster, as `helm install` would. */
import { readFile, readdir } from "node:fs/promises";
import { parse } from "yaml";
import type { AnyManifest } from "../services/core/manifest.ts";
import { KubeClient, loadKubeConfig } from "../services/kube/client.ts";

const FOLDER = new URL("../crds/generated/", import.meta.url);
const FIELD_MANAGER = "restate-operator-crds";

/** Creates or updates all three; answers their names. */
export async function applyCrds(kubeconfig: string): Promise<string[]> {
  const kube = new KubeClient(loadKubeConfig(kubeconfig));
  const names: string[] = [];
  for (const file of (await readdir(FOLDER)).toSorted()) {
    // Our own generated file.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    const crd = parse(await readFile(new URL(file, FOLDER), "utf8")) as AnyManifest;
    await kube.apply(crd, FIELD_MANAGER);
    names.push(crd.metadata?.name ?? file);
  }
  return names;
}
