import { MidctlError } from "../domain/errors.ts";

/** A statement failed, `work` went on regardless, and PostgreSQL answered COMMIT with ROLLBACK. */
export function swallowedFailure(): MidctlError {
  return new MidctlError("internal", "A statement failed inside the transaction, so nothing was changed.");
}

/** Used after its end, a transaction's handle would run its statement outside of any. */
export function transactionOver(): MidctlError {
  return new MidctlError("internal", "A statement came after its transaction had ended; it was not run.");
}
