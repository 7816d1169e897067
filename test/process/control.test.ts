import { createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Desk, openDesk } from "./desk.ts";

/** SPEC §3 by the program itself: pause, resume, revoke, and what becomes true by the clock alone. */
let desk: Desk;
let slug: string;
let count = 0;

beforeAll(async () => {
  desk = await openDesk();
});
afterAll(() => desk.dispose());
beforeEach(async () => {
  slug = `bot-${++count}`;
  await desk.identity(slug);
});

const goodness = async (token: string): Promise<string> => {
  const { stdout } = await desk.run("verify --json", { stdin: token });
  const answer = JSON.parse(stdout);
  return answer.ok ? (answer.credential?.effectiveStatus ?? answer.actor.kind) : answer.code;
};

/** A token as a host made it before there were identities. */
async function legacyToken(): Promise<{ secret: string; ref: string }> {
  const secret = `kan_${randomBytes(12).toString("hex")}`;
  const publicId = randomBytes(6).toString("hex");
  const hash = createHash("sha256").update(secret).digest("hex");
  await desk.sql(
    `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash") VALUES ($1, 'old', 'kan', $2)`,
    [publicId, hash],
  );
  return { secret, ref: `at_${publicId}` };
}

describe("an identity", () => {
  it("that is paused takes its credentials and descendants with it, and gives them back", async () => {
    const child = await desk.identity(`${slug}-child`, "--parent", slug);
    const own = await desk.activeCredential(slug);
    const childs = await desk.activeCredential(child);

    expect(await desk.ask(["pause", slug])).toMatchObject({
      results: [{ ref: slug, kind: "identity", changed: true, status: "paused", effectiveStatus: "paused" }],
    });
    expect([await goodness(own.token), await goodness(childs.token)]).toEqual([
      "identity_paused",
      "identity_paused",
    ]);
    await desk.ask(["resume", slug]);
    expect([await goodness(own.token), await goodness(childs.token)]).toEqual(["active", "active"]);
  });

  it("that is resumed leaves paused what was paused on its own", async () => {
    const { token, id } = await desk.activeCredential(slug);
    await desk.ask(["pause", id]);
    await desk.ask(["pause", slug]);
    await desk.ask(["resume", slug]);

    expect(await goodness(token)).toBe("paused");
  });

  it.each([
    ["paused", ["pause"]],
    ["revoked", ["revoke", "--yes"]],
  ])(
    "that is resumed under a %s ancestor succeeds and says that it is still refused",
    async (status, [verb, ...yes]) => {
      const child = await desk.identity(`${slug}-child`, "--parent", slug);
      await desk.ask(["pause", child]);
      await desk.ask([verb ?? "", slug, ...yes]);

      const result = await desk.run(["resume", child]);

      expect(result.code).toBe(0);
      expect(result.stderr).toContain(`still refused: it is identity_${status}`);
      expect(await desk.ask(["resume", child])).toMatchObject({
        results: [{ changed: false, status: "active", effectiveStatus: `identity_${status}` }],
      });
    },
  );

  it("that is revoked takes every live credential with it, and nothing brings it back", async () => {
    const active = await desk.activeCredential(slug);
    const pending = await desk.issue(slug, "--name", "ci");
    await desk.ask(["revoke", slug, "--yes", "--reason", "thread ended"]);

    expect([await goodness(active.token), await goodness(pending.token)]).toEqual([
      "identity_revoked",
      "identity_revoked",
    ]);
    const { credentials, events } = await desk.ask(["identity", "show", slug]);
    expect(credentials.map(({ status }: { status: string }) => status)).toEqual(["revoked", "revoked"]);
    expect(events[0].reason).toBe("thread ended");
    for (const verb of ["pause", "resume"]) {
      expect(await desk.refuse([verb, slug])).toMatchObject({ exit: 5, code: "illegal_transition" });
    }
    expect(await desk.ask(["revoke", slug, "--yes"])).toMatchObject({ results: [{ changed: false }] });
    expect(await desk.refuse(["identity", "update", slug, "--owner", "x"])).toMatchObject({ exit: 5 });
  });

  it("idle past its time counts as paused, itself alone, until it is resumed", async () => {
    const idle = await desk.identity(`${slug}-idle`, "--idle-ttl", "1h");
    const child = await desk.identity(`${slug}-child`, "--parent", idle);
    const [own, childs] = [await desk.activeCredential(idle), await desk.activeCredential(child)];
    const hours = "interval '2 hours'";
    await desk.tamper(
      "machine_identity",
      `"createdAt" = "createdAt" - ${hours}, "lastUsedAt" = "lastUsedAt" - ${hours}`,
      idle,
    );

    expect(await goodness(own.token)).toBe("identity_paused");
    expect(await goodness(childs.token)).toBe("active");
    expect((await desk.ask(["identity", "show", idle])).identity).toMatchObject({
      status: "active",
      effectiveStatus: "paused",
    });
    const { identities } = await desk.ask("list --status paused");
    expect(identities.map((each: { slug: string }) => each.slug)).toContain(idle);

    expect(await desk.ask(["resume", idle])).toMatchObject({
      results: [{ changed: true, effectiveStatus: "active" }],
    });
    expect(await goodness(own.token)).toBe("active");
    const { events } = await desk.ask(["audit", "--identity", idle, "--action", "identity.*"]);
    expect(events.map(({ action }: { action: string }) => action)).toEqual([
      "identity.resume",
      "identity.pause",
      "identity.create",
    ]);
  });

  it("past its end is expired, with its descendants", async () => {
    const child = await desk.identity(`${slug}-child`, "--parent", slug);
    const { token } = await desk.activeCredential(child);
    await desk.tamper("machine_identity", `"expiresAt" = midctl_now()`, slug);

    expect(await goodness(token)).toBe("expired");
    expect(await desk.refuse(["credential", "issue", slug])).toMatchObject({ exit: 5 });
  });

  it("is ended sooner, never later", async () => {
    await desk.ask(["identity", "update", slug, "--expires", "2d"]);
    expect(await desk.ask(["identity", "update", slug, "--expires", "1d"])).toMatchObject({ changed: true });
    expect(await desk.refuse(["identity", "update", slug, "--expires", "3d"])).toMatchObject({
      exit: 5,
      code: "illegal_transition",
    });
  });

  it("made again with --if-not-exists is the same or a conflict that names each difference", async () => {
    const words = ["identity", "create", slug, "--owner", "platform"];
    expect(await desk.refuse(words)).toMatchObject({
      exit: 5,
      hint: expect.stringContaining("--if-not-exists"),
    });
    expect(await desk.ask([...words, "--if-not-exists"])).toMatchObject({ created: false });
    const other = ["identity", "create", slug, "--owner", "x", "--label", "a=1", "--if-not-exists"];
    expect(await desk.refuse(other)).toMatchObject({
      exit: 5,
      details: { differences: ["owner", "labels"] },
    });
  });
});

