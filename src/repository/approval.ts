import type { Tx } from "../db/database.ts";
import { COVERING, type VoteKind } from "../domain/plan.ts";
import { IS_LIVE } from "./credential.ts";
import { LEGACY_IN_FORCE } from "./protection.ts";

/** Requests, votes and lines of SPEC §9. What a vote proves is not decided here: a database does not know whom to trust. */

export type ApprovalStatus =
  | "open"
  | "approved"
  | "rejected"
  | "cancelled"
  | "executed"
  | "superseded"
  | "expired"
  | "uncountersigned"
  | "countersigned";

export interface Approval {
  /** `ap_…` */
  readonly id: string;
  /** Hex SHA-256 of the plan. */
  readonly digest: string;
  readonly action: string;
  readonly requester: string;
  readonly quorum: number;
  readonly breakGlass: boolean;
  /** By the database's clock: `expired` where it was to be approved, or carried out, before now. */
  readonly status: ApprovalStatus;
  readonly lines: number;
  readonly done: number;
  readonly superseded: number;
  readonly requestedAt: string;
  readonly approveBy: string;
  readonly executeBy: string;
  readonly endedAt: string | null;
}

export interface Vote {
  readonly kind: VoteKind;
  readonly principal: string;
  readonly keyFingerprint: string | null;
  /** SSHSIG, armored. */
  readonly signature: string | null;
  readonly at: string;
}

const COLUMNS = `'ap_' || a."publicId" AS id, a.digest, a.action, a.requester, a.quorum, a."breakGlass",
  CASE WHEN a."breakGlass" AND a.status = 'open' THEN 'uncountersigned'
       WHEN a.status = 'open' AND a."approveBy" <= midctl_now() OR a.status = 'approved' AND a."executeBy" <= midctl_now() THEN 'expired'
       ELSE a.status END AS status,
  a.lines,
  (SELECT count(*)::int FROM midctl_approval_line l WHERE l."approvalId" = a.id AND l.outcome = 'done') AS done,
  (SELECT count(*)::int FROM midctl_approval_line l WHERE l."approvalId" = a.id AND l.outcome = 'superseded') AS superseded,
  midctl_instant(a."requestedAt") AS "requestedAt", midctl_instant(a."approveBy") AS "approveBy",
  midctl_instant(a."executeBy") AS "executeBy", midctl_instant(a."endedAt") AS "endedAt"`;

/** The lines that say of a token what verifiers go by. */
const COVERS = COVERING.map((does) => `'${does}'`).join(", ");

/** Whether the token of a line `l` is alive. */
const NAMES_LIVE = `(EXISTS (SELECT FROM machine_identity_credential c WHERE c."publicId" = l.credential AND ${IS_LIVE})
  OR EXISTS (SELECT FROM agent_token t WHERE t."publicId" = l.credential AND ${LEGACY_IN_FORCE}))`;

/** Waiting for a vote, for its execution, or for the countersignature that break-glass owes. */
const IS_OPEN = `a.status IN ('open', 'approved')
  AND (a."breakGlass" OR (CASE a.status WHEN 'open' THEN a."approveBy" ELSE a."executeBy" END) > midctl_now())`;

export interface NewRequest {
  /** Canonical. */
  readonly plan: string;
  readonly digest: string;
  /** What the token of each line is kept as, hex, or null. */
  readonly hashes: readonly (string | null)[];
  readonly quorum: number;
}

