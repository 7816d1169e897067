import type { Tx } from "../db/database.ts";
import { IS_LIVE } from "./credential.ts";
import { LISTED } from "./given.ts";

/** The journal of campaigns. It says how far each target has come; what a credential is, its own row says. */

export type CampaignStatus = "running" | "stopped" | "done";
export type TargetState = "open" | "issued" | "delivered" | "failed";

export interface Campaign {
  /** `rb_…` */
  readonly id: string;
  /** JSON. */
  readonly terms: string;
  readonly status: CampaignStatus;
  /** Why it stopped. */
  readonly problem: string | null;
  /** `ap_…`: the approval under which it rotates; null where none was needed. */
  readonly approval: string | null;
  readonly startedAt: string;
  readonly startedBy: string;
  readonly changedAt: string;
  readonly targets: number;
  readonly delivered: number;
  readonly failed: number;
  /** Whose new credential has been used. */
  readonly proven: number;
}

export interface CampaignTarget {
  readonly position: number;
  readonly slug: string;
  /** `mc_…`: current when the campaign began. */
  readonly replaces: string;
  /** `mc_…`: the pending one that gives way to the new one; null where none does. */
  readonly replacesPending: string | null;
  /** The file that its secret goes to; null where a command takes it. */
  readonly place: string | null;
  readonly state: TargetState;
  /** `mc_…` */
  readonly successor: string | null;
  readonly problem: string | null;
  /** Whether the successor has been used. */
  readonly proven: boolean;
}

/** Who can be rotated, with what a path can be made of. */
export interface Candidate {
  readonly slug: string;
  readonly provider: string | null;
  readonly threadId: string | null;
  readonly labels: Readonly<Record<string, string>>;
  /** `mc_…` that is current under the name asked for; null where none is. */
  readonly current: string | null;
  /** `mc_…`: the newest that lives under it, pending and in grace included. */
  readonly newest: string | null;
  /** `mc_…` */
  readonly pending: string | null;
}

const LEFT = {
  failed: `AND t.state = 'failed'`,
  begun: `AND t.state NOT IN ('delivered', 'failed')`,
} as const;
const SUCCESSOR = `LEFT JOIN machine_identity_credential s ON s."publicId" = t.successor`;
const COLUMNS = `'rb_' || c."publicId" AS id, c.terms, c.status, c.problem, 'ap_' || c.approval AS approval, midctl_instant(c."startedAt") AS "startedAt", c."startedBy",
  midctl_instant(c."changedAt") AS "changedAt", n.targets, n.delivered, n.failed, n.proven`;
const COUNTED = `midctl_campaign c CROSS JOIN LATERAL (
  SELECT count(*)::int AS targets, count(*) FILTER (WHERE t.state = 'delivered')::int AS delivered,
         count(*) FILTER (WHERE t.state = 'failed')::int AS failed,
         count(*) FILTER (WHERE s."activatedAt" IS NOT NULL)::int AS proven
    FROM midctl_campaign_target t ${SUCCESSOR} WHERE t."campaignId" = c.id) n`;

/** What a campaign is for, target by target. */
export interface NewTarget {
  readonly slug: string;
  /** `mc_…` */
  readonly replaces: string;
  /** `mc_…` */
  readonly replacesPending: string | null;
  readonly place: string | null;
  /** `mc_…`: what its secret, prepared already, will be; null where it is made when its turn comes. */
  readonly successor: string | null;
}

/** @param campaign.approval `ap_…` */
export async function insertCampaign(
  tx: Tx,
  campaign: {
    readonly id: string;
    readonly terms: string;
    readonly startedBy: string;
    readonly approval: string | null;
  },
  targets: readonly NewTarget[],
): Promise<void> {
  await tx.query(
    `WITH made AS (INSERT INTO midctl_campaign ("publicId", terms, "startedBy", approval, "startedAt", "changedAt")
                   VALUES ($1, $2, $3, substr($5::text, 4), midctl_now(), midctl_now()) RETURNING id)
     INSERT INTO midctl_campaign_target ("campaignId", position, slug, replaces, "replacesPending", place, successor)
     SELECT made.id, t.position, t.item ->> 'slug', substr(t.item ->> 'replaces', 4), substr(t.item ->> 'replacesPending', 4),
            t.item ->> 'place', substr(t.item ->> 'successor', 4)
       FROM made, jsonb_array_elements($4::text::jsonb) WITH ORDINALITY AS t(item, position)`,
    [campaign.id.slice(3), campaign.terms, campaign.startedBy, JSON.stringify(targets), campaign.approval],
  );
}

export async function findCampaign(tx: Tx, id: string): Promise<Campaign | null> {
  const [row] = await tx.query<Campaign>(`SELECT ${COLUMNS} FROM ${COUNTED} WHERE c."publicId" = $1`, [
    id.slice(3),
  ]);
  return row ?? null;
}

