import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { inject } from "vitest";
import type { Database, Param } from "../../src/db/database.ts";
import { migrate } from "../../src/db/migrate.ts";
import { readMigrations } from "../../src/db/migrations.ts";
import { fromPglite } from "../../src/db/pglite.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import type { TestServer } from "./launcher.ts";

/** A database of one test's own. */
export interface TestDatabase {
  readonly db: Database;
  /** For the command line and for second connections (by unix socket); null on PGlite, which is one session. */
  readonly url: string | null;
  /** The same past the pooler, in a run through one: for sessions that have to be their client's own. */
  readonly directUrl?: string | null;
  /** Past the pooler too: for a verifier that caches, since it has to listen. Elsewhere the same as `db`. */
  readonly direct: Database;
  /** The PGlite behind it, or null. */
  readonly pglite: PGlite | null;
  /** Closes every connection and drops it. */
  dispose(): Promise<void>;
}

/** One of the databases that midctl promises to work on. */
export interface DatabaseFactory {
  readonly name: string;
  /** A fresh database with every migration applied and an environment. */
  create(): Promise<TestDatabase>;
  /** A fresh database with nothing in it. */
  createBare(): Promise<TestDatabase>;
}

/** For `describe.each(databases())`: PostgreSQL 18, PostgreSQL 15 where there is one, PGlite. */
export function databases(): DatabaseFactory[] {
  return [...postgresDatabases(), PGLITE];
}

/** The real servers alone: for what needs a second connection. */
export function postgresDatabases(): DatabaseFactory[] {
  return inject("servers").map((server) => ({
    name: server.name,
    create: async () => {
      const database = await createDatabase(server, await ensureTemplate(server));
      await migrate(database.db);
      return database;
    },
    createBare: () => createDatabase(server, "template0"),
  }));
}

/** The URL of a database on a test server, by its unix socket or by TCP. */
export function urlOf(server: TestServer, database: string, by: "socket" | "tcp" = "socket"): string {
  const place =
    by === "tcp" ? `127.0.0.1:${server.port}` : `${encodeURIComponent(server.socketDir)}:${server.port}`;
  return `postgres://${server.user}@${place}/${database}`;
}

/** Runs statements on a connection of their own, the way an operator with psql would, and returns the last one's rows. */
export async function runSql<Row extends object>(
  url: string,
  text: string,
  params: Param[] = [],
): Promise<Row[]> {
  const db = openPostgres({ url }, { max: 1, applicationName: "second connection" });
  try {
    return await db.query<Row>(text, params);
  } finally {
    await db.close();
  }
}

async function createDatabase(server: TestServer, template: string): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString("hex")}`;
  await runSql(urlOf(server, "postgres"), `CREATE DATABASE ${name} TEMPLATE ${template} STRATEGY file_copy`);
  const directUrl = urlOf(server, name);
  const url = urlOf({ ...server, ...server.pooler }, name);
  const db = openPostgres({ url });
  const direct = url === directUrl ? db : openPostgres({ url: directUrl });
  return {
    db,
    url,
    directUrl,
    direct,
    pglite: null,
    async dispose() {
      await direct.close();
      await db.close();
      await runSql(urlOf(server, "postgres"), `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    },
  };
}

const templates = new Map<string, Promise<string>>();

/** The migrated database that fresh ones are copied from: one per server and state of migrations/. */
function ensureTemplate(server: TestServer): Promise<string> {
  const known = templates.get(server.name);
  if (known !== undefined) return known;
  const made = makeTemplate(server);
  templates.set(server.name, made);
  return made;
}

async function makeTemplate(server: TestServer): Promise<string> {
  const state = readMigrations().map(({ hash }) => hash.slice(0, 6));
  const name = `template_${state.join("").slice(0, 48) || "empty"}`;
  const lobby = openPostgres({ url: urlOf(server, "postgres") });
  try {
    // Several workers come at once; the first makes it, under a name that nobody looks for until it is whole.
    await lobby.transaction(async (tx) => {
      await tx.query("SELECT pg_advisory_xact_lock(1)");
      const [found] = await tx.query("SELECT FROM pg_database WHERE datname = $1", [name]);
      if (found !== undefined) return;
      const unfinished = `unfinished_${randomBytes(4).toString("hex")}`;
      await lobby.query(`CREATE DATABASE ${unfinished}`);
      const db = openPostgres({ url: urlOf(server, unfinished) });
      await migrate(db, { bare: true }).finally(() => db.close());
      await lobby.query(`ALTER DATABASE ${unfinished} RENAME TO ${name}`);
    });
  } finally {
    await lobby.close();
  }
  return name;
}

/** PGlite alone: for what needs the PGlite itself. */
export const PGLITE: DatabaseFactory = {
  name: "PGlite",
  create: async () => {
    const database = await createPglite();
    await migrate(database.db);
    return database;
  },
  createBare: createPglite,
};

/** A PGlite takes seconds to make and 700 MB to keep: those that a test has done with are emptied and used again. */
const idle: PGlite[] = [];

async function createPglite(): Promise<TestDatabase> {
  const pglite = idle.pop() ?? (await openPglite());
  const db: Database = { ...fromPglite(pglite), close: async () => undefined };
  return {
    db,
    url: null,
    direct: db,
    pglite,
    async dispose() {
      await pglite.exec("ROLLBACK");
      await pglite.exec("DISCARD ALL");
      await pglite.exec(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC",
      );
      idle.push(pglite);
    },
  };
}

/** From an empty data directory that one worker of this run made: 1 second instead of 5. */
async function openPglite(): Promise<PGlite> {
  const dump = join(inject("scratch"), "pglite.tar");
  if (existsSync(dump)) return PGlite.create({ loadDataDir: new Blob([readFileSync(dump)]) });
  const pglite = await PGlite.create();
  const unfinished = `${dump}.${process.pid}`;
  writeFileSync(unfinished, new Uint8Array(await (await pglite.dumpDataDir("none")).arrayBuffer()));
  renameSync(unfinished, dump);
  return pglite;
}