/** Keeps a plan and opens the request for it; the guards read everything else from the plan. */
export async function insertRequest(tx: Tx, request: NewRequest): Promise<void> {
  await Promise.all([
    tx.query(`INSERT INTO midctl_plan (digest, plan, hashes) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, [
      request.digest,
      request.plan,
      JSON.stringify(request.hashes),
    ]),
    tx.query(
      `INSERT INTO midctl_approval (digest, quorum, "publicId", action, requester, lines, remaining, "requestedAt", "approveBy", "executeBy")
       VALUES ($1, $2, '', '', '', 0, 0, now(), now(), now())`,
      [request.digest, request.quorum],
    ),
  ]);
}

export async function insertVote(tx: Tx, approval: string, vote: Omit<Vote, "at">): Promise<void> {
  await tx.query(
    `INSERT INTO midctl_approval_vote ("approvalId", kind, principal, "keyFingerprint", signature)
     SELECT id, $2, $3, $4::text, $5::text FROM midctl_approval WHERE "publicId" = $1`,
    [approval.slice(3), vote.kind, vote.principal, vote.keyFingerprint, vote.signature],
  );
}

export async function findApproval(tx: Tx, id: string): Promise<Approval | null> {
  const [row] = await tx.query<Approval>(`SELECT ${COLUMNS} FROM midctl_approval a WHERE a."publicId" = $1`, [
    id.slice(3),
  ]);
  return row ?? null;
}

/** Newest first. @param before an id; only older ones */
export async function readApprovals(
  tx: Tx,
  { open, limit, before }: { readonly open: boolean; readonly limit: number; readonly before: string | null },
): Promise<Approval[]> {
  return tx.query<Approval>(
    `SELECT ${COLUMNS} FROM midctl_approval a
      WHERE ${open ? IS_OPEN : "true"}
        AND ($2::text IS NULL OR a.id < (SELECT id FROM midctl_approval WHERE "publicId" = $2::text))
      ORDER BY a.id DESC LIMIT $1::int`,
    [limit, before === null ? null : before.slice(3)],
  );
}

/** How many wait for votes or execution, and how many break-glass actions nobody has countersigned. */
export async function countOpenApprovals(tx: Tx): Promise<{ open: number; uncountersigned: number }> {
  const [row] = await tx.query<{ open: number; uncountersigned: number }>(
    `SELECT count(*) FILTER (WHERE NOT a."breakGlass")::int AS open, count(*) FILTER (WHERE a."breakGlass")::int AS uncountersigned
       FROM midctl_approval a WHERE ${IS_OPEN}`,
  );
  return row ?? { open: 0, uncountersigned: 0 };
}

/**
 * Whether this connection may read requests, votes and plans: one whose rights are older than approvals may not, until
 * `db grant` is run anew.
 */
export async function mayReadApprovals(tx: Tx): Promise<boolean> {
  const [row] = await tx.query<{ may: boolean }>(
    `SELECT has_table_privilege('midctl_approval', 'SELECT') AND has_table_privilege('midctl_approval_line', 'SELECT')
        AND has_table_privilege('midctl_approval_vote', 'SELECT') AND has_column_privilege('midctl_plan', 'digest', 'SELECT')
        AND has_column_privilege('midctl_plan', 'plan', 'SELECT') AS may`,
  );
  return row?.may === true;
}

/** Break-glass actions that nobody has countersigned, the oldest first. */
export async function readUncountersigned(
  tx: Tx,
  limit: number,
): Promise<Pick<Approval, "id" | "action" | "requester" | "requestedAt">[]> {
  return tx.query(
    `SELECT 'ap_' || a."publicId" AS id, a.action, a.requester, midctl_instant(a."requestedAt") AS "requestedAt"
       FROM midctl_approval a WHERE a."breakGlass" AND a.status = 'open' ORDER BY a.id LIMIT $1::int`,
    [limit],
  );
}

/**
 * Of the last 30 days, what was carried out, newest first; but not what came to tokens alone that are alive, since verifiers
 * judge them.
 * @param before an id; only older ones
 */
export async function readCarriedOut(
  tx: Tx,
  { before, limit }: { readonly before: string | null; readonly limit: number },
): Promise<Pick<Approval, "id" | "action" | "requester">[]> {
  return tx.query(
    `SELECT 'ap_' || a."publicId" AS id, a.action, a.requester FROM midctl_approval a
      WHERE a."requestedAt" > midctl_now() - interval '30 days'
        AND ($1::text IS NULL OR a.id < (SELECT b.id FROM midctl_approval b WHERE b."publicId" = $1::text))
        AND EXISTS (SELECT FROM midctl_approval_line l WHERE l."approvalId" = a.id AND l.outcome = 'done'
                       AND (l."do" NOT IN (${COVERS}) OR coalesce(l.terms -> 'revokes', '[]') <> '[]' OR NOT ${NAMES_LIVE}))
      ORDER BY a.id DESC LIMIT $2::int`,
    [before === null ? null : before.slice(3), limit],
  );
}

export async function readVotes(tx: Tx, id: string): Promise<Vote[]> {
  return tx.query<Vote>(
    `SELECT v.kind, v.principal, v."keyFingerprint", v.signature, midctl_instant(v.at) AS at
       FROM midctl_approval_vote v JOIN midctl_approval a ON a.id = v."approvalId" WHERE a."publicId" = $1 ORDER BY v.id`,
    [id.slice(3)],
  );
}

/** The plan's bytes; null where it is not kept here. */
export async function readPlanText(tx: Tx, digest: string): Promise<string | null> {
  const [row] = await tx.query<{ plan: string }>(`SELECT plan FROM midctl_plan WHERE digest = $1`, [digest]);
  return row?.plan ?? null;
}

/** What the tokens of a plan's lines are kept as, by line; for whoever may read hashes. */
export async function readPlanHashes(tx: Tx, digest: string): Promise<readonly (string | null)[]> {
  const [row] = await tx.query<{ hashes: string }>(`SELECT hashes FROM midctl_plan WHERE digest = $1`, [
    digest,
  ]);
  return row === undefined ? [] : (JSON.parse(row.hashes) as (string | null)[]);
}

/** Numbers of the lines that are neither done nor superseded, from 1. */
export async function readOpenLines(tx: Tx, id: string): Promise<number[]> {
  const rows = await tx.query<{ line: number }>(
    `SELECT l.line FROM midctl_approval_line l JOIN midctl_approval a ON a.id = l."approvalId"
      WHERE a."publicId" = $1 AND l.outcome IS NULL ORDER BY l.line`,
    [id.slice(3)],
  );
  return rows.map(({ line }) => line);
}

/** Whether a line is neither done nor superseded. @param line from 1 */
export async function isLineOpen(tx: Tx, id: string, line: number): Promise<boolean> {
  const rows = await tx.query(
    `SELECT 1 AS open FROM midctl_approval_line l JOIN midctl_approval a ON a.id = l."approvalId"
      WHERE a."publicId" = $1 AND l.line = $2::int AND l.outcome IS NULL`,
    [id.slice(3), line],
  );
  return rows.length > 0;
}

/** What became of each line, by number from 1. */
export async function readOutcomes(
  tx: Tx,
  id: string,
): Promise<ReadonlyMap<number, { readonly outcome: "done" | "superseded" | null }>> {
  const rows = await tx.query<{ line: number; outcome: "done" | "superseded" | null }>(
    `SELECT l.line, l.outcome FROM midctl_approval_line l JOIN midctl_approval a ON a.id = l."approvalId" WHERE a."publicId" = $1`,
    [id.slice(3)],
  );
  return new Map(rows.map(({ line, outcome }) => [line, { outcome }]));
}

/** Uses lines up, each once, by this transaction, which may then do what they say. Throws `conflict` for one that is used up. */
export async function endLines(
  tx: Tx,
  id: string,
  outcome: "done" | "superseded",
  lines: readonly number[],
): Promise<void> {
  await tx.query(
    `UPDATE midctl_approval_line l SET outcome = $2 FROM midctl_approval a
      WHERE a."publicId" = $1 AND l."approvalId" = a.id AND l.line IN (SELECT jsonb_array_elements_text($3::text::jsonb)::int)`,
    [id.slice(3), outcome, JSON.stringify(lines)],
  );
}

export async function cancelApproval(tx: Tx, id: string): Promise<void> {
  await tx.query(`UPDATE midctl_approval SET status = 'cancelled' WHERE "publicId" = $1`, [id.slice(3)]);
}

/** The newest request in force that names this commitment to a token. */
export async function findRequestOf(tx: Tx, secret: string): Promise<Approval | null> {
  const [row] = await tx.query<Approval>(
    `SELECT ${COLUMNS} FROM midctl_approval a
      WHERE ${IS_OPEN} AND EXISTS (SELECT FROM midctl_approval_line l WHERE l."approvalId" = a.id AND l.secret = $1)
      ORDER BY a.id DESC LIMIT 1`,
    [secret],
  );
  return row ?? null;
}

/** How many plans a verifier looks at for one token: nobody makes it look at more. */
const MOST_PLANS = 16;

/**
 * Digests of the plans by which these tokens were issued, adopted or covered, newest first: the guards marked the lines, so
 * that whatever else names a token keeps none of these out.
 */
export async function readDigestsOf(
  tx: Tx,
  secrets: readonly string[],
): Promise<{ readonly secret: string; readonly digest: string }[]> {
  return tx.query(
    `SELECT s.secret, p.digest FROM (SELECT jsonb_array_elements_text($1::text::jsonb) AS secret) s
       CROSS JOIN LATERAL (
         SELECT a.digest FROM midctl_approval_line l JOIN midctl_approval a ON a.id = l."approvalId"
          WHERE l.secret = s.secret AND l.used AND l."do" IN (${COVERS})
          ORDER BY a.id DESC LIMIT ${MOST_PLANS}) p`,
    [JSON.stringify(secrets)],
  );
}

export interface LivePlan {
  /** Where it stands among them. */
  readonly position: string;
  readonly digest: string;
}

/**
 * Digests of the plans by which tokens that are alive were issued or covered, as verifiers choose them, newest first, each
 * once. Tokens are told by their public ids, so that whoever may not read hashes can ask.
 * @param before the last `position` of the page before; null for the first page
 */
export async function readLivePlans(
  tx: Tx,
  { before, limit }: { readonly before: string | null; readonly limit: number },
): Promise<LivePlan[]> {
  return tx.query(
    `SELECT a.id::text AS position, a.digest FROM midctl_approval a
      WHERE ($1::text IS NULL OR a.id < $1::text::bigint)
        AND EXISTS (
          SELECT FROM midctl_approval_line l WHERE l."approvalId" = a.id AND l.used AND l."do" IN (${COVERS}) AND ${NAMES_LIVE})
      ORDER BY a.id DESC LIMIT $2::int`,
    [before, limit],
  );
}

/** How many signatures of one plan are looked at. */
const MOST_VOTES = 64;

/** A plan with what was signed under it. */
export interface SignedPlan {
  readonly digest: string;
  readonly plan: string;
  readonly votes: readonly Pick<Vote, "kind" | "signature">[];
}

export async function readSignedPlan(tx: Tx, digest: string): Promise<SignedPlan | null> {
  const [row] = await tx.query<SignedPlan>(
    `SELECT p.digest, p.plan, coalesce((
        SELECT jsonb_agg(jsonb_build_object('kind', v.kind, 'signature', v.signature)) FROM (
          SELECT v.kind, v.signature FROM midctl_approval_vote v JOIN midctl_approval a ON a.id = v."approvalId"
           WHERE a.digest = p.digest AND v.signature IS NOT NULL ORDER BY v.id LIMIT ${MOST_VOTES}) v), '[]') AS votes
       FROM midctl_plan p WHERE p.digest = $1`,
    [digest],
  );
  return row ?? null;
}
