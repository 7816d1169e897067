/**
 * The tables, as drizzle sees them (SPEC §2). `migrations/0001_tables.sql` is generated from here; guards and log
 * (0002, 0003, 0016) and what verifiers need (0005) are hand-written SQL, since no generator speaks triggers. Hosts import this as `midctl/schema`.
 * The four tables without prefix keep Kan's conventions; their timestamps carry no zone and are UTC.
 */
import { sql } from "drizzle-orm";
import {
  type AnyPgColumn,
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
  unique,
  uuid,
  varchar,
} from "drizzle-orm/pg-core";

export { approval, approvalLine, approvalVote, plan } from "./schema-approvals.ts";
export { campaign, campaignTarget } from "./schema-campaigns.ts";
export { log, logEvidence, logHead, logQueue, logTile } from "./schema-log.ts";
export { eventSeal, eventUnsealed } from "./schema-seals.ts";

const oid = customType<{ data: number }>({ dataType: () => "oid" });
const utc = () => timestamp({ mode: "string" });
const reference = () => bigint({ mode: "bigint" });

export const machineIdentity = pgTable(
  "machine_identity",
  {
    id: bigserial({ mode: "bigint" }).primaryKey(),
    publicId: varchar({ length: 12 }).notNull().unique(),
    workspaceId: reference(),
    slug: varchar({ length: 63 }).notNull().unique(),
    displayName: varchar({ length: 255 }).notNull(),
    kind: varchar({ length: 16 }).notNull(),
    provider: varchar({ length: 63 }),
    threadId: varchar({ length: 255 }),
    owner: varchar({ length: 255 }).notNull(),
    labels: jsonb().$type<Record<string, string>>().notNull().default({}),
    parentId: reference().references((): AnyPgColumn => machineIdentity.id),
    status: varchar({ length: 16 }).notNull().default("active"),
    /** Control actions so far; use never changes it (SPEC §9). */
    version: integer().notNull().default(1),
    expiresAt: utc(),
    /** Seconds without use after which the identity counts as paused. */
    idleTtl: bigint({ mode: "number" }),
    createdAt: utc().notNull().default(sql`(now() AT TIME ZONE 'UTC')`),
    /** Not `createdBy`: a host's own identities may have one, which is a user of its own. */
    registeredBy: varchar({ length: 255 }),
    lastUsedAt: utc(),
    pausedAt: utc(),
    resumedAt: utc(),
    revokedAt: utc(),
  },
  (t) => [
    unique("machine_identity_thread_unique").on(t.provider, t.threadId),
    index("machine_identity_owner_idx").on(t.owner, t.slug),
    index("machine_identity_status_idx").on(t.status, t.slug),
    index("machine_identity_parent_idx").on(t.parentId),
    index("machine_identity_provider_idx").on(t.provider, t.slug),
    index("machine_identity_workspace_idx").on(t.workspaceId).where(sql`"workspaceId" IS NOT NULL`),
    index("machine_identity_expiry_idx").on(sql`coalesce("expiresAt", 'infinity'::timestamp)`, t.id),
    index("machine_identity_idle_idx").on(t.slug).where(sql`"idleTtl" IS NOT NULL`),
    index("machine_identity_idle_at_idx")
      .on(sql`(GREATEST("createdAt", "resumedAt") + make_interval(secs => "idleTtl"))`, t.id)
      .where(sql`"status" = 'active' AND "idleTtl" IS NOT NULL`),
    index("machine_identity_paused_at_idx")
      .on(t.pausedAt, t.id)
      .where(sql`"status" = 'paused' AND "idleTtl" IS NOT NULL`),
    check("machine_identity_public_id_check", sql`"publicId" ~ '^[0-9A-Za-z]{12}$'`),
    check("machine_identity_slug_check", sql`"slug" ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'`),
    check("machine_identity_status_check", sql`"status" IN ('active', 'paused', 'revoked')`),
    check(
      "machine_identity_kind_check",
      sql`("kind" = 'service' AND "provider" IS NULL AND "threadId" IS NULL) OR ("kind" = 'thread' AND "provider" ~ '^[a-z0-9]+$' AND "threadId" <> '' AND "threadId" IS NOT NULL AND "provider" IS NOT NULL)`,
    ),
    check("machine_identity_owner_check", sql`"owner" <> ''`),
    check("machine_identity_labels_check", sql`jsonb_typeof("labels") = 'object'`),
    check("machine_identity_idle_check", sql`"idleTtl" > 0`),
    check("machine_identity_revoked_check", sql`("status" = 'revoked') = ("revokedAt" IS NOT NULL)`),
  ],
);

