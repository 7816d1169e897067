/** Tokens to verify, with public ids that a script can count through: 000000000000, 000000000001, … */
import { randomBytes } from "node:crypto";
import { createToken } from "../../dist/lib/domain/token.js";

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

export const slugOf = (n) => `bench-${n}`;
const publicIdOf = (n) => String(n).padStart(12, "0");

/** A token of that public id with a fresh secret: the id is drawn from bytes that make it. */
export function createTokenOf(publicId) {
  const id = Uint8Array.from([...publicId], (digit) => BASE62.indexOf(digit));
  const drawn = (bytes) => Buffer.concat([id, Buffer.alloc(bytes - id.length)]);
  return createToken("test", (bytes) => (bytes === 16 ? drawn(bytes) : randomBytes(bytes)));
}

/** The guards judge row by row, which nobody needs here; verifying never meets them. */
const TABLES = ["machine_identity", "machine_identity_credential", "agent_token"];

/** Makes `count` identities with one active credential each, and returns their tokens. */
export async function makeTokens(db, count) {
  const tokens = Array.from({ length: count }, (_, n) => createTokenOf(publicIdOf(n)));
  const hashes = JSON.stringify(tokens.map(({ publicId, hash }) => ({ id: publicId, hash })));
  for (const table of TABLES) await db.query(`ALTER TABLE ${table} DISABLE TRIGGER ALL`);
  await db.query(
    `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner)
     SELECT lpad(n::text, 12, '0'), 'bench-' || n, 'bench-' || n, 'service', 'bench' FROM generate_series(0, ${count - 1}) n`,
  );
  await db.query(
    `INSERT INTO machine_identity_credential ("publicId", "machineIdentityId", "tokenHash", status, scopes, "activationDeadline", "expiresAt", "activatedAt")
     SELECT t.id, i.id, t.hash, 'active', '["cards:*"]', now() AT TIME ZONE 'UTC' + interval '1 day', now() AT TIME ZONE 'UTC' + interval '90 days', now() AT TIME ZONE 'UTC'
       FROM jsonb_to_recordset($1::jsonb) t(id text, hash text) JOIN machine_identity i ON i."publicId" = t.id`,
    [hashes],
  );
  await db.query(
    `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", scopes, "machineIdentityId")
     SELECT "publicId", name, 'mid_test', "tokenHash", scopes, "machineIdentityId" FROM machine_identity_credential`,
  );
  for (const table of TABLES) await db.query(`ALTER TABLE ${table} ENABLE TRIGGER ALL`);
  await db.query("VACUUM ANALYZE");
  return tokens.map(({ text }) => text);
}
