/** How agent events are sealed, as drizzle sees it. Guards and sealing stand in hand-written SQL, `migrations/…_seals.sql`. */
import { sql } from "drizzle-orm";
import {
  bigint,
  check,
  customType,
  integer,
  pgTable,
  primaryKey,
  timestamp,
  varchar,
} from "drizzle-orm/pg-core";

const bytea = customType<{ data: Uint8Array }>({ dataType: () => "bytea" });

/** Events that are in no batch yet, by their id; to delete one is to seal it. */
export const eventUnsealed = pgTable("midctl_event_unsealed", {
  id: bigint({ mode: "bigint" }).primaryKey(),
  /** When the transaction that wrote it began. */
  at: timestamp({ withTimezone: true, mode: "string" }).notNull().defaultNow(),
});

/** One row for each sealed event; its batch's entry in the log has the root over the leaves. */
export const eventSeal = pgTable(
  "midctl_event_seal",
  {
    batch: bigint({ mode: "bigint" }).notNull(),
    position: integer().notNull(),
    /** The event's; like those that follow it refers to no row, so that nothing takes it along. */
    publicId: varchar({ length: 12 }).notNull().unique(),
    token: varchar({ length: 12 }),
    identity: varchar({ length: 12 }),
    workspace: varchar({ length: 12 }),
    leaf: bytea().notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.batch, t.position] }),
    check("midctl_event_seal_leaf_check", sql`octet_length("leaf") = 32`),
  ],
);
