import { randomBytes } from "node:crypto";
import type { Database } from "../../../src/db/database.ts";
import { canonicalText } from "../../../src/domain/canonical.ts";
import { createPublicId, createToken, type Token } from "../../../src/domain/token.ts";
import { APPROVAL_TABLES, type PlantedVote, withoutGuards } from "../../support/trust.ts";
import type { Court, Victim } from "./court.ts";

/** What the database's owner writes into rows, with the guards off. */

const TABLES = ["machine_identity", "machine_identity_credential", "agent_token", "midctl_environment"];

/** A statement and what stands for $1, $2, … in it. */
export type Statement = readonly [text: string, ...params: string[]];

/** Runs statements one by one, with every guard off. */
export async function sabotage(db: Database, ...statements: readonly Statement[]): Promise<void> {
  await withoutGuards(db, async () => {
    for (const [text, ...params] of statements) await db.query(text, params);
  }, [...TABLES, ...APPROVAL_TABLES]);
}

/** A secret of the attacker's own. @param publicId of somebody else's credential, to stand in its place */
export function makeThief(kind: "live" | "test" = "live", publicId?: string): Token {
  const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  return createToken(kind, (bytes) =>
    bytes === 16 && publicId !== undefined
      ? Buffer.from([...publicId.padEnd(16, "0")].map((digit) => digits.indexOf(digit)))
      : randomBytes(bytes),
  );
}

export interface Rows {
  readonly publicId: string;
  readonly hash: string;
  readonly slug: string;
  readonly identity: string;
  readonly scopes: readonly string[];
}

/** The rows of a token that looks as if it had been issued and used; its identity is made where there is none. */
export async function plantToken(db: Database, rows: Rows): Promise<void> {
  const { publicId, hash, slug, identity, scopes } = rows;
  await sabotage(
    db,
    [
      `INSERT INTO machine_identity (slug, "publicId", "displayName", kind, owner) VALUES ($1, $2, 'planted', 'service', 'mallory')
       ON CONFLICT (slug) DO NOTHING`,
      ...[slug, identity],
    ],
    [
      `INSERT INTO machine_identity_credential ("publicId", "machineIdentityId", name, status, "tokenHash", scopes, "activationDeadline", "activatedAt", "expiresAt")
       SELECT $2::text, i.id, 'planted-' || lower($2::text), 'active', $3::text, $4::text, now(), now(), now() + interval '80 days'
         FROM machine_identity i WHERE i.slug = $1`,
      ...[slug, publicId, hash, canonicalText([...scopes])],
    ],
    [
      `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", scopes, "machineIdentityId", "expiresAt")
       SELECT "publicId", 'planted', 'mid_live', "tokenHash", scopes, "machineIdentityId", "expiresAt"
         FROM machine_identity_credential WHERE "publicId" = $1`,
      publicId,
    ],
  );
}

/** Beside the victim's own, on the victim's identity. */
export async function plantBeside(court: Court, victim: Victim, thief: Token, scopes = victim.scopes) {
  const identity = victim.written.plan.lines[victim.line]?.identity?.publicId ?? "";
  await plantToken(court.db, {
    ...{ publicId: thief.publicId, hash: thief.hash },
    ...{ slug: victim.slug, identity, scopes },
  });
}

/** A token as a host made them, before machine identities. */
export async function plantLegacy(db: Database, hash: string): Promise<void> {
  await sabotage(db, [
    `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", scopes) VALUES ($1, 'old', 'kanagent', $2, '["*"]')`,
    ...[createPublicId(randomBytes), hash],
  ]);
}

/** Takes away what was planted as a plan. */
export async function uproot(db: Database, digest: string): Promise<void> {
  const of = `WHERE "approvalId" IN (SELECT id FROM midctl_approval WHERE digest = $1)`;
  await sabotage(
    db,
    [`DELETE FROM midctl_approval_vote ${of}`, digest],
    [`DELETE FROM midctl_approval_line ${of}`, digest],
    [`DELETE FROM midctl_approval WHERE digest = $1`, digest],
    [`DELETE FROM midctl_plan WHERE digest = $1`, digest],
  );
}

/** The votes that are kept under a plan. */
export async function readPlanted(db: Database, digest: string): Promise<PlantedVote[]> {
  return db.query<PlantedVote>(
    `SELECT v.kind, v.principal, v.signature FROM midctl_approval_vote v JOIN midctl_approval a ON a.id = v."approvalId" WHERE a.digest = $1`,
    [digest],
  );
}
