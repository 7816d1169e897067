-- The events that there were before wait like those that come: all of them are committed, and none of them is queued twice.
INSERT INTO midctl_event_unsealed (id) SELECT e.id FROM agent_audit_event e ON CONFLICT (id) DO NOTHING;
