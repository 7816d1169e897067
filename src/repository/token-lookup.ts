/** The statements by which tokens are looked up, spelled once. */

/**
 * A credential and its identity. Columns are what a lookup costs most, so everything that can hold no `|`, by its type or
 * its table's checks, goes packed into one; null is an empty field. What people write has a column of its own.
 */
const PACKED = [
  'm."publicId"',
  "m.name",
  "m.status",
  'm."issuedAt"',
  'm."expiresAt"',
  'm."graceUntil"',
  `CASE WHEN m.status = 'pending' THEN m."activationDeadline" END`,
  "m.replaces",
  'm."identityId"',
  "m.slug",
  "m.kind",
  "m.provider",
  "m.standing",
  'm."identityEnds"',
  'm."idleTtl"',
  'CASE WHEN m."idleTtl" IS NOT NULL THEN m."createdAt" END',
  'CASE WHEN m."idleTtl" IS NOT NULL THEN m."lastUsedAt" END',
  'CASE WHEN m."idleTtl" IS NOT NULL THEN m."resumedAt" END',
  "m.used",
  "m.revoked",
];

/** The moment is read once for a statement, after its snapshot was taken, and told once. */
const COLUMNS = `m.place, m.good, CASE WHEN m.place = 1 THEN n.at END AS at, CASE WHEN m.place = 1 THEN n.barred END AS barred,
  CASE WHEN m.place = 1 THEN m.hidden END AS hidden, CASE WHEN m."publicId" IS NOT NULL THEN concat(${PACKED.join(", '|', ")}) END AS packed,
  m.scopes, m."threadId", m."displayName", m.owner, m.labels::text AS labels, m.workspace, m.line`;
const BARRED = `CASE WHEN pg_is_in_recovery() THEN 'standby' WHEN h.closed THEN 'moved' END AS barred`;

/**
 * Hashes are compared in the database, and none comes out of it (migrations/0008): whoever verifies need not be able to read
 * them. What an unknown id is compared with comes along, and is thrown away.
 */
const BY_PUBLIC_ID = " FROM midctl_match($1::text[], $2::text[])";

const BY_HASH = `, m.legacy, m."tPublicId", m."tName", m."tScopes", m."tExpiresAt", m."tWorkspace",
    m.used AS "tUsedAt", m.revoked AS "tRevoked"
  FROM midctl_match_legacy($1::text[])`;

/** Both statements, without the log's head and with it. */
export const LOOKUPS = {
  bare: spellBoth("midctl_now()"),
  // In one column, and in the snapshot of the statement: the head is that of the rows that are decided on.
  headed: spellBoth("concat_ws('|', midctl_now(), h.size, h.edge)"),
};

function spellBoth(at: string) {
  const spell = (match: string) =>
    `SELECT ${COLUMNS}${match} m CROSS JOIN (SELECT ${at} AS at, ${BARRED} FROM midctl_log_head h) n`;
  return { byPublicId: spell(BY_PUBLIC_ID), byHash: spell(BY_HASH) };
}
