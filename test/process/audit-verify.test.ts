import { execFileSync } from "node:child_process";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runSql } from "../support/databases.ts";
import { hasSshKeygen } from "../support/ssh.ts";
import { type Desk, openDesk } from "./desk.ts";

const UNLOCK = [
  "ALTER TABLE midctl_log DISABLE TRIGGER USER",
  "ALTER TABLE midctl_log DROP CONSTRAINT midctl_log_leaf_check",
];

describe.runIf(hasSshKeygen)("midctl audit verify", () => {
  let desk: Desk;
  let checkpoints: string;
  let verifierKey: string;
  let born = 0;
  beforeAll(async () => {
    desk = await openDesk();
    checkpoints = join(desk.directory, "checkpoints");
    for (let n = 0; n < 4; n++) await grow();
    ({ verifierKey } = await anchor("first"));
  });
  afterAll(() => desk.dispose());

  it("is told of by status and doctor, with what it was compared with and when the head was last kept", async () => {
    await desk.ask(`audit verify --checkpoint ${checkpoints} --checkpoint-key ${verifierKey}`);
    const status = await desk.ask("status");
    const { stdout } = await desk.run("doctor");

    expect(status.log).toMatchObject({
      verified: { against: "signed_checkpoint", from: 0, found: 0 },
      anchored: { against: "checkpoint" },
    });
    expect(stdout).toMatch(
      /^verified\t20\S+Z, against signed checkpoints of \d+ entries, \d+ entries read$/m,
    );
    expect(stdout).toMatch(/^anchored\t20\S+Z, by a checkpoint of \d+ entries$/m);
  });

  it("notes nothing in a dry run", async () => {
    const before = (await desk.ask("status")).log;
    await desk.ask("audit verify --dry-run");

    expect((await desk.ask("status")).log).toEqual(before);
  });

  it("finds nothing in a log that nobody touched, and says that it was compared with itself alone", async () => {
    const document = await desk.ask("audit verify");
    const { stderr } = await desk.run("audit verify");

    expect(document).toMatchObject({
      ok: true,
      against: "itself",
      checkpoints: 0,
      anchored: null,
      findings: [],
    });
    expect(stderr).toContain("Compared with itself alone");
  });

  it("compares with checkpoints, and asks for the signature of the key that is given", async () => {
    const plain = await desk.ask(["audit", "verify", "--checkpoint", checkpoints]);
    const signed = await desk.ask([
      "audit",
      "verify",
      "--checkpoint",
      checkpoints,
      "--checkpoint-key",
      verifierKey,
    ]);

    expect(plain).toMatchObject({ ok: true, against: "checkpoint", checkpoints: 1 });
    expect(signed).toMatchObject({ ok: true, against: "signed_checkpoint", anchored: plain.anchored });
  });

  it("goes on from the last checkpoint that was verified, and reads all before one was", async () => {
    const words = ["audit", "verify", "--checkpoint", checkpoints, "--new"];
    await desk.sql("DELETE FROM midctl_log_evidence");
    await grow();

    const first = await desk.ask(words);
    const second = await desk.ask(words);
    const signed = await desk.ask([...words, "--checkpoint-key", verifierKey]);

    expect(first).toMatchObject({ ok: true, from: 0 });
    expect(second).toMatchObject({ ok: true, from: second.size - 1, anchored: second.size - 1 });
    expect(signed).toMatchObject({ ok: true, from: 0, against: "signed_checkpoint" });
  });

  it("refuses checkpoints that another key signed, and reads nothing", async () => {
    const other = verifierKey.replace(/.$/, "");
    const forged = join(desk.directory, "forged");
    await desk.ask(["audit", "checkpoint", "--key", makeKey("other"), "--out", forged]);

    const { exit, message } = await desk.refuse([
      ...["audit", "verify", "--checkpoint", forged, "--checkpoint-key", verifierKey],
    ]);
    const misspelt = await desk.refuse([
      ...["audit", "verify", "--checkpoint", forged, "--checkpoint-key", other],
    ]);

    expect(exit).toBe(5);
    expect(message).toContain("is not signed by");
    expect(misspelt.exit).toBe(2);
  });

  it.each([
    ["a file that there is not", "missing"],
    ["a file of something else", "garbage"],
    ["an empty file", "empty"],
    ["a directory", "."],
  ])("refuses %s", async (_, name) => {
    writeFileSync(join(desk.directory, "empty"), "");
    writeFileSync(join(desk.directory, "garbage"), "\u0000\r\nno checkpoint\n");

    const { exit, message } = await desk.refuse([
      "audit",
      "verify",
      "--checkpoint",
      join(desk.directory, name),
    ]);

    expect(exit).toBe(2);
    expect(message).toContain("nothing was verified");
  });

  it("refuses a file of which one checkpoint is cut short", async () => {
    const cut = join(desk.directory, "cut");
    writeFileSync(cut, readFileSync(checkpoints, "utf8"));
    appendFileSync(cut, readFileSync(checkpoints, "utf8").slice(0, 60));

    expect((await desk.refuse(["audit", "verify", "--checkpoint", cut])).message).toContain("Note 2 of");
  });

  it("wants checkpoints with what is asked of them", async () => {
    expect((await desk.refuse("audit verify --new")).exit).toBe(2);
  });

  it("names an entry that the database's owner altered, in a table and by exit 9", async () => {
    const copy = await copyDatabase("altered");
    for (const statement of UNLOCK) await copy.sql(statement);
    await copy.sql(`UPDATE midctl_log SET entry = replace(entry, 'bot-', 'bat-') WHERE "index" = 2`);

    const { code, stdout } = await desk.run("audit verify --json", { env: copy.env });
    const { stdout: table } = await desk.run("audit verify", { env: copy.env });

    expect(code).toBe(9);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      found: 1,
      findings: [{ kind: "altered", from: 2, to: 2, says: "entry 2 is altered" }],
    });
    expect(table).toContain("entry 2 is altered");
  });

  it("knows a database that was restored from before, which nobody can tell without a checkpoint", async () => {
    const backup = await copyDatabase("backup");
    await grow();
    await anchor("first");

    const alone = await desk.ask("audit verify", { env: backup.env });
    const { code, stdout } = await desk.run(["audit", "verify", "--json", "--checkpoint", checkpoints], {
      env: backup.env,
    });

    expect(alone.ok).toBe(true);
    expect(code).toBe(9);
    expect(JSON.parse(stdout)).toMatchObject({
      checkpoints: 2,
      findings: [{ kind: "restored", from: alone.size }],
    });
  });

  async function grow(): Promise<void> {
    await desk.identity(`bot-${born++}`);
  }

  function anchor(name: string) {
    return desk.ask(["audit", "checkpoint", "--key", makeKey(name), "--out", checkpoints]);
  }

  /** One key for each name. */
  function makeKey(name: string): string {
    const path = join(desk.directory, name);
    try {
      readFileSync(path);
    } catch {
      execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", path]);
    }
    return path;
  }

  /** The database as it is now, under another name: what a backup of it restores. */
  async function copyDatabase(name: string) {
    const [{ database } = { database: "" }] = await desk.sql<{ database: string }>(
      "SELECT current_database() AS database",
    );
    const copied = `${database}_${name}`;
    // A database is copied while nobody else is in it.
    await desk.sql(
      "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    await desk.sql(`CREATE DATABASE "${copied}" TEMPLATE "${database}"`);
    const url = desk.directUrl.replace(database, copied);
    return {
      env: { MIDCTL_DATABASE_URL: url },
      sql: (text: string) => runSql(url, text),
    };
  }
});
