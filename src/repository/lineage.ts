import type { Tx } from "../db/database.ts";
import type { EffectiveIdentityStatus } from "../domain/status.ts";

/** One of an identity's line, up or down. */
export interface Relative {
  readonly slug: string;
  readonly effectiveStatus: EffectiveIdentityStatus;
}

export interface Descendant extends Relative {
  readonly parent: string;
  /** 1: a child. */
  readonly depth: number;
}

/** Where the counting stops: who spawned so many is not asked for the exact number. */
export const COUNTED = 10_000;

/** How many there are; of more than `COUNTED` only so many. */
export interface LineageCounts {
  readonly ancestors: number;
  readonly children: number;
  readonly descendants: number;
}

const SELF = `SELECT id, "parentId", slug, 0 AS depth FROM machine_identity WHERE slug = $1`;
const UP = `up AS (
  ${SELF}
  UNION ALL
  SELECT p.id, p."parentId", p.slug, up.depth + 1 FROM up JOIN machine_identity p ON p.id = up."parentId")`;
const STATE = `midctl_identity_state(shown.id, midctl_now()) AS "effectiveStatus"`;

/** The nearest of the line upward, parent first. */
export async function readAncestors(tx: Tx, slug: string, limit: number): Promise<Relative[]> {
  return tx.query<Relative>(
    `WITH RECURSIVE ${UP}, shown AS (SELECT * FROM up WHERE depth > 0 LIMIT $2::int)
     SELECT slug, ${STATE} FROM shown ORDER BY depth`,
    [slug, limit],
  );
}

/** Those below, nearest first and in slug order among siblings: the parent of each stands before it. */
export async function readDescendants(tx: Tx, slug: string, limit: number): Promise<Descendant[]> {
  return tx.query<Descendant>(
    // Level by level, as the recursion goes, and no further than the limit; of each parent no more than all that are shown.
    `WITH RECURSIVE down AS (
       SELECT id, slug, NULL::varchar AS parent, 0 AS depth FROM machine_identity WHERE slug = $1
       UNION ALL
       SELECT c.id, c.slug, down.slug, down.depth + 1 FROM down, LATERAL (
         SELECT i.id, i.slug FROM machine_identity i WHERE i."parentId" = down.id ORDER BY i.slug LIMIT $2::int) c),
     shown AS (SELECT * FROM down WHERE depth > 0 LIMIT $2::int)
     SELECT slug, parent, depth, ${STATE} FROM shown ORDER BY depth, parent, slug`,
    [slug, limit],
  );
}

export async function countLineage(tx: Tx, slug: string): Promise<LineageCounts> {
  const counted = (from: string): string => `(SELECT count(*)::int FROM (${from} LIMIT ${COUNTED}) few)`;
  const [row] = await tx.query<LineageCounts>(
    `WITH RECURSIVE ${UP}, down AS (
       ${SELF}
       UNION ALL
       SELECT c.id, c."parentId", c.slug, down.depth + 1 FROM down JOIN machine_identity c ON c."parentId" = down.id)
     SELECT ${counted("SELECT FROM up WHERE depth > 0")} AS ancestors,
            ${counted(`SELECT FROM machine_identity WHERE "parentId" = (SELECT id FROM machine_identity WHERE slug = $1)`)} AS children,
            ${counted("SELECT FROM down WHERE depth > 0")} AS descendants`,
    [slug],
  );
  return row ?? { ancestors: 0, children: 0, descendants: 0 };
}
