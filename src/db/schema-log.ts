/** The log and the tree over it, as drizzle sees them (SPEC §10). What appends to them is hand-written SQL (0003, 0016). */
import { sql } from "drizzle-orm";
import {
  bigint,
  bigserial,
  boolean,
  check,
  customType,
  jsonb,
  pgTable,
  primaryKey,
  smallint,
  text,
  timestamp,
  varchar,
} from "drizzle-orm/pg-core";

const bytea = customType<{ data: Uint8Array }>({ dataType: () => "bytea" });

/** The log (SPEC §10). The query columns `at`, `action`, `actor`, `identity`, `credential` are generated (0003). */
export const log = pgTable(
  "midctl_log",
  {
    index: bigint({ mode: "bigint" }).primaryKey(),
    entry: text().notNull(),
    leafHash: bytea().notNull(),
  },
  (_t) => [
    check("midctl_log_leaf_check", sql`"leafHash" = sha256('\\x00'::bytea || convert_to("entry", 'UTF8'))`),
    check("midctl_log_entry_size_check", sql`octet_length("entry") <= 1048576`),
  ],
);

/** The log's length: the one row that writers take turns on, at commit and last (SPEC §3). */
export const logHead = pgTable(
  "midctl_log_head",
  {
    only: boolean().primaryKey().default(true),
    size: bigint({ mode: "bigint" }).notNull().default(sql`0`),
    /** Size of the log after the last change that verifiers were told of. */
    told: bigint({ mode: "bigint" }).notNull().default(sql`0`),
    /** The log has its last entry: the database has moved. */
    closed: boolean().notNull().default(false),
    /** For each level of the tree, the hashes that are in no tile yet: 0 to 3 of 32 bytes. */
    edge: bytea().array().notNull().default(sql`'{}'`),
  },
  (_t) => [check("midctl_log_head_only_check", sql`"only"`)],
);

/** The tree over the log: the four children of one subtree of height two, complete (RFC 9162). */
export const logTile = pgTable(
  "midctl_log_tile",
  {
    level: smallint().notNull(),
    position: bigint({ mode: "bigint" }).notNull(),
    hashes: bytea().notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.level, t.position] }),
    check("midctl_log_tile_hashes_check", sql`octet_length("hashes") = 128`),
  ],
);

/** When the log was last verified, against what, and its head last kept elsewhere: of each, the last time. And what was found, as long as it stands. */
export const logEvidence = pgTable(
  "midctl_log_evidence",
  {
    what: text().notNull(),
    against: text().notNull(),
    at: timestamp({ mode: "string" }).notNull(),
    /** The first entry that was read, and how many the log had. */
    from: bigint({ mode: "bigint" }).notNull(),
    size: bigint({ mode: "bigint" }).notNull(),
    root: bytea().notNull(),
    /** How many things were found to be wrong. */
    found: bigint({ mode: "bigint" }).notNull(),
    /** The database role. */
    by: text().notNull(),
    /** How many entries the comparison with something from elsewhere reached. */
    compared: bigint({ mode: "bigint" }).notNull().default(sql`0`),
    /** The roots of heads that were kept elsewhere and did not agree. */
    disputed: bytea().array().notNull().default(sql`'{}'`),
  },
  (t) => [
    primaryKey({ columns: [t.what, t.against] }),
    check(
      "midctl_log_evidence_kind_check",
      sql`("what" IN ('verified', 'found') AND "against" IN ('itself', 'export', 'checkpoint', 'signed_checkpoint')) OR ("what" = 'anchored' AND "against" IN ('export', 'checkpoint'))`,
    ),
    check(
      "midctl_log_evidence_size_check",
      sql`"from" >= 0 AND "size" >= "from" AND "found" >= 0 AND "compared" >= 0 AND octet_length("root") = 32 AND cardinality("disputed") <= 1000`,
    ),
  ],
);

/** What the running transaction has yet to append; always empty to everybody else. */
export const logQueue = pgTable("midctl_log_queue", {
  id: bigserial({ mode: "bigint" }).primaryKey(),
  /** One row of each statement carries the deferred trigger that appends them all. */
  first: boolean().notNull(),
  at: timestamp({ mode: "string" }).notNull(),
  context: text(),
  action: text().notNull(),
  identity: varchar({ length: 12 }),
  slug: varchar({ length: 63 }),
  credential: varchar({ length: 12 }),
  token: varchar({ length: 12 }),
  details: jsonb().notNull(),
});