export const machineIdentityCredential = pgTable(
  "machine_identity_credential",
  {
    id: bigserial({ mode: "bigint" }).primaryKey(),
    publicId: varchar({ length: 12 }).notNull().unique(),
    machineIdentityId: reference()
      .notNull()
      .references(() => machineIdentity.id),
    name: varchar({ length: 63 }).notNull().default("default"),
    status: varchar({ length: 16 }).notNull().default("pending"),
    version: integer().notNull().default(1),
    /** Kept here too, so that a hash stays unique for ever after the host's cascade took the token row. */
    tokenHash: varchar({ length: 64 }).notNull().unique(),
    /** JSON array, as in agent_token. */
    scopes: text().notNull().default("[]"),
    /** A legacy token that was given an identity: born active, since its secret is in use. */
    adopted: boolean().notNull().default(false),
    replacesId: reference().references((): AnyPgColumn => machineIdentityCredential.id),
    /** Public id of the pending credential that `--replace-pending` put in this one's place. */
    replacedBy: varchar({ length: 12 }),
    /** Seconds that the predecessor lives on after this one's first use; at most a day. */
    graceSeconds: integer().notNull().default(0),
    issuedAt: utc().notNull().default(sql`(now() AT TIME ZONE 'UTC')`),
    issuedBy: varchar({ length: 255 }),
    activationDeadline: utc(),
    activatedAt: utc(),
    expiresAt: utc(),
    supersededAt: utc(),
    graceUntil: utc(),
    pausedAt: utc(),
    resumedAt: utc(),
    revokedAt: utc(),
    abandonedAt: utc(),
  },
  (t) => [
    index("machine_identity_credential_identity_idx").on(t.machineIdentityId, t.name, t.id),
    index("machine_identity_credential_status_idx").on(t.status, t.id),
    index("machine_identity_credential_expiry_idx").on(
      sql`coalesce("expiresAt", 'infinity'::timestamp)`,
      t.id,
    ),
    index("machine_identity_credential_deadline_idx")
      .on(t.activationDeadline, t.id)
      .where(sql`"status" = 'pending'`),
    index("machine_identity_credential_age_idx")
      .on(t.issuedAt, t.id)
      .where(sql`"status" IN ('active', 'paused')`),
    index("machine_identity_credential_endless_idx")
      .on(t.id)
      .where(sql`"status" IN ('active', 'paused') AND "expiresAt" IS NULL`),
    index("machine_identity_credential_any_scope_idx").on(t.id).where(sql`"scopes" LIKE '%"*"%'`),
    index("machine_identity_credential_replaces_idx").on(t.replacesId).where(sql`"replacesId" IS NOT NULL`),
    check("machine_identity_credential_public_id_check", sql`"publicId" ~ '^[0-9A-Za-z]{12}$'`),
    check("machine_identity_credential_name_check", sql`"name" ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'`),
    check("machine_identity_credential_hash_check", sql`"tokenHash" ~ '^[0-9a-f]{64}$'`),
    check(
      "machine_identity_credential_status_check",
      sql`"status" IN ('pending', 'active', 'paused', 'superseded', 'revoked', 'abandoned')`,
    ),
    check("machine_identity_credential_grace_check", sql`"graceSeconds" BETWEEN 0 AND 86400`),
    check("machine_identity_credential_scopes_check", sql`jsonb_typeof("scopes"::jsonb) = 'array'`),
    check(
      "machine_identity_credential_revoked_check",
      sql`("status" = 'revoked') = ("revokedAt" IS NOT NULL)`,
    ),
    check(
      "machine_identity_credential_abandoned_check",
      sql`("status" = 'abandoned') = ("abandonedAt" IS NOT NULL)`,
    ),
    check("machine_identity_credential_birth_check", sql`"adopted" OR "activationDeadline" IS NOT NULL`),
  ],
);

export const agentToken = pgTable(
  "agent_token",
  {
    id: bigserial({ mode: "bigint" }).primaryKey(),
    publicId: varchar({ length: 12 }).notNull().unique(),
    workspaceId: reference(),
    name: varchar({ length: 255 }).notNull(),
    tokenPrefix: varchar({ length: 16 }).notNull(),
    tokenHash: varchar({ length: 64 }).notNull().unique(),
    scopes: text().notNull().default("[]"),
    createdBy: uuid(),
    createdAt: timestamp({ mode: "string" }).notNull().defaultNow(),
    expiresAt: utc(),
    lastUsedAt: utc(),
    revokedAt: utc(),
    machineIdentityId: reference().references(() => machineIdentity.id),
  },
  (t) => [index("agent_token_machine_identity_idx").on(t.machineIdentityId, t.id)],
);

