import { randomBytes } from "node:crypto";
import type * as z from "zod/mini";
import type { Database, Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { createToken } from "../domain/token.ts";
import { type Claim, claimTransaction, readTransaction } from "../repository/claim.ts";
import { type Controlled, type ControlStatus, controlWithin, readTarget } from "./control.ts";
import { issueWithin } from "./credential-issue.ts";
import { DEFAULT_GRACE, rotateWithin } from "./credential-rotate.ts";
import { controlInput, issuanceInput, readHostInput, rotationInput } from "./host-input.ts";
import { DEFAULT_ACTIVATION, DEFAULT_LIFE, type Issued, previewIssuance } from "./issuance.ts";
import { awaitLetGo, type LetGo } from "./let-go.ts";

/**
 * What a host's new identity is to be. One that is there already must not differ in what is given. Lengths are in
 * characters; none may hold control characters.
 */
export interface HostIdentity {
  /** `^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$` */
  readonly slug: string;
  /** The accountable person or team: 1 to 255. */
  readonly owner: string;
  /** Default `thread` where there is a `threadId`, else `service`. */
  readonly kind?: "service" | "thread" | null;
  /** Whose thread it is, such as `codex`; with `threadId` alone. */
  readonly provider?: string | null;
  /** The provider's own name for the thread: 1 to 255. */
  readonly threadId?: string | null;
  /** 1 to 255; default the slug. */
  readonly displayName?: string | null;
  /** At most 64, values up to 255. */
  readonly labels?: Readonly<Record<string, string>> | null;
  /** The slug of the identity that spawned it. */
  readonly parent?: string | null;
  /** The slug of its workspace; has to be given in a database that has them. */
  readonly workspace?: string | null;
  /** Seconds from creation, at most ten years; default without end. */
  readonly expiresIn?: number | null;
  /** Counts as paused after so many seconds without use; default never. */
  readonly idleTtl?: number | null;
}

/** What a host asks for inside its own transaction. Durations are whole seconds, 1 to ten years. */
export interface HostIssuance {
  /** A slug, or what to create in the same transaction where there is none. */
  readonly identity: string | HostIdentity;
  /** Who does it, for the log: the host's user or service. 1 to 255 characters. */
  readonly actor: string;
  /** 1 to 1,000 characters. */
  readonly reason?: string;
  /** Default `default`. */
  readonly name?: string;
  /** At most 64, each 1 to 128 printable ASCII characters; default none, for a rotation the predecessor's. */
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
  /** Who does it, for the log: the host's user or service. 1 to 255 characters. */
  readonly actor: string;
  /** 1 to 1,000 characters. */
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
 * Issues a credential inside a host's own transaction. Throws `MidctlError`, `usage` for what does not fit and for a handle
 * that is no transaction, before anything is written; after one the host rolls back, as after any failed statement.
 * Above READ COMMITTED a concurrent change is a serialization failure that the host retries.
 */
export async function issueInTransaction(tx: Tx, issuance: HostIssuance): Promise<IssuedToHost> {
  const input = readHostInput(issuanceInput, issuance, NOT_ISSUED);
  const { request, common } = prepare(input);
  const slug = typeof input.identity === "string" ? input.identity : input.identity.slug;
  const seen = await previewIssuance(tx, slug, common.name);
  const token = createToken(seen.environment.kind, randomBytes);
  await claimHost(tx, request, NOT_ISSUED);
  const issued = await issueWithin(tx, request, { ...common, identity: input.identity, secret: token }, seen);
  return { ...issued, token: token.text };
}

/** Rotates a credential inside a host's own transaction; as `issueInTransaction` otherwise. */
export async function rotateInTransaction(tx: Tx, rotation: HostRotation): Promise<IssuedToHost> {
  const input = readHostInput(rotationInput, rotation, NOT_ISSUED);
  const { request, common } = prepare(input);
  const seen = await previewIssuance(tx, input.identity, common.name);
  const token = createToken(seen.environment.kind, randomBytes);
  await claimHost(tx, request, NOT_ISSUED);
  const issued = await rotateWithin(
    tx,
    request,
    {
      ...common,
      identity: input.identity,
      secret: token,
      grace: input.grace ?? DEFAULT_GRACE,
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
  const undone = NOT_CONTROLLED[status];
  const input = readHostInput(controlInput, control, undone);
  const target = await readTarget(tx, input.ref);
  await claimHost(tx, claimOf(input), undone);
  const controlled = await controlWithin(tx, target, status);
  return { ...controlled, letGo: awaitLetGo };
}

const NOT_ISSUED = "No credential was issued";
const NOT_CONTROLLED: Readonly<Record<ControlStatus, string>> = {
  paused: "Nothing was paused",
  active: "Nothing was resumed",
  revoked: "Nothing was revoked",
};

/**
 * Says who acts, and makes sure that what follows is one transaction: on a pool each statement is its own, and a failure
 * would leave half of the work behind. A transaction's id is seen by nobody else's statement.
 */
async function claimHost(tx: Tx, claim: Claim, undone: string): Promise<void> {
  const [claimed, running] = await Promise.all([claimTransaction(tx, claim), readTransaction(tx)]);
  if (claimed === running) return;
  throw new MidctlError("usage", `${undone}: the handle given is no transaction.`, {
    hint: "Open one and hand that in: db.transaction(async (tx) => …).",
  });
}

function claimOf({ actor, reason }: { actor: string; reason?: string | null | undefined }): Claim {
  return { actor: { kind: "host", name: actor }, reason: reason ?? null };
}

function prepare(input: Omit<z.output<typeof issuanceInput>, "identity">) {
  const common = {
    name: input.name ?? "default",
    scopes: input.scopes ?? null,
    expiresIn: input.expiresIn ?? DEFAULT_LIFE,
    activateWithin: input.activateWithin ?? DEFAULT_ACTIVATION,
    replacePending: false,
  };
  return { request: claimOf(input), common };
}
