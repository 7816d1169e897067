import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { createToken, type Token } from "../../src/domain/token.ts";
import { listAudit } from "../../src/operations/audit-list.ts";
import { createAuthenticator } from "../../src/operations/authenticate.ts";
import type { Request } from "../../src/operations/change.ts";
import { readTarget } from "../../src/operations/control.ts";
import { issueCredential } from "../../src/operations/credential-issue.ts";
import { rotateCredential } from "../../src/operations/credential-rotate.ts";
import type { IdentitySpec } from "../../src/operations/identity-create.ts";
import { showIdentity } from "../../src/operations/identity-show.ts";
import { DEFAULT_ACTIVATION, DEFAULT_LIFE, previewIssuance } from "../../src/operations/issuance.ts";
import { listCredentials, listIdentities } from "../../src/operations/list.ts";
import { pauseTarget } from "../../src/operations/pause.ts";
import { resumeTarget } from "../../src/operations/resume.ts";
import { revokeTarget } from "../../src/operations/revoke.ts";
import { verifyToken } from "../../src/operations/verify.ts";
import { databases, type TestDatabase } from "../support/databases.ts";
import { EVERYTHING } from "../support/lists.ts";

const ALICE: Request = { actor: { kind: "operator", name: "alice" }, reason: "testing" };

function thread(id: string): IdentitySpec {
  return {
    slug: `codex-${id}`,
    kind: "thread",
    provider: "codex",
    threadId: id,
    owner: "you",
    displayName: null,
    labels: null,
    parent: null,
    workspace: null,
    expiresIn: null,
    idleTtl: null,
  };
}

async function issue(db: Database, spec: IdentitySpec, token: Token = createToken("test", randomBytes)) {
  const seen = await previewIssuance(db, spec.slug, "default");
  const issued = await issueCredential(
    db,
    ALICE,
    {
      identity: spec,
      name: "default",
      scopes: ["cards:*"],
      expiresIn: DEFAULT_LIFE,
      activateWithin: DEFAULT_ACTIVATION,
      secret: token,
      replacePending: false,
    },
    seen,
  );
  return { token, issued };
}

async function rotate(db: Database, slug: string, change: { grace?: number; compromised?: boolean } = {}) {
  const token = createToken("test", randomBytes);
  const seen = await previewIssuance(db, slug, "default");
  const issued = await rotateCredential(
    db,
    ALICE,
    {
      identity: slug,
      name: "default",
      scopes: null,
      expiresIn: DEFAULT_LIFE,
      activateWithin: DEFAULT_ACTIVATION,
      secret: token,
      replacePending: false,
      grace: change.grace ?? 60,
      expectCurrent: null,
      compromised: change.compromised ?? false,
    },
    seen,
  );
  return { token, issued };
}

