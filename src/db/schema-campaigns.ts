/** The journal of campaigns, as drizzle sees it. Its guards stand in `migrations/0012_campaigns.sql` and `0015_runbooks.sql`. */
import { sql } from "drizzle-orm";
import {
  bigint,
  bigserial,
  check,
  integer,
  pgTable,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
  varchar,
} from "drizzle-orm/pg-core";

const utc = () => timestamp({ mode: "string" });

/** One selection, and what is done to all of it. */
export const campaign = pgTable(
  "midctl_campaign",
  {
    id: bigserial({ mode: "bigint" }).primaryKey(),
    publicId: varchar({ length: 12 }).notNull().unique(),
    /** JSON: what each successor is to be, how it is delivered, and when to stop. */
    terms: text().notNull(),
    status: varchar({ length: 16 }).notNull().default("running"),
    problem: text(),
    /** Public id of the approval under which it rotates; NULL where none was needed. */
    approval: varchar({ length: 12 }),
    startedAt: utc().notNull().default(sql`(now() AT TIME ZONE 'UTC')`),
    startedBy: varchar({ length: 255 }).notNull(),
    changedAt: utc().notNull().default(sql`(now() AT TIME ZONE 'UTC')`),
  },
  (t) => [
    uniqueIndex("midctl_campaign_approval_idx").on(t.approval).where(sql`"approval" IS NOT NULL`),
    check("midctl_campaign_public_id_check", sql`"publicId" ~ '^[0-9A-Za-z]{12}$'`),
    check("midctl_campaign_terms_check", sql`jsonb_typeof("terms"::jsonb) = 'object'`),
    check("midctl_campaign_status_check", sql`"status" IN ('running', 'stopped', 'done')`),
  ],
);

/** How far one identity has come in it. */
export const campaignTarget = pgTable(
  "midctl_campaign_target",
  {
    campaignId: bigint({ mode: "bigint" })
      .notNull()
      .references(() => campaign.id),
    position: integer().notNull(),
    slug: varchar({ length: 63 }).notNull(),
    /** Public id of the credential that was current when the campaign began. */
    replaces: varchar({ length: 12 }).notNull(),
    /** Public id of the pending one that gives way. */
    replacesPending: varchar({ length: 12 }),
    place: text(),
    state: varchar({ length: 16 }).notNull().default("open"),
    successor: varchar({ length: 12 }),
    problem: text(),
    changedAt: utc(),
  },
  (t) => [
    primaryKey({ columns: [t.campaignId, t.position] }),
    uniqueIndex("midctl_campaign_target_slug_idx").on(t.campaignId, t.slug),
    uniqueIndex("midctl_campaign_target_place_idx")
      .on(t.campaignId, sql`md5("place")`)
      .where(sql`"place" IS NOT NULL`),
    check("midctl_campaign_target_state_check", sql`"state" IN ('open', 'issued', 'delivered', 'failed')`),
    check(
      "midctl_campaign_target_successor_check",
      sql`"state" IN ('open', 'failed') OR "successor" IS NOT NULL`,
    ),
  ],
);
