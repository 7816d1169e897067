import type { Database } from "../db/database.ts";
import { readSchemaState, type SchemaState } from "../db/migrate.ts";
import { type Environment, readEnvironment } from "../repository/environment.ts";
import { type LogFacts, readLogFacts, readServer, type ServerFacts } from "../repository/overview.ts";

export interface DatabaseStatus {
  readonly schema: SchemaState;
  readonly server: ServerFacts;
  /** null where there is no schema yet. */
  readonly environment: Environment | null;
  readonly log: LogFacts | null;
}

/** How the database stands, whether it has our schema or not. Changes nothing. */
export async function readDatabaseStatus(db: Database): Promise<DatabaseStatus> {
  const [schema, server] = await Promise.all([readSchemaState(db), readServer(db)]);
  if (schema.state === "absent") return { schema, server, environment: null, log: null };
  const [environment, log] = await Promise.all([readEnvironment(db), readLogFacts(db)]);
  return { schema, server, environment, log };
}
