import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Answer, type Desk, holdIdentity, openDesk } from "./desk.ts";
import { openProtectedDesk, type ProtectedDesk } from "./protected-desk.ts";
import { ENTER, openSession } from "./pty.ts";

/** Pausing, resuming and revoking many at once: by what they have in common, by references on stdin, and by age. */
let desk: Desk;
/** Each test's own label. */
let team: string;
let made = 0;

beforeAll(async () => {
  desk = await openDesk();
});
afterAll(() => desk?.dispose());
beforeEach(() => {
  team = `team-${++made}`;
});

/** Identities of this test's label, their slugs in order. */
async function makeTeam(...statuses: ("active" | "paused" | "revoked")[]): Promise<string[]> {
  const slugs = statuses.map((_, index) => `${team}-${index + 1}`);
  for (const [index, slug] of slugs.entries()) {
    await desk.sql(
      `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner, labels)
       VALUES (lpad(replace($1::text, '-', ''), 12, '0'), $1::text, $1::text, 'service', $2::text, jsonb_build_object('team', $2::text))`,
      [slug, team],
    );
    if (statuses[index] !== "active") {
      await desk.sql("UPDATE machine_identity SET status = $2 WHERE slug = $1", [
        slug,
        statuses[index] ?? "",
      ]);
    }
  }
  return slugs;
}

const label = () => ["--label", `team=${team}`];
const named = ({ results }: Answer) => results.map(({ ref }: Answer) => ref);
const statuses = async (table = "machine_identity") =>
  (
    await desk.sql<{ status: string }>(
      table === "machine_identity"
        ? "SELECT status FROM machine_identity WHERE owner = $1 ORDER BY slug"
        : `SELECT c.status FROM machine_identity_credential c JOIN machine_identity i ON i.id = c."machineIdentityId"
            WHERE i.owner = $1 ORDER BY c.id`,
      [team],
    )
  ).map(({ status }) => status);

describe("a selection by flags", () => {
  it("pauses who is active of those that fit, and leaves the others out", async () => {
    const [active, , , last] = await makeTeam("active", "paused", "revoked", "active");

    const answer = await desk.ask(["pause", ...label(), "--yes"]);

    expect(named(answer)).toEqual([active, last]);
    expect(answer.results).toMatchObject([{ changed: true, status: "paused" }, { changed: true }]);
    expect(await statuses()).toEqual(["paused", "paused", "revoked", "paused"]);
  });

  it("resumes who is paused on its own, for idleness too", async () => {
    const [, idle, paused] = await makeTeam("active", "active", "paused");
    await desk.sql(`UPDATE machine_identity SET "idleTtl" = 3600 WHERE slug = $1`, [idle ?? ""]);
    await desk.tamper("machine_identity", `"createdAt" = "createdAt" - interval '2 hours'`, idle ?? "");

    const answer = await desk.ask(["resume", "--owner", team, "--yes"]);

    expect(named(answer)).toEqual([idle, paused]);
    expect(answer.results).toMatchObject([{ effectiveStatus: "active" }, { effectiveStatus: "active" }]);
  });

  it("revokes all that are not revoked, and asks for no more than these", async () => {
    const slugs = await makeTeam("active", "revoked", "paused");

    const refusal = await desk.refuse(["revoke", "--owner", team]);
    const answer = await desk.ask(["revoke", "--owner", team, "--yes"]);

    expect(refusal).toMatchObject({ exit: 2, message: expect.stringContaining("revoke 2 identities") });
    expect(named(answer)).toEqual([slugs[0], slugs[2]]);
    expect(await statuses()).toEqual(["revoked", "revoked", "revoked"]);
  });

  it("run again is exit 0 without results, and says why", async () => {
    await makeTeam("active");
    await desk.ask(["revoke", ...label(), "--yes"]);

    const again = await desk.run(["revoke", ...label(), "--json"]);

    expect(again).toMatchObject({
      code: 0,
      stdout: '{"schemaVersion":1,"results":[]}\n',
      stderr: "All of this selection are revoked already; nothing was changed.\n",
    });
  });

  it("that nobody fits is exit 0, and another sentence", async () => {
    const { code, stderr } = await desk.run(["pause", ...label(), "--json"]);

    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: "No identity fits this selection; nothing was changed.\n",
    });
  });

  it("of one is confirmed as well: a script does not depend on how many there are", async () => {
    const [one] = await makeTeam("active");

    const refusal = await desk.refuse(["pause", ...label()]);

    expect(refusal).toMatchObject({ exit: 2, message: expect.stringContaining(`pause ${one}`) });
    expect(await statuses()).toEqual(["active"]);
  });

  it("is confirmed on a terminal by typing what is done to how many", async () => {
    await makeTeam("active", "active");
    const session = openSession(desk, `$midctl revoke ${label().join(" ")}`);
    await session.shows("type revoke 2");
    session.type(`revoke 2${ENTER}`);

    expect((await session.ended).code).toBe(0);
    expect(await statuses()).toEqual(["revoked", "revoked"]);
  });

  it("on a dry run shows each, and changes none", async () => {
    const slugs = await makeTeam("active", "active");

    const { stdout, stderr } = await desk.run(["revoke", ...label(), "--dry-run"]);

    expect(slugs.every((slug) => stdout.includes(slug))).toBe(true);
    expect(stderr).toContain("nothing was changed");
    expect(await statuses()).toEqual(["active", "active"]);
  });

  it.each([
    ["a name and a flag", ["x", "--owner", "y"]],
    ["a flag and --all", ["--owner", "y", "--all"]],
    ["standard input and a flag", ["-", "--provider", "codex"]],
    ["standard input and a name", ["-", "x"]],
  ])("beside %s is a usage error", async (_, words) => {
    expect(await desk.refuse(["resume", ...words])).toMatchObject({
      exit: 2,
      message: expect.stringContaining("nothing was changed"),
    });
  });

  it("left out, with every name, is a usage error that names both ways", async () => {
    expect(await desk.refuse("pause")).toMatchObject({
      exit: 2,
      message: expect.stringContaining("REF is missing"),
      hint: expect.stringContaining("--label"),
    });
  });
});

