import { MidctlError } from "../domain/errors.ts";

/** A URL, or what it refers to, that no connection can be made with. Never quotes it: it may hold a password. */
export function refuseUrl(
  why: string,
  hint = "Percent-encode special characters in user and password.",
): MidctlError {
  return new MidctlError("usage", `The database URL cannot be used: ${why}.`, { hint });
}
