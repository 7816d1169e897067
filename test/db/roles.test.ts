import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { migrate } from "../../src/db/migrate.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { createToken, parseShape } from "../../src/domain/token.ts";
import { proposeAdoption } from "../../src/operations/adoption-propose.ts";
import { listAudit } from "../../src/operations/audit-list.ts";
import { traceToken } from "../../src/operations/audit-trace.ts";
import { verifyLog } from "../../src/operations/audit-verify.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import { readTarget } from "../../src/operations/control.ts";
import { grantRoles, ROLES, type Role } from "../../src/operations/db-grant.ts";
import { previewRollback, rollbackDatabase } from "../../src/operations/db-rollback.ts";
import { readDatabaseStatus } from "../../src/operations/db-status.ts";
import { diagnose } from "../../src/operations/doctor.ts";
import { sealEvents } from "../../src/operations/events-seal.ts";
import { noteEvidence } from "../../src/operations/evidence.ts";
import { listCredentials, listIdentities, listTokens } from "../../src/operations/list.ts";
import { resumeTarget } from "../../src/operations/resume.ts";
import { readStatus } from "../../src/operations/status.ts";
import { sweep } from "../../src/operations/sweep.ts";
import { headFile } from "../../src/operations/verifier/head-file.ts";
import { verifyToken } from "../../src/operations/verify.ts";
import { postgresDatabases, runSql, type TestDatabase } from "../support/databases.ts";
import { EVERYTHING } from "../support/lists.ts";
import { migrationsUpTo } from "../support/migrations.ts";
import { withoutGuards } from "../support/trust.ts";
import { ALICE, issueActive, issuePending, openVerifier, pause, revoke, until } from "../verifier/scene.ts";

const KAN = readFileSync(new URL("../guards/kan.sql", import.meta.url), "utf8");
const DENIED = { code: "denied" };

/**
 * Every cell of object × role. A privilege alone is one on every column; `-tokenHash`: on every column but that. What
 * stands nowhere is nobody's. A migrator is a member of the owner, and has everything.
 */
const EVERYBODY_READS = { operator: "SELECT", verifier: "SELECT", auditor: "SELECT" };
const MATRIX: Readonly<Record<string, Partial<Record<Role, string>>>> = {
  "schema public": { operator: "USAGE", verifier: "USAGE", auditor: "USAGE" },
  machine_identity: {
    ...EVERYBODY_READS,
    operator: "SELECT, INSERT, UPDATE (displayName owner labels status expiresAt idleTtl)",
  },
  machine_identity_credential: {
    operator: "SELECT, INSERT, UPDATE (status replacedBy expiresAt)",
    verifier: "SELECT (-tokenHash)",
    auditor: "SELECT (-tokenHash)",
  },
  agent_token: {
    operator: "SELECT, INSERT, UPDATE (machineIdentityId)",
    verifier: "SELECT (-tokenHash)",
    auditor: "SELECT (-tokenHash)",
  },
  agent_audit_event: EVERYBODY_READS,
  midctl_approval: { ...EVERYBODY_READS, operator: "SELECT, INSERT, UPDATE (status)" },
  midctl_approval_line: { ...EVERYBODY_READS, operator: "SELECT, UPDATE (outcome)" },
  midctl_approval_vote: { ...EVERYBODY_READS, operator: "SELECT, INSERT" },
  midctl_campaign: { ...EVERYBODY_READS, operator: "SELECT, INSERT, UPDATE (status problem)" },
  midctl_campaign_target: {
    ...EVERYBODY_READS,
    operator: "SELECT, INSERT, UPDATE (state successor problem)",
  },
  midctl_environment: EVERYBODY_READS,
  midctl_event_seal: { operator: "SELECT", auditor: "SELECT" },
  midctl_event_unsealed: EVERYBODY_READS,
  midctl_grant: EVERYBODY_READS,
  midctl_identity_label: EVERYBODY_READS,
  midctl_log: { operator: "SELECT", auditor: "SELECT" },
  midctl_log_evidence: EVERYBODY_READS,
  midctl_log_head: EVERYBODY_READS,
  midctl_log_queue: { auditor: "SELECT" },
  midctl_log_tile: EVERYBODY_READS,
  midctl_migration: EVERYBODY_READS,
  midctl_plan: { operator: "SELECT, INSERT", verifier: "SELECT (-hashes)", auditor: "SELECT (-hashes)" },
  midctl_refused_use: { ...EVERYBODY_READS, verifier: "SELECT, INSERT, UPDATE" },
  midctl_verifier: {
    ...EVERYBODY_READS,
    operator: "SELECT, DELETE",
    verifier: "SELECT, INSERT, UPDATE, DELETE",
  },
  agent_token_id_seq: { operator: "USAGE" },
  agent_audit_event_id_seq: {},
  machine_identity_id_seq: { operator: "USAGE" },
  machine_identity_credential_id_seq: { operator: "USAGE" },
  midctl_approval_id_seq: { operator: "USAGE" },
  midctl_approval_vote_id_seq: { operator: "USAGE" },
  midctl_campaign_id_seq: { operator: "USAGE" },
  midctl_log_queue_id_seq: {},
  midctl_end_legacy: { operator: "EXECUTE" },
  midctl_revoke_legacy: { operator: "EXECUTE" },
  midctl_activate: { operator: "EXECUTE", verifier: "EXECUTE" },
  midctl_match: { operator: "EXECUTE", verifier: "EXECUTE", auditor: "EXECUTE" },
  midctl_match_legacy: { operator: "EXECUTE", verifier: "EXECUTE", auditor: "EXECUTE" },
  midctl_note_anchored: { operator: "EXECUTE", verifier: "EXECUTE", auditor: "EXECUTE" },
  midctl_note_verified: { operator: "EXECUTE", auditor: "EXECUTE" },
  midctl_is_workspace: { operator: "EXECUTE", auditor: "EXECUTE" },
  midctl_note_uses: { operator: "EXECUTE", verifier: "EXECUTE" },
  midctl_seal_events: { operator: "EXECUTE", verifier: "EXECUTE" },
  midctl_workspace_id: { operator: "EXECUTE", verifier: "EXECUTE", auditor: "EXECUTE" },
  midctl_workspace_public_id: { operator: "EXECUTE", verifier: "EXECUTE", auditor: "EXECUTE" },
  midctl_workspace_slug: { operator: "EXECUTE", verifier: "EXECUTE", auditor: "EXECUTE" },
};

