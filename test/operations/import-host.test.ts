import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openSpool } from "../../src/cli/spool.ts";
import { createPublicId, createToken } from "../../src/domain/token.ts";
import type { Request } from "../../src/operations/change.ts";
import { importIdentities } from "../../src/operations/identity-import.ts";
import { ImportFile, type ImportLine } from "../../src/operations/import-file.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { createKan } from "./kan-tokens.ts";

const ALICE: Request = { actor: { kind: "operator", name: "alice" }, reason: "fleet" };

/** A line of a thread with a credential, in a workspace. */
function lineOf(line: number, workspace: string | null): ImportLine {
  const threadId = `t${line}`;
  return {
    line,
    spec: {
      ...{ slug: `codex-${threadId}`, kind: "thread", provider: "codex", threadId, owner: "platform" },
      ...{ displayName: null, labels: null, parent: null, workspace, expiresIn: null, idleTtl: null },
      publicId: createPublicId(randomBytes),
    },
    credential: {
      ...{ secret: createToken("test", randomBytes), name: "default", scopes: ["cards:*"] },
      ...{ expiresIn: 3600, activateWithin: 600 },
    },
  };
}

function fileOf(...lines: ImportLine[]): ImportFile {
  const file = new ImportFile(openSpool());
  for (const line of lines) file.add(line);
  file.seal();
  return file;
}

/** Where a host has workspaces, each identity belongs to one, and so does its token. */
describe.each(databases())("importing into a host with workspaces on $name", (factory) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createKan(factory);
  });
  afterAll(() => database?.dispose());

  const load = (...lines: ImportLine[]) =>
    importIdentities(database.db, ALICE, fileOf(...lines), { ifNotExists: false, keepGoing: false });

  test("each identity and its token are of the line's workspace", async () => {
    await load(lineOf(1, "one"), lineOf(2, "two"));

    const rows = await database.db.query(
      `SELECT i.slug, w.slug AS workspace, t."workspaceId" = i."workspaceId" AS same
         FROM machine_identity i JOIN workspace w ON w.id = i."workspaceId" JOIN agent_token t ON t."machineIdentityId" = i.id
        WHERE i.slug IN ('codex-t1', 'codex-t2') ORDER BY i.slug`,
    );
    expect(rows).toEqual([
      { slug: "codex-t1", workspace: "one", same: true },
      { slug: "codex-t2", workspace: "two", same: true },
    ]);
  });

  test.each([
    ["names none", null],
    ["names one that there is not", "nowhere"],
  ])("a line that %s is named, and nothing is imported", async (_, workspace) => {
    const loading = load(lineOf(3, "one"), lineOf(4, workspace));

    await expect(loading).rejects.toMatchObject({ details: { failed: [{ line: 4 }] } });
    expect(await database.db.query(`SELECT FROM machine_identity WHERE slug = 'codex-t3'`)).toEqual([]);
  });
});
