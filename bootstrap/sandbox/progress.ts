/** Plain lines with the time since the start in front: readable in a terminal, in a pipe and in a log. */

export type Say = (line: string) => void;

/** Lines to standard output, `  12.3 s  …`. */
export function progressLines(): Say {
  const startedAtMs = performance.now();
  return (line) => {
    const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1);
    process.stdout.write(`${seconds.padStart(7)} s  ${line}\n`);
  };
}
