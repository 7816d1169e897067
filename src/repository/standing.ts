import type { Tx } from "../db/database.ts";
import type { CredentialStatus, IdentityStatus } from "../domain/status.ts";
import { IS_LIVE } from "./credential.ts";
import { LISTED } from "./given.ts";

/** How an identity stands on its own, for whoever is about to change that. */
export interface IdentityStanding {
  readonly slug: string;
  readonly owner: string;
  /** As stored; what is idle past its life is paused, which is stored when it is next touched. */
  readonly status: IdentityStatus;
  readonly version: number;
}

/** Columns of an `IdentityStanding`, read from `machine_identity i`. */
export const STANDING_COLUMNS = `i.slug, i.owner, i.version,
  CASE WHEN i.status = 'active' AND midctl_is_idle(i, midctl_now()) THEN 'paused' ELSE i.status END AS status`;

/** Those of these slugs that there are, in no particular order. */
export async function readIdentityStandings(tx: Tx, slugs: readonly string[]): Promise<IdentityStanding[]> {
  return tx.query<IdentityStanding>(
    `SELECT ${STANDING_COLUMNS} FROM machine_identity i WHERE i.slug = ANY (${LISTED})`,
    [JSON.stringify(slugs)],
  );
}

export interface NamedIdentity {
  readonly publicId: string;
  readonly slug: string;
  readonly expiresAt: string | null;
  readonly idleTtl: number | null;
}

/** The identities of these public ids, and that of a slug: what each is called, when it ends (RFC 3339), and for how many seconds it may be idle. */
export async function readSlugs(
  tx: Tx,
  publicIds: readonly string[],
  slug: string | null = null,
): Promise<NamedIdentity[]> {
  return tx.query(
    `SELECT i."publicId", i.slug, midctl_instant(i."expiresAt") AS "expiresAt", i."idleTtl"::float8 AS "idleTtl" FROM machine_identity i
      WHERE i."publicId" = ANY (${LISTED}) OR i.slug = $2::text`,
    [JSON.stringify(publicIds), slug],
  );
}

/** How a credential stands, for whoever is about to change that. */
export interface CredentialStanding {
  readonly publicId: string;
  /** Slug. */
  readonly identity: string;
  readonly status: CredentialStatus;
  readonly version: number;
}

const STANDING = `SELECT c."publicId", i.slug AS identity, c.status, c.version
  FROM machine_identity_credential c JOIN machine_identity i ON i.id = c."machineIdentityId"`;

/** Those of these public ids that there are, in no particular order. */
export async function readCredentialStandings(
  tx: Tx,
  publicIds: readonly string[],
): Promise<CredentialStanding[]> {
  return tx.query<CredentialStanding>(`${STANDING} WHERE c."publicId" = ANY (${LISTED})`, [
    JSON.stringify(publicIds),
  ]);
}

/** Whether an identity's pause is stored, which reaches its descendants: one that is idle past its life is paused for itself alone. */
export async function isPauseStored(tx: Tx, slug: string): Promise<boolean> {
  const [row] = await tx.query<{ paused: boolean }>(
    "SELECT i.status = 'paused' AS paused FROM machine_identity i WHERE i.slug = $1",
    [slug],
  );
  return row?.paused === true;
}

/** Whether a superseded credential is still in its grace, and works. */
export async function isInGrace(tx: Tx, publicId: string): Promise<boolean> {
  const [row] = await tx.query<{ grace: boolean }>(
    `SELECT c."graceUntil" > midctl_now() AS grace FROM machine_identity_credential c WHERE c."publicId" = $1 AND c.status = 'superseded'`,
    [publicId],
  );
  return row?.grace === true;
}

/** The live credentials of these identities that were issued before a moment (RFC 3339), identity by identity. */
export async function readLiveIssuedBefore(
  tx: Tx,
  slugs: readonly string[],
  before: string,
): Promise<CredentialStanding[]> {
  return tx.query<CredentialStanding>(
    `${STANDING} WHERE i.slug = ANY (${LISTED})
        AND c."issuedAt" < $2::text::timestamptz AT TIME ZONE 'UTC' AND ${IS_LIVE}
      ORDER BY i.slug, c.id`,
    [JSON.stringify(slugs), before],
  );
}
