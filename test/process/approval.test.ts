import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openProtectedDesk, type ProtectedDesk } from "./protected-desk.ts";
import { ENTER, openSession } from "./pty.ts";

/** SPEC §9 as people and pipelines meet it: real processes, real keys, a real server. */
let desk: ProtectedDesk;
beforeAll(async () => {
  desk = await openProtectedDesk({ quorum: 1, breakGlass: ["alice"] });
  await desk.carryThrough("identity create bot --owner platform");
});
afterAll(() => desk.dispose());

const show = (slug: string) => desk.ask(["identity", "show", slug]);
const auditActions = async () =>
  (await desk.ask("audit --limit 20")).events.map(({ action }: { action: string }) => action);

describe("a gated command", () => {
  it("changes nothing, writes request and plan, and exits 6 with id, digest and what is to be typed", async () => {
    const { id, digest, message, hint, planFile } = await desk.request("identity create later --owner x");

    expect(message).toBe(
      `An approval is needed in production: ${id} (sha256:${digest}) was requested, and nothing was changed.`,
    );
    expect(hint).toContain(`midctl approval approve ${id} --key KEY, and types ${digest.slice(0, 8)}`);
    expect(JSON.parse(readFileSync(planFile, "utf8"))).toMatchObject({ id, action: "identity.create" });
    expect(await desk.refuse("identity show later")).toMatchObject({ code: "not_found" });
  });

  it("is not helped by --yes", async () => {
    await desk.request("pause bot --yes");

    expect((await show("bot")).identity.status).toBe("active");
  });

  it.each([
    ["identity create x --owner y"],
    ["identity update bot --owner y"],
    ["credential issue bot --name other --token-file ./unsigned"],
    ["pause bot"],
    ["revoke bot --yes"],
    ["db grant --role auditor pg_monitor"],
  ])("wants a key: %s", async (words) => {
    expect(await desk.refuse(words)).toMatchObject({
      exit: 2,
      message: expect.stringContaining("the request is signed by whoever makes it"),
    });
  });

  it("wants a key that the trust root knows", async () => {
    const stranger = desk.trust.keyFile("mallory");

    expect(await desk.refuse(["pause", "bot", "--key", stranger])).toMatchObject({
      exit: 4,
      message: expect.stringContaining("of nobody in allowed_signers"),
    });
  });

  it("is voted on in a dry run as it would be, and nothing is kept", async () => {
    const { id } = await desk.request("identity update bot --owner someone");
    const key = ["--key", desk.trust.keyFile("bob")];

    const approved = await desk.ask(["approval", "approve", id, ...key, "--yes", "--dry-run"]);
    const rejected = await desk.ask(["approval", "reject", id, "--dry-run"]);

    expect(approved).toMatchObject({ changed: true, principal: "bob", approval: { id, status: "approved" } });
    expect(rejected).toMatchObject({ changed: true, approval: { id, status: "rejected" } });
    expect(await desk.ask(["approval", "show", id])).toMatchObject({ approval: { status: "open" } });
  });

  it("wants a trust root", async () => {
    const refused = await desk.refuse(["pause", "bot", "--key", desk.trust.keyFile("alice")], {
      env: { MIDCTL_TRUST_DIR: undefined },
    });

    expect(refused).toMatchObject({ exit: 2, hint: expect.stringContaining("--trust-dir") });
  });

  it("takes no secret that it would have to show before it is approved", async () => {
    expect(await desk.refuse("credential issue bot")).toMatchObject({
      exit: 2,
      hint: expect.stringContaining("--token-file"),
    });
  });

  it("refuses what could not be carried out, and requests nothing", async () => {
    const before = (await desk.ask("approval list")).approvals.length;

    const refused = await desk.refuse([
      ...["identity", "update", "bot", "--key", desk.trust.keyFile("alice")],
      ...["--expires", "1d", "--idle-ttl", "100000w"],
    ]);

    expect(refused.code).not.toBe("approval_required");
    expect((await desk.ask("approval list")).approvals).toHaveLength(before);
  });

  it("on a dry run tells what it would do, and requests nothing", async () => {
    const before = (await desk.ask("approval list")).approvals.length;

    const { identity } = await desk.ask("identity create rehearsed --owner x --dry-run");

    expect(identity).toMatchObject({ slug: "rehearsed", owner: "x" });
    expect((await desk.ask("approval list")).approvals).toHaveLength(before);
    expect(await desk.refuse("identity show rehearsed")).toMatchObject({ code: "not_found" });
  });

  it("is refused for a token of another kind of environment, before anybody is asked", async () => {
    const kind = (await desk.ask("status")).environment.kind === "live" ? "test" : "live";
    const prepared = await desk.run(`credential prepare --environment ${kind} --token-file ./other-kind`);

    const refused = await desk.refuse([
      ...[
        "credential",
        "issue",
        "newcomer",
        "--create",
        "--owner",
        "x",
        "--commitment",
        prepared.stdout.trim(),
      ],
      ...["--key", desk.trust.keyFile("alice")],
    ]);

    expect(refused).toMatchObject({
      code: "conflict",
      message: `The token is a ${kind} token, and this environment is not ${kind}; nothing was requested.`,
    });
  });

  it("that changes nothing needs no approval", async () => {
    expect(await desk.ask("identity create bot --owner platform --if-not-exists")).toMatchObject({
      created: false,
    });
  });
});