describe("one of many that fails", () => {
  it("as it changed meanwhile is a result, with exit 8, and the rest is done", async () => {
    const [first = "", second = "", third = ""] = await makeTeam("active", "active", "active");
    const held = await holdIdentity(desk, first);
    const running = desk.run(["pause", ...label(), "--yes", "--json"]);
    await held.waiting(1);
    await desk.ask(["identity", "update", second, "--display-name", "changed"]);
    await held.release();

    const { code, stdout } = await running;

    expect(code).toBe(8);
    expect(JSON.parse(stdout).results).toMatchObject([
      { ref: first, changed: true, error: null },
      { ref: second, changed: false, letGo: null, error: { code: "conflict" } },
      { ref: third, changed: true, error: null, letGo: { verifiers: 0 } },
    ]);
  });

  it("as the database is lost ends the command with exit 7, which says how many were done", async () => {
    const [, second = ""] = await makeTeam("active", "active", "active");
    const held = await holdIdentity(desk, second);
    const running = desk.refuse(["pause", ...label(), "--yes"]);
    for (const pid of await held.waiting(1)) await desk.sql("SELECT pg_terminate_backend($1::int)", [pid]);

    const refusal = await running;
    await held.release();

    expect(refusal).toMatchObject({
      exit: 7,
      message: expect.stringMatching(new RegExp(`^1 of 3 were done, and stay so; at ${second}: `)),
      hint: expect.stringContaining("Run the command again"),
      details: { done: 1, of: 3 },
    });
    expect(await statuses()).toEqual(["paused", "active", "active"]);
  });
});

