-- Agent events are sealed in batches: one entry of the log carries the root over a batch, by the hashing of 0016. What is sealed
-- of an event is in no foreign key of a host's, so that its cascades change nothing of it: public ids, and the event's own words.

-- What waits to be sealed. An event enters in the transaction that writes it, so that none is missed that commits late.
CREATE TABLE "midctl_event_unsealed" (
  "id" bigint PRIMARY KEY NOT NULL,
  "at" timestamp with time zone DEFAULT now() NOT NULL
);
COMMENT ON TABLE midctl_event_unsealed IS 'Agent events by their id that are in no batch yet; to delete one is to seal it';

CREATE TABLE "midctl_event_seal" (
  "batch" bigint NOT NULL,
  "position" integer NOT NULL,
  "publicId" varchar(12) NOT NULL,
  "token" varchar(12),
  "identity" varchar(12),
  "workspace" varchar(12),
  "leaf" bytea NOT NULL,
  CONSTRAINT "midctl_event_seal_batch_position_pk" PRIMARY KEY("batch","position"),
  CONSTRAINT "midctl_event_seal_publicId_unique" UNIQUE("publicId"),
  CONSTRAINT "midctl_event_seal_leaf_check" CHECK (octet_length("leaf") = 32)
);
COMMENT ON TABLE midctl_event_seal IS 'One row for each sealed agent event: its hash, and whose it was when it was sealed';

-- A host's workspace by its public id.
CREATE FUNCTION midctl_workspace_public_id(workspace bigint) RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE found_id text;
BEGIN
  IF workspace IS NULL OR midctl_workspaces() IS NULL THEN RETURN NULL; END IF;
  EXECUTE format('SELECT "publicId" FROM %s WHERE id = $1', midctl_workspaces()) INTO found_id USING workspace;
  RETURN found_id;
END $$;

