-- Rows for either shape. The secret of token X is kanagent_X.
INSERT INTO "agent_token" ("publicId", "workspaceId", "name", "tokenPrefix", "tokenHash", "scopes", "expiresAt", "revokedAt")
SELECT id, 1, id, 'kanagent_', encode(sha256(convert_to('kanagent_' || id, 'UTF8')), 'hex'), '["cards:read"]', ends, revoked
  FROM (VALUES ('tokactive001', NULL::timestamp, NULL::timestamp), ('tokpaused001', NULL, NULL), ('tokrevoked01', NULL, '2026-03-01 10:00'),
               ('tokhostgone1', NULL, '2026-03-02 10:00'), ('tokoldgrace1', '2099-01-02', NULL), ('tokuntil0001', '2099-01-01 00:00:00.123456', NULL),
               ('tokadoptme01', NULL, NULL), ('tokofpaused1', NULL, NULL)) AS t(id, ends, revoked);
INSERT INTO "machine_identity" ("publicId", "workspaceId", "slug", "status", "revokedAt") VALUES
  ('identdeploy1', 1, 'deploy-bot', 'active', NULL),
  ('identpaused1', 1, 'paused-bot', 'paused', NULL),
  ('identrevoke1', 2, 'revoked-bot', 'revoked', '2026-03-03 10:00:00.123456'),
  ('identrevoke2', 2, 'revoked-bot-2', 'revoked', NULL);
INSERT INTO "machine_identity_credential" ("publicId", "machineIdentityId", "name", "status", "expiresAt", "revokedAt") VALUES
  ('tokactive001', 1, 'default', 'active', NULL, NULL),
  ('tokpaused001', 1, 'paused', 'paused', NULL, NULL),
  ('tokrevoked01', 1, 'default', 'revoked', NULL, NULL),
  ('tokhostgone1', 1, 'gone', 'active', NULL, NULL),
  ('tokoldgrace1', 1, 'default', 'superseded', NULL, NULL),
  ('tokuntil0001', 1, 'until', 'active', '2098-01-01', NULL),
  ('tokofpaused1', 2, 'default', 'active', NULL, NULL);
UPDATE "agent_token" SET "machineIdentityId" = 1 WHERE "publicId" IN ('tokactive001', 'tokadoptme01');
INSERT INTO "agent_audit_event" ("publicId", "workspaceId", "agentTokenId", "action") SELECT 'eventbyactiv', 1, id, 'card.move' FROM "agent_token" WHERE "publicId" = 'tokactive001';
