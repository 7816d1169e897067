import { idOf } from "../scene.ts";
import { type Attack, HARMLESS, MC003 } from "./attack.ts";

const forgedEntry = `INSERT INTO midctl_log ("index", entry, "leafHash") SELECT 999, '{}', sha256('\\x00'::bytea || convert_to('{}', 'UTF8'))`;

const sealAll = "DELETE FROM midctl_event_unsealed";
const forgedSeal = `INSERT INTO midctl_event_seal (batch, position, "publicId", leaf) VALUES (9, 0, 'event0000009', sha256('x'))`;

export const LOG_ATTACKS: readonly Attack[] = [
  ...(
    [
      ["an entry written by hand", forgedEntry],
      ["an entry altered", `UPDATE midctl_log SET entry = entry || ' ' WHERE "index" = 1`],
      ["an entry altered on conflict", `${forgedEntry} ON CONFLICT ("index") DO UPDATE SET entry = ''`],
      [
        "an entry altered by MERGE",
        `MERGE INTO midctl_log l USING (SELECT 1) s ON l."index" = 1 WHEN MATCHED THEN UPDATE SET entry = '{}'`,
      ],
      ["an entry deleted", `DELETE FROM midctl_log WHERE "index" = (SELECT max("index") FROM midctl_log)`],
      ["the log's size set back", "UPDATE midctl_log_head SET size = size - 1"],
      ["the log's size moved on", "UPDATE midctl_log_head SET size = size + 1"],
      ["the edge of the tree altered", "UPDATE midctl_log_head SET edge[1] = '\\x00'"],
      [
        "a tile of the tree written by hand",
        "INSERT INTO midctl_log_tile (level, position, hashes) SELECT 9, 0, string_agg(sha256('\\x00'), '') FROM generate_series(1, 4)",
      ],
      ["a tile of the tree altered", "UPDATE midctl_log_tile SET position = position + 1000000"],
      ["a tile of the tree deleted", "DELETE FROM midctl_log_tile"],
      ["an event's seal written by hand", forgedSeal],
      ["an event's seal altered", `${sealAll}; UPDATE midctl_event_seal SET token = NULL`],
      ["an event's seal deleted", `${sealAll}; DELETE FROM midctl_event_seal`],
      ["all seals truncated", "TRUNCATE midctl_event_seal"],
      [
        "another event put in the place of one that waits",
        "UPDATE midctl_event_unsealed SET id = id + 1000000",
      ],
      ["all that waits to be sealed truncated", "TRUNCATE midctl_event_unsealed"],
      ["the log's head deleted", "DELETE FROM midctl_log_head"],
      ["a second head", "INSERT INTO midctl_log_head DEFAULT VALUES"],
      [
        "an entry queued by hand",
        `INSERT INTO midctl_log_queue (first, at, action, details) VALUES (true, now(), 'identity.create', '{}')`,
      ],
      ["a change whose entry is taken off the queue", `${HARMLESS}; DELETE FROM midctl_log_queue`],
      [
        "a change whose entry is altered in the queue",
        `${HARMLESS}; UPDATE midctl_log_queue SET action = 'nothing'`,
      ],
      [
        "a label row written by hand",
        `INSERT INTO midctl_identity_label VALUES ('team', 'other', 'svc', ${idOf("svc")})`,
      ],
      ["a label row altered", "UPDATE midctl_identity_label SET value = 'other'"],
      ["a label row deleted", "DELETE FROM midctl_identity_label"],
    ] as const
  ).map(([refuses, attack]) => ({
    refuses,
    attack,
    code: MC003,
    allows: "a change that brings its own entry",
    twin: HARMLESS,
  })),
  ...(
    [
      ["that is no JSON", "not json"],
      ["with an escape that PostgreSQL cannot store", '{"reason":"\\u0000"}'],
      ["that is a list", "[]"],
      ["that is a text", '"me"'],
      ["whose actor is a text", '{"actor":"me"}'],
      ["whose actor is null", '{"actor":null}'],
      ["whose actor has no name", '{"actor":{"kind":"operator"}}'],
      ["whose actor has no kind", '{"actor":{"name":"me"}}'],
      ["whose reason is a number", '{"reason":7}'],
      ["whose approval is an object", '{"approval":{}}'],
    ] as const
  ).map(([how, context]) => ({
    refuses: `a change with a context ${how}`,
    attack: `SELECT set_config('midctl.context', '${context}', true); ${HARMLESS}`,
    code: MC003,
    allows: "one that says who and why",
    twin: `SELECT set_config('midctl.context', '{"actor":{"kind":"operator","name":"me"},"reason":null,"approval":"ap_x"}', true); ${HARMLESS}`,
  })),
];
