/** The library: verify tokens in a resource server, and issue them inside a host's own transaction. */

import type { Tx } from "./db/database.ts";
import { type DrizzleHandle, fromDrizzle } from "./db/drizzle.ts";
import { MidctlError } from "./domain/errors.ts";
import {
  type ActivityQuery,
  type AgentEvent,
  type RecentActivity,
  readRecentActivity as readInTransaction,
  recordAgentEvents as recordInTransaction,
} from "./operations/agent-events.ts";
import { sealEvents as sealInTransaction } from "./operations/events-seal.ts";
import {
  type ControlledByHost,
  controlInTransaction,
  type HostControl,
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
export { openPostgres, type PoolOptions } from "./db/postgres.ts";
export { type ErrorCode, MidctlError } from "./domain/errors.ts";
export type { TrustRoot } from "./domain/trust.ts";
export type {
  ActivityQuery,
  AgentAuditEvent,
  AgentEvent,
  RecentActivity,
} from "./operations/agent-events.ts";
export { referenceOf } from "./operations/agent-events.ts";
export { loadTrust, type TrustSource, watchTrust } from "./operations/approval/trust-dir.ts";
export {
  type Authenticator,
  type AuthenticatorCounters,
  type AuthenticatorOptions,
  createAuthenticator,
} from "./operations/authenticate.ts";
export { authenticateHeader, type HeaderAnswer, type HeaderAuthenticator } from "./operations/bearer.ts";
export type { Accepted, Actor, Decision, RefusalCode, Refused } from "./operations/decide.ts";
export type { Demand } from "./operations/demand.ts";
export type {
  ControlledByHost,
  HostControl,
  HostIdentity,
  HostIssuance,
  HostRotation,
  IssuedToHost,
} from "./operations/host.ts";
export { type HeadFile, type HeadStore, headFile } from "./operations/verifier/head-file.ts";
export type { HeadStanding } from "./operations/verifier/heads.ts";
export type { CredentialInUse, IdentityInUse } from "./repository/token-facts.ts";

/**
 * A transaction that is open: drizzle's, or one of this library's `Database`. What has no transaction of its own (a
 * pool, drizzle's root handle, a listening session) is no such thing.
 */
export type HostTransaction = (Tx & { readonly close?: never }) | (DrizzleHandle & { rollback(): never });

/** Issues a credential in the host's transaction. */
export async function issueCredential(tx: HostTransaction, issuance: HostIssuance): Promise<IssuedToHost> {
  return issueInTransaction(carry(tx), issuance);
}

/** Rotates a credential in the host's transaction. */
export async function rotateCredential(tx: HostTransaction, rotation: HostRotation): Promise<IssuedToHost> {
  return rotateInTransaction(carry(tx), rotation);
}

/**
 * Writes what agents did, in one statement of the host's transaction: all or none. Each is attributed to its token and the
 * machine identity behind it. Returns their ids, `ev_…`.
 */
export async function recordAgentEvents(
  tx: Tx | DrizzleHandle,
  events: readonly AgentEvent[],
): Promise<string[]> {
  return recordInTransaction(carry(tx), events);
}

/**
 * Seals in the log what agents did and nobody has sealed yet, which `midctl serve` does by itself within a second, and
 * `midctl sweep` when it runs. Returns how many events were sealed.
 */
export async function sealEvents(tx: Tx | DrizzleHandle): Promise<number> {
  return sealInTransaction(carry(tx));
}

/** What agents did lately in a token's workspace, newest first. */
export async function readRecentActivity(
  tx: Tx | DrizzleHandle,
  query: ActivityQuery,
): Promise<RecentActivity> {
  return readInTransaction(carry(tx), query);
}

/** Pauses an identity or a credential in the host's transaction; `letGo` is awaited after its commit. */
export async function pause(tx: HostTransaction, control: HostControl): Promise<ControlledByHost> {
  return controlInTransaction(carry(tx), control, "paused");
}

/** Resumes an identity or a credential in the host's transaction. */
export async function resume(tx: HostTransaction, control: HostControl): Promise<ControlledByHost> {
  return controlInTransaction(carry(tx), control, "active");
}

/** Revokes an identity, a credential or a token in the host's transaction; `letGo` is awaited after its commit. */
export async function revoke(tx: HostTransaction, control: HostControl): Promise<ControlledByHost> {
  return controlInTransaction(carry(tx), control, "revoked");
}

function carry(tx: Tx | DrizzleHandle): Tx {
  const given: unknown = tx;
  if (typeof given === "object" && given !== null) {
    if ("execute" in given) return fromDrizzle(given as DrizzleHandle);
    if ("query" in given) return given as Tx;
  }
  throw new MidctlError("usage", "The first argument is no transaction; nothing was done.", {
    hint: "Give drizzle's, or one of this library: db.transaction(async (tx) => …).",
  });
}
