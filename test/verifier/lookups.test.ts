import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { hashToken, parseShape } from "../../src/domain/token.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import { readTokens, type Secret } from "../../src/repository/token-facts.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { insertLegacy, issueActive } from "./scene.ts";

describe.each(databases())("lookups on $name", ({ create }) => {
  let db: Database;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await create();
    db = database.db;
  });
  afterAll(() => database.dispose());

  test("that come together go together, in two statements that take turns", async () => {
    const tokens = await Promise.all(["a", "b", "c", "d"].map((slug) => issueActive(db, slug)));
    const verifier = createAuthenticator({ db, cache: false });

    const decisions = await Promise.all(tokens.map((token) => verifier.authenticate(token)));

    expect(decisions.map((decision) => decision.ok && decision.actor.slug)).toEqual(["a", "b", "c", "d"]);
    expect(verifier.counters.lookups).toBe(2);
  });

  test("of one token are one lookup", async () => {
    const token = await issueActive(db, "popular");
    const verifier = createAuthenticator({ db, cache: false });

    const decisions = await Promise.all(Array.from({ length: 20 }, () => verifier.authenticate(token)));

    expect(decisions.every(({ ok }) => ok)).toBe(true);
    expect(verifier.counters.lookups).toBe(1);
  });

  test("take what people write as what it is, whatever it looks like", async () => {
    const token = await issueActive(db, "piped", { scopes: ["a|b", '"', "é\\"] });
    const written = { displayName: "x|paused|y\u001f", owner: "|revoked|", labels: { team: "a|b" } };
    await db.query(
      `UPDATE machine_identity SET "displayName" = $1::text, owner = $2::text, labels = $3::text::jsonb WHERE slug = 'piped'`,
      [written.displayName, written.owner, JSON.stringify(written.labels)],
    );

    const decision = await createAuthenticator({ db, cache: false }).authenticate(token);

    expect(decision).toMatchObject({
      ok: true,
      scopes: ["a|b", '"', "é\\"],
      identity: { slug: "piped", kind: "service", provider: null, threadId: null, ...written },
    });
  });

  test("of a token that the host revoked find it revoked, whatever its credential says", async () => {
    const token = await issueActive(db, "host-revoked");
    await db.query(`UPDATE agent_token SET "revokedAt" = now() WHERE "publicId" = $1::text`, [
      token.slice(9, 21),
    ]);

    const decision = await createAuthenticator({ db, cache: false }).authenticate(token);

    expect(decision).toEqual({ ok: false, code: "revoked" });
  });

  test("of a public id with another secret find nothing, also beside the right one", async () => {
    const secrets = ["guessed", "other"].map(async (slug) => {
      const token = await issueActive(db, slug);
      return { publicId: parseShape(token)?.publicId ?? "", hash: hashToken(token) };
    });
    const [right, other] = (await Promise.all(secrets)) as [Secret, Secret];
    const swapped = { publicId: right.publicId, hash: other.hash };
    const unknown = { publicId: "nobody000000", hash: right.hash };

    const beside = await readTokens(db, [swapped, right, unknown]);
    const alone = await readTokens(db, [unknown, swapped]);

    expect([...beside.tokens].map(([hash, { publicId }]) => ({ publicId, hash }))).toEqual([right]);
    expect(alone.tokens.size).toBe(0);
  });

  test("of own and legacy tokens, known and not, are told apart in one go", async () => {
    const own = await issueActive(db, "own-token");
    const legacy = await insertLegacy(db, "lookuplegacy");
    const verifier = createAuthenticator({ db, cache: false });

    const decisions = await Promise.all(
      [own, legacy, `${legacy}x`].map((token) => verifier.authenticate(token)),
    );

    expect(decisions.map((decision) => (decision.ok ? decision.actor.kind : decision.code))).toEqual([
      "machine_identity",
      "legacy_token",
      "unknown",
    ]);
  });
});
