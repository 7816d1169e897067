/** The shapes that several commands' JSON documents are made of (SPEC, appendix). */
import * as z from "zod/mini";
import { EVIDENCE_AGAINST } from "../domain/evidence.ts";
import { EVIDENCE_KINDS } from "../repository/evidence.ts";

const instant = z.nullable(z.string());

export const effectiveStatusSchema = z.enum([
  "active",
  "grace",
  "pending",
  "paused",
  "identity_paused",
  "superseded",
  "expired",
  "abandoned",
  "revoked",
  "identity_revoked",
]);

export const identitySchema = z.object({
  slug: z.string(),
  publicId: z.string(),
  kind: z.enum(["service", "thread"]),
  provider: z.nullable(z.string()),
  threadId: z.nullable(z.string()),
  displayName: z.string(),
  owner: z.string(),
  labels: z.record(z.string(), z.string()),
  parent: z.nullable(z.string()),
  workspace: z.nullable(z.string()),
  status: z.enum(["active", "paused", "revoked"]),
  effectiveStatus: effectiveStatusSchema,
  expiresAt: instant,
  idleTtl: z.nullable(z.number()),
  createdAt: z.string(),
  createdBy: z.nullable(z.string()),
  lastUsedAt: instant,
  pausedAt: instant,
  revokedAt: instant,
  version: z.number(),
});
export type IdentityDocument = z.infer<typeof identitySchema>;

export const credentialSchema = z.object({
  id: z.string(),
  identity: z.string(),
  name: z.string(),
  status: z.enum(["pending", "active", "paused", "superseded", "revoked", "abandoned"]),
  effectiveStatus: effectiveStatusSchema,
  scopes: z.readonly(z.array(z.string())),
  issuedAt: z.string(),
  issuedBy: z.nullable(z.string()),
  activatedAt: instant,
  activationDeadline: instant,
  expiresAt: instant,
  graceUntil: instant,
  pausedAt: instant,
  revokedAt: instant,
  replaces: z.nullable(z.string()),
  lastUsedAt: instant,
  adopted: z.boolean(),
  version: z.number(),
});
export type CredentialDocument = z.infer<typeof credentialSchema>;

export const eventSchema = z.object({
  id: z.string(),
  index: z.nullable(z.number()),
  at: z.string(),
  action: z.string(),
  actor: z.object({
    kind: z.nullable(z.string()),
    name: z.nullable(z.string()),
    sessionUser: z.nullable(z.string()),
  }),
  machineIdentity: z.nullable(z.object({ slug: z.string(), displayName: z.string() })),
  credential: z.nullable(z.string()),
  reason: z.nullable(z.string()),
  approval: z.nullable(z.string()),
  /** Of what is longer than 1 MiB, how many bytes it has: `leftOut`, in the place of what is said in it. */
  details: z.record(z.string(), z.unknown()),
});
export type EventDocument = z.infer<typeof eventSchema>;

export const environmentSchema = z.object({
  name: z.string(),
  named: z.boolean(),
  kind: z.enum(["live", "test"]),
  protected: z.boolean(),
  databaseId: z.string(),
  movedTo: z.nullable(z.string()),
});

const evidenceSchema = z.object({
  what: z.enum(EVIDENCE_KINDS),
  against: z.enum(EVIDENCE_AGAINST),
  /** null for a time that is none. */
  at: z.nullable(z.string()),
  /** The first entry that was read. */
  from: z.number(),
  /** How many entries the log had. */
  size: z.number(),
  /** How many of them something from elsewhere was compared with, from the first on. */
  compared: z.number(),
  /** Hex, of the tree over them. */
  root: z.string(),
  /** How many things were found to be wrong. */
  found: z.number(),
  /** The database role. */
  by: z.string(),
});

/** When the log was last verified, against something from elsewhere if it ever was, and its head last kept elsewhere. */
export const witnessedSchema = z.object({
  /** How many entries the log has. */
  size: z.number(),
  verified: z.nullable(evidenceSchema),
  anchored: z.nullable(evidenceSchema),
  /** What was found to be wrong, and stands until a comparison as good has found nothing. */
  found: z.readonly(z.array(evidenceSchema)),
});

export const serverSchema = z.object({
  version: z.string(),
  versionNumber: z.number(),
  database: z.string(),
  sessionUser: z.string(),
  superuser: z.boolean(),
  standby: z.boolean(),
  readOnly: z.boolean(),
  fsync: z.boolean(),
  timeZone: z.string(),
  clock: z.number(),
  size: z.number(),
});

/** How the verifiers let go of what a change ended (SPEC §8). */
export const letGoSchema = z.object({
  verifiers: z.number(),
  acknowledged: z.number(),
  expired: z.number(),
  ms: z.number(),
});
