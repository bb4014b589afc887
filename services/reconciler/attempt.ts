/**
 * The frame of an attempt, the same for every kind that is served: observe and decide; act, and write the status, only on the
 * resource that the plan was made for; say what failed. A kind brings the parts, and knows nothing of when they are called.
 */
import type { AppliedObjects } from "../core/children.ts";
import type { EventClaim } from "../core/plan.ts";
import { KubeError, NAMESPACE_TERMINATING } from "../kube/errors.ts";
import type { PlannedResource } from "../kube/planned-resource.ts";
import type { ActionResult, Attempt, Failure, PlanOf, Remembered, Terms } from "./resource-kind.ts";

const SUPERSEDED: ActionResult = { kind: "superseded" };

interface Identified {
  readonly metadata: { readonly uid: string; readonly generation: number };
}

/** What a plan is decided from, beside what was observed. */
export interface Known<Report> {
  /** Of this very resource. */
  readonly applied: AppliedObjects;
  readonly reports: readonly Report[];
  readonly nowMs: number;
}

interface AttemptParts<Resource extends Identified, Observed, T extends Terms> {
  /** The resource alone, and `planned`, by which the steps are answered with it. */
  readonly read: () => Promise<Resource | undefined>;
  readonly planned: PlannedResource<Resource>;
  /** Everything that decides; `undefined` when there is no resource. */
  observe(remembered: Remembered): Promise<Observed | undefined>;
  resourceOf(observed: Observed): Resource;
  decide(observed: Observed, known: Known<T["report"]>): PlanOf<T>;
  act(resource: Resource, action: T["action"]): Promise<ActionResult>;
  patchStatus(resource: Resource, status: T["status"]): Promise<void>;
  /** The status that says what failed; `undefined` when that is said already. */
  statusOfFailure(resource: Resource, failure: Failure<T["reason"]>): T["status"] | undefined;
  tell(about: { readonly uid: string }, event: EventClaim): Promise<void>;
}

export function attemptOf<Resource extends Identified, Observed, T extends Terms>(
  parts: AttemptParts<Resource, Observed, T>,
): Attempt<T> {
  const { planned } = parts;
  return {
    async plan(remembered, reports) {
      const observed = await parts.observe(remembered);
      const nowMs = Date.now();
      if (observed === undefined) {
        return { actions: [], outcome: { kind: "gone" }, observedAtMs: nowMs };
      }
      const resource = parts.resourceOf(observed);
      planned.remember(resource);
      const applied = remembered.uid === resource.metadata.uid ? remembered.applied : {};
      return parts.decide(observed, { applied, reports, nowMs });
    },
    async apply(action, identity) {
      const resource = await planned.current(identity);
      if (resource === undefined) return SUPERSEDED;
      try {
        return await parts.act(resource, action);
      } catch (error) {
        // The namespace is going, and the resource next: its deletion is what is planned then.
        if (error instanceof KubeError && error.reason === NAMESPACE_TERMINATING) return SUPERSEDED;
        throw error;
      }
    },
    async writeStatus(status, identity) {
      const resource = await planned.current(identity);
      if (resource === undefined) return SUPERSEDED;
      await parts.patchStatus(resource, status);
      return { kind: "done" };
    },
    emit: (event, about) => parts.tell(about, event),
    async writeFailure(failure) {
      const resource = await parts.read();
      if (resource === undefined) return;
      const status = parts.statusOfFailure(resource, failure);
      if (status === undefined) return;
      await parts.patchStatus(resource, status);
      const { reason, message } = failure;
      await parts.tell(resource.metadata, { type: "Warning", reason, message });
    },
  };
}
