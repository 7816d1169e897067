import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Sql } from "postgres";
import { hashToken, parseToken } from "../../src/domain/token.ts";

/** What must never be found, each as a sentence that names it. */
export interface Findings {
  readonly unreceived: string[];
  readonly halfMade: string[];
}

/**
 * Looks at the whole database past midctl: nothing usable whose secret we do not hold, nothing half-made.
 * @param tokens the secrets received, by public id
 */
export async function judgeDatabase(sql: Sql, tokens: ReadonlyMap<string, string>): Promise<Findings> {
  const rows = await sql<{ id: string; status: string; tokenHash: string }[]>`
    SELECT "publicId" AS id, status, "tokenHash" FROM machine_identity_credential`;
  const unreceived: string[] = [];
  const halfMade: string[] = [];
  for (const { id, status, tokenHash } of rows) {
    const token = tokens.get(id);
    if (token === undefined && !INERT.has(status))
      unreceived.push(`mc_${id} is ${status}, and nobody holds its secret`);
    if (token !== undefined && hashToken(token) !== tokenHash)
      halfMade.push(`mc_${id} does not have the hash of the token that was handed out`);
  }
  for (const { ref, wrong } of await findHalfMade(sql)) halfMade.push(`${ref} ${wrong}`);
  return { unreceived, halfMade };
}

/** Statuses in which a secret opens nothing, and from which no command brings it back without the secret. */
const INERT = new Set(["pending", "revoked", "abandoned"]);

function findHalfMade(sql: Sql): Promise<readonly { readonly ref: string; readonly wrong: string }[]> {
  return sql<{ ref: string; wrong: string }[]>`
    WITH births AS (SELECT "index", action, identity, credential FROM midctl_log WHERE action IN ('identity.create', 'credential.issue'))
    SELECT i.slug AS ref, 'is not in the log as created once' AS wrong FROM machine_identity i
     WHERE (SELECT count(*) FROM births b WHERE b.identity = i."publicId" AND b.action = 'identity.create') <> 1
    UNION ALL
    SELECT i.slug, 'came without its credential' FROM machine_identity i JOIN births b ON b.identity = i."publicId" AND b.action = 'identity.create'
     WHERE NOT EXISTS (SELECT FROM births n JOIN machine_identity_credential c ON c."publicId" = n.credential AND c."machineIdentityId" = i.id
                        WHERE n."index" = b."index" + 1 AND n.action = 'credential.issue')
    UNION ALL
    SELECT 'mc_' || c."publicId", 'is not in the log as issued once' FROM machine_identity_credential c
     WHERE (SELECT count(*) FROM births b WHERE b.credential = c."publicId") <> 1
    UNION ALL
    SELECT 'mc_' || b.credential, 'is in the log and nowhere else' FROM births b
     WHERE b.action = 'credential.issue' AND NOT EXISTS (SELECT FROM machine_identity_credential c WHERE c."publicId" = b.credential)
    UNION ALL
    SELECT 'mc_' || c."publicId", 'is ' || c.status || ', and the log does not say so' FROM machine_identity_credential c
     WHERE c.status <> 'pending' AND NOT EXISTS (
       SELECT FROM midctl_log l WHERE l.credential = c."publicId" AND l.action = ANY (CASE c.status
         WHEN 'active' THEN ARRAY['credential.activate', 'credential.resume'] WHEN 'paused' THEN ARRAY['credential.pause']
         WHEN 'superseded' THEN ARRAY['credential.supersede'] WHEN 'revoked' THEN ARRAY['credential.revoke'] ELSE ARRAY['credential.abandon'] END))
    UNION ALL
    SELECT 'mc_' || c."publicId", 'does not have exactly one token' FROM machine_identity_credential c
     WHERE (SELECT count(*) FROM agent_token t WHERE t."publicId" = c."publicId" AND t."tokenHash" = c."tokenHash"
                                                 AND t."machineIdentityId" = c."machineIdentityId") <> 1
    UNION ALL
    SELECT 'at_' || t."publicId", 'has no credential' FROM agent_token t
     WHERE NOT EXISTS (SELECT FROM machine_identity_credential c WHERE c."publicId" = t."publicId")
    UNION ALL
    SELECT i.slug || ' ' || c.name, 'has two ' || CASE c.status WHEN 'pending' THEN 'pending' ELSE 'current' END
      FROM machine_identity_credential c JOIN machine_identity i ON i.id = c."machineIdentityId"
     WHERE c.status IN ('pending', 'active', 'paused')
     GROUP BY i.slug, c.name, CASE c.status WHEN 'pending' THEN 'pending' ELSE 'current' END HAVING count(*) > 1
    UNION ALL
    SELECT 'the log''s queue', 'is not empty' FROM midctl_log_queue`;
}

/** Checks a log entry by entry, and goes on where it stopped. */
export class LogJudge {
  #next = 0n;

  /** Forgets what was checked: after a crash of the server everything is in doubt. */
  restart(): void {
    this.#next = 0n;
  }

  get checked(): number {
    return Number(this.#next);
  }

  async judge(sql: Sql): Promise<string[]> {
    const wrong: string[] = [];
    const from = this.#next.toString();
    const rows = await sql<{ index: string; entry: string; leafHash: Buffer }[]>`
      SELECT "index"::text, entry, "leafHash" FROM midctl_log WHERE "index" >= ${from}::bigint ORDER BY midctl_log."index"`;
    for (const { index, entry, leafHash } of rows) {
      if (BigInt(index) !== this.#next)
        wrong.push(`entry ${index} of the log comes where ${this.#next} belongs`);
      if (!createHash("sha256").update("\0").update(entry).digest().equals(leafHash))
        wrong.push(`entry ${index} of the log is not what its leaf hash says`);
      if ((JSON.parse(entry) as { index: number }).index !== Number(index))
        wrong.push(`entry ${index} of the log names another index`);
      this.#next = BigInt(index) + 1n;
    }
    const [head] = await sql<{ size: string }[]>`SELECT size::text FROM midctl_log_head`;
    if (head?.size !== String(this.#next))
      wrong.push(`the log's head says ${head?.size}, and there are ${this.#next} entries`);
    return wrong;
  }
}

/** What lies where token files go: whole, private tokens; what is wrong with the others. */
export function readTokenFiles(directory: string): { readonly tokens: string[]; readonly wrong: string[] } {
  const tokens: string[] = [];
  const wrong: string[] = [];
  for (const name of readdirSync(directory)) {
    // Written under a name of its own and then linked: what a kill leaves there was never given out.
    if (name.startsWith(".midctl-token-")) continue;
    const path = join(directory, name);
    const text = readFileSync(path, "latin1");
    const token = text.endsWith("\n") ? parseToken(text.slice(0, -1)) : null;
    if (token === null) wrong.push(`${name} exists and holds no whole token`);
    else tokens.push(token.text);
    const { mode } = lstatSync(path);
    if ((mode & 0o777) !== 0o600) wrong.push(`${name} has the mode ${(mode & 0o777).toString(8)}`);
  }
  return { tokens, wrong };
}
