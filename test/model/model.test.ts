import { createHash } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readSqlState } from "../../src/db/failure.ts";
import type { CredentialStatus, IdentityStatus } from "../../src/domain/status.ts";
import {
  credentialId,
  identity,
  idOf,
  installClock,
  issue,
  set,
  setIdentity,
  setToken,
} from "../guards/scene.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { type ModelCredential, type ModelIdentity, ModelWorld, type NewCredential } from "./world.ts";

/**
 * Random sequences of plain SQL, by operators, hosts and time, against the model of world.ts: the database takes what
 * the model takes, refuses what it refuses, and everything is called the same afterwards. Seconds are whole, so that
 * ends, deadlines and graces are hit to the millisecond; the clock is the test's, so that nobody sleeps.
 */
type Command =
  | {
      readonly do: "create";
      readonly parent: number | null;
      readonly life: number | null;
      readonly idleTtl: number | null;
    }
  | ({ readonly do: "issue" | "rotate" | "replace" } & Issuance)
  | { readonly do: "credential"; readonly which: number; readonly to: CredentialStatus }
  | { readonly do: "identity"; readonly which: number; readonly to: IdentityStatus }
  | { readonly do: "use"; readonly which: number }
  | { readonly do: "shorten credential"; readonly which: number; readonly life: number }
  | { readonly do: "shorten identity"; readonly which: number; readonly life: number }
  | { readonly do: "revoke token"; readonly which: number }
  | { readonly do: "wait"; readonly seconds: number };

interface Issuance {
  readonly identity: number;
  readonly name: string;
  /** Which credential it replaces; null for the one that is current, if any. */
  readonly which: number | null;
  readonly grace: number;
  readonly life: number;
  readonly activateWithin: number;
}

/** Mostly the latest: random choices alone would hardly ever finish a rotation. */
const some = fc.oneof(
  { weight: 3, arbitrary: fc.constant(0) },
  { weight: 2, arbitrary: fc.nat({ max: 20 }) },
);
const issuance = {
  identity: some,
  name: fc.constantFrom("a", "b"),
  which: fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: some }),
  grace: fc.nat({ max: 4 }),
  life: fc.integer({ min: 1, max: 60 }),
  activateWithin: fc.integer({ min: 1, max: 12 }),
};

const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("create" as const),
      parent: fc.option(some, { nil: null }),
      life: fc.option(fc.integer({ min: 3, max: 90 }), { nil: null, freq: 2 }),
      idleTtl: fc.option(fc.integer({ min: 2, max: 20 }), { nil: null, freq: 1 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constantFrom("issue" as const, "rotate" as const, "replace" as const),
      ...issuance,
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("credential" as const),
      which: some,
      to: fc.constantFrom<CredentialStatus>(
        "active",
        "active",
        "active",
        "active",
        "paused",
        "superseded",
        "revoked",
        "abandoned",
        "pending",
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("identity" as const),
      which: some,
      to: fc.constantFrom<IdentityStatus>("active", "active", "active", "paused", "paused", "revoked"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("use" as const), which: some }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom("shorten credential" as const, "shorten identity" as const),
      which: some,
      life: fc.nat({ max: 10 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("revoke token" as const), which: some }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("wait" as const), seconds: fc.integer({ min: 1, max: 3 }) }),
  },
);

/** What an operator does most, all at once. */
const rotation: fc.Arbitrary<Command[]> = fc
  .record({ ...issuance, life: fc.integer({ min: 5, max: 60 }) })
  .map((each) => [
    { ...each, do: "issue", which: null },
    { do: "credential", which: 0, to: "active" },
    { ...each, do: "rotate", which: null },
    { do: "credential", which: 0, to: "active" },
  ]);

/** Long enough to be idle afterwards, and woken up. */
const nap: fc.Arbitrary<Command[]> = fc.constant([
  { do: "wait", seconds: 8 },
  { do: "identity", which: 0, to: "paused" },
  { do: "identity", which: 0, to: "active" },
]);

const sequence: fc.Arbitrary<Command[]> = fc
  .array(
    fc.oneof(
      { weight: 12, arbitrary: command.map((each) => [each]) },
      { weight: 1, arbitrary: fc.oneof(rotation, rotation, nap) },
    ),
    {
      minLength: 1,
      maxLength: 50,
      size: "max",
    },
  )
  .map((steps) => steps.flat());

const EVERYTHING: ReadonlySet<string> = new Set([
  ...["active", "grace", "pending", "paused", "identity_paused", "superseded", "expired"],
  ...["abandoned", "revoked", "identity_revoked"],
  ...["create", "issue", "rotate", "replace", "credential", "identity", "use"].flatMap(outcomes),
  ...["shorten credential", "shorten identity", "revoke token"].flatMap(outcomes),
]);

function outcomes(kind: string): string[] {
  return [`${kind} taken`, `${kind} refused`];
}

const START = Date.UTC(2030, 0, 1);

let runs = 0;

