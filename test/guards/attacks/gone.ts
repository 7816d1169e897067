import { type Attack, MC003 } from "./attack.ts";

export const NOTHING_GOES_ATTACKS: readonly Attack[] = [
  ...(
    [
      ["deleting identities", "DELETE FROM machine_identity WHERE slug = 'bare'"],
      ["truncating identities", "TRUNCATE machine_identity CASCADE"],
      ["deleting credentials", "DELETE FROM machine_identity_credential"],
      ["truncating credentials", "TRUNCATE machine_identity_credential CASCADE"],
      [
        "deleting by MERGE",
        `MERGE INTO machine_identity_credential c USING (SELECT 'revoked00001' AS id) s ON c."publicId" = s.id WHEN MATCHED THEN DELETE`,
      ],
      [
        "deleting in a common table expression",
        "WITH gone AS (DELETE FROM machine_identity RETURNING 1) SELECT count(*) FROM gone",
      ],
      ["deleting tokens of ours", `DELETE FROM agent_token WHERE "publicId" = 'active000001'`],
      [
        "deleting tokens of ours that are revoked",
        `DELETE FROM agent_token WHERE "publicId" = 'revoked00001'`,
      ],
      ["truncating tokens", "TRUNCATE agent_token CASCADE"],
      ["deleting the environment", "DELETE FROM midctl_environment"],
      ["truncating the environment", "TRUNCATE midctl_environment"],
      ["truncating label rows", "TRUNCATE midctl_identity_label"],
      ["truncating the log", "TRUNCATE midctl_log"],
      ["truncating the log's head", "TRUNCATE midctl_log_head"],
      ["truncating the log's queue", "TRUNCATE midctl_log_queue"],
      [
        "truncating several tables at once",
        "TRUNCATE machine_identity, machine_identity_credential, agent_token, agent_audit_event, midctl_log CASCADE",
      ],
    ] as const
  ).map(([refuses, attack]) => ({
    refuses,
    attack,
    code: MC003,
    allows: "deleting a legacy token",
    twin: `DELETE FROM agent_token WHERE "publicId" = 'legacy000001'`,
  })),
];
