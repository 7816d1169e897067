import type { Tx } from "../db/database.ts";
import { type Decision, decide } from "./decide.ts";

/** Is this token good, whose is it, and why not. Looks only: a pending token stays pending. Throws `unavailable`. */
export async function verifyToken(db: Tx, token: string, scope: string | null): Promise<Decision> {
  return (await decide(db, token, scope)).decision;
}
