import { MidctlError } from "../../src/domain/errors.ts";

/** The MidctlError that `act` throws; a test that expects one fails where there is none. */
export function refusal(act: () => unknown): MidctlError {
  try {
    act();
  } catch (error) {
    if (error instanceof MidctlError) return error;
    throw error;
  }
  throw new Error("expected a refusal");
}

/** All that a user or script gets to see of an error. */
export function told(error: MidctlError): string {
  return JSON.stringify([error.message, error.hint, error.details]);
}
