import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, inject, test } from "vitest";
import { postgresDatabases, runSql, type TestDatabase } from "../support/databases.ts";
import { type Desk, openDesk } from "./desk.ts";
import { openFollowing } from "./following.ts";

const BIN = "/usr/lib/postgresql/15/bin";

const onFifteen = postgresDatabases().filter(
  ({ name }) => name === "PostgreSQL 15" && existsSync(`${BIN}/pg_dump`),
);

describe.each(onFifteen)("`audit follow` while its database is restored on $name", ({ create }) => {
  let database: TestDatabase;
  let desk: Desk;
  let dump: string;

  beforeEach(async () => {
    database = await create();
    desk = await openDesk({ MIDCTL_DATABASE_URL: database.url ?? "" });
    dump = join(mkdtempSync(join(inject("scratch"), "followed-")), "dump");
    await desk.identity("bot");
    return async () => {
      await desk.dispose();
      await database.dispose();
    };
  });

  const backUp = () => execFileSync(`${BIN}/pg_dump`, ["-Fc", "-f", dump, database.directUrl ?? ""]);
  const restore = (...section: string[]) =>
    execFileSync(`${BIN}/pg_restore`, [...section, "-d", database.directUrl ?? "", dump]);
  const name = () => new URL(database.directUrl ?? "").pathname.slice(1);
  const inLobby = (text: string) =>
    runSql((database.directUrl ?? "").replace(/\/[^/?]+(?=\?|$)/, "/postgres"), text);
  async function makeAnew(): Promise<void> {
    await inLobby(`DROP DATABASE ${name()} WITH (FORCE)`);
    await inLobby(`CREATE DATABASE ${name()}`);
  }

  /** Resolves once the program has asked the database something from now on; the test runs out of time where it does not. */
  async function readAgain(): Promise<void> {
    const [begun] = await runSql<{ at: string }>(database.url ?? "", "SELECT clock_timestamp()::text AS at");
    for (;;) {
      const asked = await runSql(
        database.url ?? "",
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'midctl'
            AND state = 'idle' AND query_start > $1::text::timestamptz`,
        [begun?.at ?? ""],
      );
      if (asked.length > 0) return;
    }
  }

  test("waits, and goes on where the log is the same", async () => {
    const following = await openFollowing(desk);
    backUp();
    await makeAnew();
    await following.said("no midctl schema");
    restore();
    await following.said("Connected again");
    await desk.ask("pause bot");

    expect((await following.printed(1)).map(({ action }) => action)).toEqual(["identity.pause"]);
    expect(await following.stop()).toBe(130);
  });

  test("waits while it is half restored, and ends with exit 5 once its log is known to be shorter", async () => {
    backUp();
    const following = await openFollowing(desk);
    await desk.ask("pause bot");
    await following.printed(1);
    await makeAnew();
    restore("--section=pre-data");
    await following.said("not all that belongs into it");
    restore("--section=data");
    await readAgain();
    await readAgain();
    restore("--section=post-data");

    expect(await following.ended).toBe(5);
    expect(following.stderr()).toContain("restored from before");
  });

  test("does not wait for a schema that never was", async () => {
    await makeAnew();

    expect(await desk.refuse("audit follow")).toMatchObject({
      exit: 7,
      hint: expect.stringContaining("being restored"),
    });
  });
});
