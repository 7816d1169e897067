import { credential, credentialId, hashOf, idOf, issue, set, setIdentity, token } from "../scene.ts";
import { type Attack, HARMLESS, MC001, MC003, MC004 } from "./attack.ts";

/** Ways around a trigger, all of them the same change in another dress. */
const LONGER = `"expiresAt" = "expiresAt" + interval '1 day'`;
export const DRESSES_ATTACKS: readonly Attack[] = [
  ...(
    [
      ["as a replica", `SET LOCAL session_replication_role = replica; ${set("active000001", LONGER)}`],
      ["by a statement over many rows", `UPDATE machine_identity_credential SET ${LONGER}`],
      [
        "by INSERT … ON CONFLICT DO UPDATE",
        `${credential("new000000001", "bare", { id: credentialId("active000001") })} ON CONFLICT (id) DO UPDATE SET "expiresAt" = machine_identity_credential."expiresAt" + interval '1 day'`,
      ],
      [
        "by MERGE",
        `MERGE INTO machine_identity_credential c USING (SELECT 'active000001' AS id) s ON c."publicId" = s.id
         WHEN MATCHED THEN UPDATE SET "expiresAt" = c."expiresAt" + interval '1 day'`,
      ],
      [
        "in a common table expression",
        `WITH w AS (${set("active000001", LONGER)} RETURNING 1) SELECT count(*) FROM w`,
      ],
      [
        "through a cursor",
        `DECLARE c CURSOR FOR SELECT 1 FROM machine_identity_credential WHERE "publicId" = 'active000001' FOR UPDATE; MOVE c; UPDATE machine_identity_credential SET ${LONGER} WHERE CURRENT OF c`,
      ],
      [
        "through a view",
        `CREATE TEMP VIEW v AS SELECT * FROM machine_identity_credential; UPDATE v SET ${LONGER} WHERE "publicId" = 'active000001'`,
      ],
      ["in a block of code", `DO $$ BEGIN ${set("active000001", LONGER)}; END $$`],
      [
        "in two steps",
        `${set("active000001", `"expiresAt" = midctl_now() + interval '1 hour'`)}; ${set("active000001", LONGER)}`,
      ],
      ["after the checks were asked for", `SET CONSTRAINTS ALL IMMEDIATE; ${set("active000001", LONGER)}`],
      [
        "from a trigger of the attacker's own",
        `CREATE TEMP TABLE lever (n int); CREATE FUNCTION pg_temp.pull() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${set("active000001", LONGER)}; RETURN NULL; END $$;
         CREATE TRIGGER pull AFTER INSERT ON lever FOR EACH ROW EXECUTE FUNCTION pg_temp.pull(); INSERT INTO lever VALUES (1)`,
      ],
    ] as const
  ).map(([how, attack]) => ({
    refuses: `a longer life ${how}`,
    attack,
    code: MC003,
    allows: "a shorter one",
    twin: set("active000001", `"expiresAt" = "expiresAt" - interval '1 day'`),
  })),
  {
    refuses: "a deletion as a replica",
    attack: "SET LOCAL session_replication_role = replica; DELETE FROM machine_identity WHERE slug = 'bare'",
    code: MC003,
    allows: "a revocation as a replica, which cascades and is logged",
    twin: `SET LOCAL session_replication_role = replica; ${setIdentity("svc", "status = 'revoked'")}`,
  },
  {
    refuses: "a truncation as a replica",
    attack: "SET LOCAL session_replication_role = replica; TRUNCATE midctl_log",
    code: MC003,
    allows: "a change as a replica",
    twin: `SET LOCAL session_replication_role = replica; ${HARMLESS}`,
  },
  {
    refuses: "a credential of nobody as a replica, where foreign keys sleep",
    attack: `SET LOCAL session_replication_role = replica; ${credential("new000000001", "bare", { machineIdentityId: "999999" })}`,
    code: MC003,
    allows: "one of somebody",
    twin: `SET LOCAL session_replication_role = replica; ${issue("new000000001", "bare")}`,
  },
  {
    refuses: "a half-made credential as a replica",
    attack: `SET LOCAL session_replication_role = replica; ${credential("new000000001", "bare")}`,
    code: MC003,
    allows: "a whole one",
    twin: `SET LOCAL session_replication_role = replica; ${issue("new000000001", "bare")}`,
  },
  {
    refuses: "a table of the attacker's that hides the identities from the guards",
    attack: `CREATE TEMP TABLE machine_identity AS SELECT * FROM public.machine_identity WHERE slug = 'gone';
      UPDATE pg_temp.machine_identity SET status = 'active', "revokedAt" = NULL;
      ${issue("new000000001", "gone").replaceAll("INTO machine_identity_credential", "INTO public.machine_identity_credential")}`,
    code: MC004,
    allows: "issuing beside it",
    twin: `CREATE TEMP TABLE machine_identity AS SELECT * FROM public.machine_identity WHERE slug = 'bare';
      ${issue("new000000001", "bare")}`,
  },
  {
    refuses: "a deletion past a function of the attacker's that hides the refusal",
    attack: `CREATE SCHEMA evil; CREATE FUNCTION evil.midctl_refuse(text, text, text DEFAULT '', text DEFAULT '') RETURNS void LANGUAGE sql AS 'SELECT';
      SET LOCAL search_path = evil, public; TRUNCATE midctl_log`,
    code: MC003,
    allows: "a change past it",
    twin: `CREATE SCHEMA evil; SET LOCAL search_path = evil, public; ${HARMLESS}`,
  },
  {
    refuses: "a birth as active by COPY",
    attack: copyOf(
      "machine_identity_credential",
      `"publicId", "machineIdentityId", "tokenHash", status, "activationDeadline"`,
      `'new000000001', ${idOf("bare")}, '${hashOf("new")}', 'active', midctl_now() + interval '1 day'`,
    ),
    code: MC001,
    allows: "one as pending",
    twin: `${copyOf("machine_identity_credential", `"publicId", "machineIdentityId", "tokenHash", status, "activationDeadline"`, `'new000000001', ${idOf("bare")}, '${hashOf("new")}', 'pending', midctl_now() + interval '1 day'`)}; ${token("new000000001")}`,
  },
  {
    refuses: "log entries by COPY",
    attack: copyOf("midctl_log", `"index", entry, "leafHash"`, `999, '{}', sha256('x')`),
    code: MC003,
    allows: "identities by COPY",
    twin: copyOf(
      "machine_identity",
      `"publicId", slug, "displayName", kind, owner`,
      `'new000000001', 'new', 'x', 'service', 'x'`,
    ),
  },
];

/** A row written to a file and read back by COPY FROM, which works without a client's side of the protocol. */
function copyOf(table: string, columns: string, values: string): string {
  return `DO $copy$
    DECLARE file text := current_setting('data_directory') || '/attack-' || pg_backend_pid() || '.tmp';
    BEGIN
      EXECUTE format('COPY (SELECT %s) TO %L', $values$${values}$values$, file);
      EXECUTE format('COPY ${table} (%s) FROM %L', $columns$${columns}$columns$, file);
    END $copy$`;
}
