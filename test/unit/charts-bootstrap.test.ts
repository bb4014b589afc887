/**
 * The bootstrap's configuration file, read by the restate-server that runs it: a setting that the server does not know is
 * ignored without a word, so every one must come back from `--dump-config`.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { parse } from "smol-toml";
import { expect, it, vi } from "vitest";
import { BUILD_TIMEOUT_MS, HELM_TIMEOUT_MS, chartDir, renderChart } from "../harness/charts.ts";

vi.setConfig({ testTimeout: HELM_TIMEOUT_MS });

const CONFIGURATION = join(chartDir, "files/bootstrap.toml");
const SERVER = join(
  chartDir,
  `../../node_modules/@restatedev/restate-server-linux-${process.arch === "arm64" ? "arm64" : "x64"}`,
  "bin/restate-server",
);

/** `section.key` → value; sizes in the spelling of the server. */
function settingsIn(toml: string): Map<string, unknown> {
  const leaves = (value: unknown, path: string): [string, unknown][] =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.entries(value).flatMap(([key, inner]) =>
          leaves(inner, path === "" ? key : `${path}.${key}`),
        )
      : [[path, typeof value === "string" ? value.replace(/^(\d+)\.0 (\w+)$/, "$1$2") : value]];
  return new Map(leaves(parse(toml), ""));
}

async function dumpConfiguration(file: string): Promise<Map<string, unknown>> {
  const { stdout } = await promisify(execFile)(SERVER, ["--config-file", file, "--dump-config"], {
    env: {},
  });
  return settingsIn(stdout);
}

/** Settings of the file that the server does not use as they are written. */
async function ignoredSettings(file: string): Promise<string[]> {
  const used = await dumpConfiguration(file);
  return [...settingsIn(readFileSync(file, "utf8"))]
    .filter(([name, value]) => JSON.stringify(used.get(name)) !== JSON.stringify(value))
    .map(([name]) => name);
}

it("every setting is one that restate-server knows and uses", async () => {
  expect(await ignoredSettings(CONFIGURATION)).toEqual([]);
});

it("a setting that it does not know is found", async () => {
  const file = join(mkdtempSync(join(tmpdir(), "bootstrap-")), "bootstrap.toml");
  const wrong = readFileSync(CONFIGURATION, "utf8").replace(
    "[worker.invoker]",
    "[worker.invoker]\nconcurrency-limit = 64",
  );
  writeFileSync(file, wrong);
  expect(await ignoredSettings(file)).toEqual(["worker.invoker.concurrency-limit"]);
});

it("is small, never gives up, and forgets after an hour", async () => {
  const used = await dumpConfiguration(CONFIGURATION);
  const names = [
    "default-num-partitions",
    "rocksdb-total-memory-size",
    "admin.query-engine.memory-size",
    "worker.invoker.concurrent-invocations-limit",
    "worker.cleanup-interval",
    "default-retry-policy.max-attempts",
    "default-retry-policy.max-interval",
    "default-journal-retention",
    "default-idempotency-retention",
    "disable-telemetry",
    "advertised-host",
  ];
  expect(Object.fromEntries(names.map((name) => [name, used.get(name)]))).toEqual({
    "default-num-partitions": 1,
    "rocksdb-total-memory-size": "64MiB",
    "admin.query-engine.memory-size": "64MiB",
    "worker.invoker.concurrent-invocations-limit": 64,
    "worker.cleanup-interval": "10m",
    "default-retry-policy.max-attempts": "unlimited",
    "default-retry-policy.max-interval": "10s",
    "default-journal-retention": "1h",
    "default-idempotency-retention": "1h",
    "disable-telemetry": true,
    "advertised-host": "127.0.0.1",
  });
});

it(
  "the chart mounts this very file",
  async () => {
    const { data } = (await renderChart()).get("ConfigMap", "restate-operator-bootstrap");
    expect(data?.["bootstrap.toml"]?.trimEnd()).toBe(readFileSync(CONFIGURATION, "utf8").trimEnd());
  },
  BUILD_TIMEOUT_MS,
);
