-- Beside test/guards/kan.sql: a Kan-ductor that has machine identities of its own, with no more columns than scripts may rely on. Made up.
CREATE TABLE "machine_identity" (
  "id" bigserial PRIMARY KEY,
  "publicId" varchar(12) NOT NULL UNIQUE,
  "workspaceId" bigint NOT NULL REFERENCES "workspace"("id") ON DELETE CASCADE,
  "slug" varchar(255) NOT NULL,
  "status" varchar(16) DEFAULT 'active' NOT NULL,
  "revokedAt" timestamp,
  UNIQUE ("workspaceId", "slug")
);
ALTER TABLE "machine_identity" ENABLE ROW LEVEL SECURITY;
CREATE TABLE "machine_identity_credential" (
  "id" bigserial PRIMARY KEY,
  "publicId" varchar(12) NOT NULL UNIQUE,
  "machineIdentityId" bigint NOT NULL REFERENCES "machine_identity"("id") ON DELETE CASCADE,
  "name" varchar(63) NOT NULL,
  "status" varchar(16) DEFAULT 'active' NOT NULL,
  "expiresAt" timestamp,
  "revokedAt" timestamp
);
ALTER TABLE "machine_identity_credential" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "agent_token" ADD COLUMN "machineIdentityId" bigint REFERENCES "machine_identity"("id") ON DELETE SET NULL;
ALTER TABLE "agent_audit_event" ADD COLUMN "machineIdentityId" bigint;
