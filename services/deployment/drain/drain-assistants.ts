/** How the reconciler starts and ends the drains of its versions: messages to virtual objects, sent once. */
import { rpc, type ObjectContext } from "@restatedev/restate-sdk";
import type { Assistants } from "../../reconciler/resource-kind.ts";
import type { DeploymentAction, DeploymentTerms, DrainReport } from "../api.ts";
import { UNCOUNTED, VERSION_DRAIN, type DrainHandlers } from "./drain-api.ts";

const drainOf = (ctx: ObjectContext, version: string) =>
  ctx.objectSendClient<DrainHandlers>({ name: VERSION_DRAIN }, `${ctx.key}/${version}`);

/** The drains of a deployment's versions, by the version's name. */
export const DRAINS: Assistants<DeploymentTerms> = {
  messageOf(action) {
    switch (action.kind) {
      case "startDrain":
        return { to: action.version, send: (ctx, before) => start(ctx, action, before) };
      case "cancelDrain":
        return { to: action.version, send: (ctx) => stop(ctx, action.version) };
      default:
        return undefined;
    }
  },
  stop,
};

function start(
  ctx: ObjectContext,
  { version, deploymentId, adminUrl, remedy }: Extract<DeploymentAction, { kind: "startDrain" }>,
  { known, nowMs }: { readonly known: DrainReport | undefined; readonly nowMs: number },
): DrainReport {
  const ordered = remedy === undefined ? {} : { remedy };
  drainOf(ctx, version).begin(
    { deploymentId, adminUrl, ...ordered },
    rpc.sendOpts({ name: `start drain of ${version}` }),
  );
  // With another remedy than before, it is left as it is: that the next report has another one is news.
  return known?.deploymentId === deploymentId
    ? known
    : { version, deploymentId, ...UNCOUNTED, atMs: nowMs, ...ordered };
}

function stop(ctx: ObjectContext, version: string): undefined {
  drainOf(ctx, version).cancel(rpc.sendOpts({ name: `end drain of ${version}` }));
}
