-- A workspace goes with its events: its entry says how many of them were sealed, and which, by a hash. Else whoever owns the database
-- could let any event's seal say that it went with a workspace. Hashed are the lines of each batch, in their order; of each 4,096 batches
-- by their number these hashes; and of all of them those: however many there are, nothing becomes too long.
-- New: as the owner of the schema, since a host reads no seals.
CREATE OR REPLACE FUNCTION midctl_workspace_counted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
  sealed bigint;
  seals bytea;
BEGIN
  -- Before the host's cascade: afterwards there is nothing left to count.
  WITH batches AS (
    SELECT s.batch, count(*) AS events, sha256(convert_to(string_agg(
             concat(encode(s.leaf, 'hex'), ' ', s."publicId", ' ', coalesce(s.token, '-'), ' ', coalesce(s.identity, '-'), chr(10)), '' ORDER BY s.position), 'UTF8')) AS hash
      FROM agent_audit_event e JOIN midctl_event_seal s ON s."publicId" = e."publicId" WHERE e."workspaceId" = OLD.id GROUP BY s.batch
  ), blocks AS (
    SELECT batch / 4096 AS block, sum(events) AS events, sha256(string_agg(hash, ''::bytea ORDER BY batch)) AS hash FROM batches GROUP BY 1
  )
  SELECT coalesce(sum(events), 0), sha256(coalesce(string_agg(hash, ''::bytea ORDER BY block), ''::bytea)) INTO sealed, seals FROM blocks;
  INSERT INTO midctl_log_queue (first, at, context, action, details)
  VALUES (true, midctl_now(), midctl_context(), 'workspace.delete', jsonb_build_object(
    'workspace', OLD."publicId",
    'identities', (SELECT count(*) FROM machine_identity WHERE "workspaceId" = OLD.id),
    'tokens', (SELECT count(*) FROM agent_token WHERE "workspaceId" = OLD.id),
    'events', (SELECT count(*) FROM agent_audit_event WHERE "workspaceId" = OLD.id),
    'sealed', sealed,
    'seals', encode(seals, 'hex')));
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
