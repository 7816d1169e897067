import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { OwnTx } from "../../src/db/database.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { LEGAL_TRANSITIONS } from "./attacks/transition.ts";
import {
  attempt,
  credentialId,
  identity,
  installClock,
  issue,
  later,
  readValue,
  rehearse,
  set,
  setIdentity,
  setToken,
  WORLD,
} from "./scene.ts";

/** What a legal change brings with it, all by itself. */
describe.each(databases())("what follows a change on $name", (factory) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await factory.create();
    await database.db.transaction(async (tx) => {
      await installClock(tx);
      await tx.script(WORLD);
    });
  });
  afterAll(() => database?.dispose());

  /** A test on the world, at a moment that stands still. */
  function onWorld(title: string, work: (tx: OwnTx) => Promise<void>): void {
    test(title, () =>
      rehearse(database.db, async (tx) => {
        await tx.script("SELECT set_config('test.now', midctl_now()::text, true)");
        await work(tx);
      }),
    );
  }

  test.each(LEGAL_TRANSITIONS)("$from goes to $to by setting the status alone", async ({ sql }) => {
    await rehearse(database.db, async (tx) => expect(await attempt(tx, sql)).toBeNull());
  });

  onWorld("each state brings its own instant, and keeps those before it", async (tx) => {
    const instants = `SELECT concat_ws(' ', "activatedAt" - "issuedAt", "pausedAt" - "issuedAt", "resumedAt" - "issuedAt", "revokedAt" - "issuedAt")
      FROM machine_identity_credential WHERE "publicId" = 'new000000001'`;
    await tx.script(issue("new000000001", "bare"));

    await tx.script(`${later("1 hour")}; ${set("new000000001", "status = 'active'")}`);
    expect(await readValue(tx, instants)).toBe("01:00:00");
    await tx.script(`${later("2 hours")}; ${set("new000000001", "status = 'paused'")}`);
    expect(await readValue(tx, instants)).toBe("01:00:00 02:00:00");
    await tx.script(`${later("3 hours")}; ${set("new000000001", "status = 'active'")}`);
    expect(await readValue(tx, instants)).toBe("01:00:00 03:00:00");
    await tx.script(`${later("4 hours")}; ${set("new000000001", "status = 'revoked'")}`);
    expect(await readValue(tx, instants)).toBe("01:00:00 03:00:00 04:00:00");
  });

  onWorld("a birth takes the database's clock, whatever is said", async (tx) => {
    await tx.script(`${identity("new", { createdAt: "'2020-01-01'", version: "7" })};
      ${issue("new000000001", "new", { issuedAt: "'2020-01-01'", version: "7" })}`);

    const births = `SELECT (i."createdAt" = midctl_now() AND c."issuedAt" = midctl_now() AND i.version = 1 AND c.version = 1)::text
      FROM machine_identity i JOIN machine_identity_credential c ON c."machineIdentityId" = i.id WHERE i.slug = 'new'`;
    expect(await readValue(tx, births)).toBe("true");
  });

  onWorld("ends are kept to the millisecond, as everybody counts them", async (tx) => {
    const micro = "date_trunc('day', midctl_now()) + interval '10 days 1.234567 seconds'";
    await tx.script(issue("new000000001", "bare", { expiresAt: micro, activationDeadline: micro }));
    await tx.script(setIdentity("svc", `"expiresAt" = ${micro}`));

    const kept = `SELECT concat_ws(' ', to_char(c."expiresAt", 'SS.US'), to_char(c."activationDeadline", 'SS.US'), to_char(i."expiresAt", 'SS.US'))
      FROM machine_identity_credential c, machine_identity i WHERE c."publicId" = 'new000000001' AND i.slug = 'svc'`;
    expect(await readValue(tx, kept)).toBe("01.234000 01.234000 01.234000");
  });

  describe("a first use supersedes the predecessor", () => {
    const successor = (columns: Readonly<Record<string, string>> = {}) =>
      issue("new000000001", "svc", {
        name: "'active'",
        replacesId: credentialId("active000001"),
        ...columns,
      });
    const grace = `SELECT concat_ws(' ', status, "graceUntil" - midctl_now(), "graceUntil" - "expiresAt")
      FROM machine_identity_credential WHERE "publicId" = 'active000001'`;

    onWorld("which lives on for the grace", async (tx) => {
      await tx.script(`${successor({ graceSeconds: "3600" })}; ${set("new000000001", "status = 'active'")}`);
      expect(await readValue(tx, grace)).toMatch(/^superseded 01:00:00 -89 days/);
    });

    onWorld("and a grace that nobody gave is none", async (tx) => {
      await tx.script(`${successor()}; ${set("new000000001", "status = 'active'")}`);
      expect(await readValue(tx, grace)).toMatch(/^superseded 00:00:00/);
    });

    onWorld("never beyond its own end", async (tx) => {
      await tx.script(`${successor({ graceSeconds: "3600" })}; ${set("active000001", `"expiresAt" = midctl_now() + interval '10 minutes'`)};
        ${set("new000000001", "status = 'active'")}`);
      expect(await readValue(tx, grace)).toBe("superseded 00:10:00 00:00:00");
    });

    onWorld("at once where it is paused", async (tx) => {
      await tx.script(
        `${successor({ graceSeconds: "3600" })}; ${set("active000001", "status = 'paused'")}; ${set("new000000001", "status = 'active'")}`,
      );
      expect(await readValue(tx, grace)).toMatch(/^superseded 00:00:00/);
    });

    onWorld("at its end where it has expired", async (tx) => {
      await tx.script(`${successor({ graceSeconds: "3600" })}; ${set("active000001", `"expiresAt" = midctl_now() + interval '10 minutes'`)};
        ${later("11 minutes")}; ${set("new000000001", "status = 'active'")}`);
      expect(await readValue(tx, grace)).toBe("superseded -00:01:00 00:00:00");
    });

    onWorld("unless it was revoked meanwhile: then it stays so", async (tx) => {
      await tx.script(
        `${successor({ graceSeconds: "3600" })}; ${set("active000001", "status = 'revoked'")}; ${set("new000000001", "status = 'active'")}`,
      );
      expect(await readValue(tx, grace)).toBe("revoked");
    });

    onWorld("and the host's token of it ends with the grace", async (tx) => {
      await tx.script(`${successor({ graceSeconds: "3600" })}; ${set("new000000001", "status = 'active'")}`);
      const token = `SELECT ("expiresAt" - midctl_now())::text FROM agent_token WHERE "publicId" = 'active000001'`;
      expect(await readValue(tx, token)).toBe("01:00:00");
    });
  });

  onWorld("issuing stores an overdue pending credential of the name as abandoned", async (tx) => {
    await tx.script(`${later("1 day")}; ${issue("new000000001", "svc", { name: "'pending'" })}`);

    const stored = `SELECT concat_ws(' ', c.status, c."abandonedAt" = midctl_now(), t."revokedAt" = midctl_now())
      FROM machine_identity_credential c JOIN agent_token t USING ("publicId") WHERE c."publicId" = 'pending00001'`;
    expect(await readValue(tx, stored)).toBe("abandoned t t");
  });

  onWorld("an abandoned pending credential leaves the current one as it is", async (tx) => {
    await tx.script(`${issue("new000000001", "svc", { name: "'active'", replacesId: credentialId("active000001") })};
      ${later("1 day")}; ${set("new000000001", "status = 'abandoned'")}`);

    expect(
      await readValue(tx, `SELECT status FROM machine_identity_credential WHERE "publicId" = 'active000001'`),
    ).toBe("active");
  });

  onWorld("revoking an identity revokes what lives of it and lets the dead rest", async (tx) => {
    await tx.script(`
      ${issue("expired00001", "svc", { name: "'expired'", expiresAt: "midctl_now() + interval '30 minutes'" })}; ${set("expired00001", "status = 'active'")};
      ${issue("overdue00001", "svc", { name: "'overdue'", activationDeadline: "midctl_now() + interval '1 minute'" })};
      ${issue("ended0000001", "svc", { name: "'ended'" })}; ${set("ended0000001", "status = 'active'")};
      ${issue("ender0000001", "svc", { name: "'ended'", replacesId: credentialId("ended0000001") })}; ${set("ender0000001", "status = 'active'")};
      ${later("31 minutes")}; ${setIdentity("svc", "status = 'revoked'")}`);

    const rows = await tx.query<{ publicId: string; status: string }>(
      `SELECT "publicId", status FROM machine_identity_credential
        WHERE "machineIdentityId" = (SELECT id FROM machine_identity WHERE slug = 'svc') ORDER BY 1`,
    );
    expect(Object.fromEntries(rows.map((row) => [row.publicId, row.status]))).toEqual({
      abandoned001: "abandoned",
      active000001: "revoked",
      ended0000001: "superseded",
      ender0000001: "revoked",
      expired00001: "active",
      grace0000001: "revoked",
      instead00001: "revoked",
      overdue00001: "abandoned",
      paused000001: "revoked",
      pending00001: "revoked",
      revoked00001: "revoked",
      successor001: "revoked",
    });
    const states = await tx.query<{ state: string }>(
      `SELECT DISTINCT midctl_credential_state(c."machineIdentityId", c.status, c."activationDeadline", c."expiresAt", c."graceUntil", midctl_now()) AS state FROM machine_identity_credential c
        WHERE "machineIdentityId" = (SELECT id FROM machine_identity WHERE slug = 'svc')`,
    );
    expect(states).toEqual([{ state: "identity_revoked" }]);
  });

  onWorld("a revoked identity takes its children's right to act, not their rows", async (tx) => {
    await tx.script(setIdentity("svc", "status = 'revoked'"));

    expect(await readValue(tx, `SELECT status FROM machine_identity WHERE slug = 'child'`)).toBe("active");
    expect(
      await readValue(
        tx,
        `SELECT midctl_identity_state(id, midctl_now()) FROM machine_identity WHERE slug = 'child'`,
      ),
    ).toBe("identity_revoked");
  });

  onWorld("pausing and resuming an identity leaves its credentials as they were", async (tx) => {
    const credentials = `SELECT json_agg(json_build_array("publicId", status, version) ORDER BY id) FROM machine_identity_credential`;
    const before = await readValue(tx, credentials);

    await tx.script(`${setIdentity("svc", "status = 'paused'")}; ${setIdentity("svc", "status = 'active'")}`);

    expect(await readValue(tx, credentials)).toEqual(before);
  });

  onWorld("a resume wakes an idle identity", async (tx) => {
    const state = `SELECT midctl_identity_state(id, midctl_now()) FROM machine_identity WHERE slug = 'svc'`;
    await tx.script(`${setIdentity("svc", '"idleTtl" = 60')}; ${later("60 seconds")}`);
    expect(await readValue(tx, state)).toBe("paused");

    await tx.script(`${setIdentity("svc", "status = 'paused'")}; ${setIdentity("svc", "status = 'active'")}`);

    expect(await readValue(tx, state)).toBe("active");
  });

  onWorld("control moves the version, use does not", async (tx) => {
    const versions = `SELECT concat_ws(' ', i.version, c.version) FROM machine_identity i
      JOIN machine_identity_credential c ON c."machineIdentityId" = i.id WHERE c."publicId" = 'new000000001'`;
    await tx.script(`${identity("new")}; ${issue("new000000001", "new")}; ${set("new000000001", "status = 'active'")};
      ${setIdentity("new", '"lastUsedAt" = midctl_now()')}; ${setToken("new000000001", '"lastUsedAt" = midctl_now()')}`);
    expect(await readValue(tx, versions)).toBe("1 1");

    await tx.script(
      `${set("new000000001", "status = 'paused'")}; ${setIdentity("new", "owner = 'another'")}; ${setIdentity("new", "owner = 'another'")}`,
    );

    expect(await readValue(tx, versions)).toBe("2 2");
  });

  onWorld("a shorter life reaches the host's token", async (tx) => {
    await tx.script(set("active000001", `"expiresAt" = midctl_now() + interval '1 hour'`));

    expect(
      await readValue(
        tx,
        `SELECT ("expiresAt" - midctl_now())::text FROM agent_token WHERE "publicId" = 'active000001'`,
      ),
    ).toBe("01:00:00");
  });

  onWorld("a revocation reaches the host's token", async (tx) => {
    await tx.script(set("active000001", "status = 'revoked'"));

    expect(
      await readValue(
        tx,
        `SELECT ("revokedAt" = midctl_now())::text FROM agent_token WHERE "publicId" = 'active000001'`,
      ),
    ).toBe("true");
  });

  onWorld("a host's revocation of a token reaches the credential, whichever state it is in", async (tx) => {
    await tx.script(
      `UPDATE agent_token SET "revokedAt" = '2030-01-01' WHERE "machineIdentityId" IS NOT NULL AND "revokedAt" IS NULL`,
    );

    const states = await tx.query<{ status: string }>(
      `SELECT DISTINCT status FROM machine_identity_credential ORDER BY 1`,
    );
    expect(states.map(({ status }) => status)).toEqual(["abandoned", "revoked"]);
  });

  onWorld("label rows follow the labels", async (tx) => {
    const labels = `SELECT json_agg(json_build_array(key, value, slug) ORDER BY key) FROM midctl_identity_label`;
    expect(await readValue(tx, labels)).toEqual([["team", "core", "svc"]]);

    await tx.script(setIdentity("svc", `labels = '{"team":"edge","tier":"1"}'`));
    expect(await readValue(tx, labels)).toEqual([
      ["team", "edge", "svc"],
      ["tier", "1", "svc"],
    ]);

    await tx.script(setIdentity("svc", "labels = '{}'"));
    expect(await readValue(tx, labels)).toBeNull();
  });

  onWorld("an event of a token is attributed to its identity", async (tx) => {
    const [event] = await tx.query<{ slug: string | null }>(
      `SELECT i.slug FROM agent_audit_event e LEFT JOIN machine_identity i ON i.id = e."machineIdentityId" WHERE e."publicId" = 'event0000001'`,
    );
    const [legacy] = await tx.query<{ id: string | null }>(
      `SELECT "machineIdentityId" AS id FROM agent_audit_event WHERE "publicId" = 'event0000002'`,
    );
    expect([event?.slug, legacy?.id]).toEqual(["svc", null]);
  });
});
