import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { OwnTx } from "../../src/db/database.ts";
import {
  type CredentialFacts,
  type CredentialStatus,
  effectiveCredentialStatus,
  effectiveIdentityStatus,
  graceEnd,
  type IdentityFacts,
  type IdentityStatus,
  isCurrent,
  isIdle,
  isLive,
} from "../../src/domain/status.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { credentialId, installClock, issue, readValue, rehearse, set, WORLD } from "./scene.ts";

/**
 * The rules stand in two places: src/domain/status.ts and the SQL of the guards. Random facts, most instants within a
 * few milliseconds of each other so that boundaries are hit, get the same answer from both.
 */
const NOW = Date.UTC(2030, 0, 1);

/** Around now, or a whole number of seconds before it (where idleness is decided), to the millisecond. */
const instant = fc.oneof(
  fc.integer({ min: -3, max: 3 }).map((ms) => NOW + ms),
  fc
    .tuple(fc.integer({ min: -5, max: 0 }), fc.integer({ min: -1, max: 1 }))
    .map(([s, ms]) => NOW + s * 1000 + ms),
);
const maybe = (arbitrary: fc.Arbitrary<number>) => fc.option(arbitrary, { nil: null, freq: 2 });
const date = (ms: number | null) => (ms === null ? null : new Date(ms));

const identityFacts: fc.Arbitrary<IdentityFacts> = fc
  .record({
    status: fc.constantFrom<IdentityStatus>("active", "active", "active", "paused", "revoked"),
    expiresAt: maybe(instant),
    idleTtl: fc.option(fc.integer({ min: 1, max: 5 }), { nil: null }),
    createdAt: instant,
    lastUsedAt: maybe(instant),
    resumedAt: maybe(instant),
  })
  .map((facts) => ({
    ...facts,
    expiresAt: date(facts.expiresAt),
    createdAt: new Date(facts.createdAt),
    lastUsedAt: date(facts.lastUsedAt),
    resumedAt: date(facts.resumedAt),
  }));

const credentialFacts: fc.Arbitrary<CredentialFacts> = fc
  .record({
    status: fc.constantFrom<CredentialStatus>(
      "pending",
      "active",
      "paused",
      "superseded",
      "revoked",
      "abandoned",
    ),
    expiresAt: maybe(instant),
    activationDeadline: instant,
    graceUntil: maybe(instant),
  })
  .map((facts) => ({
    status: facts.status,
    expiresAt: date(facts.expiresAt),
    activationDeadline: new Date(facts.activationDeadline),
    // What the guards let a row say: grace belongs to the superseded, which always have its end.
    graceUntil: facts.status === "superseded" ? new Date(facts.graceUntil ?? NOW) : null,
  }));

/** An identity, then its ancestors. */
const chain = fc.array(identityFacts, { minLength: 1, maxLength: 4 });

interface Answers {
  readonly identity: string;
  readonly credential: string;
  readonly idle: boolean;
  readonly current: boolean;
  readonly live: boolean;
}

describe.each(databases())("domain and database on $name", (factory) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await factory.create();
    // Facts are taken as they come, impossible ones too: only here, nobody guards.
    await database.db.transaction((tx) =>
      tx.script(`ALTER TABLE machine_identity DISABLE TRIGGER ALL;
        ALTER TABLE machine_identity DROP CONSTRAINT machine_identity_revoked_check`),
    );
  });
  afterAll(() => database?.dispose());

  test("call every identity and credential the same, to the millisecond", async () => {
    await fc.assert(
      fc.asyncProperty(chain, credentialFacts, async (identities, credential) => {
        const now = new Date(NOW);

        const answers = await rehearse(database.db, (tx) => ask(tx, identities, credential));

        expect(answers).toEqual({
          identity: effectiveIdentityStatus(identities, now),
          credential: effectiveCredentialStatus(credential, identities, now),
          idle: isIdle(identities[0] as IdentityFacts, now),
          current: isCurrent(credential, now),
          live: isLive(credential, now),
        });
      }),
      { numRuns: 400 },
    );
  });
});

