import { mkdirSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { expect, inject } from "vitest";
import type { Param } from "../../src/db/database.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { type CliOptions, type CliResult, runCli } from "../support/cli.ts";
import { postgresDatabases, runSql } from "../support/databases.ts";

/** Where an operator sits: the program as a process of its own, on a database of one test file's own. */
export interface Desk {
  readonly url: string;
  /** The same past the pooler, in a run through one. */
  readonly directUrl: string;
  /** A private directory for token files. */
  readonly directory: string;
  /** The environment that every run has beside its own. */
  readonly env: Readonly<Record<string, string>>;
  /** Words split at spaces, or as they are. */
  run(words: Words, options?: CliOptions): Promise<CliResult>;
  /** Runs with --json, expects exit 0 and returns the document. */
  ask(words: Words, options?: CliOptions): Promise<Answer>;
  /** Runs with --json, expects the one line of an error and nothing on stdout. */
  refuse(words: Words, options?: CliOptions): Promise<Refusal>;
  /** Makes an identity and returns its slug. */
  identity(slug: string, ...words: string[]): Promise<string>;
  /** Issues a credential and returns its secret and its id. */
  issue(slug: string, ...words: string[]): Promise<Handed>;
  /** As `issue`, and used once: active. */
  activeCredential(slug: string, ...words: string[]): Promise<Handed>;
  /** A statement as the owner of the database would type it. */
  sql<Row extends object>(text: string, params?: Param[]): Promise<Row[]>;
  /** Sets columns of the row with that reference or slug with the guards off: how a test moves time. */
  tamper(table: string, columns: string, row: string): Promise<void>;
  dispose(): Promise<void>;
}

export type Words = string | readonly string[];

// A document's shape is each command's own; what a test reads of it, it asserts.
// biome-ignore lint/suspicious/noExplicitAny: see above
export type Answer = any;

export interface Refusal {
  readonly exit: number | null;
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
  readonly details: Readonly<Record<string, unknown>>;
}

export interface Handed {
  readonly token: string;
  readonly id: string;
}

export function splitWords(words: Words): readonly string[] {
  return typeof words === "string" ? words.split(" ") : words;
}

/** @param more of the environment that every run has */
export async function openDesk(more: Readonly<Record<string, string>> = {}): Promise<Desk> {
  const [newest] = postgresDatabases();
  if (newest === undefined) throw new Error("no PostgreSQL server");
  const database = await newest.create();
  const url = database.url ?? "";
  const directUrl = database.directUrl ?? "";
  const directory = mkdtempSync(join(inject("scratch"), "desk-"));
  const home = join(directory, "home");
  mkdirSync(home, { mode: 0o700 });
  const env = {
    MIDCTL_DATABASE_URL: url,
    MIDCTL_ACTOR: "alice",
    HOME: home,
    XDG_CONFIG_HOME: join(home, "config"),
    XDG_STATE_HOME: join(home, "state"),
    // Every file's runs share the compiled program.
    XDG_CACHE_HOME: join(inject("scratch"), "cache"),
    ...more,
  };

  const run: Desk["run"] = (words, options = {}) =>
    runCli(splitWords(words), { cwd: directory, ...options, env: { ...env, ...options.env } });
  const ask: Desk["ask"] = async (words, options) => {
    const result = await run([...splitWords(words), "--json"], options);
    expect(result, result.stderr).toMatchObject({ code: 0 });
    return JSON.parse(result.stdout);
  };
  const issue: Desk["issue"] = async (slug, ...words) => {
    const { token, credential } = await ask(["credential", "issue", slug, ...words]);
    return { token, id: credential.id };
  };
  return {
    url,
    directUrl,
    directory,
    env,
    run,
    ask,
    refuse: async (words, options) => readRefusal(await run([...splitWords(words), "--json"], options)),
    async identity(slug, ...words) {
      await ask(["identity", "create", slug, "--owner", "platform", ...words]);
      return slug;
    },
    issue,
    async activeCredential(slug, ...words) {
      const handed = await issue(slug, ...words);
      await ask("credential activate", { stdin: `${handed.token}\n` });
      return handed;
    },
    sql: (text, params) => runSql(url, text, params),
    async tamper(table, columns, row) {
      const where = row.startsWith("mc_") ? `"publicId" = '${row.slice(3)}'` : `slug = '${row}'`;
      await runSql(
        url,
        `DO $do$ DECLARE guard name; BEGIN
           ALTER TABLE ${table} DISABLE TRIGGER USER;
           UPDATE ${table} SET ${columns} WHERE ${where};
           FOR guard IN SELECT tgname FROM pg_trigger WHERE tgrelid = '${table}'::regclass AND NOT tgisinternal LOOP
             EXECUTE format('ALTER TABLE ${table} ENABLE ALWAYS TRIGGER %I', guard);
           END LOOP;
         END $do$`,
      );
    },
    dispose: () => database.dispose(),
  };
}

/** The one line of JSON that an error is, beside an empty stdout. */
export function readRefusal(result: CliResult): Refusal {
  expect(result.stdout).toBe("");
  expect(result.stderr).toMatch(/^\{.*\}\n$/);
  const document = JSON.parse(result.stderr);
  expect(Object.keys(document)).toEqual(["error"]);
  expect(Object.keys(document.error)).toEqual(["code", "message", "hint", "details"]);
  return { exit: result.code, ...document.error };
}

/** An identity's lock in another session's hand: whoever changes the identity has to wait. */
export async function holdIdentity(desk: Desk, slug: string) {
  const db = openPostgres({ url: desk.url }, { max: 1, applicationName: "second connection" });
  await db.query("BEGIN");
  await db.query("SELECT FROM machine_identity WHERE slug = $1 FOR UPDATE", [slug]);
  return {
    /** Resolves with their process ids once so many of our program's sessions wait for a lock. */
    async waiting(sessions: number): Promise<number[]> {
      for (;;) {
        const rows = await desk.sql<{ pid: number }>(
          `SELECT pid FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'midctl' AND wait_event_type = 'Lock'`,
        );
        if (rows.length >= sessions) return rows.map(({ pid }) => pid);
      }
    },
    async release(): Promise<void> {
      await db.query("COMMIT");
      await db.close();
    },
  };
}
