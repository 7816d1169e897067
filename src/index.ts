/** The library: verify tokens in a resource server, and issue them inside a host's own transaction. */

import type { Tx } from "./db/database.ts";
import { type DrizzleHandle, fromDrizzle } from "./db/drizzle.ts";
import {
  type HostIssuance,
  type HostRotation,
  type IssuedToHost,
  issueInTransaction,
  rotateInTransaction,
} from "./operations/host.ts";

export type { Database, Tx } from "./db/database.ts";
export { fromDrizzle } from "./db/drizzle.ts";
export { migrate } from "./db/migrate.ts";
export { fromPglite } from "./db/pglite.ts";
export { openPostgres } from "./db/postgres.ts";
export { type ErrorCode, MidctlError } from "./domain/errors.ts";
export { type Authenticator, createAuthenticator } from "./operations/authenticate.ts";
export { authenticateHeader, type HeaderAnswer, type HeaderAuthenticator } from "./operations/bearer.ts";
export type { Accepted, Actor, Decision, RefusalCode, Refused } from "./operations/decide.ts";
export type { HostIssuance, HostRotation, IssuedToHost } from "./operations/host.ts";
export type { IdentitySpec } from "./operations/identity-create.ts";

/** Issues a credential in the host's transaction: a drizzle handle, or a `Tx` of this library. */
export function issueCredential(tx: Tx | DrizzleHandle, issuance: HostIssuance): Promise<IssuedToHost> {
  return issueInTransaction(carry(tx), issuance);
}

/** Rotates a credential in the host's transaction: a drizzle handle, or a `Tx` of this library. */
export function rotateCredential(tx: Tx | DrizzleHandle, rotation: HostRotation): Promise<IssuedToHost> {
  return rotateInTransaction(carry(tx), rotation);
}

function carry(tx: Tx | DrizzleHandle): Tx {
  return "execute" in tx ? fromDrizzle(tx) : (tx as Tx);
}
