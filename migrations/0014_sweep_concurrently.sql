-- What `sweep` looks for, by the clock that decides it; built while everybody reads and writes on. None has a column that a use
-- changes: a use is noted several times a second, and would then write every index of its identity anew.
CREATE INDEX CONCURRENTLY IF NOT EXISTS machine_identity_credential_deadline_idx ON machine_identity_credential ("activationDeadline", id) WHERE status = 'pending';
CREATE INDEX CONCURRENTLY IF NOT EXISTS machine_identity_idle_at_idx ON machine_identity ((GREATEST("createdAt", "resumedAt") + make_interval(secs => "idleTtl")), id) WHERE status = 'active' AND "idleTtl" IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS machine_identity_paused_at_idx ON machine_identity ("pausedAt", id) WHERE status = 'paused' AND "idleTtl" IS NOT NULL;
-- And what `doctor` looks for.
CREATE INDEX CONCURRENTLY IF NOT EXISTS machine_identity_credential_age_idx ON machine_identity_credential ("issuedAt", id) WHERE status IN ('active', 'paused');
CREATE INDEX CONCURRENTLY IF NOT EXISTS machine_identity_credential_endless_idx ON machine_identity_credential (id) WHERE status IN ('active', 'paused') AND "expiresAt" IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS machine_identity_credential_any_scope_idx ON machine_identity_credential (id) WHERE scopes LIKE '%"*"%';