/** Everything in the schema, and what this role may do with it, by whatever way. */
async function readCells(db: Database, role: string): Promise<Record<string, string>> {
  const rows = await db.query<{ object: string; privilege: string; all: boolean; columns: string[] | null }>(
    `WITH rel AS (SELECT oid, relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace)
     SELECT relname AS object, p AS privilege, has_table_privilege($1, oid, p) AS all,
            (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
              WHERE a.attrelid = rel.oid AND a.attnum > 0 AND NOT a.attisdropped AND p IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
                AND has_column_privilege($1, rel.oid, a.attnum, p)) AS columns
       FROM rel, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) WITH ORDINALITY AS u(p, n) WHERE relkind = 'r'
     UNION ALL SELECT relname, p, has_sequence_privilege($1, oid, p), NULL FROM rel, unnest('{USAGE,SELECT,UPDATE}'::text[]) p WHERE relkind = 'S'
     UNION ALL SELECT proname, 'EXECUTE', has_function_privilege($1, oid, 'EXECUTE'), NULL FROM pg_proc
       WHERE pronamespace = 'public'::regnamespace AND (NOT has_function_privilege('public', oid, 'EXECUTE'))
     UNION ALL SELECT 'schema public', p, has_schema_privilege($1, 'public', p), NULL FROM unnest('{USAGE,CREATE}'::text[]) p`,
    [role],
  );
  const cells: Record<string, string[]> = {};
  for (const { object, privilege, all, columns } of rows) {
    cells[object] ??= [];
    if (all) cells[object].push(privilege);
    else if (columns !== null) cells[object].push(`${privilege}${await shorten(db, object, columns)}`);
  }
  return Object.fromEntries(
    Object.entries(cells).flatMap(([object, held]) => (held.length === 0 ? [] : [[object, held.join(", ")]])),
  );
}

async function shorten(db: Database, table: string, columns: readonly string[]): Promise<string> {
  const [row] = await db.query<{ others: string[] | null }>(
    `SELECT json_agg(attname) AS others FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped
       AND NOT attname = ANY ($2::text[])`,
    [table, `{${columns.map((column) => `"${column}"`).join(",")}}`],
  );
  const others = row?.others ?? [];
  if (others.length === 0) return "";
  return ["tokenHash", "hashes"].includes(others.join()) ? ` (-${others.join()})` : ` (${columns.join(" ")})`;
}

const expected = (role: Role) =>
  Object.fromEntries(
    Object.entries(MATRIX).flatMap(([object, cells]) =>
      cells[role] === undefined ? [] : [[object, cells[role]]],
    ),
  );

