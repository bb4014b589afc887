/**
 * How many requests are under way at once. A thousand resources that are looked at together must not become thousands of
 * requests: an API server that is flooded answers each of them late, and what it finishes after our deadline is work for
 * nothing. (It gives out ClusterIPs one after the other, so a flood of other requests delays Services most.)
 */

/** Runs calls, at most `max` at once; the others wait in the order in which they came. */
export function limiter(max: number): <T>(call: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (call) => {
    if (running >= max) {
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
      });
    } else {
      running += 1;
    }
    try {
      return await call();
    } finally {
      // The place is handed on, not given back.
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