describe("a credential", () => {
  it("is paused, resumed and revoked on its own", async () => {
    const { token, id } = await desk.activeCredential(slug);

    await desk.ask(["pause", id]);
    expect(await goodness(token)).toBe("paused");
    await desk.ask(["resume", id.replace("mc_", "at_")]);
    expect(await goodness(token)).toBe("active");
    await desk.ask(["revoke", id, "--yes"]);
    expect(await goodness(token)).toBe("revoked");
    expect(await desk.refuse(["resume", id])).toMatchObject({ exit: 5, code: "illegal_transition" });
  });

  it("that is pending is revoked, not paused, with advice", async () => {
    const { id } = await desk.issue(slug);

    expect(await desk.refuse(["pause", id])).toMatchObject({
      exit: 5,
      hint: expect.stringContaining(`revoke ${id}`),
    });
    expect(await desk.ask(["revoke", id, "--yes"])).toMatchObject({ results: [{ status: "revoked" }] });
  });

  it("that is superseded is revoked, not paused or resumed", async () => {
    const { id } = await desk.activeCredential(slug);
    const { token } = await desk.ask(["credential", "rotate", slug]);
    await desk.ask("credential activate", { stdin: token });

    for (const verb of ["pause", "resume"]) expect(await desk.refuse([verb, id])).toMatchObject({ exit: 5 });
    expect(await desk.ask(["revoke", id, "--yes"])).toMatchObject({ results: [{ changed: true }] });
  });
});

describe("a leaked token", () => {
  it("is revoked by what stands on stdin, which is no use of it", async () => {
    const { token, id } = await desk.issue(slug);

    expect(await desk.ask("revoke --token-stdin --yes", { stdin: token })).toMatchObject({
      results: [{ ref: id, kind: "credential", changed: true, status: "revoked" }],
    });
    expect((await desk.ask(["credential", "show", id])).credential).toMatchObject({
      activatedAt: null,
      lastUsedAt: null,
    });
    expect(await desk.ask("revoke --token-stdin --yes", { stdin: token })).toMatchObject({
      results: [{ changed: false }],
    });
  });

  it("without --yes off a terminal stays as it was", async () => {
    const { token } = await desk.issue(slug);

    expect(await desk.refuse("revoke --token-stdin", { stdin: token })).toMatchObject({ exit: 2 });
    expect(await goodness(token)).toBe("pending");
  });

  it("of a legacy token is revoked, too", async () => {
    const { secret, ref } = await legacyToken();
    expect(await goodness(secret)).toBe("legacy_token");

    expect(await desk.ask("revoke --token-stdin --yes", { stdin: secret })).toMatchObject({
      results: [{ ref, kind: "token", status: "revoked" }],
    });
    expect(await goodness(secret)).toBe("revoked");
  });
});

