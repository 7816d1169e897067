import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { OwnTx } from "../../src/db/database.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import {
  attempt,
  identity,
  insert,
  installClock,
  issue,
  readValue,
  rehearse,
  set,
  setIdentity,
  WORLD,
} from "./scene.ts";

/** What a role needs to work here: the four tables, reading the rest. Not the log, its head or its queue. */
const GUEST = `CREATE ROLE midctl_test_guest;
  GRANT USAGE ON SCHEMA public TO midctl_test_guest;
  GRANT SELECT ON ALL TABLES IN SCHEMA public TO midctl_test_guest;
  GRANT INSERT, UPDATE ON machine_identity, machine_identity_credential, agent_token, agent_audit_event TO midctl_test_guest;
  GRANT USAGE ON machine_identity_id_seq, machine_identity_credential_id_seq, agent_token_id_seq, agent_audit_event_id_seq TO midctl_test_guest`;
const BECOME_GUEST = "SET LOCAL ROLE midctl_test_guest";
const DENIED = "42501";

/** The guards run as the owner: a role's rights neither blind them nor let it write what only they write. */
describe.each(databases())("a role that is not the owner on $name", (factory) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await factory.create();
    await database.db.transaction(async (tx) => {
      await installClock(tx);
      await tx.script(WORLD);
    });
  });
  afterAll(() => database?.dispose());

  function asGuest(title: string, work: (tx: OwnTx) => Promise<void>, prepare = "SELECT 1"): void {
    test(title, () =>
      rehearse(database.db, async (tx) => {
        await tx.script(`${GUEST}; ${prepare}; ${BECOME_GUEST}`);
        await work(tx);
      }),
    );
  }

  asGuest(
    "creates, issues, uses and revokes with rights on the four tables alone, and is logged",
    async (tx) => {
      const before = await readValue<number>(tx, "SELECT size::int FROM midctl_log_head");

      expect(
        await attempt(
          tx,
          `${identity("new", { labels: `'{"a":"b"}'` })}; ${issue("new000000001", "new")}; ${set("new000000001", "status = 'active'")};
         ${insert("agent_audit_event", { publicId: "'event0000009'", agentTokenId: `(SELECT id FROM agent_token WHERE "publicId" = 'new000000001')`, action: "'x'" })};
         ${setIdentity("new", "status = 'revoked'")}`,
        ),
      ).toBeNull();

      expect(await readValue(tx, "SELECT size::int FROM midctl_log_head")).toBe(before + 5);
    },
  );

  test.each([
    ["the log", `INSERT INTO midctl_log ("index", entry, "leafHash") VALUES (999, '{}', '')`],
    ["the head", "UPDATE midctl_log_head SET size = 0"],
    ["the tree", "INSERT INTO midctl_log_tile (level, position, hashes) VALUES (9, 9, '')"],
    [
      "the queue",
      `INSERT INTO midctl_log_queue (first, at, action, details) VALUES (true, now(), 'x', '{}')`,
    ],
    [
      "the seals",
      `INSERT INTO midctl_event_seal (batch, position, "publicId", leaf) VALUES (9, 0, 'event0000009', sha256('x'))`,
    ],
    ["what waits to be sealed", "DELETE FROM midctl_event_unsealed"],
    ["the label rows", "DELETE FROM midctl_identity_label"],
    ["the environment", "UPDATE midctl_environment SET protected = true"],
  ])("has no right on %s, not from a trigger of its own either", async (_, statement) => {
    await rehearse(database.db, async (tx) => {
      await tx.script(`${GUEST}; ${BECOME_GUEST}`);

      expect(await attempt(tx, statement)).toMatchObject({ code: DENIED });
      expect(
        await attempt(
          tx,
          `CREATE TEMP TABLE lever (n int);
           CREATE FUNCTION pg_temp.pull() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${statement}; RETURN NULL; END $$;
           CREATE TRIGGER pull AFTER INSERT ON lever FOR EACH ROW EXECUTE FUNCTION pg_temp.pull();
           INSERT INTO lever VALUES (1)`,
        ),
      ).toMatchObject({ code: DENIED });
    });
  });

  test("hangs no trigger function of ours on a table of its own", async () => {
    await rehearse(database.db, async (tx) => {
      const names = await readValue<string[]>(
        tx,
        `SELECT json_agg(proname) FROM pg_proc WHERE proname LIKE 'midctl\\_%' AND prorettype = 'trigger'::regtype`,
      );
      await tx.script(`${GUEST}; ${BECOME_GUEST}; CREATE TEMP TABLE lever (n int)`);

      for (const name of names) {
        const trigger = `CREATE TRIGGER pull AFTER INSERT ON lever FOR EACH ROW EXECUTE FUNCTION public.${name}()`;
        expect([name, (await attempt(tx, trigger))?.code]).toEqual([name, DENIED]);
      }
      expect(names.length).toBeGreaterThan(20);
    });
  });

  describe("where row security hides every token from it", () => {
    const HIDE = "ALTER TABLE agent_token ENABLE ROW LEVEL SECURITY";

    asGuest(
      "its revocation of an identity still reaches the tokens",
      async (tx) => {
        expect(await readValue(tx, "SELECT count(*)::int FROM agent_token")).toBe(0);

        expect(await attempt(tx, setIdentity("svc", "status = 'revoked'"))).toBeNull();

        await tx.script("RESET ROLE");
        expect(
          await readValue(
            tx,
            `SELECT count(*)::int FROM agent_token WHERE "publicId" = 'active000001' AND "revokedAt" IS NOT NULL`,
          ),
        ).toBe(1);
      },
      HIDE,
    );

    asGuest(
      "a credential with a legacy token's id is refused all the same",
      async (tx) => {
        expect(await attempt(tx, issue("legacy000001", "bare"))).toMatchObject({ code: "MC002" });
      },
      HIDE,
    );
  });

  asGuest(
    "is named by the log as the session's user, whatever role it takes and whoever it claims to be",
    async (tx) => {
      await tx.script(`SELECT set_config('midctl.context', '{"actor":{"kind":"operator","name":"mallory"}}', true);
      ${setIdentity("svc", "owner = 'another'")}; SET CONSTRAINTS ALL IMMEDIATE`);

      const said = `SELECT concat_ws(' ', actor, (entry::json ->> 'sessionUser') = session_user) FROM midctl_log ORDER BY "index" DESC LIMIT 1`;
      expect(await readValue(tx, said)).toBe("mallory t");
    },
  );
});
