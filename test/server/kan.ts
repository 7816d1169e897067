import { createHash } from "node:crypto";
import type { Database } from "../../src/db/database.ts";

/** A token as a host with workspaces had it before machine identities. */
export async function insertLegacyInto(db: Database, workspace: string, publicId: string): Promise<string> {
  const token = `kanagent_${publicId}`;
  await db.query(
    `INSERT INTO agent_token ("publicId", "workspaceId", name, "tokenPrefix", "tokenHash")
     VALUES ($1, (SELECT id FROM workspace WHERE slug = $2), 'old bot', 'kanagent', $3)`,
    [publicId, workspace, createHash("sha256").update(token).digest("hex")],
  );
  return token;
}
