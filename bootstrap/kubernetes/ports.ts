/**
 * Free ports on loopback, remembered in the data folder: a second start of the same cluster takes the same ones if nobody
 * else has taken them meanwhile, so that a URL stays what it was.
 *
 * They are taken from below the range from which operating systems give out ports for outgoing connections (32768 and up
 * on Linux), so that none is gone again between the choice and its use.
 */
import { readFile, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { z } from "zod";

const FIRST_PORT = 20_000;
const LAST_PORT = 30_000;
const ATTEMPTS_MAX = 200;

const Ports = z.record(z.string(), z.int());
type Ports = z.infer<typeof Ports>;

/**
 * A free port for each name.
 *
 * @throws Error when none is found.
 */
export async function choosePorts<Name extends string>(
  dir: string,
  names: readonly Name[],
): Promise<(name: Name) => number> {
  const file = join(dir, "ports.json");
  const remembered = await readPorts(file);
  // kept bound until all are chosen: no port twice
  const held: Server[] = [];
  const chosen = new Map<string, number>();
  try {
    for (const name of names) {
      const server = await bindFirst([remembered[name], ...randomPorts()]);
      held.push(server);
      chosen.set(name, portOf(server));
    }
  } finally {
    await Promise.all(held.map(close));
  }
  await writeFile(file, JSON.stringify({ ...remembered, ...Object.fromEntries(chosen) }));
  return (name) => chosen.get(name) ?? 0;
}

/** Whether nothing listens on a loopback port. */
export async function isPortFree(port: number): Promise<boolean> {
  const server = await bind(port);
  if (server === undefined) return false;
  await close(server);
  return true;
}

function randomPorts(): number[] {
  return Array.from({ length: ATTEMPTS_MAX }, () =>
    Math.floor(FIRST_PORT + Math.random() * (LAST_PORT - FIRST_PORT)),
  );
}

async function bindFirst(candidates: readonly (number | undefined)[]): Promise<Server> {
  for (const port of candidates) {
    const server = port === undefined ? undefined : await bind(port);
    if (server !== undefined) return server;
  }
  throw new Error(`no free port found between ${FIRST_PORT} and ${LAST_PORT} on 127.0.0.1`);
}

async function bind(port: number): Promise<Server | undefined> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(undefined));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not a TCP server");
  return address.port;
}

async function close(server: Server): Promise<void> {
  await new Promise((resolve) => {
    server.close(resolve);
  });
}

async function readPorts(file: string): Promise<Ports> {
  try {
    return Ports.parse(JSON.parse(await readFile(file, "utf8")));
  } catch {
    return {};
  }
}
