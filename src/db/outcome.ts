import { MidctlError } from "../domain/errors.ts";

/** A statement failed, `work` went on regardless, and PostgreSQL answered COMMIT with ROLLBACK. */
export function swallowedFailure(): MidctlError {
  return new MidctlError("internal", "A statement failed inside the transaction, so nothing was changed.");
}

/** Used after its end, a transaction's handle would run its statement outside of any. */
export function transactionOver(): MidctlError {
  return new MidctlError("internal", "A statement came after its transaction had ended; it was not run.");
}

/**
 * Behind a pooler LISTEN ends up in a session that others get: what is told may be heard by nobody, or by somebody else.
 * Its `details` are `{ pooled: true }`.
 */
export function nothingHeard(): MidctlError {
  return new MidctlError(
    "unavailable",
    "A connection pooler stands before the database, and through it nothing can be listened to.",
    { hint: "Give whoever listens the database's own address.", details: { pooled: true } },
  );
}