describe("issuing", () => {
  it("goes from request to a token that works, and every repetition finds where it stands", async () => {
    const words = "credential issue bot --name main --scope cards:* --token-file ./main";

    const { id } = await desk.request(words);
    const again = await desk.request(words);
    await desk.approve(id);
    const approved = await desk.request(words);
    await desk.ask(["approval", "apply", id]);
    const issued = await desk.ask(words);

    expect([again.id, approved.id]).toEqual([id, id]);
    expect(approved.hint).toBe(`midctl approval apply ${id}`);
    expect(issued).toMatchObject({ created: false, credential: { status: "pending", scopes: ["cards:*"] } });
    expect(await desk.ask("credential activate --token-file ./main")).toMatchObject({
      credential: { status: "active" },
    });
  });

  it.each([
    ["identity", "credential issue else --name twice --scope cards:* --token-file ./twice"],
    ["name", "credential issue bot --name thrice --scope cards:* --token-file ./twice"],
    ["scopes", "credential issue bot --name twice --scope admin:* --token-file ./twice"],
    ["expires", "credential issue bot --name twice --scope cards:* --expires 30d --token-file ./twice"],
    [
      "activateWithin",
      "credential issue bot --name twice --scope cards:* --activate-within 1h --token-file ./twice",
    ],
  ])("refuses a token that a request names already with another %s, and says so", async (what, words) => {
    const { id } = await desk.request(
      "credential issue bot --name twice --scope cards:* --token-file ./twice",
    );
    if (what === "identity") await desk.carryThrough("identity create else --owner x");

    const refused = await desk.refuse([...words.split(" "), "--key", desk.trust.keyFile("alice")]);

    expect(refused).toMatchObject({
      exit: 5,
      message: `The approval ${id} is open and names this token already, and differs in: ${what}; nothing was requested.`,
    });
  });

  it("refuses a rotation's token for one after a leak, and says so", async () => {
    await desk.carryThrough("credential issue bot --name leaky --scope cards:* --token-file ./leaky");
    await desk.ask("credential activate --token-file ./leaky");
    await desk.request("credential rotate bot --name leaky --grace 0s --token-file ./leaky-next");

    const refused = await desk.refuse([
      ...["credential", "rotate", "bot", "--name", "leaky", "--compromised", "--token-file", "./leaky-next"],
      ...["--yes", "--key", desk.trust.keyFile("alice")],
    ]);

    expect(refused).toMatchObject({ exit: 5, message: expect.stringContaining("differs in: compromised;") });
  });

  it("rotates under an approval; the old credential ends by the new one's first use", async () => {
    await desk.carryThrough("credential issue bot --name turn --token-file ./turn");
    await desk.ask("credential activate --token-file ./turn");

    await desk.carryThrough("credential rotate bot --name turn --grace 10m --token-file ./turned");
    await desk.ask("credential activate --token-file ./turned");

    const named = (await show("bot")).credentials.filter(({ name }: { name: string }) => name === "turn");
    expect(named.map(({ status }: { status: string }) => status)).toEqual(["active", "superseded"]);
  });

  it("by commitment leaves the secret where it was made", async () => {
    const prepared = await desk.run("credential prepare --environment test --token-file ./kept");

    const { id } = await desk.carryThrough([
      ...["credential", "issue", "bot", "--name", "kept"],
      ...["--commitment", prepared.stdout.trim()],
    ]);

    const text = JSON.stringify(await desk.ask(["approval", "show", id]));
    expect(text).not.toContain(prepared.stdout.trim().split("_")[3]);
  });
});

