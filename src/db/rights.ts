/**
 * What each of our roles may do in the database, and no more. Rights are given to database roles that exist; guards hold for
 * whoever has them.
 */

/**
 * `verifier` decides on tokens and cannot read a hash; `auditor` reads everything but hashes; `operator` does what the commands do
 * and touches neither guards, log nor environment; `migrator` is a member of the role that owns the schema.
 */
export const ROLES = ["operator", "verifier", "auditor", "migrator"] as const;
export type Role = (typeof ROLES)[number];

/** One privilege on one object, or on one column of it. */
export interface Right {
  readonly kind: "schema" | "table" | "sequence" | "function" | "policy" | "membership";
  /** A name that needs no quotes; of a sequence, the table that it counts for; of a policy, its table, and the privilege is its command. */
  readonly object: string;
  readonly privilege: string;
  readonly column: string | null;
}

const CREDENTIAL = [
  ...["id", "publicId", "machineIdentityId", "name", "status", "version", "scopes", "adopted", "replacesId"],
  ...["replacedBy", "graceSeconds", "issuedAt", "issuedBy", "activationDeadline", "activatedAt", "expiresAt"],
  ...["supersededAt", "graceUntil", "pausedAt", "resumedAt", "revokedAt", "abandonedAt"],
];
const TOKEN = [
  ...[
    "id",
    "publicId",
    "workspaceId",
    "name",
    "tokenPrefix",
    "scopes",
    "createdBy",
    "createdAt",
    "expiresAt",
  ],
  ...["lastUsedAt", "revokedAt", "machineIdentityId"],
];
const EVENT = [
  ...["id", "publicId", "workspaceId", "agentTokenId", "action", "entityType", "entityId", "metadata"],
  ...["createdAt", "machineIdentityId"],
];

/** Tables that a host may have had first, with row-level security of its own. */
export const SHARED_TABLES = [
  "agent_token",
  "agent_audit_event",
  "machine_identity",
  "machine_identity_credential",
];
/** Those whose rows are numbered, and which somebody of ours may write. */
export const NUMBERED_TABLES = [
  ...SHARED_TABLES,
  "midctl_approval",
  "midctl_approval_vote",
  "midctl_campaign",
];
export const TABLES = [
  ...SHARED_TABLES,
  "midctl_approval",
  "midctl_approval_line",
  "midctl_approval_vote",
  "midctl_campaign",
  "midctl_campaign_target",
  "midctl_environment",
  "midctl_event_seal",
  "midctl_event_unsealed",
  "midctl_grant",
  "midctl_identity_label",
  "midctl_log",
  "midctl_log_evidence",
  "midctl_log_head",
  "midctl_log_queue",
  "midctl_log_tile",
  "midctl_migration",
  "midctl_plan",
  "midctl_refused_use",
  "midctl_verifier",
];
/** Those that not everybody may call. */
export const FUNCTIONS = [
  "midctl_activate(text, text)",
  "midctl_end_legacy(text)",
  "midctl_is_workspace(text)",
  "midctl_match(text[], text[])",
  "midctl_match_legacy(text[])",
  "midctl_note_anchored(text, bigint, bigint, bytea)",
  "midctl_note_verified(text, bigint, bigint, bigint, bytea, bigint, bytea, bytea[])",
  "midctl_note_uses(text[])",
  "midctl_revoke_legacy(text)",
  "midctl_seal_events(integer)",
  "midctl_workspace_id(text)",
  "midctl_workspace_public_id(bigint)",
  "midctl_workspace_slug(bigint)",
];

const on = (privilege: string, ...tables: string[]): Right[] =>
  tables.map((object) => ({ kind: "table", object, privilege, column: null }));
const onColumns = (privilege: string, object: string, columns: readonly string[]): Right[] =>
  columns.map((column) => ({ kind: "table", object, privilege, column }));
const call = (...names: string[]): Right[] =>
  FUNCTIONS.filter((name) => names.some((one) => name.startsWith(`${one}(`))).map((object) => ({
    kind: "function",
    object,
    privilege: "EXECUTE",
    column: null,
  }));
const count = (...tables: string[]): Right[] =>
  tables.map((object) => ({ kind: "sequence", object, privilege: "USAGE", column: null }));

