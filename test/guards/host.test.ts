import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { OwnTx } from "../../src/db/database.ts";
import { migrate } from "../../src/db/migrate.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import {
  attempt,
  credential,
  hashOf,
  identity,
  idOf,
  insert,
  installClock,
  issue,
  legacyToken,
  readEverything,
  readValue,
  rehearse,
  set,
  setIdentity,
  setToken,
  token,
} from "./scene.ts";

const KAN = readFileSync(new URL("kan.sql", import.meta.url), "utf8");
const ADA = "'00000000-0000-4000-8000-00000000000a'";

/** Tokens and events of our identities in workspace 1, beside those that the host had. */
const OURS = [
  identity("svc", { workspaceId: "1" }),
  identity("child", { workspaceId: "1", parentId: idOf("svc") }),
  identity("elsewhere", { workspaceId: "2" }),
  issue("active000001", "svc"),
  set("active000001", "status = 'active'"),
  issue("pending00001", "svc", { name: "'pending'" }),
  issue("childs000001", "child"),
  issue("others000001", "elsewhere"),
  insert("agent_audit_event", {
    publicId: "'event0000001'",
    workspaceId: "1",
    agentTokenId: `(SELECT id FROM agent_token WHERE "publicId" = 'active000001')`,
    action: "'card.move'",
  }),
].join(";\n");

