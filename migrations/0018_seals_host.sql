-- From here on, whoever writes an agent event queues it to be sealed.
-- locks: agent_audit_event SHARE ROW EXCLUSIVE
CREATE TRIGGER midctl_70_unsealed AFTER INSERT ON agent_audit_event REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION midctl_event_queue();
ALTER TABLE agent_audit_event ENABLE ALWAYS TRIGGER midctl_70_unsealed;
