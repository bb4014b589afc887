/**
 * Kubernetes quantities of bytes as numbers. The client library has a function for it, which throws for fractions (`1.5Gi`),
 * as people write them when they enlarge a volume by hand.
 */
const FACTORS: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};
const QUANTITY = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([numkMGTPE]|[KMGTPE]i)?$/;

/** Bytes of a quantity, rounded up to whole ones as Kubernetes does. `undefined` for what is none. */
export function bytesOf(quantity: string | undefined): number | undefined {
  const [, number, suffix = ""] = QUANTITY.exec(quantity ?? "") ?? [];
  const factor = FACTORS[suffix];
  return number === undefined || factor === undefined
    ? undefined
    : Math.ceil(Number(number) * factor);
}
