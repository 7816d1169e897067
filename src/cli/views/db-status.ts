import type { DbStatusDocument } from "../verbs/db-status.ts";
import type { Block, Cell, View } from "../view.ts";
import { movedField } from "./moved.ts";

const MEGABYTE = 1_048_576;

export function viewDbStatus({ place, engine, schema, server, environment, log }: DbStatusDocument): View {
  const all: readonly (readonly [string, Cell])[] = [
    ["data", `${place.location} (${place.kind}, by ${place.source})`],
    [
      "engine",
      engine === null ? null : engine.running ? `running, pid ${engine.pid ?? "unknown"}` : "not running",
    ],
    ["binaries", engine?.binaries ?? null],
    ["socket", engine?.socketDir ?? null],
    ["server", server === null ? null : `PostgreSQL ${server.version}`],
    ["as", server?.sessionUser ?? null],
    ["size", server === null ? null : `${(server.size / MEGABYTE).toFixed(1)} MB`],
    ["schema", schema === null ? null : `${schema.state} (${schema.applied} of ${schema.known})`],
    [
      "environment",
      environment === null
        ? null
        : `${environment.name} (${environment.kind}${environment.protected ? ", protected" : ""})`,
    ],
    ["database", environment?.databaseId ?? null],
    ...movedField(environment),
    ["log", log === null ? null : `${log.entries} entries`],
  ];
  const blocks: Block[] = [{ kind: "fields", fields: all.filter(([, value]) => value !== null) }];
  if (engine !== null && !engine.running)
    blocks.push({ kind: "notice", text: "The next command that needs it starts it." });
  return blocks;
}