/** The campaign that an approval is for; null where it is for none. @param approval `ap_…` */
export async function findCampaignOf(tx: Tx, approval: string): Promise<string | null> {
  const [row] = await tx.query<{ id: string }>(
    `SELECT 'rb_' || "publicId" AS id FROM midctl_campaign WHERE approval = $1`,
    [approval.slice(3)],
  );
  return row?.id ?? null;
}

/** Newest first. */
export async function readCampaigns(tx: Tx, limit: number): Promise<Campaign[]> {
  return tx.query<Campaign>(`SELECT ${COLUMNS} FROM ${COUNTED} ORDER BY c.id DESC LIMIT $1::int`, [limit]);
}

/**
 * Targets in their order.
 * @param after a position; only later ones
 * @param only of those that have not got their secret: those that failed, or those that did not; null: all
 */
export async function readCampaignTargets(
  tx: Tx,
  id: string,
  {
    after,
    limit,
    only,
  }: { readonly after: number; readonly limit: number; readonly only: "failed" | "begun" | null },
): Promise<CampaignTarget[]> {
  return tx.query<CampaignTarget>(
    `SELECT t.position, t.slug, 'mc_' || t.replaces AS replaces, 'mc_' || t."replacesPending" AS "replacesPending", t.place, t.state, 'mc_' || t.successor AS successor, t.problem,
            s."activatedAt" IS NOT NULL AS proven
       FROM midctl_campaign c JOIN midctl_campaign_target t ON t."campaignId" = c.id ${SUCCESSOR}
      WHERE c."publicId" = $1 AND t.position > $2::int ${only === null ? "" : LEFT[only]}
      ORDER BY t.position LIMIT $3::int`,
    [id.slice(3), after, limit],
  );
}

export interface TargetChange {
  readonly position: number;
  readonly state: TargetState;
  /** `mc_…`; null: as it is. */
  readonly successor: string | null;
  readonly problem: string | null;
}

/**
 * Writes how far targets have come, in one statement.
 * @param unlessDelivered leaves alone what has its secret by now: another run was faster
 * @returns the positions that were written
 */
export async function setCampaignTargets(
  tx: Tx,
  id: string,
  changes: readonly TargetChange[],
  { unlessDelivered = false }: { readonly unlessDelivered?: boolean } = {},
): Promise<ReadonlySet<number>> {
  // Said twice, so that it reads those alone, and not the whole campaign each time.
  const positions = changes.map(({ position }) => position);
  const rows = await tx.query<{ position: number }>(
    `UPDATE midctl_campaign_target t SET state = n.state, successor = coalesce(substr(n.successor, 4), t.successor), problem = n.problem
       FROM jsonb_to_recordset($2::text::jsonb) AS n(position int, state text, successor text, problem text)
      WHERE t."campaignId" = (SELECT id FROM midctl_campaign WHERE "publicId" = $1) AND t.position = n.position
            AND t.position BETWEEN $3::int AND $4::int ${unlessDelivered ? `AND t.state <> 'delivered'` : ""} RETURNING t.position`,
    [id.slice(3), JSON.stringify(changes), Math.min(...positions), Math.max(...positions)],
  );
  return new Set(rows.map(({ position }) => position));
}

/** What is done stays so, whatever a run that was slower has to say. */
export async function setCampaignStatus(
  tx: Tx,
  id: string,
  status: CampaignStatus,
  problem: string | null,
): Promise<void> {
  await tx.query(
    `UPDATE midctl_campaign SET status = $2, problem = $3::text WHERE "publicId" = $1 AND status <> 'done'`,
    [id.slice(3), status, problem],
  );
}

/** What these identities hold under a name, by slug; those that there are not are left out. */
export async function readCandidates(tx: Tx, slugs: readonly string[], name: string): Promise<Candidate[]> {
  return tx.query<Candidate>(
    `SELECT i.slug, i.provider, i."threadId", i.labels, held.current, held.newest, held.pending
       FROM machine_identity i CROSS JOIN LATERAL (
         SELECT max('mc_' || c."publicId") FILTER (WHERE c.status IN ('active', 'paused')) AS current,
                (array_agg('mc_' || c."publicId" ORDER BY c.id DESC))[1] AS newest,
                max('mc_' || c."publicId") FILTER (WHERE c.status = 'pending') AS pending
           FROM machine_identity_credential c WHERE c."machineIdentityId" = i.id AND c.name = $2 AND ${IS_LIVE}) held
      WHERE i.slug = ANY (${LISTED}) ORDER BY i.slug`,
    [JSON.stringify(slugs), name],
  );
}