describe("approving", () => {
  it("shows in words what would change, field by field", async () => {
    const { id } = await desk.request("identity update bot --owner payments --reason 'moved'".split(" "));

    const { stdout } = await desk.run(["approval", "show", id]);

    expect(stdout).toContain("1. change the identity bot");
    expect(stdout).toContain("bot owner: platform → payments");
    expect(stdout).toContain("not yet: 0 of 1 approvals hold");
  });

  it("on a terminal shows every line before it asks, and how many there are", async () => {
    const crowd = [...Array(21).keys()].map((at) => `crowd-${at}`);
    const many = await openProtectedDesk({ quorum: 1 }, ({ sql }) =>
      sql(
        `INSERT INTO machine_identity ("publicId", slug, "displayName", kind, owner)
         SELECT 'crowd' || lpad(n::text, 7, '0'), 'crowd-' || n, 'x', 'service', 'x' FROM generate_series(0, 20) n`,
      ),
    );
    const { id, digest } = await many.request(["pause", ...crowd]);
    await many.carryThrough("identity update crowd-3 --owner y");

    const session = openSession(many, `$midctl approval approve ${id} --key ${many.trust.keyFile("bob")}`);
    const screen = await session.shows("characters of the digest");
    session.type(`${digest.slice(0, 8)}${ENTER}`);

    expect(screen).toMatch(/21\. pause crowd-20 \([0-9A-Za-z]{12}\)/);
    expect(screen).toContain(`effects of 1 more line: midctl approval show ${id} --all`);
    expect(screen).toContain("1 of 21 lines could not be carried out now: 4");
    expect(screen).toContain("to approve these 21 lines, type the first 8 characters of the digest");
    expect((await session.ended).code).toBe(0);
    await many.dispose();
  });

  it("is not the requester's", async () => {
    const { id } = await desk.request("pause bot");

    expect(
      await desk.refuse(["approval", "approve", id, "--key", desk.trust.keyFile("alice"), "--yes"]),
    ).toMatchObject({ exit: 4, message: expect.stringContaining("cannot approve it too") });
  });

  it("off a terminal wants --yes, and --digest binds it to the plan that was read", async () => {
    const { id, digest } = await desk.request("pause bot");
    const approve = ["approval", "approve", id, "--key", desk.trust.keyFile("bob")];

    const unconfirmed = await desk.refuse(approve);
    const other = await desk.refuse([...approve, "--yes", "--digest", "00000000"]);
    const bound = await desk.ask([...approve, "--yes", "--digest", digest.slice(0, 12)]);

    expect(unconfirmed).toMatchObject({ exit: 2 });
    expect(other).toMatchObject({ exit: 5, message: expect.stringContaining("not the plan that was read") });
    expect(bound).toMatchObject({ changed: true, principal: "bob", approval: { status: "approved" } });
  });

  it("goes by ssh-keygen alone where there is no database", async () => {
    const { id } = await desk.request("pause bot");
    await desk.ask(["approval", "export", id, "--out", "offline.json"]);
    const plan = join(desk.directory, "offline.json");
    execFileSync("ssh-keygen", [
      ...["-Y", "sign", "-q", "-n", "midctl-approval@v1", "-f", desk.trust.keyFile("carol"), plan],
    ]);

    const voted = await desk.ask(["approval", "import", id, "--signature", "offline.json.sig"]);

    expect(voted).toMatchObject({ changed: true, principal: "carol", approval: { status: "approved" } });
  });

  it.each([
    ["approval import AP --signature /dev/zero"],
    ["approval approve AP --yes --key /dev/zero"],
    ["approval show /dev/zero"],
  ])("reads regular files alone: %s", async (words) => {
    const { id } = await desk.request("pause bot");

    expect(await desk.refuse(words.replace("AP", id))).toMatchObject({
      exit: 2,
      message: expect.stringMatching(/^The file \/dev\/zero is no regular file; nothing was/),
    });
  });

  it("says what is wrong with a key, and hints at a passphrase only where it wants one", async () => {
    const { id } = await desk.request("pause bot");
    const file = (name: string, text: string) => {
      writeFileSync(join(desk.directory, name), text, { mode: 0o600 });
      return name;
    };
    const by = (key: string) =>
      desk.refuse(["approval", "approve", id, "--yes", "--key", key], { env: { SSH_AUTH_SOCK: undefined } });

    const certificate = await by(file("cert.pub", "ssh-ed25519-cert-v01@openssh.com AAAA x\n"));
    const junk = await by(file("junk", "hello\n"));
    const agent = await by("agent");
    const lone = await by(file("lone.pub", readFileSync(`${desk.trust.keyFile("bob")}.pub`, "utf8")));

    expect(certificate.message).toContain("certificates are not taken");
    expect(junk.hint).toContain("not a private key");
    expect(agent.message).toContain("No agent is running");
    expect(lone.hint).toContain("no agent is running");
  });

  it("takes in no signature of another plan", async () => {
    const [one, other] = [await desk.request("pause bot"), await desk.request("pause bot")];
    const signature = desk.trust.sign("bob", readFileSync(one.planFile, "utf8"), "midctl-approval@v1");
    writeFileSync(join(desk.directory, "moved.sig"), signature);

    expect(await desk.refuse(["approval", "import", other.id, "--signature", "moved.sig"])).toMatchObject({
      exit: 4,
      message: "The signature does not count: it does not fit these bytes. Nothing was changed.",
    });
  });

  it("is by an agent as well", async () => {
    const { id } = await desk.request("pause bot");
    const started = execFileSync("ssh-agent", ["-s"], { encoding: "utf8" });
    const agent = Object.fromEntries(
      [...started.matchAll(/(SSH_\w+)=([^;]+);/g)].map(([, name, value]) => [
        name as string,
        value as string,
      ]),
    );
    execFileSync("ssh-add", ["-q", desk.trust.keyFile("bob")], { env: { ...process.env, ...agent } });

    const voted = await desk.ask(["approval", "approve", id, "--key", "agent", "--yes"], { env: agent });

    process.kill(Number(agent.SSH_AGENT_PID));
    expect(voted).toMatchObject({ changed: true, principal: "bob" });
  });
});

