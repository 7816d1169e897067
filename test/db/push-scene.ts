import { COPIED_TABLES } from "../../src/db/copy.ts";
import type { Database, OwnTx, Param, Tx } from "../../src/db/database.ts";
import { readSchemaState } from "../../src/db/migrate.ts";
import { pushDatabase } from "../../src/operations/db-push.ts";
import { diagnose } from "../../src/operations/doctor.ts";
import { WORLD } from "../guards/scene.ts";
import { type DatabaseFactory, runSql, type TestDatabase } from "../support/databases.ts";
import { ALICE, issueActive, revoke } from "../verifier/scene.ts";

export const PLACE = "postgres://db.example/team";

/** What a test does while a push is under way: before each statement of a transaction, and before its commit. */
interface Taps {
  before?(text: string, tx: Tx): Promise<void> | void;
  /** What a parameter becomes. */
  alter?(text: string, param: Param): Param;
  commit?(tx: Tx): Promise<void> | void;
}

export function tapped(db: Database, { before, alter = (_, param) => param, commit }: Taps): Database {
  return {
    concurrent: true,
    query: (text, params) => db.query(text, params),
    close: () => db.close(),
    listen: (channels, ears) => db.listen(channels, ears),
    transaction: (work) =>
      db.transaction(async (tx) => {
        const watched: OwnTx = {
          script: (text) => tx.script(text),
          query: async <Row extends object>(text: string, params: readonly Param[] = []) => {
            await before?.(text, tx);
            return tx.query<Row>(
              text,
              params.map((param) => alter(text, param)),
            );
          },
        };
        const result = await work(watched);
        await commit?.(tx);
        return result;
      }),
  };
}

/** A filled database, and one with nothing in it. */
export interface Stage {
  readonly source: TestDatabase;
  readonly target: TestDatabase;
  /** A secret that is good, and one of an identity that is revoked. */
  readonly good: string;
  readonly gone: string;
  /** From one to the other, or as told. */
  push(from?: Database, to?: Database): Promise<boolean>;
  dispose(): Promise<void>;
}

export async function setStage(from: DatabaseFactory, to: DatabaseFactory = from): Promise<Stage> {
  const source = await from.create();
  const target = await to.createBare();
  const good = await issueActive(source.db, "bot", { scopes: ["cards:*"] });
  const gone = await issueActive(source.db, "leaver");
  await revoke(source.db, "leaver");
  await source.db.transaction((tx) => tx.script(WORLD));
  return {
    source,
    target,
    good,
    gone,
    push: (one = source.db, other = target.db) =>
      pushDatabase({ source: one, target: other, place: PLACE }, ALICE),
    async dispose() {
      await source.dispose();
      await target.dispose();
    },
  };
}

/** Every row that moves, by table; without what says that it has moved. */
export async function readRows({ db }: TestDatabase): Promise<Record<string, string[]>> {
  const tables: Record<string, string[]> = {};
  for (const table of COPIED_TABLES) {
    const rows = await db.query<{ row: string }>(
      `SELECT (to_jsonb(t) - 'movedTo' - 'closed')::text AS "row" FROM ${table} t ORDER BY 1`,
    );
    tables[table] = rows.map(({ row }) => row);
  }
  return tables;
}

export const readLog = ({ db }: TestDatabase) =>
  db.query<{ entry: string; leaf: string }>(
    `SELECT entry, encode("leafHash", 'hex') AS leaf FROM midctl_log ORDER BY "index"`,
  );

export async function findingsOf({ db }: TestDatabase) {
  const { findings } = await diagnose(db, Date.now);
  return findings.filter(({ check }) => ["schema", "guards", "log"].includes(check));
}

export const isEmpty = async ({ db }: TestDatabase) =>
  (await readSchemaState(db)).state === "absent" ||
  (await db.query("SELECT FROM machine_identity")).length +
    (await db.query("SELECT FROM midctl_log OFFSET 1")).length ===
    0;

/** Ends the session behind a transaction, as the fall of a server does. */
export async function kill({ url }: TestDatabase, tx: Tx): Promise<void> {
  const [row] = await tx.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  await runSql(url ?? "", "SELECT pg_terminate_backend($1::int)", [row?.pid ?? 0]);
}