/** One sequence: a corner of the database of its own, and the model of it. */
class Run {
  readonly #database: TestDatabase;
  readonly #prefix = `r${++runs}`;
  readonly #world = new ModelWorld(START);
  readonly #seen: Set<string>;
  #made = 0;

  constructor(database: TestDatabase, seen: Set<string>) {
    this.#database = database;
    this.#seen = seen;
  }

  async take(command: Command): Promise<void> {
    const move = this.#plan(command);
    if (move === null) return;
    const refusal = await this.#execute(move.sql);
    expect({ ...command, taken: refusal === null, refusal }).toEqual({
      ...command,
      taken: move.taken,
      refusal,
    });
    const description = await this.#describe();
    expect(description).toEqual(this.#world.describe());
    this.#seen.add(`${command.do} ${move.taken ? "taken" : "refused"}`);
    for (const row of description) this.#seen.add(row.split(" ")[2] ?? "");
  }

  /** The statements, and whether the model took the same; null where there is nothing to do it to. */
  #plan(command: Command): { readonly sql: string; readonly taken: boolean } | null {
    const world = this.#world;
    const at = this.#at;
    switch (command.do) {
      case "wait":
        world.now += command.seconds * 1000;
        return { sql: "SELECT 1", taken: true };
      case "create": {
        const slug = `${this.#prefix}-${this.#made++}`;
        const parent = command.parent === null ? null : pick(world.identities, command.parent);
        return {
          sql: identity(slug, {
            ...(parent === null ? {} : { parentId: idOf(parent.slug) }),
            ...(command.life === null ? {} : { expiresAt: at(command.life) }),
            ...(command.idleTtl === null ? {} : { idleTtl: String(command.idleTtl) }),
          }),
          taken: world.createIdentity(slug, parent, command.life, command.idleTtl),
        };
      }
      case "issue":
      case "rotate":
      case "replace":
        return this.#planIssuance(command);
      case "credential": {
        const credential = pick(world.credentials, command.which);
        if (credential === null) return null;
        return {
          sql: set(credential.publicId, `status = '${command.to}'`),
          taken: world.setCredential(credential, command.to),
        };
      }
      case "shorten credential": {
        const credential = pick(world.credentials, command.which);
        if (credential === null) return null;
        return {
          sql: set(credential.publicId, `"expiresAt" = ${at(command.life)}`),
          taken: world.shorten(credential, command.life),
        };
      }
      case "revoke token": {
        const credential = pick(world.credentials, command.which);
        if (credential === null) return null;
        // Never the instant that is there already: repeating that would be no change.
        const instant = at(1_000_000 + this.#made++);
        return {
          sql: setToken(credential.publicId, `"revokedAt" = ${instant}`),
          taken: world.revokeToken(credential),
        };
      }
      default: {
        const which = pick(world.identities, command.which);
        return which === null ? null : this.#planIdentity(command, which);
      }
    }
  }

  #planIdentity(
    command: Extract<Command, { do: "identity" | "use" | "shorten identity" }>,
    which: ModelIdentity,
  ) {
    if (command.do === "identity") {
      return {
        sql: setIdentity(which.slug, `status = '${command.to}'`),
        taken: this.#world.setIdentity(which, command.to),
      };
    }
    if (command.do === "use") {
      return { sql: setIdentity(which.slug, '"lastUsedAt" = midctl_now()'), taken: this.#world.use(which) };
    }
    return {
      sql: setIdentity(which.slug, `"expiresAt" = ${this.#at(command.life)}`),
      taken: this.#world.shorten(which, command.life),
    };
  }

  #planIssuance(command: Issuance & { readonly do: "issue" | "rotate" | "replace" }) {
    const world = this.#world;
    const owner = pick(world.identities, command.identity);
    if (owner === null) return null;
    const siblings = world.credentials.filter(
      (each) => each.identity === owner && each.name === command.name,
    );
    const current = siblings.find((each) => each.status === "active" || each.status === "paused") ?? null;
    const chosen = command.which === null ? current : pick(world.credentials, command.which);
    const wanted: NewCredential = {
      publicId: `${this.#prefix}c${this.#made++}`.padEnd(12, "x"),
      identity: owner,
      name: command.name,
      replaces: command.do === "issue" ? null : chosen,
      graceSeconds: command.grace,
      life: command.life,
      activateWithin: command.activateWithin,
    };
    const sql = issue(wanted.publicId, owner.slug, {
      name: `'${wanted.name}'`,
      expiresAt: this.#at(wanted.life),
      activationDeadline: this.#at(wanted.activateWithin),
      graceSeconds: String(wanted.graceSeconds),
      ...(wanted.replaces === null ? {} : { replacesId: credentialId(wanted.replaces.publicId) }),
    });
    if (command.do !== "replace") return { sql, taken: world.issue(wanted) };
    const pending = siblings.find((each) => each.status === "pending") ?? null;
    if (pending === null) return null;
    return {
      sql: `${set(pending.publicId, `status = 'abandoned', "replacedBy" = '${wanted.publicId}'`)}; ${sql}`,
      taken: world.replace(pending, wanted),
    };
  }

