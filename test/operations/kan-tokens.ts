import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Database } from "../../src/db/database.ts";
import { migrate } from "../../src/db/migrate.ts";
import type { DatabaseFactory, TestDatabase } from "../support/databases.ts";

const KAN = readFileSync(new URL("../guards/kan.sql", import.meta.url), "utf8");

/** A host's database as it was before machine identities, brought to the present schema. */
export async function createKan(factory: DatabaseFactory): Promise<TestDatabase> {
  const database = await factory.createBare();
  await database.db.transaction((tx) => tx.script(KAN));
  await migrate(database.db);
  return database;
}

/** What a host's row says beside its public id, as SQL. */
export type TokenColumns = Readonly<Record<string, string>>;

/** The secret of a token that `insertToken` made. */
export const secretOf = (publicId: string): string => `kanagent_${publicId}`;

/** A token as the host application makes it, in workspace `one`; returns its public id. */
export async function insertToken(
  db: Database,
  publicId: string,
  columns: TokenColumns = {},
): Promise<string> {
  const values: TokenColumns = {
    workspaceId: "1",
    name: "'old bot'",
    scopes: `'["cards:read"]'`,
    createdBy: "NULL",
    ...columns,
  };
  await db.query(
    `INSERT INTO agent_token ("publicId", "tokenPrefix", "tokenHash", ${Object.keys(values)
      .map((name) => `"${name}"`)
      .join(", ")}) VALUES ($1, 'kanagent', $2, ${Object.values(values).join(", ")})`,
    [publicId, createHash("sha256").update(secretOf(publicId)).digest("hex")],
  );
  return publicId;
}

/** Gives a token a machine identity and no credential, as a host with identities of its own had it. */
export async function giveIdentity(db: Database, publicId: string, slug: string): Promise<void> {
  await db.transaction((tx) =>
    tx.script(`ALTER TABLE agent_token DISABLE TRIGGER midctl_10_change;
      UPDATE agent_token SET "machineIdentityId" = (SELECT id FROM machine_identity WHERE slug = '${slug}') WHERE "publicId" = '${publicId}';
      ALTER TABLE agent_token ENABLE ALWAYS TRIGGER midctl_10_change`),
  );
}
