import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import postgres, { type Sql } from "postgres";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { createToken } from "../../src/domain/token.ts";
import { runCli } from "../support/cli.ts";
import { postgresDatabases, type TestDatabase } from "../support/databases.ts";
import { judgeDatabase, LogJudge, readTokenFiles } from "./judge.ts";

/** A campaign that finds nothing proves something only if its judge finds what is there. */
describe("the judge of the crash campaign", () => {
  let database: TestDatabase;
  let sql: Sql;
  let token = "";
  const received = new Map<string, string>();

  beforeEach(async () => {
    const [server] = inject("servers");
    const [factory] = postgresDatabases();
    if (server === undefined || factory === undefined) throw new Error("no PostgreSQL to test with");
    database = await factory.create();
    sql = postgres({
      path: join(server.socketDir, `.s.PGSQL.${server.port}`),
      user: server.user,
      database: (database.url ?? "").split("/").at(-1) ?? "",
      max: 1,
      onnotice: () => undefined,
    });
    const issued = await midctl(["credential", "issue", "bot", "--create", "--owner", "you"]);
    token = issued.trim();
    received.clear();
    received.set(token.slice(9, 21), token);
  });
  afterEach(async () => {
    await sql.end();
    await database.dispose();
  });

  async function midctl(args: string[], stdin?: string): Promise<string> {
    const env = { MIDCTL_DATABASE_URL: database.url ?? "" };
    const { code, stdout, stderr } = await runCli(args, stdin === undefined ? { env } : { env, stdin });
    if (code !== 0) throw new Error(stderr);
    return stdout;
  }

  /** What the guards refuse, done by an owner who switches them off. */
  async function plant(table: string, statement: string): Promise<void> {
    await sql.unsafe(
      `ALTER TABLE ${table} DISABLE TRIGGER ALL; ${statement}; ALTER TABLE ${table} ENABLE TRIGGER ALL`,
    );
  }

  async function findHalfMade(): Promise<string[]> {
    return (await judgeDatabase(sql, received)).halfMade;
  }

  it("finds nothing wrong with an identity, its credential and their log", async () => {
    await midctl(["credential", "activate"], token);

    expect(await judgeDatabase(sql, received)).toEqual({ unreceived: [], halfMade: [] });
    expect(await new LogJudge().judge(sql)).toEqual([]);
  });

  it("finds an active credential whose secret nobody received, and lets a pending one be", async () => {
    received.clear();
    expect((await judgeDatabase(sql, received)).unreceived).toEqual([]);

    await midctl(["credential", "activate"], token);

    expect((await judgeDatabase(sql, received)).unreceived).toEqual([
      `mc_${token.slice(9, 21)} is active, and nobody holds its secret`,
    ]);
  });

  it("finds a credential that was made for another secret than the one handed out", async () => {
    received.set(token.slice(9, 21), "another");

    expect(await findHalfMade()).toEqual([expect.stringContaining("does not have the hash")]);
  });

  it("finds an identity that came without its credential", async () => {
    await midctl(["identity", "create", "lonely", "--owner", "you"]);

    expect(await findHalfMade()).toEqual(["lonely came without its credential"]);
  });

  it.each([
    ["agent_token", "DELETE FROM agent_token", "does not have exactly one token"],
    [
      "machine_identity_credential",
      "DELETE FROM machine_identity_credential",
      "is in the log and nowhere else",
    ],
    [
      "midctl_log",
      "DELETE FROM midctl_log WHERE action = 'identity.create'",
      "is not in the log as created once",
    ],
    [
      "midctl_log",
      "DELETE FROM midctl_log WHERE action = 'credential.issue'",
      "is not in the log as issued once",
    ],
    [
      "machine_identity_credential",
      `UPDATE machine_identity_credential SET status = 'revoked', "revokedAt" = now()`,
      "is revoked, and the log does not say so",
    ],
    [
      "midctl_log_queue",
      "INSERT INTO midctl_log_queue (first, at, action, details) VALUES (false, now(), 'x', '{}')",
      "the log's queue is not empty",
    ],
  ])("finds what is half there in %s after %s", async (table, statement, what) => {
    await plant(table, statement);

    expect(await findHalfMade()).toContainEqual(expect.stringContaining(what));
  });

  it.each([
    ["a gap", `DELETE FROM midctl_log WHERE "index" = 1`, "entry 2 of the log comes where 1 belongs"],
    [
      "an entry in another's place",
      `UPDATE midctl_log SET entry = replace(entry, '"index": 1', '"index": 7'),
              "leafHash" = sha256('\\x00'::bytea || convert_to(replace(entry, '"index": 1', '"index": 7'), 'UTF8')) WHERE "index" = 1`,
      "entry 1 of the log names another index",
    ],
    [
      "an altered entry",
      `ALTER TABLE midctl_log DROP CONSTRAINT midctl_log_leaf_check; UPDATE midctl_log SET entry = replace(entry, 'bot', 'pet') WHERE "index" = 1`,
      "entry 1 of the log is not what its leaf hash says",
    ],
    [
      "a missing end",
      `DELETE FROM midctl_log WHERE "index" = 2`,
      "the log's head says 3, and there are 2 entries",
    ],
  ])("finds %s in the log", async (_, statement, what) => {
    await plant("midctl_log", statement);

    expect(await new LogJudge().judge(sql)).toContain(what);
  });

  it("finds a token file that is cut short or open to others, and leaves temporary names alone", () => {
    const directory = mkdtempSync(join(inject("scratch"), "files-"));
    const { text } = createToken("test", (bytes) => new Uint8Array(bytes));
    writeFileSync(join(directory, "whole"), `${text}\n`, { mode: 0o600 });
    writeFileSync(join(directory, "open"), `${text}\n`, { mode: 0o644 });
    writeFileSync(join(directory, "short"), text.slice(0, 40), { mode: 0o600 });
    writeFileSync(join(directory, ".midctl-token-1"), text.slice(0, 40), { mode: 0o600 });

    const { tokens, wrong } = readTokenFiles(directory);

    expect(tokens).toEqual([text, text]);
    expect(wrong).toEqual(["open has the mode 644", "short exists and holds no whole token"]);
  });
});