describe("carrying out", () => {
  it("waits for the approval, happens once, and says so ever after", async () => {
    const { id } = await desk.request("identity create once --owner x");

    const early = await desk.refuse(["approval", "apply", id]);
    await desk.approve(id);
    const done = await desk.ask(["approval", "apply", id]);
    const again = await desk.ask(["approval", "apply", id]);

    expect(early).toMatchObject({ exit: 6, code: "approval_required" });
    expect(done).toMatchObject({ changed: true, approval: { status: "executed", done: 1 } });
    expect(again).toMatchObject({ changed: false, results: [] });
  });

  it("supersedes the line whose target moved, and goes on with the others", async () => {
    await desk.carryThrough("identity create moving --owner x");
    await desk.carryThrough("identity create staying --owner x");
    const { id } = await desk.request("pause moving staying");
    await desk.carryThrough("identity update moving --owner y");
    await desk.approve(id);

    const { code, stdout } = await desk.run(["approval", "apply", id, "--json"]);

    expect(code).toBe(8);
    expect(JSON.parse(stdout).results).toEqual([
      { line: 1, outcome: "superseded", problem: "moving has changed since; this line was not carried out." },
      { line: 2, outcome: "done", problem: null },
    ]);
    expect((await show("moving")).identity.status).toBe("active");
    expect((await show("staying")).identity.status).toBe("paused");
  });

  it("believes the trust root, not the database, that a plan is approved", async () => {
    const { id } = await desk.request("identity create forged --owner x");
    await desk.sql(
      `INSERT INTO midctl_approval_vote ("approvalId", kind, principal, "keyFingerprint", signature)
       SELECT id, 'approval', 'bob', 'SHA256:x', 'signed, really' FROM midctl_approval WHERE "publicId" = $1`,
      [id.slice(3)],
    );

    expect(await desk.refuse(["approval", "apply", id])).toMatchObject({
      exit: 4,
      message: expect.stringContaining("0 of 1 approvals hold"),
    });
  });

  it("names its approval in the log", async () => {
    const { id } = await desk.carryThrough("identity create logged --owner x");

    const { events } = await desk.ask("audit --identity logged");

    expect(events).toMatchObject([{ action: "identity.create", approval: id }]);
  });
});

