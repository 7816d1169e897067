import type { Tx } from "../db/database.ts";

/**
 * What the clock has decided and nobody has stored yet. Each function stores so many at once, and passes over what somebody
 * else holds at that moment: it is being settled there, or by the next sweep. The conditions on the clock are written so that
 * an index can be asked with them: the statement's own clock, which none of its decisions is ahead of.
 */

/** A row that was swept. */
export interface Swept {
  readonly slug: string;
  /** `mc_…`, of a credential. */
  readonly credential: string | null;
}

const STATEMENT_CLOCK = `(statement_timestamp() AT TIME ZONE 'UTC')`;
const OVERDUE = `c.status = 'pending' AND c."activationDeadline" <= ${STATEMENT_CLOCK}`;
/** When an identity would be idle that was never used: a use only makes it later, and is not worth an index of its own. */
const IDLE_AT = `(GREATEST(i."createdAt", i."resumedAt") + make_interval(secs => i."idleTtl"))`;
/** A use is noted behind its answer: one that came in time is waited for. */
const NOTED = `interval '10 seconds'`;
const IDLE = `i.status = 'active' AND i."idleTtl" IS NOT NULL AND ${IDLE_AT} <= ${STATEMENT_CLOCK} - ${NOTED}
  AND midctl_is_idle(i, midctl_now() - ${NOTED})`;
/** By the log: somebody may have paused it for another reason, and its idle life may have been shortened since. */
const FORSAKEN = `i.status = 'paused' AND i."idleTtl" IS NOT NULL AND i."pausedAt" <= ${STATEMENT_CLOCK} - make_interval(secs => $1::float8)
  AND midctl_is_idle(i, i."pausedAt")
  AND (SELECT l.entry::jsonb #>> '{details,idle}' FROM midctl_log l
        WHERE l."identity" = i."publicId" AND l."action" = 'identity.pause' ORDER BY l."index" DESC LIMIT 1) = 'true'`;

/** Abandons pending credentials whose deadline has passed. With identity and token, which the change touches too. */
export async function abandonOverdue(tx: Tx, limit: number): Promise<Swept[]> {
  return tx.query<Swept>(
    `WITH due AS MATERIALIZED (
       SELECT c.id, i.slug FROM machine_identity_credential c
         JOIN machine_identity i ON i.id = c."machineIdentityId"
         JOIN agent_token t ON t."publicId" = c."publicId"
        WHERE ${OVERDUE} ORDER BY c."activationDeadline", c.id LIMIT $1::int
          FOR NO KEY UPDATE OF i, c, t SKIP LOCKED)
     UPDATE machine_identity_credential c SET status = 'abandoned' FROM due WHERE c.id = due.id
     RETURNING due.slug, 'mc_' || c."publicId" AS credential`,
    [limit],
  );
}

/** Pauses identities that are idle past their idle life. */
export async function pauseIdle(tx: Tx, limit: number): Promise<Swept[]> {
  return tx.query<Swept>(
    `WITH due AS MATERIALIZED (
       SELECT i.id FROM machine_identity i WHERE ${IDLE} ORDER BY ${IDLE_AT}, i.id LIMIT $1::int
          FOR NO KEY UPDATE SKIP LOCKED)
     UPDATE machine_identity i SET status = 'paused' FROM due WHERE i.id = due.id
     RETURNING i.slug, NULL AS credential`,
    [limit],
  );
}

/** Revokes identities that have been paused for idleness for so many seconds. */
export async function revokeForsaken(tx: Tx, seconds: number, limit: number): Promise<Swept[]> {
  return tx.query<Swept>(
    `WITH due AS MATERIALIZED (
       SELECT i.id FROM machine_identity i WHERE ${FORSAKEN} ORDER BY i."pausedAt", i.id LIMIT $2::int
          FOR NO KEY UPDATE SKIP LOCKED)
     UPDATE machine_identity i SET status = 'revoked' FROM due WHERE i.id = due.id
     RETURNING i.slug, NULL AS credential`,
    [seconds, limit],
  );
}

export interface Due {
  readonly abandoned: number;
  readonly paused: number;
  readonly revoked: number;
}

/** How many there are of each. @param revokeAfter seconds; null where nothing is to be revoked */
export async function countDue(tx: Tx, revokeAfter: number | null): Promise<Due> {
  const [[row], revoked] = await Promise.all([
    tx.query<Omit<Due, "revoked">>(
      `SELECT (SELECT count(*)::int FROM machine_identity_credential c WHERE ${OVERDUE}) AS abandoned,
              (SELECT count(*)::int FROM machine_identity i WHERE ${IDLE}) AS paused`,
    ),
    revokeAfter === null ? 0 : countForsaken(tx, revokeAfter),
  ]);
  return { abandoned: row?.abandoned ?? 0, paused: row?.paused ?? 0, revoked };
}

/** How many identities have been paused for idleness for so many seconds. */
export async function countForsaken(tx: Tx, seconds: number): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM machine_identity i WHERE ${FORSAKEN}`,
    [seconds],
  );
  return row?.count ?? 0;
}

/** What ended by its own clock; nothing is stored of that. */
export interface Expired {
  readonly identities: number;
  readonly credentials: number;
  /** Requests that nobody approved, or carried out, in time. */
  readonly approvals: number;
}

/** What expired within the last `seconds` and had not ended otherwise. */
export async function countExpired(tx: Tx, seconds: number): Promise<Expired> {
  const ended = (end: string): string =>
    `${end} <= ${STATEMENT_CLOCK} AND ${end} > ${STATEMENT_CLOCK} - make_interval(secs => $1::float8)`;
  const end = (row: string): string => `coalesce(${row}."expiresAt", 'infinity'::timestamp)`;
  const [row] = await tx.query<Expired>(
    `SELECT (SELECT count(*)::int FROM machine_identity i WHERE ${ended(end("i"))} AND i.status <> 'revoked') AS identities,
            (SELECT count(*)::int FROM machine_identity_credential c
              WHERE ${ended(end("c"))} AND c.status IN ('pending', 'active', 'paused', 'superseded')) AS credentials,
            (SELECT count(*)::int FROM midctl_approval a
              WHERE a.status IN ('open', 'approved') AND NOT a."breakGlass"
                AND ${ended(`CASE a.status WHEN 'open' THEN a."approveBy" ELSE a."executeBy" END`)}) AS approvals`,
    [seconds],
  );
  return row ?? { identities: 0, credentials: 0, approvals: 0 };
}
