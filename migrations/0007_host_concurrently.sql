-- Indexes on the host's tables, each built while it reads and writes on: outside of any transaction, one after the other.
CREATE INDEX CONCURRENTLY IF NOT EXISTS agent_token_machine_identity_idx ON agent_token ("machineIdentityId", id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS agent_audit_event_token_idx ON agent_audit_event ("agentTokenId", "createdAt");
CREATE INDEX CONCURRENTLY IF NOT EXISTS agent_audit_event_identity_idx ON agent_audit_event ("machineIdentityId", "createdAt");
CREATE INDEX CONCURRENTLY IF NOT EXISTS agent_audit_event_at_idx ON agent_audit_event (date_trunc('milliseconds', "createdAt"), id);