describe("a request", () => {
  it("ends by one rejection, approved or not", async () => {
    const { id } = await desk.request("pause bot");
    await desk.approve(id);

    const rejected = await desk.ask(["approval", "reject", id, "--reason", "not now"]);

    expect(rejected).toMatchObject({ changed: true, approval: { status: "rejected" } });
    expect(await desk.refuse(["approval", "apply", id])).toMatchObject({ exit: 5 });
  });

  it("is rejected without a key by somebody's own word", async () => {
    const { id } = await desk.request("pause bot");

    const { stdout } = await desk.run(["approval", "reject", id]);
    const again = await desk.ask(["approval", "reject", id]);

    expect(stdout).toBe(`${id} is rejected; unsigned, alice by their own word.\n`);
    expect(again).toMatchObject({ changed: false, signed: false });
  });

  it("is rejected with a key by whose key it is", async () => {
    const { id } = await desk.request("pause bot");

    const rejected = await desk.ask(["approval", "reject", id, "--key", desk.trust.keyFile("bob")]);

    expect(rejected).toMatchObject({ signed: true, principal: "bob" });
    expect((await desk.run(["approval", "show", id])).stdout).toContain("in force\tno: rejected\n");
  });

  it.each(["reject", "cancel"])("whose plan cannot be read can be stopped: %s", async (verb) => {
    const { id } = await desk.request("pause bot");
    await desk.sql(
      `DO $do$ DECLARE guard name; BEGIN
         ALTER TABLE midctl_plan DISABLE TRIGGER USER;
         ALTER TABLE midctl_plan DROP CONSTRAINT IF EXISTS midctl_plan_digest_check;
         UPDATE midctl_plan SET plan = '{}' WHERE digest = (SELECT digest FROM midctl_approval WHERE "publicId" = '${id.slice(3)}');
         FOR guard IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'midctl_plan'::regclass AND NOT tgisinternal LOOP
           EXECUTE format('ALTER TABLE midctl_plan ENABLE ALWAYS TRIGGER %I', guard);
         END LOOP;
       END $do$`,
    );

    expect(await desk.ask(["approval", verb, id])).toMatchObject({ changed: true });
  });

  it("is taken back", async () => {
    const { id } = await desk.request("pause bot");

    expect(await desk.ask(["approval", "cancel", id])).toMatchObject({ approval: { status: "cancelled" } });
    expect(
      await desk.refuse(["approval", "approve", id, "--key", desk.trust.keyFile("bob"), "--yes"]),
    ).toMatchObject({ exit: 5, hint: expect.stringContaining("request it anew") });
  });

  it("that the database counts as approved and the trust root does not is not waited for in vain", async () => {
    const { id } = await desk.request("pause bot");
    await desk.sql(
      `INSERT INTO midctl_approval_vote ("approvalId", kind, principal, "keyFingerprint", signature)
       SELECT id, 'approval', 'bob', 'SHA256:x', 'signed, really' FROM midctl_approval WHERE "publicId" = $1`,
      [id.slice(3)],
    );
    const wait = ["approval", "wait", id, "--timeout", "0s"];

    const judged = await desk.run(wait);
    const unjudged = await desk.run(wait, { env: { MIDCTL_TRUST_DIR: undefined } });
    const document = await desk.run([...wait, "--json"]);

    expect(judged).toMatchObject({
      code: 6,
      stdout: `${id} is approved in the database, but its signatures do not hold: too few approvals hold.\n`,
    });
    expect(unjudged).toMatchObject({
      code: 0,
      stderr: expect.stringContaining("nobody judges the signatures"),
    });
    expect(JSON.parse(document.stdout)).toMatchObject({ inForce: false, short: "quorum" });
  });

  it("stays in the history", async () => {
    const { id } = await desk.request("pause bot");
    await desk.ask(["approval", "cancel", id]);

    const open = await desk.ask("approval list");
    const all = await desk.ask("approval list --all --limit 500");

    const ids = (document: { approvals: { id: string }[] }) => document.approvals.map((each) => each.id);
    expect(ids(open)).not.toContain(id);
    expect(ids(all)).toContain(id);
  });

  it.each([
    ["open", 6, async () => {}],
    ["approved", 0, async (id: string) => desk.approve(id)],
    ["rejected", 4, async (id: string) => desk.ask(["approval", "reject", id])],
    ["cancelled", 5, async (id: string) => desk.ask(["approval", "cancel", id])],
  ] as const)("that is %s: approval wait exits %i", async (status, exit, decide) => {
    const { id } = await desk.request("pause bot");
    await decide(id);

    const { code, stdout } = await desk.run(["approval", "wait", id, "--timeout", "0s", "--json"]);

    expect(code).toBe(exit);
    expect(JSON.parse(stdout)).toMatchObject({ approval: { id, status } });
  });
});