-- The root over leaves of 32 bytes each, RFC 9162 §2.1: whoever has no sibling on a level goes up as it is.
CREATE FUNCTION midctl_merkle_root(leaves bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE SET search_path FROM CURRENT
AS $$
DECLARE
  level bytea := leaves;
  width int := octet_length(leaves) / 32;
BEGIN
  IF width = 0 THEN RETURN sha256(''); END IF;
  WHILE width > 1 LOOP
    level := (SELECT string_agg(sha256('\x01'::bytea || substring(level FROM n * 64 + 1 FOR 64)), ''::bytea ORDER BY n) FROM generate_series(0, width / 2 - 1) n)
             || substring(level FROM width / 2 * 64 + 1);
    width := (width + 1) / 2;
  END LOOP;
  RETURN level;
END $$;

CREATE FUNCTION midctl_event_queue() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  INSERT INTO midctl_event_unsealed (id) SELECT n.id FROM new_rows n;
  RETURN NULL;
END $$;

-- What leaves the queue is sealed, whoever takes it out; what was deleted meanwhile is not there to be sealed. A leaf is hashed as
-- an entry of the log is, over the event as canonical JSON (RFC 8785).
CREATE FUNCTION midctl_event_sealed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
  number bigint;
  sealed int;
  leaves bytea;
  oldest timestamp;
  newest timestamp;
BEGIN
  IF NOT EXISTS (SELECT FROM due) THEN RETURN NULL; END IF;
  -- Batches take turns, so that their numbers go as their entries do. The bytes of "midseal".
  PERFORM pg_advisory_xact_lock(30796652615131500);
  number := coalesce((SELECT max(batch) FROM midctl_event_seal), 0) + 1;
  WITH events AS MATERIALIZED (
    SELECT e."publicId", e."workspaceId", e."agentTokenId", e."machineIdentityId", e.action, e."entityType", e."entityId", e.metadata, e."createdAt",
           row_number() OVER (ORDER BY e.id) - 1 AS place
      FROM agent_audit_event e
     WHERE e.id IN (SELECT d.id FROM due d) AND NOT EXISTS (SELECT FROM midctl_event_seal s WHERE s."publicId" = e."publicId")
  ), workspaces AS MATERIALIZED (
    SELECT w.id, midctl_workspace_public_id(w.id) AS "publicId" FROM (SELECT DISTINCT "workspaceId" AS id FROM events WHERE "workspaceId" IS NOT NULL) w
  ), named AS (
    SELECT e.*, t."publicId" AS token, i."publicId" AS identity, w."publicId" AS workspace
      FROM events e LEFT JOIN agent_token t ON t.id = e."agentTokenId" LEFT JOIN machine_identity i ON i.id = e."machineIdentityId"
      LEFT JOIN workspaces w ON w.id = e."workspaceId"
  ), seals AS (
    INSERT INTO midctl_event_seal (batch, position, "publicId", token, identity, workspace, leaf)
    SELECT number, n.place, n."publicId", n.token, n.identity, n.workspace,
           sha256('\x00'::bytea || convert_to(concat(
             '{"action":', coalesce(to_json(n.action)::text, 'null'),
             ',"at":', coalesce(to_json(to_char(n."createdAt", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text, 'null'),
             ',"entityId":', coalesce(to_json(n."entityId")::text, 'null'), ',"entityType":', coalesce(to_json(n."entityType")::text, 'null'),
             ',"id":', to_json(n."publicId"), ',"identity":', coalesce(to_json(n.identity)::text, 'null'),
             ',"metadata":', coalesce(to_json(n.metadata)::text, 'null'), ',"token":', coalesce(to_json(n.token)::text, 'null'),
             ',"v":1,"workspace":', coalesce(to_json(n.workspace)::text, 'null'), '}'), 'UTF8'))
      FROM named n ORDER BY n.place
    RETURNING position, leaf
  )
  SELECT count(*), string_agg(s.leaf, ''::bytea ORDER BY s.position), (SELECT min("createdAt") FROM events), (SELECT max("createdAt") FROM events)
    INTO sealed, leaves, oldest, newest FROM seals s;
  IF sealed > 0 THEN
    INSERT INTO midctl_log_queue (first, at, context, action, details)
    VALUES (true, midctl_now(), midctl_context(), 'events.seal', jsonb_build_object('batch', number, 'count', sealed,
      'root', encode(midctl_merkle_root(leaves), 'base64'), 'from', midctl_instant(oldest), 'until', midctl_instant(newest)));
  END IF;
  RETURN NULL;
END $$;

-- Seals what has waited for so many milliseconds, and with it all that is there, at most 10,000: so however many ask, no more
-- batches are made than that allows. Somebody who is at it already does this one's work too. Neither after a move, which closed the
-- log, nor where row-level security hides events from the owner of the schema.
CREATE FUNCTION midctl_seal_events(ripe int) RETURNS TABLE (taken int, sealed int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE last bigint;
BEGIN
  taken := 0;
  sealed := 0;
  IF EXISTS (SELECT FROM midctl_event_unsealed u WHERE u.at <= clock_timestamp() - make_interval(secs => ripe / 1000.0))
     AND NOT (SELECT h.closed FROM midctl_log_head h) AND NOT row_security_active('agent_audit_event')
     AND pg_try_advisory_xact_lock(30796652615131500) THEN
    last := coalesce((SELECT max(s.batch) FROM midctl_event_seal s), 0);
    DELETE FROM midctl_event_unsealed WHERE id IN (SELECT u.id FROM midctl_event_unsealed u ORDER BY u.id LIMIT 10000);
    GET DIAGNOSTICS taken = ROW_COUNT;
    sealed := (SELECT count(*) FROM midctl_event_seal s WHERE s.batch > last);
  END IF;
  RETURN NEXT;
END $$;
REVOKE EXECUTE ON FUNCTION midctl_event_queue(), midctl_event_sealed(), midctl_seal_events(int), midctl_workspace_public_id(bigint) FROM PUBLIC;

CREATE FUNCTION midctl_seal_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  IF TG_TABLE_NAME = 'midctl_event_unsealed' THEN
    PERFORM midctl_refuse('MC003', 'an event waits to be sealed as the one that it is; nothing was changed', 'delete it from there, and it is sealed');
  END IF;
  PERFORM midctl_refuse('MC003', 'midctl_event_seal is written as events are sealed and never by hand; nothing was changed');
  RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION midctl_seal_guard() FROM PUBLIC;

CREATE TRIGGER midctl_50_sealed AFTER DELETE ON midctl_event_unsealed REFERENCING OLD TABLE AS due
  FOR EACH STATEMENT EXECUTE FUNCTION midctl_event_sealed();
CREATE TRIGGER midctl_10_guard BEFORE UPDATE ON midctl_event_unsealed FOR EACH ROW EXECUTE FUNCTION midctl_seal_guard();
CREATE TRIGGER midctl_90_keep_all BEFORE TRUNCATE ON midctl_event_unsealed FOR EACH STATEMENT EXECUTE FUNCTION midctl_keep();
CREATE TRIGGER midctl_10_guard BEFORE UPDATE OR DELETE ON midctl_event_seal FOR EACH ROW EXECUTE FUNCTION midctl_seal_guard();
CREATE TRIGGER midctl_10_guard_new BEFORE INSERT ON midctl_event_seal FOR EACH ROW WHEN (pg_trigger_depth() < 1) EXECUTE FUNCTION midctl_seal_guard();
CREATE TRIGGER midctl_90_keep_all BEFORE TRUNCATE ON midctl_event_seal FOR EACH STATEMENT EXECUTE FUNCTION midctl_keep();

ALTER TABLE midctl_event_unsealed ENABLE ALWAYS TRIGGER midctl_50_sealed;
ALTER TABLE midctl_event_unsealed ENABLE ALWAYS TRIGGER midctl_10_guard;
ALTER TABLE midctl_event_unsealed ENABLE ALWAYS TRIGGER midctl_90_keep_all;
ALTER TABLE midctl_event_seal ENABLE ALWAYS TRIGGER midctl_10_guard;
ALTER TABLE midctl_event_seal ENABLE ALWAYS TRIGGER midctl_10_guard_new;
ALTER TABLE midctl_event_seal ENABLE ALWAYS TRIGGER midctl_90_keep_all;

-- A seal shortens no life: verifiers need not hear of it.
DO $$
DECLARE
  append text := pg_get_functiondef('midctl_log_append()'::regprocedure);
BEGIN
  EXECUTE replace(append, '''workspace.delete'')', '''workspace.delete'', ''events.seal'')');
END $$;

-- To verify events, their seals and what went with workspaces are looked for in the log; to list changes, all but the seals.
CREATE INDEX midctl_log_seal_idx ON midctl_log ("action", "index") WHERE "action" IN ('events.seal', 'workspace.delete');
CREATE INDEX midctl_log_story_idx ON midctl_log ("at", "index") WHERE "action" <> 'events.seal';
