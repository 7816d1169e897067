import type { Tx } from "../db/database.ts";
import { countDue } from "./sweep.ts";

/** Something that an identity or credential in force should not be. */
export interface Unclean {
  /** How many there are. */
  readonly count: number;
  /** The first ten. */
  readonly first: readonly UncleanOne[];
}

export interface UncleanOne {
  /** Slug; of a legacy token alone its reference, `at_…`. */
  readonly identity: string;
  /** `mc_…`, where it is about a credential. */
  readonly credential: string | null;
  /** The credential's name under its identity. */
  readonly name: string | null;
}

export interface Hygiene {
  /** Identities that an adoption found nobody to answer for. */
  readonly ownerless: Unclean;
  /** Current credentials that were issued a year ago or longer. */
  readonly overAge: Unclean;
  /** Current credentials without an end. */
  readonly endless: Unclean;
  /** Active identities that were made thirty days ago or longer, and never used. */
  readonly neverUsed: Unclean;
  /** Tokens in force whose last use is ninety days ago or longer; legacy ones also where they were never used. */
  readonly longUnused: Unclean;
  /** Credentials in force that may do everything. */
  readonly overScoped: Unclean;
  /** Pending credentials past their deadline, and identities idle past their idle life, that nobody has stored as such. */
  readonly unswept: number;
}

/** What an adoption writes as owner where it found none. */
const NOBODY = "unknown";
const FEW = 10;
const CURRENT = `c.status IN ('active', 'paused') AND coalesce(c."expiresAt" > midctl_now(), true)`;
const OF_CREDENTIAL = `i.slug AS identity, 'mc_' || c."publicId" AS credential, c.name`;
const CREDENTIALS = `machine_identity_credential c JOIN machine_identity i ON i.id = c."machineIdentityId"`;
const OF_IDENTITY = `i.slug AS identity, NULL AS credential, NULL AS name`;
const DAYS_AGO = (days: number): string =>
  `(statement_timestamp() AT TIME ZONE 'UTC') - interval '${days} days'`;

/** Looks along indexes, but for what was never or not lately used: an index on the last use would be written by every use. */
export async function readHygiene(tx: Tx): Promise<Hygiene> {
  const some = (columns: string, from: string, where: string, order: string): Promise<Unclean> =>
    readSome(
      tx,
      `SELECT ${columns}, count(*) OVER ()::float8 AS count FROM ${from} WHERE ${where} ORDER BY ${order} LIMIT ${FEW}`,
    );
  const [ownerless, overAge, endless, neverUsed, longUnused, overScoped, unswept] = await Promise.all([
    some(OF_IDENTITY, "machine_identity i", `i.owner = '${NOBODY}' AND i.status <> 'revoked'`, "i.slug"),
    some(OF_CREDENTIAL, CREDENTIALS, `${CURRENT} AND c."issuedAt" <= ${DAYS_AGO(365)}`, `c."issuedAt", c.id`),
    some(OF_CREDENTIAL, CREDENTIALS, `c.status IN ('active', 'paused') AND c."expiresAt" IS NULL`, "c.id"),
    some(
      OF_IDENTITY,
      "machine_identity i",
      `i.status = 'active' AND i."lastUsedAt" IS NULL AND i."createdAt" <= ${DAYS_AGO(30)} AND coalesce(i."expiresAt" > midctl_now(), true)`,
      "i.id",
    ),
    some(
      `coalesce(i.slug, 'at_' || t."publicId") AS identity, 'mc_' || c."publicId" AS credential, c.name`,
      `agent_token t LEFT JOIN machine_identity i ON i.id = t."machineIdentityId" LEFT JOIN machine_identity_credential c ON c."publicId" = t."publicId"`,
      `t."revokedAt" IS NULL AND coalesce(t."expiresAt" > ${DAYS_AGO(0)}, true)
        AND (t."lastUsedAt" <= ${DAYS_AGO(90)} OR t."lastUsedAt" IS NULL AND t."machineIdentityId" IS NULL AND t."createdAt" <= ${DAYS_AGO(90)})`,
      "t.id",
    ),
    some(
      OF_CREDENTIAL,
      CREDENTIALS,
      `c.scopes LIKE '%"*"%' AND c.scopes::jsonb ? '*' AND midctl_lives(c.status, c."activationDeadline", c."expiresAt", c."graceUntil", midctl_now())`,
      "c.id",
    ),
    countUnswept(tx),
  ]);
  return { ownerless, overAge, endless, neverUsed, longUnused, overScoped, unswept };
}

async function readSome(tx: Tx, query: string): Promise<Unclean> {
  const rows = await tx.query<UncleanOne & { readonly count: number }>(query);
  return { count: rows[0]?.count ?? 0, first: rows.map(({ count: _, ...one }) => one) };
}

async function countUnswept(tx: Tx): Promise<number> {
  const { abandoned, paused } = await countDue(tx, null);
  return abandoned + paused;
}
