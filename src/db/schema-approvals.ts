/** The tables of SPEC §9, as drizzle sees them. Their guards stand in `migrations/0010_approvals.sql`. */
import { sql } from "drizzle-orm";
import {
  bigint,
  bigserial,
  boolean,
  check,
  customType,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
  varchar,
} from "drizzle-orm/pg-core";

const xid8 = customType<{ data: string }>({ dataType: () => "xid8" });
const utc = () => timestamp({ mode: "string" });

/** The bytes that people sign, once and for ever. */
export const plan = pgTable(
  "midctl_plan",
  {
    /** Hex SHA-256 of `plan`. */
    digest: varchar({ length: 64 }).primaryKey(),
    plan: text().notNull(),
    /** JSON: what the token of each line is kept as, or null. */
    hashes: text().notNull().default("[]"),
  },
  (_t) => [
    check(
      "midctl_plan_size_check",
      sql`octet_length("plan") <= 16777216 AND octet_length("hashes") <= 16777216`,
    ),
    check("midctl_plan_digest_check", sql`"digest" = encode(sha256(convert_to("plan", 'UTF8')), 'hex')`),
  ],
);

/** What has become of a request so far. */
export const approval = pgTable(
  "midctl_approval",
  {
    id: bigserial({ mode: "bigint" }).primaryKey(),
    publicId: varchar({ length: 12 }).notNull().unique(),
    digest: varchar({ length: 64 })
      .notNull()
      .unique()
      .references(() => plan.digest),
    action: varchar({ length: 64 }).notNull(),
    requester: varchar({ length: 255 }).notNull(),
    quorum: integer().notNull(),
    breakGlass: boolean().notNull().default(false),
    status: varchar({ length: 16 }).notNull().default("open"),
    lines: integer().notNull(),
    /** Lines that are neither done nor superseded. */
    remaining: integer().notNull(),
    requestedAt: utc().notNull(),
    approveBy: utc().notNull(),
    executeBy: utc().notNull(),
    endedAt: utc(),
  },
  (t) => [
    check(
      "midctl_approval_status_check",
      sql`"status" IN ('open', 'approved', 'rejected', 'cancelled', 'executed', 'superseded', 'countersigned')`,
    ),
    check("midctl_approval_quorum_check", sql`"quorum" BETWEEN 1 AND 100`),
    index("midctl_approval_open_idx").on(t.id).where(sql`"status" IN ('open', 'approved')`),
  ],
);

/** One target of a plan: carried out once, or superseded. */
export const approvalLine = pgTable(
  "midctl_approval_line",
  {
    approvalId: bigint({ mode: "bigint" })
      .notNull()
      .references(() => approval.id),
    line: integer().notNull(),
    do: varchar({ length: 64 }).notNull(),
    /** Public ids of what it is about. */
    identity: varchar({ length: 12 }),
    credential: varchar({ length: 12 }),
    /** The plan's commitment to the hash of a token. */
    secret: varchar({ length: 64 }),
    /** The whole line, as the plan says it. */
    terms: jsonb().notNull(),
    outcome: varchar({ length: 16 }),
    /** What it says was done: written by the guards. */
    used: boolean().notNull().default(false),
    endedAt: utc(),
    /** The one that carried it out. */
    transaction: xid8(),
  },
  (t) => [
    primaryKey({ columns: [t.approvalId, t.line] }),
    check("midctl_approval_line_outcome_check", sql`"outcome" IN ('done', 'superseded')`),
    index("midctl_approval_line_secret_idx").on(t.secret).where(sql`"secret" IS NOT NULL`),
    index("midctl_approval_line_transaction_idx").on(t.transaction).where(sql`"transaction" IS NOT NULL`),
    index("midctl_approval_line_credential_idx")
      .on(t.credential, t.transaction)
      .where(sql`"transaction" IS NOT NULL`),
  ],
);

/** Who asked, approved or rejected, as his key says. */
export const approvalVote = pgTable(
  "midctl_approval_vote",
  {
    id: bigserial({ mode: "bigint" }).primaryKey(),
    approvalId: bigint({ mode: "bigint" })
      .notNull()
      .references(() => approval.id),
    kind: varchar({ length: 16 }).notNull(),
    principal: varchar({ length: 255 }).notNull(),
    keyFingerprint: varchar({ length: 64 }),
    /** SSHSIG, armored. Only a rejection may go without. */
    signature: text(),
    at: utc().notNull().default(sql`(now() AT TIME ZONE 'UTC')`),
  },
  (_t) => [
    check("midctl_approval_vote_kind_check", sql`"kind" IN ('request', 'approval', 'rejection')`),
    check(
      "midctl_approval_vote_signed_check",
      sql`"kind" = 'rejection' OR ("signature" IS NOT NULL AND "keyFingerprint" IS NOT NULL)`,
    ),
    check("midctl_approval_vote_size_check", sql`length("signature") <= 16384`),
  ],
);
