-- What is added to the tables that a host application works on all the time: one transaction of its own, brief, which gives
-- up when it does not get its locks at once and tries again. Every lock is taken before any work is done.
-- locks: agent_token ACCESS EXCLUSIVE, agent_audit_event ACCESS EXCLUSIVE
LOCK TABLE agent_token, agent_audit_event IN ACCESS EXCLUSIVE MODE;

-- locks: workspace SHARE ROW EXCLUSIVE
DO $$ BEGIN
  IF midctl_workspaces() IS NOT NULL THEN
    LOCK TABLE workspace IN SHARE ROW EXCLUSIVE MODE;
    CREATE TRIGGER midctl_10_counted BEFORE DELETE ON workspace FOR EACH ROW EXECUTE FUNCTION midctl_workspace_counted();
    CREATE TRIGGER midctl_50_deleted AFTER DELETE ON workspace FOR EACH ROW EXECUTE FUNCTION midctl_workspace_deleted();
    CREATE TRIGGER midctl_90_truncate BEFORE TRUNCATE ON workspace FOR EACH STATEMENT EXECUTE FUNCTION midctl_workspace_truncate();
  END IF;
END $$;

-- A new column without default rewrites nothing, and its foreign key is not looked for in rows that cannot have one.
ALTER TABLE agent_token ADD COLUMN IF NOT EXISTS "machineIdentityId" bigint
  CONSTRAINT "agent_token_machineIdentityId_machine_identity_id_fk" REFERENCES machine_identity(id);
ALTER TABLE agent_audit_event ADD COLUMN IF NOT EXISTS "machineIdentityId" bigint
  CONSTRAINT "agent_audit_event_machineIdentityId_machine_identity_id_fk" REFERENCES machine_identity(id);

CREATE TRIGGER midctl_10_birth BEFORE INSERT ON agent_token FOR EACH ROW EXECUTE FUNCTION midctl_token_birth();
CREATE TRIGGER midctl_10_change BEFORE UPDATE ON agent_token FOR EACH ROW EXECUTE FUNCTION midctl_token_change();
CREATE TRIGGER midctl_20_revoked AFTER UPDATE ON agent_token FOR EACH ROW
  WHEN (OLD."revokedAt" IS NULL AND NEW."revokedAt" IS NOT NULL AND NEW."machineIdentityId" IS NOT NULL) EXECUTE FUNCTION midctl_token_revoked();
CREATE TRIGGER midctl_50_log_changes AFTER UPDATE ON agent_token REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION midctl_log_token_changes();
CREATE TRIGGER midctl_60_told AFTER UPDATE ON agent_token FOR EACH ROW
  WHEN (OLD."machineIdentityId" IS NULL AND (OLD."publicId", OLD."tokenHash", OLD.name, OLD.scopes, OLD."expiresAt", OLD."revokedAt", OLD."workspaceId", OLD."machineIdentityId")
        IS DISTINCT FROM (NEW."publicId", NEW."tokenHash", NEW.name, NEW.scopes, NEW."expiresAt", NEW."revokedAt", NEW."workspaceId", NEW."machineIdentityId"))
  EXECUTE FUNCTION midctl_token_told();
CREATE TRIGGER midctl_60_told_gone AFTER DELETE ON agent_token FOR EACH ROW EXECUTE FUNCTION midctl_token_told();
CREATE TRIGGER midctl_60_told_all AFTER TRUNCATE ON agent_token FOR EACH STATEMENT EXECUTE FUNCTION midctl_token_told();
CREATE TRIGGER midctl_90_delete BEFORE DELETE ON agent_token FOR EACH ROW EXECUTE FUNCTION midctl_token_delete();
CREATE TRIGGER midctl_90_truncate BEFORE TRUNCATE ON agent_token FOR EACH STATEMENT EXECUTE FUNCTION midctl_token_truncate();

CREATE TRIGGER midctl_10_attribute BEFORE INSERT ON agent_audit_event FOR EACH ROW EXECUTE FUNCTION midctl_event_attribute();
CREATE TRIGGER midctl_10_change BEFORE UPDATE ON agent_audit_event FOR EACH ROW
  WHEN (OLD."machineIdentityId" IS DISTINCT FROM NEW."machineIdentityId"
        OR OLD."machineIdentityId" IS NOT NULL AND NEW."agentTokenId" IS NOT NULL AND OLD."agentTokenId" IS DISTINCT FROM NEW."agentTokenId")
  EXECUTE FUNCTION midctl_event_change();

-- Whatever session_replication_role says.
-- locks: agent_token SHARE ROW EXCLUSIVE, agent_audit_event SHARE ROW EXCLUSIVE, workspace SHARE ROW EXCLUSIVE
DO $$
DECLARE t record;
BEGIN
  FOR t IN SELECT g.tgrelid::regclass AS tab, g.tgname FROM pg_trigger g
            WHERE g.tgrelid IN (to_regclass('agent_token'), to_regclass('agent_audit_event'), to_regclass('workspace'))
              AND NOT g.tgisinternal AND g.tgname LIKE 'midctl\_%' LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.tab, t.tgname);
  END LOOP;
END $$;
