import type { Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { parseReference, type Reference } from "../domain/reference.ts";
import type { EffectiveStatus } from "../domain/status.ts";
import { type Credential, findCredential, readCredentials } from "../repository/credential.ts";
import { findIdentity, type Identity } from "../repository/identity.ts";
import type { AuditEvent } from "../repository/log.ts";
import { findLegacyToken } from "../repository/token.ts";
import {
  readApprovalSteps,
  readLifeEntries,
  readStandingEntries,
  readSuccessors,
  readTokenUses,
  type TokenUses,
} from "../repository/trace.ts";
import { wantedFor } from "./decide.ts";
import { findHolder, notFound } from "./lookup.ts";

/** One credential or legacy token, from what was asked for it to its last use. */
export interface Life {
  /** `mc_…` or `at_…` */
  readonly id: string;
  readonly name: string;
  readonly effectiveStatus: EffectiveStatus;
  readonly expiresAt: string | null;
  readonly graceUntil: string | null;
  readonly replaces: string | null;
  readonly replacedBy: string | null;
  readonly uses: Omit<TokenUses, "of">;
  /** Oldest first: requests and votes, what was done to it, and what was done to its identity meanwhile. */
  readonly steps: readonly AuditEvent[];
  /** There are further steps, which are not shown. */
  readonly cut: boolean;
}

export interface Trace {
  /** Null for a legacy token. */
  readonly identity: Identity | null;
  /** By name, and under each name from predecessor to successor. */
  readonly lives: readonly Life[];
  /** The identity has older credentials, which are not shown. */
  readonly cut: boolean;
}

/** Credentials of one identity at most, and steps of each. */
const LIVES_SHOWN = 50;
const STEPS_SHOWN = 200;

/**
 * The life of a credential (`mc_…`), of a token (`at_…`), or of whatever credentials an identity has.
 * @throws MidctlError `not_found`; `usage` for a reference to anything else
 */
export async function traceReference(db: Tx, text: string): Promise<Trace> {
  return trace(db, parseReference(text));
}

/** The life of whatever a token belongs to. Looking is not a use. Throws `not_found`; `denied` for what is no whole token. */
export async function traceToken(db: Tx, token: string): Promise<Trace> {
  const holder = await findHolder(db, token);
  if (holder === null) {
    if (wantedFor(token) === null) {
      throw new MidctlError("denied", "The token is not good: malformed. Nothing was read.", {
        hint: "Give the whole token, as it was printed.",
        details: { code: "malformed" },
      });
    }
    throw new MidctlError("not_found", "This token is not known to this database; nothing is known of it.", {
      hint: "Give the whole token, and check that midctl status names the right database.",
    });
  }
  return trace(db, holder);
}

async function trace(db: Tx, reference: Reference): Promise<Trace> {
  switch (reference.kind) {
    case "approval":
      throw new MidctlError("usage", `ap_${reference.publicId} is an approval, and has no life to trace.`, {
        hint: `midctl approval show ap_${reference.publicId}`,
      });
    case "identity": {
      const [identity, found] = await Promise.all([
        findIdentity(db, reference.slug),
        readCredentials(db, reference.slug, LIVES_SHOWN + 1),
      ]);
      if (identity === null) throw await notFound(db, reference, "nothing was read");
      const credentials = found.slice(0, LIVES_SHOWN).sort(byLineage);
      return { identity, lives: await liveAs(db, identity, credentials), cut: found.length > LIVES_SHOWN };
    }
    default: {
      const credential = await findCredential(db, reference.publicId);
      if (credential !== null) {
        const identity = await findIdentity(db, credential.identity);
        return { identity, lives: await liveAs(db, identity, [credential]), cut: false };
      }
      const legacy = await findLegacyToken(db, reference.publicId);
      if (legacy === null) throw await notFound(db, reference, "nothing was read");
      const token = { ...legacy, id: `at_${legacy.publicId}`, graceUntil: null, replaces: null };
      return { identity: null, lives: await liveAs(db, null, [token]), cut: false };
    }
  }
}

/** Successors were issued after those that they replace. */
function byLineage(a: Credential, b: Credential): number {
  return compare(a.name, b.name) || compare(a.issuedAt, b.issuedAt) || a.version - b.version;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

type Subject = Pick<Life, "id" | "name" | "effectiveStatus" | "expiresAt" | "graceUntil" | "replaces">;

async function liveAs(db: Tx, identity: Identity | null, subjects: readonly Subject[]): Promise<Life[]> {
  const ids = subjects.map(({ id }) => id.slice(3));
  const entries = await readLifeEntries(db, ids, STEPS_SHOWN + 1);
  const approvals = new Set(entries.flatMap(({ approval }) => approval ?? []));
  const first = entries[0]?.at ?? null;
  const [uses, successors, votes, standing] = await Promise.all([
    readTokenUses(db, ids),
    readSuccessors(db, ids),
    readApprovalSteps(db, [...approvals]),
    identity === null || first === null
      ? []
      : readStandingEntries(db, identity.publicId, first, STEPS_SHOWN + 1),
  ]);
  return subjects.map(({ id, name, effectiveStatus, expiresAt, graceUntil, replaces }) => {
    const own = entries.filter(({ of }) => of === id.slice(3)).map(({ of: _, ...event }) => event);
    const leave = new Set(own.flatMap(({ approval }) => approval ?? []));
    const steps = [
      ...votes.filter(({ approval }) => leave.has(approval ?? "")),
      ...own,
      ...standing.filter((event) => isMeanwhile(event, own)),
    ].sort(byTime);
    return {
      id,
      name,
      effectiveStatus,
      expiresAt,
      graceUntil,
      replaces,
      replacedBy: successors.find(({ of }) => of === id.slice(3))?.successor ?? null,
      uses: usesOf(id, uses),
      steps: steps.slice(0, STEPS_SHOWN),
      cut: steps.length > STEPS_SHOWN,
    };
  });
}

/** What put an end to a credential, for good. */
const ENDS = ["credential.revoke", "credential.abandon"];

/** Whether that happened while the credential of these entries lived. What revokes an identity revokes its credentials first. */
function isMeanwhile(event: AuditEvent, own: readonly AuditEvent[]): boolean {
  const born = own[0];
  const ended = own.find(({ action }) => ENDS.includes(action));
  if (born === undefined || event.at < born.at) return false;
  return ended === undefined || event.at <= ended.at || event.action === "identity.revoke";
}

/** At the same time: what the log numbers, as it numbers them; what it was asked for, before that. */
function byTime(a: AuditEvent, b: AuditEvent): number {
  return compare(a.at, b.at) || (a.index ?? -1) - (b.index ?? -1);
}

function usesOf(id: string, all: readonly TokenUses[]): Life["uses"] {
  const found = all.find(({ of }) => of === id.slice(3));
  // A host may have deleted the token, with its workspace.
  if (found === undefined) {
    return {
      lastUsedAt: null,
      events: 0,
      firstEventAt: null,
      lastEventAt: null,
      refused: 0,
      lastRefusal: null,
    };
  }
  const { of: _, ...uses } = found;
  return uses;
}
