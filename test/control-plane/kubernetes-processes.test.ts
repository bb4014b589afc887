/**
 * What everything that is started here relies on: processes are ended, only the right ones, and one at a time gets a lock.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { choosePorts } from "../../bootstrap/kubernetes/ports.ts";
import { waitUntil } from "../../bootstrap/kubernetes/wait.ts";
import { withLock } from "../../bootstrap/lock.ts";
import { isAlive, isRunning, ownIdentity } from "../../bootstrap/process-identity.ts";
import {
  cleanUpLeftovers,
  detachProcesses,
  runningProcesses,
  startProcess,
  stopProcess,
} from "../../bootstrap/processes.ts";

const PORTS = join(import.meta.dirname, "../../bootstrap/kubernetes/ports.ts");

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "restate-operator-test-"));
});

afterEach(async () => {
  await cleanUpLeftovers(dir, { detached: true });
  await rm(dir, { recursive: true });
});

const start = async (name: string, script: string) =>
  startProcess({
    name,
    command: "sh",
    args: ["-c", script],
    dir,
    logFile: join(dir, "log", `${name}.log`),
  });

/** The record of a process, as if its starter had been another process that is gone. */
async function orphan(name: string, change: object = {}): Promise<void> {
  const file = join(dir, "run", `process-${name}.json`);
  const record = JSON.parse(await readFile(file, "utf8")) as object;
  const starter = { pid: 999_999_999, startedAt: "never" };
  await writeFile(file, JSON.stringify({ ...record, starter, ...change }));
}

describe("a process", () => {
  test("is recorded while it runs, logs to its file, and sees only what it is given", async () => {
    const script = 'echo "$GIVEN $KEPT_FROM_CHILDREN"; exec sleep 60';
    process.env["KEPT_FROM_CHILDREN"] = "leaked";
    const running = await startProcess({
      name: "sleeper",
      command: "sh",
      args: ["-c", script],
      env: { GIVEN: "given" },
      dir,
      logFile: join(dir, "log", "sleeper.log"),
    });
    await waitUntil({ what: "the log", timeoutMs: 5_000 }, async () =>
      (await readFile(running.logFile, "utf8")).endsWith("\n"),
    );
    expect(await readFile(running.logFile, "utf8")).toBe("given \n");
    expect(await runningProcesses(dir)).toMatchObject([{ name: "sleeper", pid: running.pid }]);
    await running.stop();
    expect(await running.exited).toEqual({ code: null, signal: "SIGTERM" });
    expect(await readdir(join(dir, "run"))).toEqual([]);
  });

  test("that ignores SIGTERM is killed after its grace, with its children", async () => {
    const running = await start("stubborn", 'trap "" TERM; sleep 60 & echo $!; wait; wait');
    await sleep(300);
    const child = Number(await readFile(running.logFile, "utf8"));
    await running.stop(200);
    expect(await running.exited).toEqual({ code: null, signal: "SIGKILL" });
    await waitUntil(
      { what: "its child's end", timeoutMs: 5_000 },
      async () => !(await isRunning(child)),
    );
  });

  test("is forgotten while others look at the records", async () => {
    const names = Array.from({ length: 80 }, (_, index) => `ended-${index}`);
    await Promise.all(names.map(async (name) => start(name, "exit 0")));
    const forget = async (part: readonly string[]) => {
      for (const name of part) await stopProcess(dir, name);
    };
    const parts = Array.from({ length: 10 }, (_, index) => names.slice(8 * index, 8 * (index + 1)));
    await Promise.all(parts.map(forget));
    expect(await readdir(join(dir, "run"))).toEqual([]);
  });

  test("whose command does not exist is an error that says so", async () => {
    const options = { name: "none", command: "no-such-command", args: [], dir };
    await expect(
      startProcess({ ...options, logFile: join(dir, "log", "none.log") }),
    ).rejects.toThrow("cannot start none: spawn no-such-command ENOENT");
  });

  test("that ends while it is waited for fails the wait at once, with the end of its log", async () => {
    const running = await start("short", "echo no space left; exit 3");
    const wait = { what: "short", timeoutMs: 60_000, processes: [running] };
    await expect(waitUntil(wait, async () => false)).rejects.toThrow(
      "short ended (exit code 3):\nno space left",
    );
  });
});

describe("leftovers", () => {
  test("of a starter that is gone are ended; one's own and detached ones are not", async () => {
    const own = await start("own", "exec sleep 60");
    const left = await start("left", "exec sleep 60");
    await orphan("left");
    await cleanUpLeftovers(dir);
    expect((await left.exited).signal).toBe("SIGTERM");
    expect(await runningProcesses(dir)).toMatchObject([{ name: "own", pid: own.pid }]);
    await detachProcesses(dir);
    await cleanUpLeftovers(dir);
    expect(await runningProcesses(dir)).toMatchObject([{ name: "own", starter: null }]);
    await cleanUpLeftovers(dir, { detached: true });
    expect((await own.exited).signal).toBe("SIGTERM");
  });

  test("a process that was given a recorded id later is left alone", async () => {
    const innocent = await start("innocent", "exec sleep 60");
    await orphan("innocent", { startedAt: "at another time" });
    await cleanUpLeftovers(dir);
    expect(() => process.kill(innocent.pid, 0)).not.toThrow();
    await innocent.stop();
  });
});

describe("a lock", () => {
  test("is held by one at a time", async () => {
    let inside = 0;
    const most = await Promise.all(
      Array.from({ length: 5 }, async () =>
        withLock(join(dir, "lock"), async () => {
          inside += 1;
          await sleep(20);
          const seen = inside;
          inside -= 1;
          return seen;
        }),
      ),
    );
    expect(most).toEqual([1, 1, 1, 1, 1]);
  });

  test("of a holder that died is taken over", async () => {
    const holder = spawn("true");
    await once(holder, "exit");
    const stale = { pid: holder.pid, startedAt: "at some time" };
    await writeFile(join(dir, "lock"), JSON.stringify(stale));
    expect(await withLock(join(dir, "lock"), async () => "taken")).toBe("taken");
    expect(await readdir(dir)).not.toContain("lock");
  });
});

test("ports are free, different, and the same again next time", async () => {
  const first = await choosePorts(dir, ["one", "two"]);
  expect(first("one")).not.toBe(first("two"));
  const second = await choosePorts(dir, ["two", "one"]);
  expect([second("one"), second("two")]).toEqual([first("one"), first("two")]);
});

test("ports belong to the process that chose them, until it ends", async () => {
  const chosen = join(dir, "chosen");
  await mkdir(chosen);
  const script = `
    const { choosePorts } = await import(${JSON.stringify(PORTS)});
    const ports = await choosePorts(${JSON.stringify(chosen)}, ["one"]);
    console.log(ports("one"));
    setInterval(() => undefined, 1_000);`;
  const holder = spawn(process.execPath, ["--input-type=module", "--eval", script]);
  const [line] = (await once(holder.stdout, "data")) as [Buffer];
  const port = Number(line);
  expect((await choosePorts(chosen, ["one"]))("one")).not.toBe(port);
  await writeFile(join(chosen, "ports.json"), JSON.stringify({ one: port }));
  holder.kill("SIGKILL");
  await once(holder, "exit");
  expect((await choosePorts(chosen, ["one"]))("one")).toBe(port);
});

test("a process knows itself", async () => {
  expect(await isAlive(await ownIdentity())).toBe(true);
  expect(await isAlive({ ...(await ownIdentity()), startedAt: "at another time" })).toBe(false);
});
