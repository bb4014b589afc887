/**
 * The gate of a new version: what it waits for between "its pods are available" and "Restate sends new invocations to it".
 *
 * G1 A gate is only asked about a version that Restate would take: the dry run comes first. G2 A version that has served before
 * passes, so that a rollback never waits. G3 What has passed stays passed: it is noted on the version. G4 Whatever the gate does,
 * the version before serves.
 */
import { assertNever } from "../../core/assert-never.ts";
import type { GateKind, GateView, ObservedVersion, VersionAction } from "../api.ts";
import { target } from "./plan-older-version.ts";

/** How often the gate of kind `http` is asked. */
export const GATE_RETRY_MS = 10_000;
/** A Job wakes the reconciler when it ends, and a person by the annotation. */
const WAITING_MS = 60_000;

export interface GatePlan {
  readonly reason: "AwaitingPromotion" | "GateNotPassed" | "GateFailed";
  readonly message: string;
  readonly action?: VersionAction;
  readonly requeueAfterMs: number;
}

/** What a version that could be registered waits for; `undefined`: nothing. */
export function planGate(
  version: ObservedVersion,
  kind: GateKind | undefined,
): GatePlan | undefined {
  if (kind === undefined || version.served === true) return undefined; // G2
  const gate: GateView = version.gate ?? { checked: false, passed: false };
  if (gate.passed) return undefined; // G3
  if (!gate.checked) {
    const because = "Restate is asked whether it would take it, before its gate is";
    return {
      reason: "GateNotPassed",
      message: `${version.name}: ${because}`,
      action: { kind: "checkVersion", ...target(version), because },
      requeueAfterMs: WAITING_MS,
    };
  }
  switch (kind) {
    case "manual":
      return {
        reason: "AwaitingPromotion",
        message: `${version.name} is ready and waits for the annotation restate.dev/promote=${version.name} (or restate.dev/abort=${version.name})`,
        requeueAfterMs: WAITING_MS,
      };
    case "http":
      return {
        reason: "GateNotPassed",
        message: `${version.name}: its gate is being asked`,
        action: { kind: "askGate", ...target(version), because: "its pods are available" },
        requeueAfterMs: GATE_RETRY_MS,
      };
    case "job":
      return planJob(version, gate.job);
    default:
      return assertNever(kind);
  }
}

function planJob(version: ObservedVersion, job: GateView["job"]): GatePlan | undefined {
  switch (job) {
    case "complete":
      return undefined;
    case "failed":
      return {
        reason: "GateFailed",
        message: `the Job ${version.name} failed, so ${version.name} does not take over; change the template, or open the gate with restate.dev/promote=${version.name}`,
        requeueAfterMs: WAITING_MS,
      };
    default:
      return {
        reason: "GateNotPassed",
        message: `${version.name}: the Job ${version.name} has not completed yet`,
        ...(job === undefined
          ? {
              action: {
                kind: "applyGateJob",
                ...target(version),
                because: "its pods are available",
              },
            }
          : {}),
        requeueAfterMs: WAITING_MS,
      };
  }
}
