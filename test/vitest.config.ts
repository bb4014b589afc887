/**
 * Four layers of tests, one project each (design, section 10). Everything durable runs against a real restate-server and
 * everything that talks to Kubernetes against a real API server; `unit` and `simulation` need neither.
 */
import { defineConfig } from "vitest/config";

type Layer = {
  readonly order: number;
  readonly timeoutMs: number;
  /** Files with clusters that run at the same time; absent: no clusters. */
  readonly clusters?: number;
};

const project = (name: string, { order, timeoutMs, clusters }: Layer) => ({
  test: {
    name,
    include: [`${name}/**/*.test.ts`],
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    sequence: { groupOrder: order },
    ...(clusters === undefined
      ? {}
      : {
          maxWorkers: clusters,
          globalSetup: ["harness/kubernetes-teardown.ts"],
          // A machine that stalls for a moment is no finding; a test that needed its second try is listed as such.
          retry: 1,
        }),
  },
});

export default defineConfig({
  test: {
    reporters: ["default", ["json", { outputFile: "../node_modules/.cache/test-results.json" }]],
    projects: [
      // One layer after the other: tests with clusters need the machine for themselves.
      project("unit", { order: 0, timeoutMs: 20_000 }),
      project("simulation", { order: 1, timeoutMs: 600_000 }),
      // Four at a time, each with a control plane of its own: most of the time they wait for pods and counts.
      project("control-plane", { order: 2, timeoutMs: 300_000, clusters: 4 }),
      project("node", { order: 3, timeoutMs: 900_000, clusters: 1 }),
    ],
  },
});
