/**
 * Settings that make nodes a cluster, generated where a specification does not give them: roles, where the metadata is,
 * location, who provisions, replication. They are environment variables, so that the ConfigMap, whose name is a hash of the
 * user's file, stays the user's; and since a variable wins over the file, only what the file is silent about is generated.
 *
 * F1 What a specification sets is never generated. F2 A specification that works without generated settings gets none: one
 * node, or nodes that are told where the metadata is. F3 Nodes that were made without them never get them: each has a cluster
 * of its own by then, and would lose it. F4 Nodes made with them keep them, however many there are: no value depends on
 * the number of nodes, so scaling replaces no pod.
 */
import type { RestateClusterSpec } from "../../../crds/restate-cluster.ts";
import type { ObservedObject } from "../../core/children.ts";
import type { ClusterBuilding, Setting, Settings } from "../api.ts";
import { FORMED_ANNOTATION } from "../build/metadata.ts";
import { HEADLESS_SERVICE_NAME } from "../build/services.ts";
import { STATEFUL_SET_NAME, replicasOf } from "../build/stateful-set.ts";
import { readConfig, type ReadConfig } from "./config-toml.ts";

/** Copies of everything in a cluster that is formed of several nodes: any one of them may be lost. */
const REPLICATION = 2;
/** Nodes whose addresses are generated: enough to find the metadata, and the last that scaling down takes away. */
const METADATA_ORDINALS = [0, 1, 2];
const METADATA_VARIABLE = /^RESTATE_METADATA_(STORE_)?(CLIENT__)?(ADDRESS(ES)?|TYPE)$/;
/** The variable by which pods are told whether they may provision their cluster. */
export const AUTO_PROVISION = "RESTATE_AUTO_PROVISION";
/** Everything a node can be. */
const ROLES = ["admin", "http-ingress", "log-server", "metadata-server", "worker"];

/** The generated settings of a cluster; none unless `formed` says with which replication it is made a cluster by them. */
export function settingsOf(
  spec: RestateClusterSpec,
  { formed }: Pick<ClusterBuilding, "formed">,
): Settings {
  const asked = spec.cluster?.autoProvision;
  if (formed === undefined) return { env: [], provisions: asked === true };
  const config = readConfig(spec.config ?? undefined);
  const told = isToldMetadata(spec, config);
  const env = generated(formed).filter(
    ({ name, at, uses = [] }) =>
      !isSet(spec, config, { name, at }) &&
      !(told && METADATA_VARIABLE.test(name)) &&
      uses.every((used) => !hasVariable(spec, used)),
  );
  const provisions = asked ?? env.some(({ name }) => name === AUTO_PROVISION);
  return { env: env.map(({ name, value }) => ({ name, value })), provisions };
}

/** What shows how a cluster was made. */
export interface Traces {
  readonly cluster: { readonly spec: RestateClusterSpec };
  readonly children: readonly Pick<ObservedObject, "ref" | "annotations">[];
  readonly claims: readonly { readonly ordinal: number }[];
  readonly statefulSet?: { readonly wantedReplicas?: number; readonly replicas: number };
}

/** With which replication a cluster is formed of generated settings; `undefined`: it is not. */
export function formedOf(observed: Traces): number | undefined {
  const made = observed.children.filter(
    ({ ref }) =>
      (ref.kind === "Service" && ref.name === HEADLESS_SERVICE_NAME) ||
      (ref.kind === "StatefulSet" && ref.name === STATEFUL_SET_NAME),
  );
  const marks = made.map(({ annotations }) => Number(annotations[FORMED_ANNOTATION] ?? NaN));
  const mark = marks.find((value) => Number.isInteger(value) && value > 0);
  if (mark !== undefined) return mark; // F4
  const { spec } = observed.cluster;
  if (!isToBeFormed(spec) || (made.length > 0 && hasRunOthers(observed))) return undefined; // F2, F3
  return replicasOf({ spec }) > 1 ? REPLICATION : 1;
}

