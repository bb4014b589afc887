/**
 * Free ports on loopback, remembered in the data folder: a second start of the same cluster takes the same ones if nobody
 * else has taken them meanwhile, so that a URL stays what it was.
 *
 * They are taken from below the range from which operating systems give out ports for outgoing connections (32768 and up
 * on Linux). There they also belong to the process that chose them for as long as it lives, as far as others choose theirs
 * here too: none is gone again between the choice and its use, or while what listens there starts anew.
 */
import { readFile, writeFile } from "node:fs/promises";
import { createServer, type ListenOptions, type Server } from "node:net";
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
      const server = (await bindRemembered(remembered[name])) ?? (await bindFirst(randomPorts()));
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

/** Ports of this process. */
const own = new Set<number>();

async function bindRemembered(port: number | undefined): Promise<Server | undefined> {
  if (port === undefined) return undefined;
  return own.has(port) || (await reserve(port)) ? bind(port) : undefined;
}

async function bindFirst(candidates: readonly number[]): Promise<Server> {
  for (const port of candidates) {
    const server = (await reserve(port)) ? await bind(port) : undefined;
    if (server !== undefined) return server;
  }
  throw new Error(`no free port found between ${FIRST_PORT} and ${LAST_PORT} on 127.0.0.1`);
}

async function reserve(port: number): Promise<boolean> {
  if (own.has(port)) return false;
  // An abstract socket has no file and ends with its process. Other systems than Linux have none: nothing is reserved there.
  const isLinux = process.platform === "linux";
  if (isLinux && (await listen({ path: `\0restate-operator-port-${port}` })) === undefined) {
    return false;
  }
  own.add(port);
  return true;
}

async function bind(port: number): Promise<Server | undefined> {
  return listen({ port, host: "127.0.0.1" });
}

/** Does not keep the process alive. */
async function listen(on: ListenOptions): Promise<Server | undefined> {
  const server = createServer().unref();
  return new Promise((resolve) => {
    server.once("error", () => resolve(undefined));
    server.listen(on, () => resolve(server));
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
