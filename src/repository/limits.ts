/** What narrows the reach of database roles and workspaces. */
import type { Tx } from "../db/database.ts";
import { IS_LIVE } from "./credential.ts";
import { LISTED } from "./given.ts";

/** The roles that a database role was given by midctl. */
export async function readRolesOf(tx: Tx, name: string): Promise<readonly string[]> {
  const [row] = await tx.query<{ roles: readonly string[] }>(
    "SELECT g.roles FROM midctl_grant g WHERE g.name = $1",
    [name],
  );
  return row?.roles ?? [];
}

/** Of legacy tokens, by their public ids, those that an identity has adopted and that work beyond a moment (RFC 3339). */
export async function readAdoptedBeyond(
  tx: Tx,
  tokens: readonly string[],
  endsAt: string,
): Promise<readonly string[]> {
  const rows = await tx.query<{ publicId: string }>(
    `SELECT c."publicId" FROM machine_identity_credential c
      WHERE c."publicId" = ANY (${LISTED}) AND c.adopted AND ${IS_LIVE}
        AND coalesce(c."expiresAt" > $2::text::timestamptz AT TIME ZONE 'UTC', true) ORDER BY c.id`,
    [JSON.stringify(tokens), endsAt],
  );
  return rows.map(({ publicId }) => publicId);
}

/** The legacy tokens in force of a host's workspace, by its public id: at most a hundred of their own. */
export async function readLiveTokensOf(tx: Tx, workspace: string): Promise<readonly string[]> {
  const rows = await tx.query<{ publicId: string }>(
    `SELECT t."publicId" FROM agent_token t
      WHERE t."machineIdentityId" IS NULL AND t."revokedAt" IS NULL AND coalesce(t."expiresAt" > midctl_now(), true)
        AND t."workspaceId" IS NOT NULL AND midctl_workspace_public_id(t."workspaceId") = $1
      ORDER BY t.id LIMIT 100`,
    [workspace],
  );
  return rows.map(({ publicId }) => publicId);
}
