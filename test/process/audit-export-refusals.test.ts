import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openPostgres } from "../../src/db/postgres.ts";
import { type Desk, openDesk } from "./desk.ts";

describe("midctl audit export that cannot do all of it", () => {
  let desk: Desk;
  beforeAll(async () => {
    desk = await openDesk();
    await desk.identity("svc");
  });
  afterAll(() => desk.dispose());

  it.each([
    ["a symbolic link", "it is a symbolic link", (path: string) => symlinkSync("elsewhere", path)],
    ["a directory", "it is a directory", (path: string) => mkdirSync(path)],
  ])("says of %s that it is one, and not that a file is sound", async (_, what, make) => {
    const path = fileAt(what);
    make(path);

    expect(await desk.refuse(["audit", "export", "--out", path])).toMatchObject({
      exit: 2,
      message: expect.stringMatching(
        new RegExp(`could not be opened \\(${what}\\); nothing was exported\\.$`),
      ),
    });
  });

  it("says that a file is sound up to its last head where the connection is lost, and goes on from there", async () => {
    const path = fileAt("lost.jsonl");
    const { size } = await desk.ask(["audit", "export", "--out", path]);
    const before = readFileSync(path, "utf8");
    await desk.identity("svc-of-later");
    const log = await holdLog();
    const refusal = desk.refuse(["audit", "export", "--out", path]);
    await log.cutOff();

    expect(await refusal).toMatchObject({
      exit: 7,
      code: "unavailable",
      message: expect.stringMatching(/; .*lost\.jsonl is sound up to its last head\.$/),
      hint: expect.stringContaining("the same command goes on from that head"),
    });
    expect(readFileSync(path, "utf8")).toBe(before);
    await log.release();
    expect(await desk.ask(["audit", "export", "--out", path])).toMatchObject({ from: size });
  });

  it("says that nothing was exported where the connection is lost before there is a head", async () => {
    const log = await holdLog();
    const refusal = desk.refuse(["audit", "export", "--out", fileAt("never.jsonl")]);
    await log.cutOff();

    expect(await refusal).toMatchObject({ message: expect.stringMatching(/; nothing was exported\.$/) });
    await log.release();
  });

  it("goes on with an empty file, as an export that was killed before its first line leaves it", async () => {
    const path = fileAt("empty.jsonl");
    writeFileSync(path, "");

    const { size } = await desk.ask(["audit", "export", "--out", path]);

    expect(await desk.ask(["audit", "verify", "--proof", path])).toMatchObject({ from: 0, to: size });
  });

  const fileAt = (name: string): string => join(desk.directory, name);

  /** The log in another session's hand: whoever reads it has to wait. */
  async function holdLog() {
    const db = openPostgres({ url: desk.directUrl }, { max: 1, applicationName: "second connection" });
    await db.query("BEGIN");
    await db.query("LOCK TABLE midctl_log, midctl_log_tile IN ACCESS EXCLUSIVE MODE");
    return {
      /** Ends the sessions that wait, as soon as there is one. */
      async cutOff(): Promise<void> {
        for (let ended = 0; ended === 0; ) {
          const rows = await desk.sql(
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE datname = current_database() AND application_name = 'midctl' AND wait_event_type = 'Lock'`,
          );
          ended = rows.length;
        }
      },
      async release(): Promise<void> {
        await db.query("COMMIT");
        await db.close();
      },
    };
  }
});