describe.each(postgresDatabases())("roles on $name", ({ create, createBare }) => {
  const suffix = randomBytes(4).toString("hex");
  const nameOf = (role: Role | "owner" | "nobody") => `t_${role}_${suffix}`;
  const NAMES = [...ROLES, "owner", "nobody"] as const;
  let database: TestDatabase;
  let owner: Database;
  const connected: Database[] = [];

  function connect(role: (typeof NAMES)[number], to: TestDatabase = database): Database {
    return connectTo(to.url, role);
  }

  function connectTo(place: string | null | undefined, role: (typeof NAMES)[number]): Database {
    const url = new URL(place ?? "");
    url.username = nameOf(role);
    const db = openPostgres({ url: url.href });
    connected.push(db);
    return db;
  }

  /** The database belongs to a role that is no superuser, as it should. */
  async function own(given: TestDatabase): Promise<void> {
    await given.db.transaction((tx) =>
      tx.script(`DO $$ DECLARE o text; BEGIN
        EXECUTE 'ALTER DATABASE ' || current_database() || ' OWNER TO ${nameOf("owner")}';
        ALTER SCHEMA public OWNER TO ${nameOf("owner")};
        FOR o IN SELECT 'TABLE ' || oid::regclass FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
           UNION ALL SELECT 'FUNCTION ' || oid::regprocedure FROM pg_proc WHERE pronamespace = 'public'::regnamespace LOOP
          EXECUTE 'ALTER ' || o || ' OWNER TO ${nameOf("owner")}';
        END LOOP; END $$`),
    );
  }

  beforeAll(async () => {
    database = await create();
    await database.db.transaction((tx) =>
      tx.script(NAMES.map((name) => `CREATE ROLE ${nameOf(name)} LOGIN`).join(";")),
    );
    await own(database);
    owner = connect("owner");
    for (const role of ["operator", "verifier", "auditor"] as const) {
      await grantRoles(owner, ALICE, { name: nameOf(role), roles: [role], revoke: false });
    }
    await grantRoles(database.db, ALICE, { name: nameOf("migrator"), roles: ["migrator"], revoke: false });
  });
  afterAll(async () => {
    await Promise.all(connected.map((db) => db.close()));
    await database?.db.transaction((tx) =>
      tx.script(NAMES.map((name) => `DROP OWNED BY ${nameOf(name)} CASCADE`).join(";")),
    );
    await database?.dispose();
    const server = new URL(database.directUrl ?? "");
    server.pathname = "/postgres";
    for (const name of NAMES) await runSql(server.href, `DROP ROLE ${nameOf(name)}`);
  });

  test.each(["operator", "verifier", "auditor"] as const)("%s: every cell of the matrix", async (role) => {
    expect(await readCells(database.db, nameOf(role))).toEqual(expected(role));
  });

  test("the matrix has every object there is, but for functions that everybody may call", async () => {
    const everything = await readCells(database.db, nameOf("owner"));
    const triggers = await database.db.query<{ name: string }>(
      `SELECT proname AS name FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prorettype = 'trigger'::regtype`,
    );

    const named = Object.keys(everything).filter((object) => !triggers.some(({ name }) => name === object));

    expect(named.sort()).toEqual(Object.keys(MATRIX).sort());
  });

  test("a migrator may do what the owner may, and a stranger nothing but see that the schema is there", async () => {
    expect(await readCells(database.db, nameOf("migrator"))).toEqual(
      await readCells(database.db, nameOf("owner")),
    );
    expect(await readCells(database.db, nameOf("nobody"))).toEqual({ "schema public": "USAGE" });
  });

  describe("an operator", () => {
    test("issues, activates, pauses, resumes and revokes", async () => {
      const operator = connect("operator");

      await issueActive(operator, "operated");

      expect(await pause(operator, "operated")).toMatchObject({ changed: true });
      const target = await readTarget(operator, "operated");
      expect(await resumeTarget(operator, ALICE, target)).toMatchObject({ changed: true });
      expect(await revoke(operator, "operated")).toMatchObject({ changed: true });
    });

    test("sweeps: what is due is stored, and what is not is looked at", async () => {
      const operator = connect("operator");
      await issueActive(operator, "forsaken");
      await issuePending(operator, "lost");
      await withoutGuards(database.db, (owner) =>
        owner.query(
          `UPDATE machine_identity SET "idleTtl" = 60, "createdAt" = "createdAt" - interval '1 day', "lastUsedAt" = NULL WHERE slug = 'forsaken'`,
        ),
      );
      await withoutGuards(database.db, (owner) =>
        owner.query(
          `UPDATE machine_identity_credential SET "activationDeadline" = "issuedAt"
            WHERE "machineIdentityId" = (SELECT id FROM machine_identity WHERE slug = 'lost')`,
        ),
      );

      expect(await sweep(operator, ALICE, { revokeIdleAfter: 3600 })).toMatchObject({
        abandoned: 1,
        paused: 1,
        revoked: 0,
      });
    });

    test.each([
      ["switch a guard off", "ALTER TABLE machine_identity DISABLE TRIGGER midctl_10_change"],
      [
        "replace a guard",
        "CREATE OR REPLACE FUNCTION midctl_keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
      ],
      ["write the log", `INSERT INTO midctl_log ("index", entry, "leafHash") VALUES (0, '{}', '')`],
      ["move the log's head", "UPDATE midctl_log_head SET size = 0"],
      [
        "write the tree over the log",
        "INSERT INTO midctl_log_tile (level, position, hashes) VALUES (9, 9, '')",
      ],
      ["name the environment", "UPDATE midctl_environment SET name = 'mine', named = true"],
      ["grant itself a role", `INSERT INTO midctl_grant VALUES ('x', 0, '[]', '[]')`],
      ["delete an identity", "DELETE FROM machine_identity"],
      ["revoke a token past the gates", `UPDATE agent_token SET "revokedAt" = now()`],
      ["end a token past the gates", `UPDATE agent_token SET "expiresAt" = now()`],
      ["say that a line was carried out", "UPDATE midctl_approval_line SET used = true"],
      [
        "hang a trigger of its own on tokens",
        "CREATE TRIGGER t AFTER INSERT ON agent_token FOR EACH ROW EXECUTE FUNCTION midctl_keep()",
      ],
    ])("cannot %s", async (_what, statement) => {
      await expect(connect("operator").query(statement)).rejects.toMatchObject(DENIED);
    });
  });

  describe("a verifier", () => {
    test("decides, activates, notes the use and holds a lease", async () => {
      const token = await issueActive(owner, "verified", { scopes: ["cards:read"] });
      // A lease needs a session that can listen.
      const verifier = await openVerifier(connectTo(database.directUrl, "verifier"), token);

      expect(await verifier.authenticate(token, { scope: "cards:read" })).toMatchObject({ ok: true });
      expect(await verifier.authenticate(`${token.slice(0, -1)}${token.endsWith("x") ? "y" : "x"}`)).toEqual({
        ok: false,
        code: "malformed",
      });
      expect(verifier.counters.caching).toBe(true);
      await verifier.close();
      const [used] = await owner.query<{ used: boolean }>(
        `SELECT "lastUsedAt" IS NOT NULL AS used FROM machine_identity WHERE slug = 'verified'`,
      );
      expect(used).toEqual({ used: true });
    });

    test("finds out whether the log went on from the head that it keeps", async () => {
      const head = headFile(join(mkdtempSync(join(inject("scratch"), "roles-")), "head"));
      const token = await issueActive(owner, "remembered");
      const verifier = createAuthenticator({ db: connect("verifier"), cache: false, head });
      await verifier.authenticate(token);

      for (const n of [1, 2, 3, 4]) await issueActive(owner, `since-${n}`);

      expect(await verifier.authenticate(token)).toMatchObject({ ok: true });
      await verifier.close();
    });

    test("says so where it was granted before it needed to", async () => {
      const head = headFile(join(mkdtempSync(join(inject("scratch"), "roles-")), "head"));
      const name = nameOf("verifier");
      await owner.query(`REVOKE SELECT ON midctl_log_tile FROM ${name}`);
      try {
        const verifier = createAuthenticator({ db: connect("verifier"), cache: false, head });

        await expect(verifier.check()).rejects.toMatchObject({
          code: "denied",
          hint: expect.stringContaining("midctl db grant --role verifier"),
        });
      } finally {
        await owner.query(`GRANT SELECT ON midctl_log_tile TO ${name}`);
      }
    });

    test("seals what agents did, as serve does, and changes no seal", async () => {
      const db = connect("verifier");
      await owner.query(
        `INSERT INTO agent_audit_event ("publicId", action) VALUES ('sealedbyserv', 'card.move')`,
      );

      expect(await sealEvents(db)).toBe(1);

      await expect(db.query("DELETE FROM midctl_event_unsealed")).rejects.toMatchObject(DENIED);
      await expect(db.query("DELETE FROM midctl_event_seal")).rejects.toMatchObject(DENIED);
    });

    test("notes that it anchored the log, and writes that nowhere by hand", async () => {
      const db = connect("verifier");
      const root = Buffer.alloc(32);

      const refused = await noteEvidence(db, {
        ...({ what: "anchored", against: "checkpoint", from: 0, size: 1, root } as const),
      });

      expect(refused).toBeNull();
      expect((await readStatus(db)).log?.anchored).toMatchObject({ size: 1, by: nameOf("verifier") });
      await expect(db.query("DELETE FROM midctl_log_evidence")).rejects.toMatchObject(DENIED);
    });

    test("says nothing of entries that it does not read", async () => {
      const refused = await noteEvidence(connect("verifier"), {
        ...({ what: "verified", against: "itself", from: 0, size: 1, found: 0, compared: 0 } as const),
        ...{ root: Buffer.alloc(32), disputed: null, agreed: [] },
      });

      expect(refused).toMatchObject(DENIED);
    });

    test("activates by the secret, which it must hold", async () => {
      const db = connect("verifier");
      const token = await issuePending(owner, "proven");

      const [wrong] = await db.query<{ made: boolean }>("SELECT midctl_activate($1, $2) AS made", [
        parseShape(token)?.publicId ?? "",
        "0".repeat(64),
      ]);
      const decision = await createAuthenticator({ db, cache: false }).authenticate(token);

      expect(wrong).toEqual({ made: false });
      expect(decision).toMatchObject({ ok: true, credential: { effectiveStatus: "active" } });
    });

    test.each([
      ["read a hash of a credential", `SELECT "tokenHash" FROM machine_identity_credential`],
      ["read a hash of a token", `SELECT "tokenHash" FROM agent_token`],
      ["read whole rows", "SELECT c FROM machine_identity_credential c"],
      ["look for a hash", `SELECT count(*) FROM agent_token WHERE "tokenHash" LIKE 'a%'`],
      ["copy a token", `INSERT INTO agent_token SELECT * FROM agent_token`],
      ["activate by hand", "UPDATE machine_identity_credential SET status = 'active'"],
      ["resume what was paused", "UPDATE machine_identity SET status = 'active'"],
      ["read the log", "SELECT entry FROM midctl_log"],
    ])("cannot %s", async (_what, statement) => {
      await expect(connect("verifier").query(statement)).rejects.toMatchObject(DENIED);
    });

    test("gets no hash out of any function that it may call", async () => {
      const db = connect("verifier");
      await issueActive(owner, "guarded");
      const hashes = await owner.query<{ hash: string }>(
        `SELECT "tokenHash" AS hash FROM machine_identity_credential`,
      );
      const answers = await db.query(
        `SELECT to_json(m) AS it FROM midctl_match((SELECT array_agg("publicId"::text) FROM machine_identity_credential),
           (SELECT array_agg('0'::text) FROM machine_identity_credential)) m`,
      );

      for (const { hash } of hashes) expect(JSON.stringify(answers)).not.toContain(hash);
      expect(hashes.length).toBeGreaterThan(0);
    });
  });

  describe("an auditor", () => {
    test("reads identities, credentials, tokens, log and status", async () => {
      const auditor = connect("auditor");
      await issueActive(owner, "audited");
      const page = { limit: 50, cursor: null, descending: false };

      const { identities } = await listIdentities(auditor, EVERYTHING, "slug", page);
      const { credentials } = await listCredentials(auditor, EVERYTHING, "issued", page);
      const { tokens } = await listTokens(auditor, { ...EVERYTHING, legacyOnly: false }, page);
      const { events } = await listAudit(auditor, { identity: "audited", limit: 5 });
      const { schema } = await readDatabaseStatus(auditor);

      expect([identities, credentials, tokens].every(({ length }) => length > 0)).toBe(true);
      expect(events.map(({ action }) => action)).toEqual([
        "credential.activate",
        "credential.issue",
        "identity.create",
      ]);
      expect([schema.state, (await readStatus(auditor)).environment.name]).toEqual(["current", "default"]);
    });

    test("verifies the log, and what agents did", async () => {
      const verified = await verifyLog(connect("auditor"), {
        checkpoints: [],
        verified: 0,
        onProgress: () => {},
      });

      expect(verified).toMatchObject({ findings: [], events: { pruned: 0 } });
    });

    test("traces a token that turned up, which is no use of it", async () => {
      const token = await issuePending(owner, "turned-up");

      const { identity, lives } = await traceToken(connect("auditor"), token);

      expect(identity?.slug).toBe("turned-up");
      expect(lives).toEqual([expect.objectContaining({ effectiveStatus: "pending" })]);
    });

    test("traces nobody's life by a token that is not known", async () => {
      const unknown = [
        createToken("live", randomBytes).text,
        createToken("test", randomBytes).text,
        "garbage",
      ];

      for (const token of unknown) {
        await expect(traceToken(connect("auditor"), token)).rejects.toMatchObject({ code: "not_found" });
      }
    });

    test("traces a legacy token that turned up", async () => {
      await owner.query(
        `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", scopes)
         VALUES ('legacyfound1', 'left behind', 'kanagent_', encode(sha256('kanagent_found'), 'hex'), '[]')`,
      );

      const { identity, lives } = await traceToken(connect("auditor"), "kanagent_found");

      expect(identity).toBeNull();
      expect(lives.map(({ id }) => id)).toEqual(["at_legacyfound1"]);
    });

    test("is told what to ask for where it was granted before it could", async () => {
      const name = nameOf("auditor");
      await owner.query(`REVOKE EXECUTE ON FUNCTION midctl_match(text[], text[]) FROM ${name}`);
      try {
        await expect(traceToken(connect("auditor"), "kanagent_found")).rejects.toMatchObject({
          code: "denied",
          hint: expect.stringContaining(`midctl db grant --role auditor ${name}`),
        });
        expect((await diagnose(connect("auditor"), Date.now)).findings).toContainEqual(
          expect.objectContaining({
            check: "rights",
            message: expect.stringContaining("midctl_match"),
            mend: `as the owner: midctl db grant --role auditor ${name}`,
          }),
        );
      } finally {
        await grantRoles(owner, ALICE, { name, roles: ["auditor"], revoke: false });
      }
    });

    test.each([
      ["read a hash", `SELECT "tokenHash" FROM machine_identity_credential`],
      ["activate what it has the secret of", "SELECT midctl_activate('a', 'b')"],
      ["note a use", "SELECT midctl_note_uses(ARRAY['a'])"],
      ["pause", "UPDATE machine_identity SET status = 'paused'"],
    ])("cannot %s", async (_what, statement) => {
      await expect(connect("auditor").query(statement)).rejects.toMatchObject(DENIED);
    });
  });

  test("a migrator makes what belongs to the schema's owner", async () => {
    const made = await createBare();
    try {
      await own(made);
      await migrate(connect("owner", made), { directory: migrationsUpTo("0008_roles.sql") });

      await migrate(connect("migrator", made));

      const owners = await made.db.query<{ owner: string }>(
        `SELECT DISTINCT relowner::regrole::text AS owner FROM pg_class WHERE relnamespace = 'public'::regnamespace`,
      );
      expect(owners).toEqual([{ owner: nameOf("owner") }]);
    } finally {
      await made.dispose();
    }
  });

  describe("whoever is connected", () => {
    const SHADOW = `CREATE FUNCTION pg_temp.seize() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'seized by ' || current_user; END $$;
      CREATE TEMP VIEW workspace AS SELECT 1::bigint AS id, pg_temp.seize() AS slug; GRANT SELECT ON workspace TO PUBLIC`;

    test.each(["operator", "verifier", "auditor"] as const)(
      "as %s has no table of his own taken for the host's workspaces, where the host has none",
      async (role) => {
        await connect(role).transaction(async (tx) => {
          await tx.script(SHADOW);

          expect(
            await tx.query(
              "SELECT midctl_workspace_slug(1) AS slug, midctl_workspace_id('seized by me') AS id",
            ),
          ).toEqual([{ slug: null, id: null }]);
        });
      },
    );

    test("as operator gives no identity a workspace of his own making", async () => {
      const written = connect("operator").transaction(async (tx) => {
        await tx.script(`CREATE FUNCTION pg_temp.seize() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'seized by %', current_user; END $$;
          CREATE TEMP VIEW workspace AS SELECT pg_temp.seize() AS id; GRANT SELECT ON workspace TO PUBLIC`);
        await tx.query(
          `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner, "workspaceId") VALUES ('shadow000001', 'shadow', 'x', 'service', 'x', 1)`,
        );
        throw new Error("not seized");
      });

      await expect(written).rejects.toThrow("not seized");
    });

    test("as a verifier wakes no identity that was idle", async () => {
      const token = await issueActive(owner, "dozing", { idleTtl: 1 });
      await until(async () => (await verifyToken(owner, token, null)).ok === false);
      // For longer than a use waits to be noted.
      await until(
        async () =>
          (
            await owner.query(
              `SELECT FROM machine_identity i WHERE slug = 'dozing' AND midctl_is_idle(i, midctl_now() - interval '2 seconds')`,
            )
          ).length > 0,
      );

      await connect("verifier").query(
        `SELECT midctl_note_uses((SELECT array_agg("publicId"::text) FROM agent_token))`,
      );

      expect(await verifyToken(owner, token, null)).toEqual({ ok: false, code: "identity_paused" });
    });

    test("ends no lease of another while it runs, nor renews it, and takes it away once it has run out", async () => {
      const [other] = await owner.query<{ id: string }>(
        `INSERT INTO midctl_verifier (id, name, "leaseMs", "letGo") VALUES (gen_random_uuid(), 'other', 60000, 0) RETURNING id`,
      );
      const verifier = connect("verifier");
      const end = () => verifier.query("DELETE FROM midctl_verifier WHERE id = $1::uuid", [other?.id ?? ""]);

      await expect(end()).rejects.toMatchObject({ code: "illegal_transition" });
      await expect(
        verifier.query("UPDATE midctl_verifier SET renewals = renewals + 1 WHERE name = 'other'"),
      ).rejects.toMatchObject({
        code: "illegal_transition",
      });
      await owner.query(
        `UPDATE midctl_verifier SET "renewedAt" = now() - interval '2 minutes' WHERE name = 'other'`,
      );
      await end();

      expect(await owner.query("SELECT FROM midctl_verifier WHERE name = 'other'")).toEqual([]);
    });
  });

  describe("a grant", () => {
    const give = (roles: readonly Role[], revoke = false) =>
      grantRoles(owner, ALICE, { name: nameOf("nobody"), roles, revoke });

    test("twice changes nothing, adds up, and is taken away without what another needs", async () => {
      const first = await give(["auditor"]);
      const again = await give(["auditor"]);
      const both = await give(["verifier"]);
      const less = await give(["auditor"], true);
      const cells = await readCells(database.db, nameOf("nobody"));
      const none = await give(["verifier"], true);

      expect([first, again, both, less, none].map(({ changed, roles }) => [changed, ...roles])).toEqual([
        [true, "auditor"],
        [false, "auditor"],
        [true, "auditor", "verifier"],
        [true, "verifier"],
        [true],
      ]);
      expect(cells).toEqual(expected("verifier"));
      expect(await readCells(database.db, nameOf("nobody"))).toEqual({ "schema public": "USAGE" });
    });

    test("leaves alone what the role had before", async () => {
      await owner.query(`GRANT SELECT ON midctl_log TO ${nameOf("nobody")}`);

      await give(["auditor"]);
      await give(["auditor"], true);

      const cells = await readCells(database.db, nameOf("nobody"));
      await owner.query(`REVOKE SELECT ON midctl_log FROM ${nameOf("nobody")}`);
      expect(cells).toEqual({ "schema public": "USAGE", midctl_log: "SELECT" });
    });

    test("is an entry of the log", async () => {
      await give(["operator"]);
      await give(["operator"], true);

      const { events } = await listAudit(owner, { action: "environment.grant", limit: 2 });
      expect(events.map(({ actor, details }) => [actor.name, details])).toEqual([
        ["alice", { databaseRole: nameOf("nobody"), roles: [["operator"], []] }],
        ["alice", { databaseRole: nameOf("nobody"), roles: [[], ["operator"]] }],
      ]);
    });

    test("on a dry run tells the SQL and changes nothing", async () => {
      const request = { ...ALICE, dryRun: true };

      const told = await grantRoles(owner, request, {
        name: nameOf("nobody"),
        roles: ["verifier"],
        revoke: false,
      });

      expect(told.statements).toContain(
        `GRANT EXECUTE ON FUNCTION midctl_match(text[], text[]) TO ${nameOf("nobody")}`,
      );
      expect(await readCells(database.db, nameOf("nobody"))).toEqual({ "schema public": "USAGE" });
    });

    test("is refused to a role that is not there, to the owner, and to whoever is not the owner", async () => {
      const to = (db: Database, name: string) =>
        grantRoles(db, ALICE, { name, roles: ["operator"], revoke: false });

      await expect(to(owner, "t_missing")).rejects.toMatchObject({ code: "not_found" });
      await expect(to(owner, nameOf("owner"))).rejects.toMatchObject({ code: "conflict" });
      await expect(to(connect("operator"), nameOf("nobody"))).rejects.toMatchObject(DENIED);
    });

    test("is refused to whoever may make objects in the schema, of which doctor warns too", async () => {
      await owner.query("GRANT CREATE ON SCHEMA public TO PUBLIC");

      const grant = await give(["auditor"]).catch((error: unknown) => error);
      const { findings } = await diagnose(connect("operator"), Date.now);
      await owner.query("REVOKE CREATE ON SCHEMA public FROM PUBLIC");

      expect(grant).toMatchObject({ code: "conflict", hint: expect.stringContaining("REVOKE CREATE") });
      expect(findings).toContainEqual(
        expect.objectContaining({
          severity: "error",
          mend: expect.stringContaining("REVOKE CREATE ON SCHEMA public FROM PUBLIC"),
        }),
      );
    });

    test("follows a role that is renamed", async () => {
      await give(["auditor"]);
      await database.db.query(`ALTER ROLE ${nameOf("nobody")} RENAME TO ${nameOf("nobody")}_2`);

      const taken = await grantRoles(owner, ALICE, {
        name: `${nameOf("nobody")}_2`,
        roles: ["auditor"],
        revoke: true,
      });
      await database.db.query(`ALTER ROLE ${nameOf("nobody")}_2 RENAME TO ${nameOf("nobody")}`);

      expect(taken).toMatchObject({ changed: true, roles: [] });
      expect(await readCells(database.db, nameOf("nobody"))).toEqual({ "schema public": "USAGE" });
    });

    test("of migrator is refused where the owner is a superuser", async () => {
      const made = await create();

      const grant = grantRoles(made.db, ALICE, {
        name: nameOf("nobody"),
        roles: ["migrator"],
        revoke: false,
      });

      await expect(grant).rejects.toMatchObject({
        code: "conflict",
        message: expect.stringContaining("superuser"),
      });
      await made.dispose();
    });
  });

  describe("doctor", () => {
    const rights = async (db: Database) =>
      (await diagnose(db, Date.now)).findings
        .filter(({ check }) => check === "rights")
        .map(({ message }) => message);

    test("finds nothing of what was granted, and warns of an owner and a superuser", async () => {
      expect(await rights(connect("operator"))).toEqual([]);
      expect(await rights(connect("verifier"))).toEqual([]);
      expect(await rights(connect("auditor"))).toEqual([]);
      expect(await rights(owner)).toEqual([expect.stringContaining("owns the schema")]);
      expect(await rights(database.db)).toEqual([expect.stringContaining("is a superuser")]);
    });

    test("names what a connection has beyond its role, and what it lacks", async () => {
      const verifier = nameOf("verifier");
      await owner.query(`GRANT SELECT ("tokenHash") ON agent_token TO ${verifier}`);
      await owner.query(`REVOKE UPDATE ON midctl_verifier FROM ${verifier}`);

      const found = await rights(connect("verifier"));
      await owner.query(`REVOKE SELECT ("tokenHash") ON agent_token FROM ${verifier}`);
      await grantRoles(owner, ALICE, { name: verifier, roles: ["verifier"], revoke: false });

      expect(found).toEqual([
        expect.stringContaining("SELECT (tokenHash) on agent_token"),
        expect.stringMatching(/lacks rights that verifier needs: UPDATE \(.*\) on midctl_verifier/),
      ]);
      expect(await rights(connect("verifier"))).toEqual([]);
    });
  });

  describe("beside a host with row-level security", () => {
    let host: TestDatabase;

    beforeAll(async () => {
      host = await createBare();
      await host.db.transaction((tx) => tx.script(KAN));
      await host.db.query(
        `UPDATE agent_token SET "tokenHash" = encode(sha256('kanagent_open'), 'hex') WHERE "publicId" = 'legacyopen01'`,
      );
    });
    afterAll(() => host?.dispose());

    test("each role sees what it needs, and a rollback leaves rights and policies as they were", async () => {
      const before = await readAccess(host);
      await migrate(host.db);
      for (const role of ["operator", "verifier", "auditor"] as const) {
        await grantRoles(host.db, ALICE, { name: nameOf(role), roles: [role], revoke: false });
      }

      const decision = await createAuthenticator({
        db: connect("verifier", host),
        cache: false,
      }).authenticate("kanagent_open");
      const page = { limit: 50, cursor: null, descending: false };
      // As one of many tenants it may delete what it sees: the grant lets it see more, and delete no more.
      await host.db.query(`GRANT DELETE, UPDATE ON agent_token TO ${nameOf("auditor")}`);
      const deleted = await connect("auditor", host).query("DELETE FROM agent_token RETURNING id");
      await host.db.query(`REVOKE DELETE, UPDATE ON agent_token FROM ${nameOf("auditor")}`);
      const { proposals } = await proposeAdoption(connect("operator", host), "platform", null);
      const { tokens } = await listTokens(
        connect("auditor", host),
        { ...EVERYTHING, legacyOnly: true },
        page,
      );
      expect(await revoke(connect("operator", host), "at_legacyopen01")).toMatchObject({ changed: true });
      await host.db.query(`UPDATE agent_token SET "revokedAt" = NULL WHERE "publicId" = 'legacyopen01'`);
      await rollbackDatabase(host.db, await previewRollback(host.db), null);

      expect(decision).toMatchObject({ ok: true, actor: { kind: "legacy_token" } });
      expect(deleted).toEqual([]);
      expect(proposals.length).toBeGreaterThan(0);
      expect(tokens.map(({ id }) => id)).toContain("at_legacyopen01");
      expect(await readAccess(host)).toEqual(before);
    });
  });
});

/** Rights and policies on the host's tables and schema, as a dump of it would have them. */
function readAccess({ db }: TestDatabase): Promise<unknown[]> {
  return db.query(
    `SELECT concat_ws(' ', c.relname, a.grantee::regrole, a.privilege_type) AS it
       FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
     UNION ALL SELECT concat_ws(' ', attrelid::regclass, attname, a.grantee::regrole, a.privilege_type) FROM pg_attribute, aclexplode(attacl) a
       WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
     UNION ALL SELECT concat_ws(' ', nspname, a.grantee::regrole, a.privilege_type) FROM pg_namespace, aclexplode(nspacl) a WHERE nspname = 'public'
     UNION ALL SELECT concat_ws(' ', polname, polrelid::regclass) FROM pg_policy ORDER BY 1`,
  );
}
