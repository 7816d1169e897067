/** What narrows the reach of database roles and workspaces. */
import type { Tx } from "../db/database.ts";

/** The roles that a database role was given by midctl. */
export async function readRolesOf(tx: Tx, name: string): Promise<readonly string[]> {
  const [row] = await tx.query<{ roles: readonly string[] }>(
    "SELECT g.roles FROM midctl_grant g WHERE g.name = $1",
    [name],
  );
  return row?.roles ?? [];
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
