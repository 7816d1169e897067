-- A database as a host had it before machine identities: users, workspaces, agent tokens and their events. Made up.
CREATE TABLE "user" (
  "id" uuid PRIMARY KEY, "name" varchar(255), "email" varchar(255) NOT NULL UNIQUE,
  "createdAt" timestamp DEFAULT now() NOT NULL
);
CREATE TABLE "workspace" (
  "id" bigserial PRIMARY KEY, "publicId" varchar(12) NOT NULL UNIQUE, "name" varchar(255) NOT NULL,
  "slug" varchar(255) NOT NULL UNIQUE, "createdBy" uuid REFERENCES "user"("id") ON DELETE SET NULL,
  "createdAt" timestamp DEFAULT now() NOT NULL, "deletedAt" timestamp
);
CREATE TABLE "agent_token" (
  "id" bigserial PRIMARY KEY,
  "publicId" varchar(12) NOT NULL UNIQUE,
  "workspaceId" bigint NOT NULL REFERENCES "workspace"("id") ON DELETE CASCADE,
  "name" varchar(255) NOT NULL,
  "tokenPrefix" varchar(16) NOT NULL,
  "tokenHash" varchar(64) NOT NULL UNIQUE,
  "scopes" text DEFAULT '[]' NOT NULL,
  "createdBy" uuid REFERENCES "user"("id") ON DELETE SET NULL,
  "createdAt" timestamp DEFAULT now() NOT NULL,
  "expiresAt" timestamp,
  "lastUsedAt" timestamp,
  "revokedAt" timestamp
);
ALTER TABLE "agent_token" ENABLE ROW LEVEL SECURITY;
CREATE TABLE "agent_audit_event" (
  "id" bigserial PRIMARY KEY,
  "publicId" varchar(12) NOT NULL UNIQUE,
  "workspaceId" bigint NOT NULL REFERENCES "workspace"("id") ON DELETE CASCADE,
  "agentTokenId" bigint REFERENCES "agent_token"("id") ON DELETE SET NULL,
  "action" varchar(64) NOT NULL,
  "entityType" varchar(32),
  "entityId" varchar(64),
  "metadata" text,
  "createdAt" timestamp DEFAULT now() NOT NULL
);
ALTER TABLE "agent_audit_event" ENABLE ROW LEVEL SECURITY;
CREATE INDEX "agent_audit_event_token_idx" ON "agent_audit_event" ("agentTokenId", "createdAt");

INSERT INTO "user" VALUES ('00000000-0000-4000-8000-00000000000a', 'Ada', 'ada@example.test');
INSERT INTO "workspace" ("publicId", "name", "slug", "createdBy") VALUES
  ('workspace001', 'One', 'one', '00000000-0000-4000-8000-00000000000a'),
  ('workspace002', 'Two', 'two', NULL);
INSERT INTO "agent_token" ("publicId", "workspaceId", "name", "tokenPrefix", "tokenHash", "scopes", "createdBy", "expiresAt") VALUES
  ('legacyopen01', 1, 'open', 'kanagent_0001', repeat('1a', 32), '["cards:read"]', '00000000-0000-4000-8000-00000000000a', NULL),
  ('legacyuntil1', 1, 'until', 'kanagent_0002', repeat('2b', 32), '[]', NULL, '2099-01-01 00:00:00.123456'),
  ('legacyother1', 2, 'other', 'kanagent_0003', repeat('3c', 32), '[]', NULL, NULL);
INSERT INTO "agent_audit_event" ("publicId", "workspaceId", "agentTokenId", "action") VALUES
  ('legacyevent1', 1, 1, 'card.update'),
  ('legacyevent2', 1, NULL, 'card.move'),
  ('legacyevent3', 2, 3, 'card.move');