describe("break-glass", () => {
  const glass = (words: string, by = "alice") => [
    ...words.split(" "),
    ...["--break-glass", "--ticket", "INC-7", "--reason", "on fire", "--key", desk.trust.keyFile(by)],
  ];

  it("pauses at once, and stays open until another owner countersigns", async () => {
    await desk.carryThrough("identity create burning --owner x");

    await desk.ask(glass("pause burning"));

    const [open] = (await desk.ask("approval list")).approvals;
    expect((await show("burning")).identity.status).toBe("paused");
    expect(open).toMatchObject({ breakGlass: true, status: "uncountersigned", done: 1 });
    expect((await desk.ask("status")).uncountersigned).toBe(1);
    expect(await desk.approve(open.id)).toMatchObject({ approval: { status: "countersigned" } });
    expect((await desk.ask("status")).uncountersigned).toBe(0);
    expect(await auditActions()).toEqual(
      expect.arrayContaining(["approval.break_glass", "identity.pause", "approval.countersign"]),
    );
  });

  it("is not countersigned by who broke it", async () => {
    await desk.carryThrough("identity create alone --owner x");
    await desk.ask(glass("pause alone"));
    const [{ id }] = (await desk.ask("approval list")).approvals;

    expect(
      await desk.refuse(["approval", "approve", id, "--key", desk.trust.keyFile("alice"), "--yes"]),
    ).toMatchObject({ exit: 4 });
    await desk.approve(id);
  });

  it("is for those whom the policy names, with reason and ticket", async () => {
    const key = desk.trust.keyFile("alice");

    expect(await desk.refuse(glass("pause bot", "bob"))).toMatchObject({
      exit: 4,
      message: expect.stringContaining("not for bob, whom the policy"),
    });
    expect(await desk.refuse(["pause", "bot", "--break-glass", "--reason", "x", "--key", key])).toMatchObject(
      {
        exit: 2,
        message: expect.stringContaining("--ticket"),
      },
    );
    expect(await desk.refuse(["pause", "bot", "--break-glass", "--ticket", "x", "--key", key])).toMatchObject(
      {
        exit: 2,
        message: expect.stringContaining("--reason"),
      },
    );
    expect((await show("bot")).identity.status).toBe("active");
  });
});

describe("files", () => {
  it("of a request that could not be written are taken back", async () => {
    const { planFile } = await desk.request("pause bot --plan ./mine.json");

    const refused = await desk.refuse([
      ...["pause", "bot", "--plan", "./mine.json", "--key", desk.trust.keyFile("alice")],
    ]);

    expect(existsSync(planFile)).toBe(true);
    expect(refused).toMatchObject({ exit: 5, message: expect.stringContaining("mine.json") });
  });
});

describe("taking the schema away", () => {
  it("is requested, signed and carried out by files alone", async () => {
    const empty = await openProtectedDesk();
    const by = (name: string) => empty.trust.keyFile(name);

    const asked = await empty.refuse(["db", "rollback", "--plan", "./away.json", "--key", by("alice")]);
    const early = await empty.refuse("db rollback --approved ./away.json --yes");
    const own = await empty.refuse(["approval", "approve", "./away.json", "--key", by("alice"), "--yes"]);
    const approved = await empty.ask(["approval", "approve", "./away.json", "--key", by("bob"), "--yes"]);
    const shown = await empty.run("approval show ./away.json");
    const done = await empty.ask("db rollback --approved ./away.json --yes");

    expect(asked).toMatchObject({
      exit: 6,
      hint: expect.stringContaining("db rollback --approved ./away.json"),
    });
    expect(early).toMatchObject({ exit: 4, message: expect.stringContaining("0 of 1 approvals hold") });
    expect(own).toMatchObject({ exit: 4 });
    expect(approved).toMatchObject({ principal: "bob", approval: { status: "approved" } });
    expect(shown.stdout).toContain("1. take the schema away");
    expect(done).toMatchObject({ changed: true });
    expect(await empty.ask("db rollback --approved ./away.json --yes")).toMatchObject({ changed: false });
    await empty.dispose();
  });
});