/** The same, as a part of what children are built from. */
export function formedBy(observed: Traces): Pick<ClusterBuilding, "formed"> {
  const formed = formedOf(observed);
  return formed === undefined ? {} : { formed };
}

/** Whether the specification makes several nodes and leaves out what would make them one cluster, or who provisions it (F2). */
export function isToBeFormed(spec: RestateClusterSpec): boolean {
  const byOperator = spec.cluster?.autoProvision === true;
  const several = replicasOf({ spec }) > 1;
  if ((!byOperator && !several) || isSaidElsewhere(spec)) return false;
  const config = readConfig(spec.config ?? undefined);
  if (config.kind === "unreadable") return false;
  const provisioner = { name: AUTO_PROVISION, at: ["auto-provision"] };
  if (byOperator && !isSet(spec, config, provisioner)) return true;
  return several && !isToldMetadata(spec, config);
}

/** Whether another node than the first one has ever been made: its volume is there, or it is asked for already. */
function hasRunOthers({ claims, statefulSet }: Traces): boolean {
  return (
    claims.some(({ ordinal }) => ordinal > 0) ||
    Math.max(statefulSet?.wantedReplicas ?? 0, statefulSet?.replicas ?? 0) > 1
  );
}

/** A file or a command line of the user's own can say anything. */
function isSaidElsewhere(spec: RestateClusterSpec): boolean {
  const { command, args } = spec.compute;
  return command !== undefined || args !== undefined || hasVariable(spec, "RESTATE_CONFIG");
}

function isToldMetadata(spec: RestateClusterSpec, config: ReadConfig): boolean {
  const inEnv = (spec.compute.env ?? []).some(
    ({ name, value }) => METADATA_VARIABLE.test(name) && value !== "replicated",
  );
  if (inEnv || config.kind === "unreadable") return inEnv;
  return ["metadata-client", "metadata-store-client"].some((table) => {
    const type = config.at(table, "type");
    return (
      config.at(table, "addresses") !== undefined ||
      config.at(table, "address") !== undefined ||
      (type !== undefined && type !== "replicated")
    );
  });
}

interface Generated extends Setting {
  /** Where the configuration file says it. */
  readonly at: readonly string[];
  /** Variables of the operator's that the value is made of: where a user has replaced one, it is not generated. */
  readonly uses?: readonly string[];
}

function generated(replication: number): Generated[] {
  const addresses = METADATA_ORDINALS.map(
    (ordinal) => `http://${STATEFUL_SET_NAME}-${ordinal}.${HEADLESS_SERVICE_NAME}:5122`,
  );
  return [
    { name: "RESTATE_ROLES", value: JSON.stringify(ROLES), at: ["roles"] },
    {
      name: "RESTATE_METADATA_CLIENT__TYPE",
      value: "replicated",
      at: ["metadata-client", "type"],
    },
    {
      name: "RESTATE_METADATA_CLIENT__ADDRESSES",
      value: JSON.stringify(addresses),
      at: ["metadata-client", "addresses"],
    },
    {
      // Restate reads "." as no location; a zone without a region it refuses.
      name: "RESTATE_LOCATION",
      value: "$(POD_REGION).$(POD_ZONE)",
      at: ["location"],
      uses: ["POD_REGION", "POD_ZONE"],
    },
    { name: AUTO_PROVISION, value: "false", at: ["auto-provision"] },
    {
      name: "RESTATE_DEFAULT_REPLICATION",
      value: String(replication),
      at: ["default-replication"],
    },
  ];
}

/** By file or by variable (F1). */
function isSet(
  spec: RestateClusterSpec,
  config: ReadConfig,
  { name, at }: Pick<Generated, "name" | "at">,
): boolean {
  const inFile = config.kind === "read" && config.at(...at) !== undefined;
  return inFile || hasVariable(spec, name);
}

function hasVariable(spec: RestateClusterSpec, name: string): boolean {
  return (spec.compute.env ?? []).some((variable) => variable.name === name);
}
