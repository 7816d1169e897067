-- Beside test/guards/kan.sql: the same with what such an application may keep besides. Made up.
CREATE TABLE "machine_identity" (
  "id" bigserial PRIMARY KEY,
  "publicId" varchar(12) NOT NULL UNIQUE,
  "workspaceId" bigint NOT NULL REFERENCES "workspace"("id") ON DELETE CASCADE,
  "slug" varchar(255) NOT NULL UNIQUE,
  "name" varchar(255),
  "provider" varchar(63),
  "threadId" varchar(255),
  "status" varchar(16) DEFAULT 'active' NOT NULL,
  "color" varchar(7) DEFAULT '#888888' NOT NULL,
  "createdBy" uuid REFERENCES "user"("id") ON DELETE SET NULL,
  "createdAt" timestamp DEFAULT now() NOT NULL,
  "updatedAt" timestamp,
  "revokedAt" timestamp,
  CHECK ("color" ~ '^#')
);
CREATE INDEX "machine_identity_name_idx" ON "machine_identity" ("name");
ALTER TABLE "machine_identity" ENABLE ROW LEVEL SECURITY;
CREATE TABLE "machine_identity_credential" (
  "id" bigserial PRIMARY KEY,
  "publicId" varchar(12) NOT NULL UNIQUE,
  "machineIdentityId" bigint NOT NULL REFERENCES "machine_identity"("id") ON DELETE CASCADE,
  "agentTokenId" bigint UNIQUE REFERENCES "agent_token"("id") ON DELETE CASCADE,
  "name" varchar(63) DEFAULT 'main' NOT NULL,
  "status" varchar(16) DEFAULT 'active' NOT NULL,
  "createdAt" timestamp DEFAULT now() NOT NULL,
  "expiresAt" timestamp,
  "revokedAt" timestamp
);
ALTER TABLE "machine_identity_credential" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "agent_token" ADD COLUMN "machineIdentityId" bigint;
