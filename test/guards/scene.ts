import { createHash } from "node:crypto";
import type { OwnTx, Param } from "../../src/db/database.ts";
import { readSqlState } from "../../src/db/failure.ts";

/**
 * SQL for the guard tests, as somebody with a psql prompt would write it. Values are SQL expressions, so that a test
 * can say `midctl_now() + interval '1 hour'`.
 */
type Columns = Readonly<Record<string, string>>;

/** What stands where a credential's hash stands: made from its public id, so that tests need not keep it. */
export function hashOf(publicId: string): string {
  return createHash("sha256").update(publicId).digest("hex");
}

/** INSERT of a machine identity; its public id is its slug's hash. */
export function identity(slug: string, columns: Columns = {}): string {
  return insert("machine_identity", {
    publicId: text(hashOf(slug).slice(0, 12)),
    slug: text(slug),
    displayName: text(slug),
    kind: "'service'",
    owner: "'somebody'",
    ...columns,
  });
}

/** INSERT of a credential, which on its own does not commit: it has no token. */
export function credential(publicId: string, slug: string, columns: Columns = {}): string {
  return insert("machine_identity_credential", {
    publicId: text(publicId),
    machineIdentityId: idOf(slug),
    tokenHash: text(hashOf(publicId)),
    activationDeadline: "midctl_now() + interval '1 day'",
    expiresAt: "midctl_now() + interval '90 days'",
    ...columns,
  });
}

/** INSERT of the token that repeats a credential. */
export function token(publicId: string, columns: Columns = {}): string {
  const values = {
    publicId: `c."publicId"`,
    name: "'a token'",
    tokenPrefix: "'mid_test'",
    tokenHash: `c."tokenHash"`,
    scopes: "c.scopes",
    expiresAt: `c."expiresAt"`,
    machineIdentityId: `c."machineIdentityId"`,
    workspaceId: `(SELECT i."workspaceId" FROM machine_identity i WHERE i.id = c."machineIdentityId")`,
    ...columns,
  };
  return `INSERT INTO agent_token (${names(values)}) SELECT ${Object.values(values).join(", ")}
    FROM machine_identity_credential c WHERE c."publicId" = ${text(publicId)}`;
}

/** Both, which is what issuing is. */
export function issue(publicId: string, slug: string, columns: Columns = {}): string {
  return `${credential(publicId, slug, columns)}; ${token(publicId)}`;
}

/** INSERT of a legacy token. */
export function legacyToken(publicId: string, columns: Columns = {}): string {
  return insert("agent_token", {
    publicId: text(publicId),
    name: "'legacy'",
    tokenPrefix: "'kanagent_9b1f'",
    tokenHash: text(hashOf(publicId)),
    ...columns,
  });
}

export function insert(table: string, columns: Columns): string {
  return `INSERT INTO ${table} (${names(columns)}) VALUES (${Object.values(columns).join(", ")})`;
}

/** UPDATE of one credential: `set("aaaaaaaaaaaa", "status = 'active'")`. */
export function set(publicId: string, assignment: string): string {
  return `UPDATE machine_identity_credential SET ${assignment} WHERE "publicId" = ${text(publicId)}`;
}

export function setIdentity(slug: string, assignment: string): string {
  return `UPDATE machine_identity SET ${assignment} WHERE slug = ${text(slug)}`;
}

export function setToken(publicId: string, assignment: string): string {
  return `UPDATE agent_token SET ${assignment} WHERE "publicId" = ${text(publicId)}`;
}

/** The id behind a slug, as a subquery. */
export function idOf(slug: string): string {
  return `(SELECT id FROM machine_identity WHERE slug = ${text(slug)})`;
}

export function credentialId(publicId: string): string {
  return `(SELECT id FROM machine_identity_credential WHERE "publicId" = ${text(publicId)})`;
}

/** From here to the end of the transaction it is so much later. Needs `installClock`. */
export function later(interval: string): string {
  return `SELECT set_config('test.shift', ${text(interval)}, true)`;
}

/**
 * Puts a clock in place of the database's that a test can set (`test.now`) and shift (`test.shift`): the guards stay
 * as they are and nobody has to sleep.
 */
export async function installClock(tx: OwnTx): Promise<void> {
  await tx.script(`CREATE OR REPLACE FUNCTION midctl_now() RETURNS timestamp LANGUAGE sql VOLATILE AS $$
    SELECT date_trunc('milliseconds', coalesce(nullif(current_setting('test.now', true), '')::timestamp, clock_timestamp() AT TIME ZONE 'UTC'))
         + coalesce(nullif(current_setting('test.shift', true), ''), '0')::interval $$`);
}

/**
 * A database with one of everything, under the identity `svc`: credentials named after the state they are in
 * (`active`, `pending`, `paused`, `rotated` with one in grace and its successor, `revoked`, `abandoned`), a child, and
 * identities that are paused, revoked, or end within a day.
 */
