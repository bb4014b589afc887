/** How the operator's virtual objects are run, whatever they do: bounded in each attempt, retried for ever, and leaving no trace. */

/** Nothing is kept of invocations that only pass a message on. */
export const NOTHING_KEPT = { journalRetention: 0, idempotencyRetention: 0 } as const;

/** Options of every virtual object. */
export const OBJECT_OPTIONS = {
  inactivityTimeout: { seconds: 20 },
  abortTimeout: { seconds: 30 },
  // An endpoint that is away uses up attempts too; a paused invocation would block its key until a person comes.
  retryPolicy: { initialInterval: 100, maxInterval: { seconds: 5 }, maxAttempts: 2_147_483_647 },
} as const;
