/**
 * Four layers of tests, one project each (design, section 10). Everything durable runs against a real restate-server and
 * everything that talks to Kubernetes against a real API server; `unit` and `simulation` need neither.
 */
import { defineConfig } from "vitest/config";

const project = (name: string, timeoutMs: number, serial: boolean) => ({
  test: {
    name,
    include: [`${name}/**/*.test.ts`],
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    fileParallelism: !serial,
    sequence: { groupOrder: serial ? 1 : 0 },
    ...(serial ? { globalSetup: ["harness/kubernetes-teardown.ts"] } : {}),
  },
});

export default defineConfig({
  test: {
    reporters: ["default", ["json", { outputFile: "../node_modules/.cache/test-results.json" }]],
    projects: [
      project("unit", 10_000, false),
      project("simulation", 300_000, false),
      project("control-plane", 300_000, true),
      project("node", 900_000, true),
    ],
  },
});