/** SPEC §3: the host application keeps its rights on its own rows. */
describe.each(databases())("in a host's database on $name", (factory) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await factory.createBare();
    await database.db.transaction((tx) => tx.script(KAN));
    await migrate(database.db);
    await database.db.transaction(async (tx) => {
      await installClock(tx);
      await tx.script(OURS);
    });
  });
  afterAll(() => database?.dispose());

  function rehearsal(title: string, work: (tx: OwnTx) => Promise<void>): void {
    test(title, () => rehearse(database.db, work));
  }

  describe("the host may", () => {
    test.each([
      ["create a legacy token", legacyToken("legacynew001", { workspaceId: "1" })],
      [
        "change everything of a legacy token",
        setToken(
          "legacyopen01",
          `name = 'x', scopes = '["*"]', "tokenHash" = repeat('9f', 32), "expiresAt" = now(), "publicId" = 'legacyrenam1', "workspaceId" = 2`,
        ),
      ],
      [
        "revoke a legacy token and take it back",
        `${setToken("legacyopen01", '"revokedAt" = now()')}; ${setToken("legacyopen01", '"revokedAt" = NULL')}`,
      ],
      ["delete a legacy token", `DELETE FROM agent_token WHERE "publicId" = 'legacyopen01'`],
      ["note when a token of ours was used", setToken("active000001", '"lastUsedAt" = now()')],
      ["revoke a token of ours", setToken("active000001", '"revokedAt" = now()')],
      [
        "write and delete events",
        `${insert("agent_audit_event", { publicId: "'event0000002'", workspaceId: "1", action: "'x'" })}; DELETE FROM agent_audit_event`,
      ],
      ["delete a user", `DELETE FROM "user"`],
      ["delete a workspace", "DELETE FROM workspace WHERE id = 1"],
      ["delete all workspaces at once", "DELETE FROM workspace"],
      ["rename a workspace", "UPDATE workspace SET slug = 'renamed' WHERE id = 1"],
    ])("%s", async (_, sql) => {
      await rehearse(database.db, async (tx) => expect(await attempt(tx, sql)).toBeNull());
    });
  });

  describe("the host may not", () => {
    test.each([
      ["delete a token of ours", `DELETE FROM agent_token WHERE "publicId" = 'active000001'`, "MC003"],
      [
        "delete all tokens of a workspace that stays",
        `DELETE FROM agent_token WHERE "workspaceId" = 1`,
        "MC003",
      ],
      ["move a token of ours to another workspace", setToken("active000001", '"workspaceId" = 2'), "MC003"],
      [
        "take an identity out of a workspace that is there",
        setIdentity("svc", '"workspaceId" = NULL'),
        "MC003",
      ],
      [
        "take a revoked identity out of it",
        setIdentity("svc", `status = 'revoked', "workspaceId" = NULL`),
        "MC003",
      ],
      ["move an identity to another workspace", setIdentity("svc", '"workspaceId" = 2'), "MC003"],
      [
        "create an identity in a workspace that is not there",
        identity("new", { workspaceId: "99" }),
        "MC003",
      ],
      [
        "issue a token in another workspace than its identity's",
        `${credential("new000000001", "svc", { name: "'new'" })}; ${token("new000000001", { workspaceId: "2" })}`,
        "MC003",
      ],
      [
        "adopt a legacy token of another workspace",
        `${credential("legacyother1", "svc", { ...adoption("3c"), name: "'legacy'" })}`,
        "MC003",
      ],
      ["truncate the workspaces", "TRUNCATE workspace CASCADE", "MC003"],
      ["truncate the users", `TRUNCATE "user" CASCADE`, "MC003"],
      ["truncate the tokens", "TRUNCATE agent_token CASCADE", "MC003"],
      [
        "reuse the public id of a credential whose token went",
        `DELETE FROM workspace WHERE id = 1; ${legacyToken("active000001", { workspaceId: "2", tokenHash: `'${hashOf("x")}'` })}`,
        "MC002",
      ],
      [
        "reuse its hash",
        `DELETE FROM workspace WHERE id = 1; ${legacyToken("legacynew001", { workspaceId: "2", tokenHash: `'${hashOf("active000001")}'` })}`,
        "MC002",
      ],
    ])("%s", async (_, sql, code) => {
      await rehearse(database.db, async (tx) => {
        const before = await readEverything(tx);

        expect(await attempt(tx, sql)).toMatchObject({ code });

        expect(await readEverything(tx)).toEqual(before);
      });
    });
  });

  rehearsal("a revoked token takes its credential along", async (tx) => {
    await tx.script(setToken("active000001", `"revokedAt" = '2031-01-01'`));

    const ended = `SELECT concat_ws(' ', status, "revokedAt" <= midctl_now()) FROM machine_identity_credential WHERE "publicId" = 'active000001'`;
    expect(await readValue(tx, ended)).toBe("revoked t");
  });

  rehearsal("a deleted user leaves the tokens it created, without a creator", async (tx) => {
    await tx.script(
      `${credential("new000000001", "svc", { name: "'new'" })}; ${token("new000000001", { createdBy: ADA })}`,
    );

    await tx.script(`DELETE FROM "user"; SET CONSTRAINTS ALL IMMEDIATE`);

    const creators = `SELECT json_agg("createdBy") FROM agent_token WHERE "publicId" IN ('new000000001', 'legacyopen01')`;
    expect(await readValue(tx, creators)).toEqual([null, null]);
  });

  describe("a deleted workspace", () => {
    const DELETE = "DELETE FROM workspace WHERE id = 1; SET CONSTRAINTS ALL IMMEDIATE";

    rehearsal("takes its tokens and events with it", async (tx) => {
      await tx.script(DELETE);

      const left = `SELECT (SELECT json_agg("publicId" ORDER BY id) FROM agent_token)::text || (SELECT json_agg("publicId") FROM agent_audit_event)::text`;
      expect(await readValue(tx, left)).toBe('["legacyother1", "others000001"]["legacyevent3"]');
    });

    rehearsal("leaves its identities and credentials, revoked and without a workspace", async (tx) => {
      await tx.script(DELETE);

      const identities = `SELECT json_agg(json_build_array(slug, status, "workspaceId") ORDER BY id) FROM machine_identity`;
      expect(await readValue(tx, identities)).toEqual([
        ["svc", "revoked", null],
        ["child", "revoked", null],
        ["elsewhere", "active", 2],
      ]);
      const credentials = `SELECT json_agg(json_build_array("publicId", status) ORDER BY id) FROM machine_identity_credential`;
      expect(await readValue(tx, credentials)).toEqual([
        ["active000001", "revoked"],
        ["pending00001", "revoked"],
        ["childs000001", "revoked"],
        ["others000001", "pending"],
      ]);
    });

    rehearsal("is logged with what went", async (tx) => {
      await tx.script(DELETE);

      const entry = `SELECT entry::json -> 'details' FROM midctl_log WHERE action = 'workspace.delete'`;
      expect(await readValue(tx, entry)).toEqual({
        workspace: "workspace001",
        identities: 2,
        tokens: 5,
        events: 3,
        sealed: 0,
        seals: createHash("sha256").digest("hex"),
      });
      const actions = `SELECT json_agg(DISTINCT action) FROM midctl_log WHERE "index" >= (SELECT "index" FROM midctl_log WHERE action = 'workspace.delete')`;
      expect(await readValue(tx, actions)).toEqual([
        "credential.revoke",
        "identity.revoke",
        "workspace.delete",
      ]);
    });

    rehearsal("keeps the hashes of its credentials taken", async (tx) => {
      await tx.script(DELETE);

      expect(await readValue(tx, "SELECT count(*)::int FROM machine_identity_credential")).toBe(4);
    });

    rehearsal(
      "revokes its identities in a replica's session too, where the host's cascade sleeps",
      async (tx) => {
        await tx.script(
          "SET LOCAL session_replication_role = replica; DELETE FROM workspace WHERE id = 1; SET CONSTRAINTS ALL IMMEDIATE",
        );

        expect(
          await readValue(tx, `SELECT count(*)::int FROM machine_identity WHERE status = 'revoked'`),
        ).toBe(2);
      },
    );
  });

  describe("an event", () => {
    rehearsal("of a token of ours names its identity", async (tx) => {
      const named = `SELECT i.slug FROM agent_audit_event e JOIN machine_identity i ON i.id = e."machineIdentityId" WHERE e."publicId" = 'event0000001'`;
      expect(await readValue(tx, named)).toBe("svc");
    });

    rehearsal("of a legacy token names none", async (tx) => {
      expect(
        await readValue(
          tx,
          `SELECT "machineIdentityId" FROM agent_audit_event WHERE "publicId" = 'legacyevent1'`,
        ),
      ).toBeNull();
    });
  });

  rehearsal(
    "a legacy token is adopted to the millisecond, and its later revocation by the host counts",
    async (tx) => {
      await tx.script(`${credential("legacyuntil1", "svc", { ...adoption("2b"), scopes: "'[]'", name: "'legacy'", expiresAt: "'2099-01-01 00:00:00.123456'" })};
      ${setToken("legacyuntil1", `"machineIdentityId" = ${idOf("svc")}`)}; SET CONSTRAINTS ALL IMMEDIATE`);

      await tx.script(setToken("legacyuntil1", '"revokedAt" = now()'));

      expect(
        await readValue(
          tx,
          `SELECT status FROM machine_identity_credential WHERE "publicId" = 'legacyuntil1'`,
        ),
      ).toBe("revoked");
    },
  );

  rehearsal("only the end of a legacy token is logged", async (tx) => {
    const size = "SELECT size::int FROM midctl_log_head";
    const before = await readValue<number>(tx, size);

    await tx.script(`${setToken("legacyopen01", "name = 'x'")}; ${setToken("legacyopen01", '"revokedAt" = now()')};
      DELETE FROM agent_token WHERE "publicId" = 'legacyother1'; SET CONSTRAINTS ALL IMMEDIATE`);

    expect(await readValue(tx, size)).toBe(before + 1);
    expect(
      await readValue(tx, `SELECT (entry::json ->> 'token') FROM midctl_log ORDER BY "index" DESC LIMIT 1`),
    ).toBe("legacyopen01");
  });
});

function adoption(byte: string): Record<string, string> {
  return {
    adopted: "true",
    status: "'active'",
    activationDeadline: "NULL",
    expiresAt: "NULL",
    scopes: `'["cards:read"]'`,
    tokenHash: `repeat('${byte}', 32)`,
  };
}
