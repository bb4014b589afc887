/**
 * The services that examples and end-to-end tests deploy. `greet` answers at once; `greetSlowly` is what a rollout has to
 * wait for: it sleeps durably, so it outlives its pod, and it finishes on the version that it started on. The guestbook keeps
 * what it is told, whichever version it is told it by.
 */
import * as restate from "@restatedev/restate-sdk";
import { greeterConfig } from "./config.ts";

/** What to greet, and for `greetSlowly` how often and how long to sleep in between. */
type SlowGreeting = {
  readonly name: string;
  /** Default 6. */
  readonly steps?: number;
  /** Pause before each step. Default 10,000. */
  readonly stepMs?: number;
};

const { version, port, identityKeys } = greeterConfig();

const greeter = restate.service({
  name: "Greeter",
  handlers: {
    greet: async (_context: restate.Context, name: string): Promise<string> =>
      `Hello ${name}, says ${version}`,

    greetSlowly: async (context: restate.Context, greeting: SlowGreeting): Promise<string> => {
      const { name, steps = 6, stepMs = 10_000 } = greeting;
      const startedOn = await context.run("version that starts", () => version);
      for (let step = 1; step <= steps; step += 1) {
        await context.sleep(stepMs, `pause ${step} of ${steps}`);
        await context.run(`step ${step} of ${steps}`, () => version);
      }
      return `Hello ${name}, says ${startedOn}, finished on ${version}`;
    },
  },
});

const guestbook = restate.object({
  name: "Guestbook",
  handlers: {
    sign: async (context: restate.ObjectContext, name: string): Promise<string[]> => {
      const signed = [...((await context.get<string[]>("names")) ?? []), `${name} (${version})`];
      context.set("names", signed);
      return signed;
    },
  },
});

// The first process of a container has no default for it, and Restate calls again whatever is cut off.
process.once("SIGTERM", () => process.exit(0));

await restate.serve({ services: [greeter, guestbook], port, identityKeys: [...identityKeys] });