/** One statement per identity, from the root down, and one question. */
async function ask(
  tx: OwnTx,
  chain: readonly IdentityFacts[],
  credential: CredentialFacts,
): Promise<Answers> {
  const rows = [...chain].reverse().map((facts, n) => {
    const parent = n === 0 ? "NULL" : `${n}`;
    return `(${n + 1}, '${String(n).padStart(12, "i")}', 'i${n}', 'x', 'service', 'x', ${parent}, '${facts.status}', ${sql(facts.expiresAt)},
      ${facts.idleTtl ?? "NULL"}, ${sql(facts.createdAt)}, ${sql(facts.lastUsedAt)}, ${sql(facts.resumedAt)})`;
  });
  await tx.script(`INSERT INTO machine_identity
    (id, "publicId", slug, "displayName", kind, owner, "parentId", status, "expiresAt", "idleTtl", "createdAt", "lastUsedAt", "resumedAt")
    VALUES ${rows.join(", ")}`);
  const facts = `jsonb_populate_record(NULL::machine_identity_credential, jsonb_build_object('machineIdentityId', ${chain.length},
    'status', '${credential.status}', 'expiresAt', ${sql(credential.expiresAt)}, 'activationDeadline', ${sql(credential.activationDeadline)},
    'graceUntil', ${sql(credential.graceUntil)}))`;
  const now = sql(new Date(NOW));
  const [answers] = await tx.query<Answers>(
    `SELECT midctl_identity_state(i.id, ${now}) AS identity,
            (SELECT midctl_credential_state(c."machineIdentityId", c.status, c."activationDeadline", c."expiresAt", c."graceUntil", ${now})
               FROM (SELECT (${facts}).*) c) AS credential,
            midctl_is_idle(i, ${now}) AS idle, midctl_is_current(${facts}, ${now}) AS current,
            coalesce(midctl_is_live(${facts}, ${now}), false) AS live
       FROM machine_identity i WHERE i.id = ${chain.length}`,
  );
  if (answers === undefined) throw new Error("the database gave no answer");
  return answers;
}

function sql(at: Date | null): string {
  return at === null ? "NULL::timestamp" : `'${at.toISOString().replace("Z", "")}'::timestamp`;
}

describe.each(databases())("grace on $name", (factory) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await factory.create();
    await database.db.transaction(async (tx) => {
      await installClock(tx);
      await tx.script(WORLD);
    });
  });
  afterAll(() => database?.dispose());

  test("ends when the domain says", async () => {
    const situation = fc.record({
      paused: fc.boolean(),
      /** Milliseconds from now until the predecessor's end. */
      left: fc.integer({ min: -2_000, max: 5_000 }),
      grace: fc.integer({ min: 0, max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(situation, async ({ paused, left, grace }) => {
        const end = new Date(NOW + left);
        const at = (ms: number) => `SELECT set_config('test.now', ${sql(new Date(NOW + ms))}::text, true)`;

        const until = await rehearse(database.db, async (tx) => {
          await tx.script(`${at(-10_000)};
            ${issue("before000001", "bare", { expiresAt: sql(end) })}; ${set("before000001", "status = 'active'")};
            ${issue("after0000001", "bare", { replacesId: credentialId("before000001"), graceSeconds: String(grace) })};
            ${paused ? set("before000001", "status = 'paused'") : "SELECT 1"};
            ${at(0)}; ${set("after0000001", "status = 'active'")}`);
          return readValue<string>(
            tx,
            `SELECT midctl_instant("graceUntil") FROM machine_identity_credential WHERE "publicId" = 'before000001'`,
          );
        });

        const before: CredentialFacts = {
          status: paused ? "paused" : "active",
          expiresAt: end,
          activationDeadline: null,
          graceUntil: null,
        };
        expect(until).toBe(graceEnd(before, grace, new Date(NOW)).toISOString());
      }),
      { numRuns: 100 },
    );
  });
});
