import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createToken, hashLegacyToken } from "../../src/domain/token.ts";
import { applyApproval } from "../../src/operations/approval/apply.ts";
import { draftControl } from "../../src/operations/approval/draft.ts";
import { loadTrust } from "../../src/operations/approval/trust-dir.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import { readTarget } from "../../src/operations/control.ts";
import { issueCredential } from "../../src/operations/credential-issue.ts";
import { draftProtection, protectEnvironment, rehearseProtection } from "../../src/operations/db-protect.ts";
import { createIdentity } from "../../src/operations/identity-create.ts";
import { previewIssuance } from "../../src/operations/issuance.ts";
import { revokeTarget } from "../../src/operations/revoke.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { OPERATOR, openTrustDesk, requestSigned, type TrustDesk } from "../support/trust.ts";

/** Bringing a running environment under approvals (SPEC §9): what is alive goes on, and nothing else begins. */
describe.each(databases())("protecting a running environment on $name", ({ create }) => {
  const LIFE = 90 * 86_400;
  const LEGACY = "a-legacy-token-of-the-host";
  let database: TestDatabase;
  let desk: TrustDesk;
  let token: string;

  beforeEach(async () => {
    database = await create();
    desk = openTrustDesk();
    token = await issue("bot", "never");
    await database.db.query(
      `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", scopes) VALUES ('legacy000001', 'old', 'kan', $1, '["a"]')`,
      [hashLegacyToken(LEGACY)],
    );
  });
  afterEach(async () => {
    desk.dispose();
    await database.dispose();
  });

  async function issue(slug: string, expiresIn: number | "never"): Promise<string> {
    const secret = createToken("test", randomBytes);
    const none = {
      provider: null,
      threadId: null,
      parent: null,
      workspace: null,
      expiresIn: null,
      idleTtl: null,
    };
    await createIdentity(
      database.db,
      OPERATOR,
      { slug, kind: "service", owner: "platform", displayName: null, labels: null, ...none },
      { ifNotExists: true },
    );
    await issueCredential(
      database.db,
      OPERATOR,
      {
        ...{ identity: slug, name: "default", scopes: [], expiresIn, secret, replacePending: false },
        activateWithin: 86_400,
      },
      await previewIssuance(database.db, slug, "default"),
    );
    return secret.text;
  }

  async function protect(): Promise<void> {
    const drafts = await draftProtection(database.db, LIFE);
    const { plan } = await requestSigned(database.db, desk, drafts);
    await applyApproval(database.db, OPERATOR, loadTrust(desk.dir), plan.id);
  }

  const decide = async (text: string) => {
    const authenticator = createAuthenticator({ db: database.db, trust: desk.dir, cache: false });
    const decision = await authenticator.authenticate(text);
    await authenticator.close();
    return decision;
  };

  it.each([
    ["", false],
    ["with space", false],
    ["x", true],
    ["kan_-1", true],
  ] as const)(
    "names legacy tokens by the application's public id: %j is taken, or said to be what is in the way: %s",
    async (publicId, taken) => {
      await database.db.query(
        `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash", scopes) VALUES ($1, 'odd', 'kan', $2, '["a"]')`,
        [publicId, hashLegacyToken("another-legacy-token")],
      );

      const drafted = draftProtection(database.db, 86_400);

      if (taken) {
        const ids = (await drafted).map(({ line }) => line.credential?.id);
        expect(ids).toContain(`at_${publicId}`);
      } else {
        await expect(drafted).rejects.toMatchObject({
          code: "conflict",
          message: expect.stringContaining(
            `1 legacy token has a public id that no plan can name: "${publicId}"`,
          ),
        });
      }
    },
  );

  it("is one plan that names every token in force, legacy ones included", async () => {
    const drafts = await draftProtection(database.db, LIFE);

    expect(drafts.map(({ line }) => [line.do, line.credential?.id.slice(0, 3), line.identity?.slug])).toEqual(
      [
        ["environment.protect", "at_", undefined],
        ["environment.protect", "mc_", "bot"],
      ],
    );
  });

  it("goes on accepting what it covers, and nothing that is issued otherwise", async () => {
    await protect();

    expect(await decide(token)).toMatchObject({ ok: true, actor: { slug: "bot" } });
    expect(await decide(LEGACY)).toMatchObject({ ok: true, actor: { kind: "legacy_token" } });
    await expect(issue("other", LIFE)).rejects.toMatchObject({ code: "approval_required" });
  });

  it("gives what had no end one", async () => {
    await protect();

    const rows = await database.db.query(
      `SELECT 1 AS endless FROM agent_token WHERE "expiresAt" IS NULL OR "expiresAt" > now() + interval '91 days'`,
    );
    expect(rows).toEqual([]);
  });

  it("does nothing where a token was issued since the plan was made", async () => {
    const drafts = await draftProtection(database.db, LIFE);
    const { plan } = await requestSigned(database.db, desk, drafts);
    await issue("late", LIFE);

    await expect(applyApproval(database.db, OPERATOR, loadTrust(desk.dir), plan.id)).rejects.toMatchObject({
      code: "approval_required",
      message: expect.stringMatching(
        /is alive, and no approved plan covers it; the environment was not protected/,
      ),
    });
    await expect(issue("later", LIFE)).resolves.toMatch(/^mid_/);
  });

  it("needs an approval where a token is alive, and none where nothing is", async () => {
    await expect(protectEnvironment(database.db, OPERATOR, [])).rejects.toMatchObject({
      code: "approval_required",
    });
    await database.db.query(`DELETE FROM agent_token WHERE "machineIdentityId" IS NULL`);
    await database.db.query(`UPDATE machine_identity SET status = 'revoked'`);

    expect(await protectEnvironment(database.db, OPERATOR, [])).toMatchObject({
      changed: true,
      environment: { protected: true },
    });
  });

  it("is tried beforehand without being done", async () => {
    const tried = await rehearseProtection(database.db, OPERATOR, await draftProtection(database.db, LIFE));

    const [{ protected: isProtected } = { protected: null }] = await database.db.query<{
      protected: boolean;
    }>("SELECT protected FROM midctl_environment");
    expect(tried.environment.protected).toBe(true);
    expect(isProtected).toBe(false);
  });

  it("gates the revocation of a legacy token for people, not for the host", async () => {
    await protect();
    const target = await readTarget(database.db, "at_legacy000001");

    await expect(revokeTarget(database.db, OPERATOR, target)).rejects.toMatchObject({
      code: "approval_required",
    });
    await database.db.query(`UPDATE agent_token SET "revokedAt" = now() WHERE "publicId" = 'legacy000001'`);

    expect(await decide(LEGACY)).toEqual({ ok: false, code: "revoked" });
  });

  it("revokes a legacy token by an approved plan", async () => {
    await protect();
    const drafted = await draftControl(
      database.db,
      await readTarget(database.db, "at_legacy000001"),
      "revoked",
    );
    const { plan } = await requestSigned(database.db, desk, [drafted]);

    await applyApproval(database.db, OPERATOR, loadTrust(desk.dir), plan.id);

    expect(await decide(LEGACY)).toEqual({ ok: false, code: "revoked" });
  });

  it("is for good", async () => {
    await protect();

    await expect(database.db.query("UPDATE midctl_environment SET protected = false")).rejects.toMatchObject({
      message: expect.stringContaining("stays protected"),
    });
  });
});
