import type { Tx } from "../db/database.ts";
import { LISTED } from "./given.ts";
import { type AuditEvent, LOG_EVENT, LOG_SOURCE } from "./log.ts";

/** What is read for `audit trace`: the lives of some credentials or tokens, oldest first. Public ids are `$1`, a JSON array. */

const GIVEN = `(SELECT jsonb_array_elements_text($1::text::jsonb) AS id) k`;

/** The entries of the log about each, at most `limit` of each, by public id in `of`. */
export async function readLifeEntries(
  tx: Tx,
  publicIds: readonly string[],
  limit: number,
): Promise<(AuditEvent & { readonly of: string })[]> {
  const most = Math.trunc(limit);
  const entries = (where: string): string =>
    `(SELECT ${LOG_EVENT} FROM ${LOG_SOURCE} WHERE ${where} ORDER BY l.at, l."index" LIMIT ${most})`;
  return tx.query(
    `SELECT found.*, k.id AS of FROM ${GIVEN} CROSS JOIN LATERAL (
        SELECT * FROM (${entries("l.credential = k.id")} UNION ALL ${entries("l.action LIKE 'token.%' AND l.entry::jsonb ->> 'token' = k.id")}) whole
         ORDER BY at, "index" LIMIT ${most}) found
      ORDER BY found.at, found."index"`,
    [JSON.stringify(publicIds)],
  );
}

/** When an identity was paused, resumed or revoked itself, from a moment on. @param since RFC 3339 */
export async function readStandingEntries(
  tx: Tx,
  identity: string,
  since: string,
  limit: number,
): Promise<AuditEvent[]> {
  return tx.query(
    `SELECT ${LOG_EVENT} FROM ${LOG_SOURCE}
      WHERE l.identity = $1 AND l.at >= $2::text AND l.action IN ('identity.pause', 'identity.resume', 'identity.revoke')
      ORDER BY l.at, l."index" LIMIT ${Math.trunc(limit)}`,
    [identity, since],
  );
}

/** What was done with a token, as far as anybody noted it. */
export interface TokenUses {
  /** Public id. */
  readonly of: string;
  readonly lastUsedAt: string | null;
  /** The agents' events of it. */
  readonly events: number;
  readonly firstEventAt: string | null;
  readonly lastEventAt: string | null;
  /** Uses of the right secret that were refused. */
  readonly refused: number;
  readonly lastRefusal: { readonly code: string; readonly at: string } | null;
}

export async function readTokenUses(tx: Tx, publicIds: readonly string[]): Promise<TokenUses[]> {
  return tx.query(
    `SELECT t."publicId" AS of, midctl_instant(t."lastUsedAt") AS "lastUsedAt", e.events, e."firstEventAt", e."lastEventAt",
            coalesce(r.uses, 0)::float8 AS refused,
            CASE WHEN r.code IS NOT NULL THEN jsonb_build_object('code', r.code, 'at', midctl_instant(r."lastAt")) END AS "lastRefusal"
       FROM agent_token t
       CROSS JOIN LATERAL (SELECT count(*)::float8 AS events, midctl_instant(min(e."createdAt")) AS "firstEventAt", midctl_instant(max(e."createdAt")) AS "lastEventAt"
                             FROM agent_audit_event e WHERE e."agentTokenId" = t.id) e
       LEFT JOIN midctl_refused_use r ON r."publicId" = t."publicId"
      WHERE t."publicId" = ANY (${LISTED})`,
    [JSON.stringify(publicIds)],
  );
}

/** What came in the place of each credential: `mc_…` by public id; what was abandoned unused only where nothing else did. */
export async function readSuccessors(
  tx: Tx,
  publicIds: readonly string[],
): Promise<{ readonly of: string; readonly successor: string }[]> {
  return tx.query(
    `SELECT DISTINCT ON (p."publicId") p."publicId" AS of, 'mc_' || coalesce(p."replacedBy", s."publicId") AS successor
       FROM machine_identity_credential p LEFT JOIN machine_identity_credential s ON s."replacesId" = p.id
      WHERE p."publicId" = ANY (${LISTED}) AND coalesce(p."replacedBy", s."publicId") IS NOT NULL
      ORDER BY p."publicId", s.status = 'abandoned', s.id DESC`,
    [JSON.stringify(publicIds)],
  );
}

/** The requests with these ids (`ap_…`) and the votes on them, in the shape of events; `id` is the request's. */
export async function readApprovalSteps(tx: Tx, approvals: readonly string[]): Promise<AuditEvent[]> {
  if (approvals.length === 0) return [];
  const shape = (at: string, action: string, who: string, details: string): string =>
    `'ap_' || a."publicId" AS id, NULL::float8 AS "index", midctl_instant(${at}) AS at, ${action} AS action,
     jsonb_build_object('kind', 'operator', 'name', ${who}, 'sessionUser', NULL) AS actor, NULL::jsonb AS "machineIdentity",
     NULL::text AS credential, NULL::text AS reason, 'ap_' || a."publicId" AS approval, ${details} AS details`;
  return tx.query(
    `SELECT * FROM (
       SELECT ${shape(`a."requestedAt"`, `CASE WHEN a."breakGlass" THEN 'approval.break_glass' ELSE 'approval.request' END`, "a.requester", `jsonb_build_object('approval', 'ap_' || a."publicId", 'action', a.action, 'lines', a.lines, 'quorum', a.quorum)`)}
         FROM midctl_approval a WHERE a."publicId" = ANY (ARRAY (SELECT substr(id, 4) FROM ${GIVEN}))
       UNION ALL
       SELECT ${shape("v.at", `CASE WHEN v.kind = 'rejection' THEN 'approval.reject' WHEN a."breakGlass" THEN 'approval.countersign' ELSE 'approval.approve' END`, "v.principal", `jsonb_build_object('approval', 'ap_' || a."publicId", 'principal', v.principal, 'key', v."keyFingerprint")`)}
         FROM midctl_approval a JOIN midctl_approval_vote v ON v."approvalId" = a.id
        WHERE a."publicId" = ANY (ARRAY (SELECT substr(id, 4) FROM ${GIVEN})) AND v.kind <> 'request') steps
      ORDER BY at`,
    [JSON.stringify(approvals)],
  );
}