describe("references on standard input", () => {
  it("are taken as named, each once: identities, credentials and tokens", async () => {
    const [first, second] = await makeTeam("active", "paused");
    const { id } = await desk.activeCredential(first ?? "", "--name", "one");
    const other = (await desk.activeCredential(first ?? "", "--name", "two")).id.replace("mc_", "at_");

    const answer = await desk.ask("pause - --yes", {
      stdin: `\ufeff${second}\r\n${id}\n\n  ${other}\n${id}`,
    });

    expect(answer.results).toMatchObject([
      { ref: second, kind: "identity", changed: false },
      { ref: id, kind: "credential", changed: true },
      { ref: other, kind: "credential", changed: true },
    ]);
    expect(await statuses()).toEqual(["active", "paused"]);
  });

  it("include legacy tokens", async () => {
    await desk.sql(
      `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash") VALUES ($1, 'old', 'kan', repeat($2, 32))`,
      [`old${made}`, String(10 + made)],
    );

    const answer = await desk.ask("revoke - --yes", { stdin: `at_old${made}\n` });

    expect(answer.results).toMatchObject([{ kind: "token", changed: true, status: "revoked" }]);
  });

  it("of which one names nothing change nothing", async () => {
    const [slug] = await makeTeam("active");

    const refusal = await desk.refuse("pause - --yes", { stdin: `${slug}\nmc_000000000000\n` });

    expect(refusal).toMatchObject({ exit: 3, message: expect.stringContaining("mc_000000000000") });
    expect(await statuses()).toEqual(["active"]);
  });

  it.each([
    ["no reference", "Not One"],
    ["an approval", "ap_7Zk2mPq90aBc"],
  ])("of which a line is %s are refused by its number", async (_, line) => {
    const [slug] = await makeTeam("active");

    const refusal = await desk.refuse("pause - --yes", { stdin: `${slug}\n${line}\n` });

    expect(refusal).toMatchObject({
      exit: 2,
      message: expect.stringMatching(/^Line 2 of standard input: .*nothing was changed\.$/),
    });
    expect(await statuses()).toEqual(["active"]);
  });

  it.each(["one two", "one\rtwo", "one,\ttwo"])(
    "of which several share a line are asked for one to a line",
    async (line) => {
      expect(await desk.refuse("pause - --yes", { stdin: `${line}\n` })).toMatchObject({
        exit: 2,
        hint: "one reference to a line",
      });
    },
  );

  it("that are none, or more than can be taken, are a usage error", async () => {
    const many = Array.from({ length: 100_001 }, (_, index) => `x${index}`).join("\n");

    expect(await desk.refuse("revoke - --yes", { stdin: "\n" })).toMatchObject({
      exit: 2,
      hint: expect.stringContaining("found none"),
    });
    expect(await desk.refuse("revoke - --yes", { stdin: many })).toMatchObject({
      exit: 2,
      message: expect.stringContaining("more than 100000"),
    });
  });
});

describe("revoke --issued-before", () => {
  it("ends each live credential issued before that moment, none from it on, and no identity", async () => {
    const [slug = ""] = await makeTeam("active");
    const graced = await desk.activeCredential(slug);
    const { token, credential: current } = await desk.ask(["credential", "rotate", slug]);
    await desk.ask("credential activate", { stdin: token });
    const pending = await desk.issue(slug, "--name", "unused");
    const late = await desk.activeCredential(slug, "--name", "late");
    const { issuedAt } = (await desk.ask(["credential", "show", late.id])).credential;

    const answer = await desk.ask(["revoke", ...label(), "--issued-before", issuedAt, "--yes"]);

    expect(named(answer)).toEqual([graced.id, current.id, pending.id]);
    expect(await statuses("credentials")).toEqual(["revoked", "revoked", "revoked", "active"]);
    expect(await statuses()).toEqual(["active"]);
  });

  it("takes so long ago, by the database's clock, and says which moment that is", async () => {
    const [slug = ""] = await makeTeam("active");
    const { id } = await desk.activeCredential(slug, "--name", "old");
    await desk.activeCredential(slug, "--name", "new");
    await desk.tamper(
      "machine_identity_credential",
      `"issuedAt" = "issuedAt" - interval '2 hours', "activatedAt" = "activatedAt" - interval '2 hours'`,
      id,
    );

    const { code, stdout, stderr } = await desk.run(["revoke", slug, "--issued-before", "1h", "--yes"]);

    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining(id) });
    expect(stderr).toMatch(/^1 live credential issued before \d{4}-.*Z\.$/m);
    expect(await statuses("credentials")).toEqual(["revoked", "active"]);
  });

  it("run again has nothing left to revoke, and is exit 0", async () => {
    const [slug = ""] = await makeTeam("active");
    await desk.activeCredential(slug);
    const words = ["revoke", slug, "--issued-before", "2999-01-01"];
    await desk.ask([...words, "--yes"]);

    const again = await desk.run([...words, "--json"]);

    expect(again).toMatchObject({ code: 0, stdout: '{"schemaVersion":1,"results":[]}\n' });
    expect(again.stderr).toContain("nothing was changed");
  });

  it("is confirmed by how many credentials there are, and a dry run shows each", async () => {
    const [slug = ""] = await makeTeam("active");
    const ids = [
      await desk.activeCredential(slug, "--name", "one"),
      await desk.activeCredential(slug, "--name", "two"),
    ].map(({ id }) => id);
    const words = ["revoke", slug, "--issued-before", "2999-01-01"];

    expect(named(await desk.ask([...words, "--dry-run"]))).toEqual(ids);
    expect(await desk.refuse([...words, "--quiet"])).toMatchObject({
      exit: 2,
      message: expect.stringContaining("revoke 2 live credentials issued before 2999-01-01T00:00:00.000Z"),
    });
    expect(await statuses("credentials")).toEqual(["active", "active"]);
  });

  it.each([
    ["a credential", ["mc_4fK2mQ9sT1xZ"], ""],
    ["a token on a line of standard input", ["-"], "at_4fK2mQ9sT1xZ\n"],
    ["nobody", [], ""],
    ["a token on standard input", ["--token-stdin"], "x"],
  ])("of %s is a usage error", async (_, words, stdin) => {
    const refusal = await desk.refuse(["revoke", ...words, "--issued-before", "30d", "--yes"], { stdin });

    expect(refusal).toMatchObject({
      exit: 2,
      message: expect.stringMatching(/nothing was (changed|done|revoked)/),
    });
  });

  it("leaves legacy tokens alone", async () => {
    await desk.sql(
      `INSERT INTO agent_token ("publicId", name, "tokenPrefix", "tokenHash") VALUES ($1, 'old', 'kan', repeat($2, 32))`,
      [`old${made}`, String(10 + made)],
    );

    await desk.ask("revoke --all --issued-before 2999-01-01 --yes");

    expect(
      await desk.sql(`SELECT FROM agent_token WHERE "publicId" = $1 AND "revokedAt" IS NULL`, [`old${made}`]),
    ).toHaveLength(1);
  });
});