/** All but hashes and the log. */
const READING = [
  { kind: "schema", object: "", privilege: "USAGE", column: null } as const,
  ...on("SELECT", "machine_identity", "midctl_identity_label", "midctl_environment", "midctl_log_head"),
  ...on("SELECT", "midctl_migration", "midctl_grant", "midctl_verifier", "midctl_refused_use"),
  ...on("SELECT", "midctl_approval", "midctl_approval_line", "midctl_approval_vote"),
  ...on("SELECT", "midctl_campaign", "midctl_campaign_target", "midctl_event_unsealed"),
  ...on("SELECT", "midctl_log_evidence"),
  ...onColumns("SELECT", "midctl_plan", ["digest", "plan"]),
  ...onColumns("SELECT", "machine_identity_credential", CREDENTIAL),
  ...onColumns("SELECT", "agent_token", TOKEN),
  ...onColumns("SELECT", "agent_audit_event", EVENT),
  ...call(
    "midctl_note_anchored",
    "midctl_workspace_slug",
    "midctl_workspace_id",
    "midctl_workspace_public_id",
  ),
];
/** What was found in the log is noted by whoever reads it. */
const VERIFYING = call("midctl_is_workspace", "midctl_note_verified");
/** Whether a token is known, to whoever has it: no hash comes out, and what else does is read by all of us. */
const KNOWING = call("midctl_match", "midctl_match_legacy");
const DECIDING = [...KNOWING, ...call("midctl_activate", "midctl_note_uses", "midctl_seal_events")];

const RIGHTS: Readonly<Record<Role, readonly Right[]>> = {
  auditor: [
    ...READING,
    ...VERIFYING,
    // To trace a token that turned up.
    ...KNOWING,
    ...on("SELECT", "midctl_log", "midctl_log_tile", "midctl_log_queue", "midctl_event_seal"),
  ],
  verifier: [
    ...READING,
    ...DECIDING,
    // To find that the log goes on from a head that it saw.
    ...on("SELECT", "midctl_log_tile"),
    ...on("INSERT", "midctl_verifier", "midctl_refused_use"),
    ...on("UPDATE", "midctl_verifier", "midctl_refused_use"),
    ...on("DELETE", "midctl_verifier"),
  ],
  operator: [
    ...READING,
    ...VERIFYING,
    ...DECIDING,
    ...call("midctl_revoke_legacy", "midctl_end_legacy"),
    ...on(
      "SELECT",
      "midctl_log",
      "midctl_log_tile",
      "midctl_event_seal",
      "machine_identity_credential",
      "agent_token",
      "midctl_plan",
    ),
    ...on("INSERT", "machine_identity", "machine_identity_credential", "agent_token"),
    ...on("INSERT", "midctl_plan", "midctl_approval", "midctl_approval_vote"),
    ...on("INSERT", "midctl_campaign", "midctl_campaign_target"),
    ...onColumns("UPDATE", "midctl_approval", ["status"]),
    ...onColumns("UPDATE", "midctl_campaign", ["status", "problem"]),
    ...onColumns("UPDATE", "midctl_campaign_target", ["state", "successor", "problem"]),
    ...onColumns("UPDATE", "midctl_approval_line", ["outcome"]),
    ...onColumns("UPDATE", "machine_identity", [
      "status",
      "displayName",
      "owner",
      "labels",
      "expiresAt",
      "idleTtl",
    ]),
    ...onColumns("UPDATE", "machine_identity_credential", ["status", "replacedBy", "expiresAt"]),
    ...onColumns("UPDATE", "agent_token", ["machineIdentityId"]),
    ...count("machine_identity", "machine_identity_credential", "agent_token"),
    ...count("midctl_approval", "midctl_approval_vote", "midctl_campaign"),
    // Who waits until verifiers have let go takes the lease of one that is dead.
    ...on("DELETE", "midctl_verifier"),
  ],
  migrator: [{ kind: "membership", object: "", privilege: "MEMBER", column: null }],
};

/** What these roles together may do; each right once, and none on a column where there is one on its table. */
export function rightsOf(roles: readonly Role[]): Right[] {
  const all = new Map(roles.flatMap((role) => RIGHTS[role]).map((right) => [keyOf(right), right]));
  return [...all.values()].filter(
    (right) => right.column === null || !all.has(keyOf({ ...right, column: null })),
  );
}

export function keyOf({ kind, object, privilege, column }: Right): string {
  return [kind, object, privilege, column ?? ""].join("|");
}