  readonly #at = (seconds: number): string =>
    `'${new Date(this.#world.now + seconds * 1000).toISOString().replace("Z", "")}'::timestamp`;

  async #execute(sql: string): Promise<string | null> {
    try {
      await this.#database.db.transaction((tx) =>
        tx.script(`SELECT set_config('test.now', ${this.#at(0)}::text, true); ${sql}`),
      );
      return null;
    } catch (error) {
      return `${readSqlState(error)} ${(error as Error).message}`;
    }
  }

  async #describe(): Promise<string[]> {
    const rows = await this.#database.db.query<{ row: string }>(
      `SELECT concat_ws(' ', slug, status, midctl_identity_state(id, ${this.#at(0)})) AS row
         FROM machine_identity WHERE slug LIKE $1 || '-%'
       UNION ALL
       SELECT concat_ws(' ', c."publicId", c.status, midctl_credential_state(c, ${this.#at(0)}), coalesce(midctl_instant(c."graceUntil"), '-'),
                        CASE WHEN t."revokedAt" IS NULL THEN 'false' ELSE 'true' END)
         FROM machine_identity_credential c JOIN machine_identity i ON i.id = c."machineIdentityId" JOIN agent_token t ON t."publicId" = c."publicId"
        WHERE i.slug LIKE $1 || '-%'`,
      [this.#prefix],
    );
    return rows.map(({ row }) => row).sort();
  }
}

function pick<T extends ModelIdentity | ModelCredential>(rows: readonly T[], n: number): T | null {
  // The latest first: most of what happens, happens to them.
  return rows.length === 0 ? null : (rows[rows.length - 1 - (n % rows.length)] ?? null);
}

describe.each(databases())("random sequences on $name", (factory) => {
  let database: TestDatabase;
  /** What happened in all sequences together. */
  const seen = new Set<string>();

  beforeAll(async () => {
    database = await factory.create();
    await database.db.transaction((tx) => installClock(tx));
  });
  afterAll(() => database?.dispose());

  test("go as the model says, command by command", async () => {
    const asTheModelSays = fc.asyncProperty(sequence, async (commands) => {
      const run = new Run(database, seen);
      const idleTtl = commands.length % 2 === 0 ? 8 : null;
      await run.take({ do: "create", parent: null, life: null, idleTtl });
      for (const each of commands) await run.take(each);
    });

    // Ever the same ones, which are known to go everywhere, then new ones.
    await fc.assert(asTheModelSays, { numRuns: 40, seed: 1 });
    await fc.assert(asTheModelSays, { numRuns: 20 });
  }, 300_000);

  test("came through every state, and had each kind of change taken and refused", () => {
    expect([...EVERYTHING].filter((each) => !seen.has(each))).toEqual([]);
  });

  test("leave at most one current and one pending of a name, whenever one looks", async () => {
    const crowded = await database.db.query(
      `SELECT c."machineIdentityId", c.name, m.at
         FROM machine_identity_credential c,
              LATERAL (SELECT "issuedAt" AS at FROM machine_identity_credential UNION SELECT "activatedAt" FROM machine_identity_credential) m
        WHERE m.at IS NOT NULL
          AND c."issuedAt" <= m.at AND coalesce(LEAST(c."revokedAt", c."abandonedAt", c."supersededAt", c."expiresAt") > m.at, true)
        GROUP BY 1, 2, 3
       HAVING count(*) FILTER (WHERE c."activatedAt" <= m.at) > 1
           OR count(*) FILTER (WHERE coalesce(c."activatedAt" > m.at, true) AND c."activationDeadline" > m.at) > 1`,
    );

    expect(crowded).toEqual([]);
  });

  test("leave a log without gaps, true to its hashes, with an entry for every credential", async () => {
    const leaves = await database.db.query<{ index: string; entry: string; leafHash: Uint8Array }>(
      `SELECT "index", entry, "leafHash" FROM midctl_log ORDER BY "index"`,
    );
    const issued = new Set<string>();
    for (const [n, { index, entry, leafHash }] of leaves.entries()) {
      const { action, credential } = JSON.parse(entry) as { action: string; credential: string };
      if (action === "credential.issue") issued.add(credential);
      expect(Number(index)).toBe(n);
      expect(Buffer.from(leafHash).equals(createHash("sha256").update("\0").update(entry).digest())).toBe(
        true,
      );
    }
    const [row] = await database.db.query<{ size: string; ids: string[] }>(
      `SELECT size::text, (SELECT json_agg("publicId") FROM machine_identity_credential) AS ids FROM midctl_log_head`,
    );
    expect(Number(row?.size)).toBe(leaves.length);
    expect(issued).toEqual(new Set(row?.ids));
  });

  test("leave every credential with its one token", async () => {
    const odd = await database.db.query(
      `SELECT c."publicId" FROM machine_identity_credential c
        WHERE (SELECT count(*) FROM agent_token t
                WHERE t."publicId" = c."publicId" AND t."tokenHash" = c."tokenHash" AND t."machineIdentityId" = c."machineIdentityId") <> 1`,
    );

    expect(odd).toEqual([]);
  });
});
