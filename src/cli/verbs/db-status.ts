import * as z from "zod/mini";
import { locateStore } from "../../db/engine/location.ts";
import { readDatabaseStatus } from "../../operations/db-status.ts";
import { environmentSchema, serverSchema } from "../documents.ts";
import { describePlace } from "../place.ts";
import { defineVerb } from "../verb.ts";
import { viewDbStatus } from "../views/db-status.ts";
import { placeSchema } from "./status.ts";

export const dbStatusOutput = z.object({
  place: placeSchema,
  /** Of the embedded engine; null for a server. */
  engine: z.nullable(
    z.object({
      running: z.boolean(),
      pid: z.nullable(z.number()),
      version: z.nullable(z.string()),
      dataDir: z.string(),
      socketDir: z.string(),
      binaries: z.nullable(z.string()),
    }),
  ),
  schema: z.nullable(
    z.object({
      state: z.enum(["absent", "behind", "current", "newer"]),
      applied: z.number(),
      known: z.number(),
    }),
  ),
  server: z.nullable(serverSchema),
  environment: z.nullable(environmentSchema),
  log: z.nullable(
    z.object({ head: z.nullable(z.number()), entries: z.number(), last: z.nullable(z.number()) }),
  ),
});
export type DbStatusDocument = z.infer<typeof dbStatusOutput>;

export const dbStatus = defineVerb({
  path: ["db", "status"],
  summary: "Show the engine, the schema and the log's length",
  description: "Starts nothing: an embedded PostgreSQL that is not running is shown as such.",
  examples: [{ command: "midctl db status", does: "is it running, and is the schema current" }],
  output: dbStatusOutput,
  async run(_input, context) {
    const place = describePlace(context);
    let engine: DbStatusDocument["engine"] = null;
    if (place.kind === "embedded") {
      const { inspectEngine } = await import("../../db/engine/engine.ts");
      const { running, pid, version, dataDir, socketDir, binaries } = await inspectEngine(
        locateStore({ ...context.env, MIDCTL_DATA_DIR: place.location }),
      );
      engine = { running, pid, version, dataDir, socketDir, binaries };
      if (!running) {
        return { document: { place, engine, schema: null, server: null, environment: null, log: null } };
      }
    }
    const db = await context.database({ schema: "any", mayStart: false });
    const status = await readDatabaseStatus(db);
    return { document: { place, engine, ...status, schema: { ...status.schema } } };
  },
  view: viewDbStatus,
});
