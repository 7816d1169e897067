/** The one place that turns an error into an exit code (SPEC §6), and the one that ends the process. */
import { type ErrorCode, MidctlError } from "../domain/errors.ts";

const exitCodes: Readonly<Record<ErrorCode, number>> = {
  internal: 1,
  usage: 2,
  not_found: 3,
  denied: 4,
  conflict: 5,
  illegal_transition: 5,
  approval_required: 6,
  unavailable: 7,
  schema_version: 7,
  partial: 8,
  undeliverable: 74,
  interrupted: 130,
};

const bySignal: Readonly<Record<string, number>> = { SIGTERM: 143, SIGHUP: 129 };

/** The exit code of whatever was thrown; anything that is no MidctlError is internal. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof MidctlError)) return exitCodes.internal;
  const signalled = error.code === "interrupted" ? bySignal[String(error.details.signal)] : undefined;
  return signalled ?? exitCodes[error.code];
}

/**
 * Ends the process at once. Safe because `terminal.ts` writes by descriptor and returns only when every byte is out;
 * open connections are left to the kernel, which saves the 5 to 7 ms of closing them politely.
 */
export function endProcess(code: number): never {
  process.exit(code);
}