describe("where it is protected", () => {
  let production: ProtectedDesk;

  beforeAll(async () => {
    production = await openProtectedDesk({ quorum: 1, breakGlass: ["alice"] }, async (open) => {
      for (const name of ["one", "two", "three"])
        await open.identity(name, "--label", "team=a", "--idle-ttl", "1h");
      await open.ask("pause three");
    });
  });
  afterAll(() => production?.dispose());
  const lines = async (id: string): Promise<Answer[]> =>
    (await production.ask(["approval", "show", id])).plan.lines;

  it("a selection is one request, with a line for each that would change", async () => {
    const { id } = await production.request("pause --label team=a");

    expect(await lines(id)).toMatchObject([
      { do: "pause", identity: { slug: "one" } },
      { do: "pause", identity: { slug: "two" } },
    ]);
    await production.ask(["approval", "cancel", id]);
  });

  it("so are credentials by their age, which the request then revokes", async () => {
    for (const slug of ["one", "two"])
      await production.carryThrough(`credential issue ${slug} --token-file ./${slug}`);

    const { id } = await production.request("revoke --label team=a --issued-before 2999-01-01");

    const planned = await lines(id);
    await production.approve(id);
    await production.ask(["approval", "apply", id]);

    expect(planned).toMatchObject([
      { do: "revoke", identity: null, credential: { id: expect.stringMatching(/^mc_/) } },
      { do: "revoke", identity: null, credential: { id: expect.stringMatching(/^mc_/) } },
    ]);
    expect(await production.sql("SELECT DISTINCT status FROM machine_identity_credential")).toEqual([
      { status: "revoked" },
    ]);
  });

  it("who is idle is resumed by request, like who was paused", async () => {
    await production.tamper("machine_identity", `"createdAt" = "createdAt" - interval '2 hours'`, "one");

    const { id } = await production.carryThrough("resume --all");

    expect(await lines(id)).toMatchObject([
      { do: "resume", from: "paused", identity: { slug: "one" } },
      { do: "resume", from: "paused", identity: { slug: "three" } },
    ]);
    expect(await production.ask("list --status active")).toMatchObject({
      identities: [{ slug: "one" }, { slug: "three" }, { slug: "two" }],
    });
  });

  it("--break-glass pauses a whole selection at once, on one record", async () => {
    const { results } = await production.ask([
      ...["pause", "--label", "team=a", "--yes", "--break-glass", "--ticket", "INC-7", "--reason", "on fire"],
      ...["--key", production.trust.keyFile("alice")],
    ]);

    const [record] = (await production.ask("approval list")).approvals;
    expect(results).toMatchObject([{ changed: true }, { changed: true }, { changed: true }]);
    expect(record).toMatchObject({ breakGlass: true, status: "uncountersigned", lines: 3, done: 3 });
  });
});
