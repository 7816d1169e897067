/** Opens the database that the settings name: a server by URL, or the embedded engine, started where it is not up. */
import { existsSync } from "node:fs";
import type { Database } from "../db/database.ts";
import { addressOf, type EngineAddress, locateStore, socketPath } from "../db/engine/location.ts";
import { migrate, readSchemaState, type SchemaState } from "../db/migrate.ts";
import type { PoolOptions } from "../db/postgres.ts";
import { WAIT_OR_MIGRATE } from "../db/sql-states.ts";
import { MidctlError } from "../domain/errors.ts";
import { readEnvironment, readHiddenTables } from "../repository/environment.ts";
import type { Opening } from "./context.ts";
import { hasPassword, redactUrl } from "./redact.ts";
import type { Settings } from "./settings.ts";

/**
 * A database that answers, with this program's schema unless `opening.wish.schema` is `any`.
 * @throws MidctlError `unavailable`, or `schema_version` for a schema that is absent, behind or newer
 */
export async function openDatabase(settings: Settings, opening: Opening): Promise<Database> {
  const url = settings.databaseUrl.value;
  return url === null ? openEmbedded(settings, opening) : openServer(settings, url, opening);
}

async function openServer(settings: Settings, url: string, opening: Opening): Promise<Database> {
  opening.debug(`connect to ${redactUrl(url)}`);
  const [{ openPostgres }, { findWeakness }] = await Promise.all([loadDriver(), import("../db/target.ts")]);
  const password = await askPassword(settings, url, opening);
  const database = openPostgres(
    { url, ...(password === null ? {} : { password }) },
    { ...poolOf(opening), warn: opening.notice },
  );
  const weakness = findWeakness({ url });
  if (opening.wish.schema === "any" && weakness === null) return database;
  const { state } = await readSchemaState(database);
  if (weakness !== null && state !== "absent") await refuseIfProtected(database, weakness);
  if (opening.wish.schema === "any") return database;
  if (state !== "current") throw explainSchema(state);
  await refuseHiddenRows(database);
  return database;
}

/** An empty list for lack of rights would be taken for an empty database. */
async function refuseHiddenRows(database: Database): Promise<void> {
  const hidden = await readHiddenTables(database);
  if (hidden.length === 0) return;
  throw new MidctlError(
    "unavailable",
    `row-level security shows this database user no row of ${hidden.join(" and ")}; nothing was done`,
    {
      hint: "connect as the owner of the tables, or give the user a policy that lets it read them",
      details: { hidden },
    },
  );
}

/** By the context's password command, unless the URL has one. Completion asks nobody. */
async function askPassword(settings: Settings, url: string, opening: Opening): Promise<string | null> {
  const { passwordCommand } = settings;
  if (passwordCommand === null || hasPassword(url)) return null;
  if (opening.wish.asks === false) {
    throw new MidctlError("unavailable", "the password command is not run for this");
  }
  opening.debug("run the password command");
  const { runPasswordCommand } = await import("./password-command.ts");
  return runPasswordCommand(passwordCommand);
}

/**
 * Costs an answer more, on a weak way alone. A usage error, since the call is what has to change (and for `verify` a
 * denial would mean that the token is no good).
 */
async function refuseIfProtected(database: Database, weakness: string): Promise<void> {
  const environment = await readEnvironment(database);
  if (environment?.protected !== true) return;
  throw new MidctlError(
    "usage",
    `the environment ${environment.name} is protected, and ${weakness} leaves open who answers in its name; nothing was done`,
    { hint: `take ${weakness} out of the database URL; an authority of your own goes into sslrootcert=FILE` },
  );
}

async function openEmbedded(settings: Settings, opening: Opening): Promise<Database> {
  const { value: dataDir } = settings.dataDir;
  const store = locateStore(dataDir === null ? opening.env : { ...opening.env, MIDCTL_DATA_DIR: dataDir });
  opening.debug(`embedded PostgreSQL in ${store.dir}`);
  const running = await tryRunning(addressOf(store), opening);
  if (running !== null) return running;
  if (opening.wish.mayStart === false) throw notRunning(store.dir);
  const { startEngine } = await import("../db/engine/engine.ts");
  const starting = startEngine(store, { notice: opening.notice });
  // Loaded while the server comes up.
  const [{ address, created }, { openPostgres }] = await Promise.all([starting, loadDriver()]);
  opening.debug(created ? "store created, server started" : "server started");
  const database = openPostgres(address, poolOf(opening));
  if (created) await migrate(database);
  else await bringUpToDate(database, opening);
  return database;
}

/** The store's server where it is up; null where it has to be started. Without a socket nobody need be asked. */
async function tryRunning(address: EngineAddress, opening: Opening): Promise<Database | null> {
  if (!existsSync(socketPath(address))) return null;
  const { openPostgres } = await loadDriver();
  const running = openPostgres(address, poolOf(opening));
  try {
    return await bringUpToDate(running, opening);
  } catch (error) {
    if (!isNotRunning(error)) throw error;
    await running.close();
    return null;
  }
}

/** A command has use for few connections. */
function poolOf({ wish }: Opening): PoolOptions {
  return { max: 2, ...wish.pool };
}

function loadDriver(): Promise<typeof import("../db/postgres.ts")> {
  return import("../db/postgres.ts");
}

/**
 * A store of our own needs nobody to say `db migrate`; one of a newer midctl is left alone. One without an environment
 * was copied by a command that ended before it had made the store its own: that is made up for.
 */
async function bringUpToDate(database: Database, opening: Opening): Promise<Database> {
  const schema = await readSchemaState(database);
  // One after the other: a second session costs a fresh server more than a second answer.
  const environment = schema.state === "current" ? await readEnvironment(database) : null;
  if (opening.wish.schema === "any" || (schema.state === "current" && environment !== null)) return database;
  if (schema.state === "newer") throw explainSchema("newer");
  const { applied } = await migrate(database);
  if (schema.state === "behind")
    opening.notice(`the store was brought up to this midctl: ${applied.join(", ")}`);
  return database;
}

/** No socket, nobody behind it, or a server that is still starting (57P03). */
function isNotRunning(error: unknown): boolean {
  if (!(error instanceof MidctlError) || error.code !== "unavailable") return false;
  const { reason, sqlState } = error.details;
  return reason === "ENOENT" || reason === "ECONNREFUSED" || sqlState === "57P03";
}

function notRunning(dir: string): MidctlError {
  return new MidctlError("unavailable", `the embedded PostgreSQL in ${dir} is not running`);
}

function explainSchema(state: Exclude<SchemaState["state"], "current">): MidctlError {
  switch (state) {
    case "absent":
      return new MidctlError("schema_version", "the database has no midctl schema; nothing was done", {
        hint: WAIT_OR_MIGRATE,
      });
    case "behind":
      return new MidctlError(
        "schema_version",
        "the database's schema is older than this midctl; nothing was done",
        {
          hint: "upgrade it: midctl db migrate",
        },
      );
    case "newer":
      return new MidctlError(
        "schema_version",
        "the database's schema is newer than this midctl; nothing was done",
        {
          hint: "upgrade midctl",
        },
      );
  }
}
