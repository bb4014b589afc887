/** How the reconciler starts, asks and ends the drains of its versions: messages to virtual objects, sent once. */
import { rpc, type ObjectContext } from "@restatedev/restate-sdk";
import type { Assistants } from "../../reconciler/resource-kind.ts";
import type { DeploymentAction, DrainReport } from "../api.ts";
import { VERSION_DRAIN, type DrainHandlers } from "./drain.ts";

const drainOf = (ctx: ObjectContext, version: string) =>
  ctx.objectSendClient<DrainHandlers>({ name: VERSION_DRAIN }, `${ctx.key}/${version}`);

/** The drains of a deployment's versions, by the version's name. */
export const DRAINS: Assistants<DeploymentAction, DrainReport> = {
  report(ctx, version) {
    const drain = ctx.objectClient<DrainHandlers>({ name: VERSION_DRAIN }, `${ctx.key}/${version}`);
    return drain.report(rpc.opts({ name: `drain of ${version}` }));
  },
  addressed(action) {
    switch (action.kind) {
      case "startDrain":
        return { kind: "start", name: action.version };
      case "cancelDrain":
        return { kind: "stop", name: action.version };
      default:
        return undefined;
    }
  },
  start(ctx, action) {
    if (action.kind !== "startDrain") return;
    const { version, deploymentId, adminUrl, remedy } = action;
    drainOf(ctx, version).begin(
      { deploymentId, adminUrl, ...(remedy === undefined ? {} : { remedy }) },
      rpc.sendOpts({ name: `start drain of ${version}` }),
    );
  },
  stop(ctx, version) {
    drainOf(ctx, version).cancel(rpc.sendOpts({ name: `end drain of ${version}` }));
  },
};
