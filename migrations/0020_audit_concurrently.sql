-- What the audit is asked for: whatever it is narrowed to, a page walks one index from its newest row on. Built while everybody reads
-- and writes on.
CREATE INDEX CONCURRENTLY IF NOT EXISTS midctl_log_identity_at_idx ON midctl_log ("identity", "at", "index") WHERE "identity" IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS midctl_log_credential_at_idx ON midctl_log ("credential", "at", "index") WHERE "credential" IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS midctl_log_actor_at_idx ON midctl_log ("actor", "at", "index");
CREATE INDEX CONCURRENTLY IF NOT EXISTS midctl_log_action_at_idx ON midctl_log ("action", "at", "index");
-- Legacy tokens are named in the entry alone.
CREATE INDEX CONCURRENTLY IF NOT EXISTS midctl_log_token_at_idx ON midctl_log ((entry::jsonb ->> 'token'), "at", "index") WHERE "action" LIKE 'token.%';
CREATE INDEX CONCURRENTLY IF NOT EXISTS agent_audit_event_action_idx ON agent_audit_event (action, "createdAt");
-- Events from before their token had an identity.
CREATE INDEX CONCURRENTLY IF NOT EXISTS agent_audit_event_unattributed_idx ON agent_audit_event ("agentTokenId", "createdAt") WHERE "machineIdentityId" IS NULL;
