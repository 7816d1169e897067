import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { createToken, type Token } from "../../src/domain/token.ts";
import { recordAgentEvents } from "../../src/operations/agent-events.ts";
import { traceReference, traceToken } from "../../src/operations/audit-trace.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import type { Request } from "../../src/operations/change.ts";
import { readTarget } from "../../src/operations/control.ts";
import { issueCredential } from "../../src/operations/credential-issue.ts";
import { rotateCredential } from "../../src/operations/credential-rotate.ts";
import { DEFAULT_ACTIVATION, DEFAULT_LIFE, previewIssuance } from "../../src/operations/issuance.ts";
import { pauseTarget } from "../../src/operations/pause.ts";
import { resumeTarget } from "../../src/operations/resume.ts";
import { revokeTarget } from "../../src/operations/revoke.ts";
import { databases, type TestDatabase } from "../support/databases.ts";

const ALICE: Request = { actor: { kind: "operator", name: "alice" }, reason: "testing" };
const IDENTITY = {
  slug: "bot",
  kind: "service" as const,
  provider: null,
  threadId: null,
  owner: "ops",
  displayName: null,
  labels: null,
  parent: null,
  workspace: null,
  expiresIn: null,
  idleTtl: null,
};
const TERMS = {
  name: "default",
  scopes: [],
  expiresIn: DEFAULT_LIFE,
  activateWithin: DEFAULT_ACTIVATION,
  replacePending: false,
};

const idOf = (token: Token) => `mc_${token.publicId}`;

describe.each(databases())("the trace of a credential on $name", (factory) => {
  let database: TestDatabase;
  let db: Database;
  const [first, second] = [createToken("test", randomBytes), createToken("test", randomBytes)];

  beforeAll(async () => {
    database = await factory.create();
    ({ db } = database);
    const { authenticate } = createAuthenticator({ db });
    await issueCredential(
      db,
      ALICE,
      { ...TERMS, identity: IDENTITY, secret: first },
      await previewIssuance(db, "bot", "default"),
    );
    await authenticate(first.text);
    await recordAgentEvents(db, [
      { token: idOf(first), action: "card.move" },
      { token: idOf(first), action: "card.move" },
    ]);
    await pauseTarget(db, ALICE, await readTarget(db, "bot"));
    await resumeTarget(db, ALICE, await readTarget(db, "bot"));
    await rotateCredential(
      db,
      ALICE,
      { ...TERMS, identity: "bot", secret: second, grace: 60, expectCurrent: null, compromised: false },
      await previewIssuance(db, "bot", "default"),
    );
    await authenticate(second.text);
    await revokeTarget(db, ALICE, await readTarget(db, "bot"));
    await db.query(
      `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash") VALUES ('legacy000001', 'old', 'kan', encode(sha256('kan_secret'), 'hex'))`,
    );
    await db.query(`UPDATE agent_token SET "revokedAt" = midctl_now() WHERE "publicId" = 'legacy000001'`);
  });
  afterAll(() => database?.dispose());

  test("is its life from issue to end, its identity's pauses included, in the order in which it happened", async () => {
    const { identity, lives } = await traceReference(db, idOf(first));

    expect(identity?.slug).toBe("bot");
    expect(lives).toHaveLength(1);
    expect(lives[0]?.steps.map(({ action }) => action)).toEqual([
      "credential.issue",
      "credential.activate",
      "identity.pause",
      "identity.resume",
      "credential.supersede",
      "credential.revoke",
      "identity.revoke",
    ]);
    expect(lives[0]).toMatchObject({ id: idOf(first), replaces: null, replacedBy: idOf(second), cut: false });
  });

  test("begins with its own issue: what was before is its predecessor's", async () => {
    const { lives } = await traceReference(db, idOf(second));

    expect(lives[0]?.steps.map(({ action }) => action)).toEqual([
      "credential.issue",
      "credential.activate",
      "credential.revoke",
      "identity.revoke",
    ]);
    expect(lives[0]).toMatchObject({ replaces: idOf(first), replacedBy: null });
  });

  test("says when its bearer was last seen, and what he did first and last", async () => {
    const [life] = (await traceReference(db, idOf(first))).lives;

    expect(life?.uses).toMatchObject({
      events: 2,
      firstEventAt: expect.stringMatching(/Z$/),
      lastEventAt: expect.stringMatching(/Z$/),
      lastUsedAt: expect.stringMatching(/Z$/),
    });
  });

  test("of an identity is that of each credential, predecessor first", async () => {
    const { lives, cut } = await traceReference(db, "bot");

    expect(lives.map(({ id }) => id)).toEqual([idOf(first), idOf(second)]);
    expect(cut).toBe(false);
  });

  test("by the token itself is the same, and no use of it", async () => {
    const before = await traceReference(db, idOf(second));

    expect(await traceToken(db, second.text)).toEqual(before);
    expect(await traceReference(db, idOf(second))).toEqual(before);
  });

  test("of a legacy token has its end, and no identity", async () => {
    const traced = await traceToken(db, "kan_secret");

    expect(traced).toMatchObject({
      identity: null,
      lives: [{ id: "at_legacy000001", effectiveStatus: "revoked" }],
    });
    expect(traced.lives[0]?.steps.map(({ action }) => action)).toEqual(["token.revoke"]);
  });

  test("of a token that nobody issued is not found, and repeats nothing of it", async () => {
    const unknown = createToken("test", randomBytes);

    const refusal = await traceToken(db, unknown.text).catch((error: Error) => error);

    expect(refusal).toMatchObject({ code: "not_found" });
    expect(JSON.stringify(refusal) + String(refusal)).not.toContain(unknown.publicId);
  });

  test("of an approval is bad usage that names the command for it", async () => {
    await expect(traceReference(db, "ap_4fK2mQ9sT1xZ")).rejects.toMatchObject({
      code: "usage",
      hint: "midctl approval show ap_4fK2mQ9sT1xZ",
    });
  });
});
