import { execFileSync, spawn } from "node:child_process";
import { appendFileSync, copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openPostgres } from "../../src/db/postgres.ts";
import { PROGRAM, scrubEnvironment } from "../support/cli.ts";
import { hasSshKeygen } from "../support/ssh.ts";
import { type Desk, openDesk } from "./desk.ts";

describe.runIf(hasSshKeygen)("midctl audit export", () => {
  let desk: Desk;
  let key: string;
  let born = 0;
  beforeAll(async () => {
    desk = await openDesk();
    key = join(desk.directory, "key");
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
    await grow();
  });
  afterAll(() => desk.dispose());

  it("writes the whole log, and what is new with each run after that", async () => {
    const file = fileAt("grows.jsonl");
    const first = await exported(file);
    const second = await exported(file);
    await grow();
    const third = await exported(file);

    expect(first).toMatchObject({ from: 0, exported: first.size, note: null });
    expect(second).toMatchObject({ from: first.size, exported: 0 });
    expect(third).toMatchObject({ from: first.size, exported: third.size - first.size });
    expect(await checked(file)).toMatchObject({
      kind: "export",
      from: 0,
      to: third.size,
      checked: "arithmetic",
    });
    expect(entriesOf(file)).toEqual(
      (await desk.sql<{ entry: string }>(`SELECT entry FROM midctl_log ORDER BY "index"`)).map(
        ({ entry }) => entry,
      ),
    );
  });

  it("signs the last head, for whoever has the key's public half", async () => {
    const file = fileAt("signed.jsonl");
    const { verifierKey, note, size } = await exported(file, "--key", key);

    expect(await checked(file, "--checkpoint-key", verifierKey)).toMatchObject({
      checked: "signature",
      vouched: [size],
    });
    expect(readFileSync(file, "utf8")).toContain(JSON.stringify(note).slice(1, -1));
  });

  it("says that it signed a head which stood there without a signature", async () => {
    const file = fileAt("signed-later.jsonl");
    const { size } = await exported(file);

    const { stdout } = await desk.run(["audit", "export", "--out", file, "--key", key]);

    expect(stdout).toBe(
      `No new entries: the head of the log's ${size} was signed, and written to ${file}.\n`,
    );
  });

  it("says that there is nothing new where that head is signed already", async () => {
    const file = fileAt("signed-before.jsonl");
    const { size } = await exported(file, "--key", key);
    const before = readFileSync(file, "utf8");

    const { stdout } = await desk.run(["audit", "export", "--out", file, "--key", key]);

    expect(stdout).toBe(`Nothing new: ${file} has the log's ${size} entries.\n`);
    expect(readFileSync(file, "utf8")).toBe(before);
  });

  it("does not call a new file nothing new, though no entry is in it", async () => {
    const file = fileAt("begun.jsonl");
    const { size } = await exported(fileAt("whole.jsonl"));

    const { stdout } = await desk.run(["audit", "export", "--out", file, "--from", String(size)]);

    expect(stdout).toBe(`0 entries written to ${file}, from ${size} on; the log has ${size}.\n`);
  });

  it("holds against checkpoints that were kept elsewhere, and says how far they reach", async () => {
    const [file, checkpoints] = [fileAt("kept.jsonl"), fileAt("checkpoints")];
    const { size } = await desk.ask(["audit", "checkpoint", "--key", key, "--out", checkpoints]);
    await grow();
    await exported(file);

    expect(await checked(file, "--checkpoint", checkpoints)).toMatchObject({
      checked: "checkpoint",
      vouched: [size],
    });
    const { stdout } = await desk.run(["audit", "verify", "--proof", file, "--checkpoint", checkpoints]);
    expect(stdout).toMatch(
      /its first \d+ entries are among the checkpoints that were kept; nobody vouches for the \d+ after/,
    );
  });

  it("is refused where a kept checkpoint saw other entries", async () => {
    const [file, checkpoints] = [fileAt("other.jsonl"), fileAt("forged")];
    const { note } = await desk.ask(["audit", "checkpoint", "--key", key]);
    writeFileSync(
      checkpoints,
      String(note).replace(/\n[A-Za-z0-9+/=]{44}\n/, `\n${Buffer.alloc(32, 7).toString("base64")}\n`),
    );
    await exported(file);

    expect(
      await desk.refuse(["audit", "verify", "--proof", file, "--checkpoint", checkpoints]),
    ).toMatchObject({ exit: 5, details: { fails: "kept" } });
  });

  it("goes on from the last head of a file that was cut off, and says so", async () => {
    const file = fileAt("cut.jsonl");
    await exported(file);
    const whole = readFileSync(file, "utf8");
    for (const length of [whole.length - 1, whole.length - 40, whole.length + 9]) {
      writeFileSync(file, `${whole}{"entry":"`.slice(0, length));

      const { stderr } = await desk.run(["audit", "export", "--out", file]);

      expect(stderr).toMatch(/Cut off \d+ bytes behind the last head/);
      expect(readFileSync(file, "utf8")).toBe(whole);
    }
  });

  it("says of a file whose last line is cut off what makes it whole again", async () => {
    const file = fileAt("half.jsonl");
    await exported(file);
    const whole = readFileSync(file, "utf8");
    writeFileSync(file, whole.slice(0, -40));

    for (const option of ["--proof", "--export"]) {
      const refused = await desk.refuse(["audit", "verify", option, file]);

      expect(refused).toMatchObject({
        exit: 5,
        message: expect.stringContaining("was cut short in line"),
        hint: expect.stringContaining("`midctl audit export --out` into the same file goes on"),
      });
    }
  });

  it("says with the database which entries are in the file, and which were compared with the tree alone", async () => {
    const [part, none] = [fileAt("part.jsonl"), fileAt("none.jsonl")];
    const { size } = await exported(part, "--from", "3");
    await exported(none, "--from", String(size));

    const { stdout, stderr } = await desk.run(["audit", "verify", "--json", "--export", part]);
    const said = await desk.run(["audit", "verify", "--export", part]);
    const nothing = await desk.run(["audit", "verify", "--export", none]);

    expect(JSON.parse(stdout)).toMatchObject({ exported: size, compared: { from: 3, to: size - 1 } });
    expect(stderr).toBe("");
    expect(said.stderr).toContain(
      `Compared entries 3 to ${size - 1} with the export of ${size}, and the other 3 with the tree alone.`,
    );
    expect(nothing.stderr).toContain("No entry was compared with the export");
  });

  it("is checked by itself or with the database, and what is said of both together is of these two", async () => {
    const file = fileAt("both.jsonl");
    await exported(file);

    expect(await desk.refuse(["audit", "verify", "--proof", file, "--export", file])).toMatchObject({
      exit: 2,
      message: expect.stringMatching(/^--export is of a database/),
    });
  });

  it("goes into a pipe, and leaves it when the reader does", async () => {
    const { stdout, code } = await desk.run("audit export --out -");
    const file = fileAt("piped.jsonl");
    writeFileSync(file, stdout);

    expect(code).toBe(0);
    expect((await checked(file)).kind).toBe("export");
  });

  it("leaves out the first entries of a new file, and proves the rest with what they come to", async () => {
    const file = fileAt("late.jsonl");
    const { size } = await exported(file, "--from", "3");

    expect(entriesOf(file)).toHaveLength(size - 3);
    expect(await checked(file)).toMatchObject({ from: 3, to: size });
    expect((await desk.refuse(["audit", "export", "--out", file, "--from", "3"])).exit).toBe(2);
  });

  it("leaves no file where more was to be left out than there is, and says how much there is", async () => {
    const file = fileAt("beyond.jsonl");

    const { message, hint, details } = await desk.refuse([
      ..."audit export --from 1000000 --out".split(" "),
      file,
    ]);

    expect(message).toMatch(/and 1000000 were to be left out; nothing was exported\.$/);
    expect(hint).toBe(`Leave --from out for all of them, or give ${details.size} at most.`);
    expect(existsSync(file)).toBe(false);
  });

  it("leaves no file where the database is not there", async () => {
    const file = fileAt("unreachable.jsonl");
    const MIDCTL_DATABASE_URL = "postgres://nobody@127.0.0.1:1/nowhere";

    await desk.refuse(["audit", "export", "--out", file], { env: { MIDCTL_DATABASE_URL } });

    expect(existsSync(file)).toBe(false);
  });

  it("leaves a refused export's file where it was there before", async () => {
    const file = fileAt("there.jsonl");
    writeFileSync(file, "");

    await desk.refuse(["audit", "export", "--from", "1000000", "--out", file]);

    expect(readFileSync(file, "utf8")).toBe("");
  });

  it("keeps its file from other users", async () => {
    const file = fileAt("private.jsonl");
    await exported(file);

    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it("refuses a second export to a file while the first is at it, and leaves that alone", async () => {
    const file = fileAt("shared.jsonl");
    const log = await holdLog();
    const first = desk.ask(["audit", "export", "--out", file]);
    await log.waiting();

    const second = await desk.refuse(["audit", "export", "--out", file]);
    await log.release();

    expect(second).toMatchObject({
      exit: 5,
      code: "conflict",
      message: expect.stringMatching(/shared\.jsonl" is in use by another export; nothing was exported\.$/),
      hint: expect.stringContaining("run the same command again"),
    });
    const { size } = await first;
    expect(await checked(file)).toMatchObject({ from: 0, to: size });
  });

  it("goes on with a file whose export was killed", async () => {
    const file = fileAt("killed.jsonl");
    const log = await holdLog();
    const child = spawn(process.execPath, [PROGRAM, "audit", "export", "--out", file], {
      env: scrubEnvironment(desk.env),
      stdio: "ignore",
    });
    const ended = new Promise((resolve) => child.once("exit", resolve));
    await log.waiting();
    child.kill("SIGKILL");
    await ended;
    await log.release();

    const { size } = await exported(file);

    expect(await checked(file)).toMatchObject({ from: 0, to: size });
  });

  it.each([
    ["a file of something else", () => writeFileSync(fileAt("else"), "something else\n"), "else", 5],
    ["a directory", () => {}, ".", 2],
    ["a directory that is not there", () => {}, "nowhere/log.jsonl", 2],
  ])("refuses %s, and leaves it as it is", async (_, make, name, exit) => {
    make();

    expect(await desk.refuse(["audit", "export", "--out", fileAt(name)])).toMatchObject({ exit });
    if (name === "else") expect(readFileSync(fileAt(name), "utf8")).toBe("something else\n");
  });

  it("is what the database is compared with, entry by entry, though its owner rewrote tree and all", async () => {
    const file = fileAt("before.jsonl");
    await exported(file);
    const sound = await desk.ask(["audit", "verify", "--export", file]);
    await desk.sql("ALTER TABLE midctl_log DISABLE TRIGGER USER");
    await desk.sql("ALTER TABLE midctl_log DROP CONSTRAINT midctl_log_leaf_check");
    await desk.sql(
      `UPDATE midctl_log SET entry = jsonb_set(entry::jsonb, '{reason}', '"nothing"')::text WHERE "index" = 2`,
    );

    const { code, stdout } = await desk.run(["audit", "verify", "--json", "--export", file]);

    expect(sound).toMatchObject({ ok: true, against: "export", exported: sound.size });
    expect(code).toBe(9);
    expect(JSON.parse(stdout).findings).toEqual([
      expect.objectContaining({ kind: "altered", from: 2, to: 2 }),
    ]);
  });

  it("hands out nothing that the tree over the log was not made of, and what was exported before stands", async () => {
    const file = fileAt("altered.jsonl");

    expect(await desk.refuse(["audit", "export", "--out", file])).toMatchObject({
      exit: 5,
      message: expect.stringMatching(/From log_0 on the entries are not those/),
    });
    expect(existsSync(file)).toBe(false);
    copyFileSync(fileAt("before.jsonl"), file);
    appendFileSync(file, "");
    expect((await checked(file)).kind).toBe("export");
  });

  const fileAt = (name: string): string => join(desk.directory, name);
  const exported = (file: string, ...more: string[]) => desk.ask(["audit", "export", "--out", file, ...more]);
  const checked = (file: string, ...more: string[]) =>
    desk.ask(["audit", "verify", "--proof", file, ...more]);

  /** The log in another session's hand: whoever reads it has to wait. */
  async function holdLog() {
    const db = openPostgres({ url: desk.url }, { max: 1, applicationName: "second connection" });
    await db.query("BEGIN");
    await db.query("LOCK TABLE midctl_log, midctl_log_tile IN ACCESS EXCLUSIVE MODE");
    return {
      async waiting(): Promise<void> {
        for (let waiting = 0; waiting === 0; ) {
          const rows = await desk.sql(
            `SELECT FROM pg_stat_activity
              WHERE datname = current_database() AND application_name = 'midctl' AND wait_event_type = 'Lock'`,
          );
          waiting = rows.length;
        }
      },
      async release(): Promise<void> {
        await db.query("COMMIT");
        await db.close();
      },
    };
  }

  async function grow(): Promise<void> {
    for (let n = 0; n < 3; n++) await desk.identity(`svc-${born++}`);
  }

  function entriesOf(file: string): string[] {
    return readFileSync(file, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
      .filter((line) => "entry" in line)
      .map(({ entry }) => entry);
  }
});
