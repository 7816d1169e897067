import { createHash, randomBytes } from "node:crypto";
import { runSql } from "./databases.ts";

/** A token as a host made it before there were identities: its secret, and `at_…`. */
export async function legacyToken(url: string, name: string): Promise<{ token: string; ref: string }> {
  const token = `kan_${randomBytes(12).toString("hex")}`;
  const publicId = randomBytes(6).toString("hex");
  const hash = createHash("sha256").update(token).digest("hex");
  await runSql(
    url,
    `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash") VALUES ($1, $2, 'kan', $3)`,
    [publicId, name, hash],
  );
  return { token, ref: `at_${publicId}` };
}
