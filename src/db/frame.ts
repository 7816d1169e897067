/** The bytes of "midctl" as a number: a key of our own among a host's advisory locks. Whoever changes the schema holds it. */
export const LOCK = 120299423233132;

/** How long a lock on a table is waited for, by the manner of a migration. */
const LOCK_TIMEOUTS = { together: "60s", host: "50ms" } as const;

/** The transaction of a migration that is run by hand, as `migrate` runs its own: others wait for its first lock. */
export function frameOf(manner: keyof typeof LOCK_TIMEOUTS): {
  readonly open: readonly string[];
  readonly close: string;
} {
  return {
    open: [
      "BEGIN;",
      `DO $$ BEGIN PERFORM pg_advisory_xact_lock(${LOCK}); END $$;`,
      `SET LOCAL lock_timeout = '${LOCK_TIMEOUTS[manner]}';`,
    ],
    close: "COMMIT;",
  };
}