describe.each(databases())("the life of a machine identity on $name", (factory) => {
  let test_: TestDatabase;
  let db: Database;

  beforeAll(async () => {
    test_ = await factory.create();
    db = test_.db;
  });
  afterAll(() => test_.dispose());

  test("issuance makes identity, credential, token and log entries together, and the credential is pending", async () => {
    const { issued } = await issue(db, thread("one"));

    expect(issued).toMatchObject({
      created: true,
      identity: { slug: "codex-one", effectiveStatus: "active", createdBy: "alice" },
      credential: { identity: "codex-one", status: "pending", scopes: ["cards:*"], issuedBy: "alice" },
    });
    const { events } = await listAudit(db, { identity: "codex-one", limit: 10 });
    expect(events.map((event) => event.action)).toEqual(["credential.issue", "identity.create"]);
    expect(events[0]).toMatchObject({ actor: { kind: "operator", name: "alice" }, reason: "testing" });
  });

  test("looking leaves a pending credential pending; the first use activates it, once", async () => {
    const { token } = await issue(db, thread("two"));
    const authenticator = createAuthenticator({ db });

    expect(await verifyToken(db, token.text, null)).toMatchObject({
      ok: true,
      credential: { effectiveStatus: "pending" },
    });
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => authenticator.authenticate(token.text)),
    );

    expect(answers.every((answer) => answer.ok)).toBe(true);
    const { events } = await listAudit(db, {
      identity: "codex-two",
      limit: 10,
      action: "credential.activate",
    });
    expect(events).toHaveLength(1);
    expect(events[0]?.actor).toMatchObject({ kind: "machine_identity", name: "codex-two" });
  });

  test("a rotation leaves the old credential alone until the new one is used, then gives it its grace", async () => {
    const { token: old } = await issue(db, thread("three"));
    const authenticator = createAuthenticator({ db });
    await authenticator.authenticate(old.text);

    const { token: next, issued } = await rotate(db, "codex-three");
    const before = await authenticator.authenticate(old.text);
    await authenticator.authenticate(next.text);
    const after = await authenticator.authenticate(old.text);

    expect(issued.credential.replaces).toBe(`mc_${old.publicId}`);
    expect(before).toMatchObject({ ok: true, credential: { effectiveStatus: "active" } });
    expect(after).toMatchObject({ ok: true, credential: { effectiveStatus: "grace" } });
  });

  test("a compromised secret ends at once, the pending one and the one in grace with it", async () => {
    const { token: first } = await issue(db, thread("four"));
    const authenticator = createAuthenticator({ db });
    await authenticator.authenticate(first.text);
    const { token: second } = await rotate(db, "codex-four");
    await authenticator.authenticate(second.text);
    const { token: third } = await rotate(db, "codex-four");

    const { token: fresh, issued } = await rotate(db, "codex-four", { compromised: true });

    expect(issued.revoked).toHaveLength(3);
    for (const dead of [first, second, third]) {
      expect(await verifyToken(db, dead.text, null)).toEqual({ ok: false, code: "revoked" });
    }
    expect(await authenticator.authenticate(fresh.text)).toMatchObject({ ok: true });
  });

  test("a pause reaches the credential by computation, and a resume gives it back", async () => {
    const { token } = await issue(db, thread("five"));
    const authenticator = createAuthenticator({ db });
    await authenticator.authenticate(token.text);

    const paused = await pauseTarget(db, ALICE, await readTarget(db, "codex-five"));
    const refused = await authenticator.authenticate(token.text);
    await resumeTarget(db, ALICE, await readTarget(db, "codex-five"));

    expect(paused).toMatchObject({ changed: true, status: "paused" });
    expect(refused).toEqual({ ok: false, code: "identity_paused" });
    expect(await authenticator.authenticate(token.text)).toMatchObject({ ok: true });
  });

  test("revoking is final and the second operator is told that nothing changed", async () => {
    await issue(db, thread("six"));
    const target = await readTarget(db, "codex-six");

    const first = await revokeTarget(db, ALICE, target);
    const second = await revokeTarget(db, ALICE, target);

    expect([first.changed, second.changed]).toEqual([true, false]);
    await expect(resumeTarget(db, ALICE, await readTarget(db, "codex-six"))).rejects.toMatchObject({
      code: "illegal_transition",
    });
  });

  test("an operator who decided on what stands no longer is told, and changes nothing", async () => {
    await issue(db, thread("seven"));
    const seen = await readTarget(db, "codex-seven");
    await pauseTarget(db, ALICE, seen);

    await expect(revokeTarget(db, ALICE, seen)).rejects.toMatchObject({
      code: "conflict",
      details: { was: "active", is: "paused" },
    });
  });

  test("the retry of an issuance that succeeded is answered with what it made", async () => {
    const { token } = await issue(db, thread("eight"));

    const again = await issue(db, thread("eight"), token);

    expect(again.issued).toMatchObject({ created: false, credential: { id: `mc_${token.publicId}` } });
  });

  test("a dry run tells the outcome and leaves no row and no entry", async () => {
    const seen = await previewIssuance(db, "codex-nine", "default");
    const token = createToken("test", randomBytes);

    const issued = await issueCredential(
      db,
      { ...ALICE, dryRun: true },
      {
        identity: thread("nine"),
        name: "default",
        scopes: [],
        expiresIn: "never",
        activateWithin: 60,
        secret: token,
        replacePending: false,
      },
      seen,
    );

    expect(issued.credential.status).toBe("pending");
    await expect(showIdentity(db, "codex-nine")).rejects.toMatchObject({ code: "not_found" });
  });

  test("lists page by keyset and filter by effective status", async () => {
    const first = await listIdentities(db, EVERYTHING, "slug", { limit: 2, cursor: null, descending: false });
    const second = await listIdentities(db, EVERYTHING, "slug", {
      limit: 2,
      cursor: first.nextCursor,
      descending: false,
    });
    const revoked = await listIdentities(db, { ...EVERYTHING, status: ["revoked"] }, "slug", {
      limit: 10,
      cursor: null,
      descending: false,
    });
    const byEnd = await listCredentials(db, { ...EVERYTHING, identity: "codex-four" }, "expires", {
      limit: 2,
      cursor: null,
      descending: true,
    });
    const restByEnd = await listCredentials(db, { ...EVERYTHING, identity: "codex-four" }, "expires", {
      limit: 2,
      cursor: byEnd.nextCursor,
      descending: true,
    });

    expect(new Set([...first.identities, ...second.identities].map((identity) => identity.slug)).size).toBe(
      4,
    );
    expect(revoked.identities.map((identity) => identity.slug)).toEqual(["codex-six"]);
    expect(byEnd.credentials).toHaveLength(2);
    expect(restByEnd.credentials).toHaveLength(2);
  });
});
