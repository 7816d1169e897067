-- A workspace goes with its events: its entry says how many of them were sealed, and which, by a hash over a line for each in the
-- order of their seals. Else whoever owns the database could let any event's seal say that it went with a workspace.
-- New: as the owner of the schema, since a host reads no seals.
CREATE OR REPLACE FUNCTION midctl_workspace_counted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
  sealed bigint;
  lines text;
BEGIN
  -- Before the host's cascade: afterwards there is nothing left to count.
  SELECT count(*), string_agg(concat(encode(s.leaf, 'hex'), ' ', s."publicId", ' ', coalesce(s.token, '-'), ' ', coalesce(s.identity, '-'), chr(10)), '' ORDER BY s.batch, s.position)
    INTO sealed, lines
    FROM agent_audit_event e JOIN midctl_event_seal s ON s."publicId" = e."publicId" WHERE e."workspaceId" = OLD.id;
  INSERT INTO midctl_log_queue (first, at, context, action, details)
  VALUES (true, midctl_now(), midctl_context(), 'workspace.delete', jsonb_build_object(
    'workspace', OLD."publicId",
    'identities', (SELECT count(*) FROM machine_identity WHERE "workspaceId" = OLD.id),
    'tokens', (SELECT count(*) FROM agent_token WHERE "workspaceId" = OLD.id),
    'events', (SELECT count(*) FROM agent_audit_event WHERE "workspaceId" = OLD.id),
    'sealed', sealed,
    'seals', encode(sha256(convert_to(coalesce(lines, ''), 'UTF8')), 'hex')));
  RETURN OLD;
END $$;
REVOKE EXECUTE ON FUNCTION midctl_workspace_counted() FROM PUBLIC;

-- Whether a host has a workspace of this public id: then no events went with it.
CREATE FUNCTION midctl_is_workspace(workspace text) RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE there boolean;
BEGIN
  IF midctl_workspaces() IS NULL THEN RETURN false; END IF;
  EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE "publicId" = $1)', midctl_workspaces()) INTO there USING workspace;
  RETURN there;
END $$;
REVOKE EXECUTE ON FUNCTION midctl_is_workspace(text) FROM PUBLIC;
