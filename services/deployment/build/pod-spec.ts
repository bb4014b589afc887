/** A user's pod spec: passed through as it is and looked at by the API server alone, save for the variables we add to it. */
import type { V1PodSpec } from "@kubernetes/client-node";
import type { Manifest } from "../../core/manifest.ts";

export type PodSpec = Readonly<Record<string, unknown>>;

const CONTAINER_LISTS = ["containers", "initContainers"] as const;

/** The pod spec, with these variables before the user's own in every container, so that those can refer to them. */
export function podSpecWith(spec: PodSpec, variables: readonly object[]): Manifest<V1PodSpec> {
  const lists = CONTAINER_LISTS.filter((list) => Array.isArray(spec[list]));
  const containers = lists.map((list) => [
    list,
    containersIn(spec, list).map((container) => withVariables(container, variables)),
  ]);
  const whole = variables.length === 0 ? spec : { ...spec, ...Object.fromEntries(containers) };
  // What it holds is for the API server to judge.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return whole as object as Manifest<V1PodSpec>;
}

/** Names of the variables that the containers of a pod spec set, in their order. */
export function variablesOf(spec: PodSpec): unknown[] {
  return CONTAINER_LISTS.flatMap((list) => containersIn(spec, list)).flatMap(({ env }) =>
    Array.isArray(env) ? env.map((each) => (isObject(each) ? each["name"] : undefined)) : [],
  );
}

function withVariables(container: PodSpec, variables: readonly object[]): PodSpec {
  const env: unknown = container["env"];
  return { ...container, env: [...variables, ...(Array.isArray(env) ? env : [])] };
}

function containersIn(spec: PodSpec, list: string): PodSpec[] {
  const value = spec[list];
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function isObject(value: unknown): value is PodSpec {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
