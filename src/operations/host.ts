import { randomBytes } from "node:crypto";
import type { Database, Tx } from "../db/database.ts";
import { createToken } from "../domain/token.ts";
import { claimTransaction } from "../repository/claim.ts";
import type { Request } from "./change.ts";
import { type Controlled, type ControlStatus, controlWithin, readTarget } from "./control.ts";
import { issueWithin } from "./credential-issue.ts";
import { DEFAULT_GRACE, rotateWithin } from "./credential-rotate.ts";
import type { IdentitySpec } from "./identity-create.ts";
import { DEFAULT_ACTIVATION, DEFAULT_LIFE, type Issued, previewIssuance } from "./issuance.ts";
import { awaitLetGo, type LetGo } from "./let-go.ts";

/** What a host asks for inside its own transaction. Durations are in seconds. */
export interface HostIssuance {
  /** A slug, or what to create in the same transaction where there is none. */
  readonly identity: string | IdentitySpec;
  /** Who does it, for the log: the host's user or service. */
  readonly actor: string;
  readonly reason?: string;
  /** Default `default`. */
  readonly name?: string;
  readonly scopes?: readonly string[];
  /** Default 90 days. */
  readonly expiresIn?: number | "never";
  /** Default 24 hours. */
  readonly activateWithin?: number;
}

export interface HostRotation extends HostIssuance {
  readonly identity: string;
  /** Default an hour, at most a day. */
  readonly grace?: number;
}

/** What a host pauses, resumes or revokes inside its own transaction. */
export interface HostControl {
  /** A slug, `mc_…` or `at_…`. */
  readonly ref: string;
  /** Who does it, for the log: the host's user or service. */
  readonly actor: string;
  readonly reason?: string;
}

export interface ControlledByHost extends Omit<Controlled, "letGo"> {
  /**
   * To be awaited after the host's commit: resolves when every verifier has let go (SPEC §8).
   * @param db a pool; the transaction is over by then
   */
  letGo(db: Database): Promise<LetGo>;
}

export interface IssuedToHost extends Issued {
  /** Shown here and never again. Inert until the host commits, unknown if it rolls back. */
  readonly token: string;
}

/**
 * Issues a credential inside a host's own transaction. Throws `MidctlError`; after one the host rolls back, as after
 * any failed statement. Above READ COMMITTED a concurrent change is a serialization failure that the host retries.
 */
export async function issueInTransaction(tx: Tx, issuance: HostIssuance): Promise<IssuedToHost> {
  const { request, name, common } = prepare(issuance);
  const slug = typeof issuance.identity === "string" ? issuance.identity : issuance.identity.slug;
  const seen = await previewIssuance(tx, slug, name);
  const token = createToken(seen.environment.kind, randomBytes);
  await claimTransaction(tx, request);
  const issued = await issueWithin(
    tx,
    request,
    { ...common, identity: issuance.identity, secret: token },
    seen,
  );
  return { ...issued, token: token.text };
}

/** Rotates a credential inside a host's own transaction; as `issueInTransaction` otherwise. */
export async function rotateInTransaction(tx: Tx, rotation: HostRotation): Promise<IssuedToHost> {
  const { request, name, common } = prepare(rotation);
  const seen = await previewIssuance(tx, rotation.identity, name);
  const token = createToken(seen.environment.kind, randomBytes);
  await claimTransaction(tx, request);
  const issued = await rotateWithin(
    tx,
    request,
    {
      ...common,
      identity: rotation.identity,
      secret: token,
      grace: rotation.grace ?? DEFAULT_GRACE,
      expectCurrent: null,
      compromised: false,
    },
    seen,
  );
  return { ...issued, token: token.text };
}

/** Pauses, resumes or revokes inside a host's own transaction; as `issueInTransaction` otherwise. */
export async function controlInTransaction(
  tx: Tx,
  control: HostControl,
  status: ControlStatus,
): Promise<ControlledByHost> {
  const target = await readTarget(tx, control.ref);
  await claimTransaction(tx, {
    actor: { kind: "host", name: control.actor },
    reason: control.reason ?? null,
  });
  const controlled = await controlWithin(tx, target, status);
  return { ...controlled, letGo: awaitLetGo };
}

function prepare(issuance: HostIssuance) {
  const name = issuance.name ?? "default";
  const request: Request = { actor: { kind: "host", name: issuance.actor }, reason: issuance.reason ?? null };
  const common = {
    name,
    scopes: issuance.scopes ?? null,
    expiresIn: issuance.expiresIn ?? DEFAULT_LIFE,
    activateWithin: issuance.activateWithin ?? DEFAULT_ACTIVATION,
    replacePending: false,
  };
  return { request, name, common };
}