export const WORLD = [
  identity("svc", {
    labels: `'{"team":"core"}'`,
    expiresAt: "midctl_now() + interval '200 days'",
    idleTtl: "864000000",
  }),
  identity("child", { parentId: idOf("svc") }),
  identity("still"),
  identity("gone"),
  identity("brief", { expiresAt: "midctl_now() + interval '1 day'" }),
  identity("bare"),
  identity("codex-1", { kind: "'thread'", provider: "'codex'", threadId: "'1'" }),
  issue("pending00001", "svc", { name: "'pending'" }),
  issue("active000001", "svc", { name: "'active'", scopes: `'["cards:read"]'`, issuedBy: "'me'" }),
  set("active000001", "status = 'active'"),
  issue("paused000001", "svc", { name: "'paused'" }),
  set("paused000001", "status = 'active'"),
  set("paused000001", "status = 'paused'"),
  issue("grace0000001", "svc", { name: "'rotated'" }),
  set("grace0000001", "status = 'active'"),
  issue("successor001", "svc", {
    name: "'rotated'",
    replacesId: credentialId("grace0000001"),
    graceSeconds: "3600",
  }),
  set("successor001", "status = 'active'"),
  issue("revoked00001", "svc", { name: "'revoked'" }),
  set("revoked00001", "status = 'revoked'"),
  issue("abandoned001", "svc", { name: "'abandoned'" }),
  set("abandoned001", `status = 'abandoned', "replacedBy" = 'instead00001'`),
  issue("instead00001", "svc", { name: "'abandoned'" }),
  set("instead00001", "status = 'revoked'"),
  issue("stillpending", "still"),
  setIdentity("still", "status = 'paused'"),
  issue("gonecred0001", "gone"),
  setIdentity("gone", "status = 'revoked'"),
  issue("briefpending", "brief"),
  legacyToken("legacy000001", { scopes: `'["cards:read"]'` }),
  insert("agent_audit_event", {
    publicId: "'event0000001'",
    agentTokenId: `(SELECT id FROM agent_token WHERE "publicId" = 'active000001')`,
    action: "'card.move'",
  }),
  insert("agent_audit_event", {
    publicId: "'event0000002'",
    agentTokenId: `(SELECT id FROM agent_token WHERE "publicId" = 'legacy000001')`,
    action: "'card.move'",
  }),
].join(";\n");

/** Every row that a guard protects, as text. */
export async function readEverything(tx: { query: OwnTx["query"] }): Promise<string[]> {
  const tables = [
    "machine_identity",
    "machine_identity_credential",
    "agent_token",
    "agent_audit_event",
    "midctl_event_seal",
    "midctl_event_unsealed",
    "midctl_identity_label",
    "midctl_environment",
    "midctl_log",
    "midctl_log_head",
    "midctl_log_queue",
    "midctl_plan",
    "midctl_approval",
    "midctl_approval_line",
    "midctl_approval_vote",
  ];
  const parts = tables.map((table) => `SELECT '${table} ' || t::text AS row FROM public.${table} t`);
  const rows = await tx.query<{ row: string }>(`${parts.join(" UNION ALL ")} ORDER BY 1`);
  return rows.map(({ row }) => row);
}

/** How a statement was refused. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
}

/** Runs statements to where COMMIT would stand, and takes them back if they were refused; null where they were not. */
export async function attempt(tx: OwnTx, statements: string): Promise<Refusal | null> {
  await tx.script("SAVEPOINT attempt");
  try {
    await tx.script(`${statements};\nSET CONSTRAINTS ALL IMMEDIATE`);
    return null;
  } catch (error) {
    await tx.script("ROLLBACK TO attempt");
    const cause = (error as { cause?: unknown }).cause;
    return {
      code: readSqlState(error) ?? "?",
      message: cause instanceof Error ? cause.message : (error as Error).message,
    };
  }
}

/** Runs `work` in a transaction that is rolled back, whatever comes of it. */
export async function rehearse<T>(
  db: { transaction<R>(work: (tx: OwnTx) => Promise<R>): Promise<R> },
  work: (tx: OwnTx) => Promise<T>,
): Promise<T> {
  const rollback = new Error("rolled back on purpose");
  let result: { value: T } | undefined;
  await db
    .transaction(async (tx) => {
      result = { value: await work(tx) };
      throw rollback;
    })
    .catch((error: unknown) => {
      if (error !== rollback) throw error;
    });
  if (result === undefined) throw new Error("nothing was rehearsed");
  return result.value;
}

/** One value of one row. */
export async function readValue<T>(
  tx: { query: OwnTx["query"] },
  text: string,
  params: Param[] = [],
): Promise<T> {
  const [row] = await tx.query<Record<string, T>>(text, params);
  if (row === undefined) throw new Error(`no row: ${text}`);
  return Object.values(row)[0] as T;
}

function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

function names(columns: Columns): string {
  return Object.keys(columns)
    .map((name) => `"${name}"`)
    .join(", ");
}