describe("a legacy token", () => {
  it("is refused a pause, which suggests to adopt it; activation has nothing to activate", async () => {
    const { secret, ref } = await legacyToken();

    expect(await desk.refuse(["pause", ref])).toMatchObject({
      exit: 5,
      hint: expect.stringContaining(`midctl identity adopt ${ref}`),
    });
    expect(await desk.refuse("credential activate", { stdin: secret })).toMatchObject({ exit: 5 });
    expect(await desk.ask(["revoke", ref, "--yes"])).toMatchObject({
      results: [{ kind: "token", changed: true }],
    });
  });
});

describe("several targets", () => {
  it("of which some fail are results, with exit 8, and the rest is done", async () => {
    const revoked = await desk.identity(`${slug}-revoked`);
    await desk.ask(["revoke", revoked, "--yes"]);

    const result = await desk.run(["pause", revoked, slug, "--yes", "--json"]);

    expect(result.code).toBe(8);
    expect(JSON.parse(result.stdout).results).toMatchObject([
      { ref: revoked, changed: false, error: { code: "illegal_transition" } },
      { ref: slug, changed: true, error: null },
    ]);
  });

  it("named twice are done once", async () => {
    expect((await desk.ask(["pause", slug, slug])).results).toHaveLength(1);
  });
});

describe("--dry-run", () => {
  it("of every command that changes something shows the effect and changes nothing", async () => {
    const { id, token } = await desk.activeCredential(slug);
    const pending = await desk.issue(slug, "--name", "ci");
    await desk.ask(["identity", "create", `${slug}-paused`, "--owner", "x"]);
    await desk.ask(["pause", `${slug}-paused`]);
    const state = () =>
      desk.sql(
        `SELECT (SELECT jsonb_agg(i ORDER BY id) FROM machine_identity i) AS identities,
                (SELECT jsonb_agg(c ORDER BY id) FROM machine_identity_credential c) AS credentials,
                (SELECT jsonb_agg(t ORDER BY id) FROM agent_token t) AS tokens,
                (SELECT count(*) FROM midctl_log) AS log, (SELECT jsonb_agg(e) FROM midctl_environment e) AS environment`,
      );
    const before = await state();
    const commands: readonly (readonly [string, Record<string, unknown>, string?])[] = [
      [`identity create ${slug}-new --owner x`, { created: true }],
      [`identity update ${slug} --owner other`, { changed: true, identity: { owner: "other" } }],
      [`credential issue ${slug} --name other`, { created: true, token: null }],
      [
        `credential issue --create --thread ${slug} --provider codex --owner x`,
        { created: true, token: null },
      ],
      [`credential rotate ${slug}`, { created: true, token: null, credential: { replaces: id } }],
      [`credential rotate ${slug} --compromised`, { created: true, revoked: [id] }],
      ["credential activate", { changed: true, credential: { status: "active" } }, pending.token],
      [`pause ${slug}`, { results: [{ changed: true, status: "paused" }] }],
      [`pause ${id}`, { results: [{ changed: true, status: "paused" }] }],
      [`resume ${slug}-paused`, { results: [{ changed: true, status: "active" }] }],
      [`revoke ${slug}`, { results: [{ changed: true, status: "revoked" }] }],
      ["revoke --token-stdin", { results: [{ changed: true, ref: id }] }, token],
      ["db migrate", { applied: [] }],
      ["db init --environment staging", { changed: true, environment: { name: "staging" } }],
    ];
    for (const [words, effect, stdin = ""] of commands) {
      expect(await desk.ask(`${words} --dry-run`, { stdin }), words).toMatchObject(effect);
    }

    expect(await state()).toEqual(before);
    expect(await desk.ask(["credential", "activate"], { stdin: pending.token })).toMatchObject({
      changed: true,
    });
  });

  it("says on stderr that nothing was changed, and promises nothing beside", async () => {
    for (const words of [
      `identity create ${slug}-x --owner x`,
      `pause ${slug}`,
      `credential issue ${slug}`,
    ]) {
      const { code, stderr, stdout } = await desk.run(`${words} --dry-run`);

      expect(code).toBe(0);
      expect(stdout).toContain(slug);
      expect(stderr).toBe("Dry run: nothing was changed; this is what would have been.\n");
    }
  });

  it("fails where the real command would", async () => {
    await desk.issue(slug);
    expect(await desk.refuse(["credential", "issue", slug, "--dry-run"])).toMatchObject({ exit: 5 });
  });
});
