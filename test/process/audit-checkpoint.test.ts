import { execFileSync, spawn } from "node:child_process";
import { appendFileSync, chmodSync, existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { judgeNote, parseLastCheckpoint, parseNote, parseVerifierKey } from "../../src/domain/checkpoint.ts";
import { hasSshKeygen } from "../support/ssh.ts";
import { type Desk, openDesk } from "./desk.ts";

describe.runIf(hasSshKeygen)("midctl audit checkpoint", () => {
  let desk: Desk;
  let key: string;
  let born = 0;
  beforeAll(async () => {
    desk = await openDesk();
    key = makeKey("log_ed25519", "");
  });
  afterAll(() => desk.dispose());

  it("prints the head without a key: origin, size and root", async () => {
    const head = await desk.ask("audit checkpoint");
    const [{ databaseId } = { databaseId: "" }] = await desk.sql<{ databaseId: string }>(
      `SELECT "databaseId" FROM midctl_environment`,
    );

    expect(head).toMatchObject({
      origin: `midctl/${databaseId}`,
      size: await sizeOf(),
      note: null,
      file: null,
    });
    expect(Buffer.from(head.root, "base64")).toHaveLength(32);
  });

  it("signs it, so that its verifier key says good", async () => {
    const { note, verifierKey } = await desk.ask(["audit", "checkpoint", "--key", key]);

    expect(judge(note, verifierKey)).toBe("good");
  });

  it("prints the note and nothing else on stdout", async () => {
    const { stdout } = await desk.run(["audit", "checkpoint", "--key", key]);

    expect(parseNote(stdout)?.text).toBe(parseLastCheckpoint(stdout)?.text);
  });

  it("appends to a file while the log goes on, and once for each head", async () => {
    const out = join(desk.directory, "grows");
    await grow();
    const first = await desk.ask(["audit", "checkpoint", "--key", key, "--out", out]);
    await grow();
    const second = await desk.ask(["audit", "checkpoint", "--key", key, "--out", out]);
    const again = await desk.ask(["audit", "checkpoint", "--key", key, "--out", out]);

    expect(readFileSync(out, "utf8")).toBe(first.note + second.note);
    expect(second).toMatchObject({ appended: true, since: first.size });
    expect(again).toMatchObject({ appended: false, since: second.size });
  });

  it("appends nothing in a dry run", async () => {
    const out = join(desk.directory, "dry");

    const { appended } = await desk.ask(["audit", "checkpoint", "--key", key, "--out", out, "--dry-run"]);

    expect(appended).toBe(false);
    expect(existsSync(out)).toBe(false);
  });

  it("finds a log that is shorter than its last checkpoint, and signs nothing", async () => {
    const out = join(desk.directory, "shorter");
    const { note, size } = await desk.ask(["audit", "checkpoint", "--key", key]);
    writeFileSync(out, note.replace(`\n${size}\n`, `\n${size + 7}\n`));

    const refusal = await desk.refuse(["audit", "checkpoint", "--key", key, "--out", out]);

    expect(refusal).toMatchObject({ exit: 5, code: "conflict", details: { size, seen: size + 7 } });
    expect(refusal.message).toMatch(/truncated, or restored from before; nothing was signed/);
    expect(refusal.hint).toContain("After a restore that was meant, go on in a new file.");
    expect(parseLastCheckpoint(readFileSync(out, "utf8"))?.size).toBe(size + 7);
  });

  it("finds a log that was rewritten under its last checkpoint, and signs nothing", async () => {
    const out = join(desk.directory, "rewritten");
    await desk.ask(["audit", "checkpoint", "--key", key, "--out", out]);
    const before = readFileSync(out, "utf8");
    await grow();
    await rewriteTree();

    const refusal = await desk.refuse(["audit", "checkpoint", "--key", key, "--out", out]);

    expect(refusal).toMatchObject({ exit: 5, code: "conflict" });
    expect(refusal.message).toMatch(/it was rewritten; nothing was signed/);
    expect(readFileSync(out, "utf8")).toBe(before);
  });

  it("does not mix the checkpoints of two databases in one file", async () => {
    const out = join(desk.directory, "mixed");
    const { note, origin } = await desk.ask(["audit", "checkpoint", "--key", key]);
    writeFileSync(out, note.replaceAll(origin, "midctl/another"));

    expect(await desk.refuse(["audit", "checkpoint", "--key", key, "--out", out])).toMatchObject({
      exit: 5,
      message: expect.stringMatching(/of another log/),
    });
  });

  it("appends nothing behind what is no whole checkpoint", async () => {
    const out = join(desk.directory, "half");
    const { note } = await desk.ask(["audit", "checkpoint", "--key", key]);
    appendFileSync(out, note.slice(0, -20));

    expect(await desk.refuse(["audit", "checkpoint", "--key", key, "--out", out])).toMatchObject({
      exit: 5,
      message: expect.stringMatching(/does not end with a checkpoint; nothing was written/),
    });
    expect(readFileSync(out, "utf8")).toBe(note.slice(0, -20));
  });

  it("follows no link that is not a file yet", async () => {
    const out = join(desk.directory, "link");
    symlinkSync(join(desk.directory, "elsewhere"), out);

    expect(await desk.refuse(["audit", "checkpoint", "--key", key, "--out", out])).toMatchObject({ exit: 2 });
    expect(existsSync(join(desk.directory, "elsewhere"))).toBe(false);
  });

  it("signs by an agent, as by the file", async () => {
    const agent = spawn("ssh-agent", ["-D", "-a", join(desk.directory, "agent")], { stdio: "pipe" });
    await new Promise((resolve) => agent.stdout.once("data", resolve));
    const env = { SSH_AUTH_SOCK: join(desk.directory, "agent") };
    execFileSync("ssh-add", ["-q", key], { env: { ...process.env, ...env } });

    const byAgent = await desk.ask("audit checkpoint --key agent", { env });
    const byFile = await desk.ask(["audit", "checkpoint", "--key", key]);
    agent.kill();

    expect(byAgent.note).toBe(byFile.note);
  });

  it.each([
    [
      "a key with a passphrase",
      () => ["--key", makeKey("locked", "secret")],
      /has a passphrase; nothing was signed/,
    ],
    ["a public key", () => ["--key", `${key}.pub`], /is no private key; nothing was signed/],
    ["an agent that is not there", () => ["--key", "agent"], /cannot be reached|no agent is running/],
    ["a file of checkpoints without a key", () => ["--out", "x"], /--out takes signed checkpoints/],
  ])("refuses %s", async (_what, words, says) => {
    const refusal = await desk.refuse(["audit", "checkpoint", ...words()], {
      env: { SSH_AUTH_SOCK: join(desk.directory, "nobody") },
    });

    expect(refusal).toMatchObject({ exit: 2, code: "usage", message: expect.stringMatching(says) });
  });

  function makeKey(name: string, passphrase: string): string {
    const path = join(desk.directory, name);
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", passphrase, "-C", "", "-f", path]);
    return path;
  }

  async function grow(): Promise<void> {
    born += 1;
    await desk.identity(`grown-${born}`);
  }

  async function sizeOf(): Promise<number> {
    const [row] = await desk.sql<{ size: number }>("SELECT size::int FROM midctl_log_head");
    return row?.size ?? 0;
  }

  /** As the owner of the database can, who has all that is appended from now on hashed over another past. */
  async function rewriteTree(): Promise<void> {
    await desk.sql("ALTER TABLE midctl_log_head DISABLE TRIGGER midctl_10_guard");
    await desk.sql("ALTER TABLE midctl_log_tile DISABLE TRIGGER midctl_10_guard");
    await desk.sql("UPDATE midctl_log_head SET edge[1] = sha256('other') WHERE edge[1] <> ''");
    await desk.sql(
      "UPDATE midctl_log_tile SET hashes = sha256('other') || substring(hashes FROM 33) WHERE level = 0",
    );
    await desk.sql("ALTER TABLE midctl_log_head ENABLE ALWAYS TRIGGER midctl_10_guard");
    await desk.sql("ALTER TABLE midctl_log_tile ENABLE ALWAYS TRIGGER midctl_10_guard");
  }
});

describe.runIf(hasSshKeygen)("a key that signs", () => {
  let desk: Desk;
  let key: string;
  beforeAll(async () => {
    desk = await openDesk();
    key = join(desk.directory, "key");
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
  });
  afterAll(() => desk.dispose());

  it("is refused where others may read it, as ssh refuses it", async () => {
    chmodSync(key, 0o644);

    const refusal = await desk.refuse(["audit", "checkpoint", "--key", key]);

    chmodSync(key, 0o600);
    expect(refusal).toMatchObject({ exit: 2, hint: expect.stringContaining(`chmod 600 ${key}`) });
    expect(refusal.message).toContain("may be read by others");
  });

  it("signs over what a verification found, and says so", async () => {
    const file = join(desk.directory, "checkpoints");
    await desk.ask(["audit", "checkpoint", "--key", key, "--out", file]);
    const sound = await desk.run(["audit", "checkpoint", "--key", key]);
    const forged = (await desk.run(["audit", "checkpoint", "--key", key])).stdout.split("\n");
    forged[2] = Buffer.alloc(32, 1).toString("base64");
    writeFileSync(file, forged.join("\n"));
    expect((await desk.run(["audit", "verify", "--checkpoint", file])).code).toBe(9);

    const { code, stderr } = await desk.run(["audit", "checkpoint", "--key", key]);

    expect(sound.stderr).not.toContain("found");
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /^On \S+Z the log was compared with checkpoints, and 1 thing was found to be wrong; the head is signed all the same\./m,
    );
    expect(stderr).toContain("`midctl audit verify --checkpoint FILE`");
  });
});

function judge(note: string, verifierKey: string) {
  const [parsed, key] = [parseNote(note), parseVerifierKey(verifierKey)];
  return parsed === null || key === null ? null : judgeNote(parsed, key);
}