export const agentAuditEvent = pgTable(
  "agent_audit_event",
  {
    id: bigserial({ mode: "bigint" }).primaryKey(),
    publicId: varchar({ length: 12 }).notNull().unique(),
    workspaceId: reference(),
    agentTokenId: reference().references(() => agentToken.id, { onDelete: "set null" }),
    action: varchar({ length: 64 }).notNull(),
    entityType: varchar({ length: 32 }),
    entityId: varchar({ length: 64 }),
    metadata: text(),
    createdAt: timestamp({ mode: "string" }).notNull().defaultNow(),
    machineIdentityId: reference().references(() => machineIdentity.id),
  },
  (t) => [
    index("agent_audit_event_token_idx").on(t.agentTokenId, t.createdAt),
    index("agent_audit_event_identity_idx").on(t.machineIdentityId, t.createdAt),
    index("agent_audit_event_action_idx").on(t.action, t.createdAt),
    index("agent_audit_event_unattributed_idx")
      .on(t.agentTokenId, t.createdAt)
      .where(sql`"machineIdentityId" IS NULL`),
  ],
);

/** One row per label, kept by a trigger from `machine_identity.labels`: `list --label` walks it in slug order. */
export const identityLabel = pgTable(
  "midctl_identity_label",
  {
    key: varchar({ length: 63 }).notNull(),
    value: varchar({ length: 255 }).notNull(),
    slug: varchar({ length: 63 }).notNull(),
    machineIdentityId: reference().notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.key, t.value, t.slug] }),
    index("midctl_identity_label_identity_idx").on(t.machineIdentityId),
  ],
);

/** The environment: a property of the database, one row. */
export const environment = pgTable(
  "midctl_environment",
  {
    only: boolean().primaryKey().default(true),
    databaseId: uuid().notNull().default(sql`gen_random_uuid()`),
    name: varchar({ length: 63 }).notNull().default("default"),
    named: boolean().notNull().default(false),
    live: boolean().notNull().default(false),
    protected: boolean().notNull().default(false),
    createdAt: timestamp({ withTimezone: true, mode: "string" }).notNull().defaultNow(),
    /** Where `db push` moved the database; from then on nothing changes here. */
    movedTo: text(),
  },
  (_t) => [
    check("midctl_environment_only_check", sql`"only"`),
    check("midctl_environment_name_check", sql`"name" ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'`),
  ],
);

/** One row for each verifier that caches: its lease (SPEC §8). */
export const verifier = pgTable(
  "midctl_verifier",
  {
    id: uuid().primaryKey(),
    /** Host and process, for people. */
    name: varchar({ length: 255 }).notNull(),
    leaseMs: integer().notNull(),
    renewals: bigint({ mode: "bigint" }).notNull().default(sql`0`),
    renewedAt: utc().notNull().default(sql`(now() AT TIME ZONE 'UTC')`),
    /** It has let go of whatever log entries below this index changed. */
    letGo: bigint({ mode: "bigint" }).notNull(),
    /** The database role that renews it. */
    heldBy: varchar({ length: 63 }).notNull().default(sql`session_user`),
  },
  (_t) => [check("midctl_verifier_lease_check", sql`"leaseMs" BETWEEN 100 AND 60000`)],
);

/** Uses of what has ended, by whoever still has the right secret: one row per token. */
export const refusedUse = pgTable(
  "midctl_refused_use",
  {
    publicId: varchar({ length: 12 }).primaryKey(),
    /** Why the last one was refused. */
    code: varchar({ length: 32 }).notNull(),
    uses: bigint({ mode: "bigint" }).notNull(),
    firstAt: utc().notNull(),
    lastAt: utc().notNull(),
  },
  (t) => [index("midctl_refused_use_last_idx").on(t.lastAt)],
);

/** Database roles that were given roles of ours (db/rights.ts). */
export const grant = pgTable(
  "midctl_grant",
  {
    name: varchar({ length: 63 }).primaryKey(),
    /** Its oid, by which one that was renamed is found. */
    role: oid().notNull(),
    roles: jsonb().notNull(),
    /** The rights that this added to those it had: what is to be taken away again. */
    added: jsonb().notNull(),
  },
  (_t) => [
    check("midctl_grant_roles_check", sql`jsonb_typeof("roles") = 'array'`),
    check("midctl_grant_added_check", sql`jsonb_typeof("added") = 'array'`),
  ],
);
