/** Makes a `switch` over a union total: forgetting an arm is a type error here. */
export function assertNever(value: never): never {
  throw new Error(`unexpected ${JSON.stringify(value)}`);
}
