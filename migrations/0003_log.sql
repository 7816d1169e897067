-- The log of SPEC §10. Statement triggers queue what changed, in sets; one deferred trigger appends it at commit, where
-- writers take turns on the head. A change whose entry cannot be written does not happen.

ALTER TABLE midctl_log
  ADD COLUMN "at" text GENERATED ALWAYS AS (entry::jsonb ->> 'at') STORED,
  ADD COLUMN "action" text GENERATED ALWAYS AS (entry::jsonb ->> 'action') STORED,
  ADD COLUMN "actor" text GENERATED ALWAYS AS (entry::jsonb #>> '{actor,name}') STORED,
  ADD COLUMN "identity" text GENERATED ALWAYS AS (entry::jsonb ->> 'identity') STORED,
  ADD COLUMN "credential" text GENERATED ALWAYS AS (entry::jsonb ->> 'credential') STORED;
CREATE INDEX midctl_log_identity_idx ON midctl_log ("identity", "index");
CREATE INDEX midctl_log_credential_idx ON midctl_log ("credential", "index");

-- RFC 3339 in UTC, as the log and the JSON output spell it.
CREATE FUNCTION midctl_instant(at timestamp) RETURNS text LANGUAGE sql IMMUTABLE
AS $$ SELECT to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;

-- What the operation said about itself: {"actor":{"kind","name"},"reason","approval"}, set for the transaction. What is
-- not of that shape refuses the change at once, rather than COMMIT later with a message about JSON.
CREATE FUNCTION midctl_context() RETURNS text LANGUAGE plpgsql STABLE SET search_path FROM CURRENT
AS $$
DECLARE
  said text := nullif(current_setting('midctl.context', true), '');
  claim jsonb;
BEGIN
  IF said IS NULL THEN RETURN NULL; END IF;
  BEGIN
    claim := said::jsonb;
  EXCEPTION WHEN OTHERS THEN
    claim := NULL;
  END;
  IF (jsonb_typeof(claim) = 'object'
      AND (NOT claim ? 'actor' OR (jsonb_typeof(claim #> '{actor,kind}') = 'string' AND jsonb_typeof(claim #> '{actor,name}') = 'string'))
      AND coalesce(jsonb_typeof(claim -> 'reason'), 'null') IN ('string', 'null')
      AND coalesce(jsonb_typeof(claim -> 'approval'), 'null') IN ('string', 'null')) IS NOT TRUE THEN
    PERFORM midctl_refuse('MC003', 'midctl.context does not say who acts and why; nothing was changed',
      'set it to {"actor":{"kind":"…","name":"…"},"reason":"…"}, or leave it empty');
  END IF;
  RETURN said;
END $$;

-- Queueing ---------------------------------------------------------------------------------------------------------

CREATE FUNCTION midctl_log_identity_births() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN
  INSERT INTO midctl_log_queue (first, at, context, action, identity, slug, details)
  SELECT row_number() OVER (ORDER BY n.id) = 1, n."createdAt", midctl_context(), 'identity.create', n."publicId", n.slug,
         jsonb_build_object('kind', n.kind, 'provider', n.provider, 'threadId', n."threadId", 'displayName', n."displayName",
           'owner', n.owner, 'labels', n.labels, 'parent', (SELECT p.slug FROM machine_identity p WHERE p.id = n."parentId"),
           'expiresAt', midctl_instant(n."expiresAt"), 'idleTtl', n."idleTtl")
    FROM new_rows n ORDER BY n.id;
  RETURN NULL;
END $$;

CREATE FUNCTION midctl_log_identity_changes() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN
  -- The rules of 0002 update what has come true by the clock: mostly nothing.
  IF NOT EXISTS (SELECT FROM new_rows) THEN RETURN NULL; END IF;
  INSERT INTO midctl_log_queue (first, at, context, action, identity, slug, details)
  SELECT row_number() OVER (ORDER BY n.id) = 1, midctl_now(), midctl_context(),
         CASE WHEN n.status = o.status THEN 'identity.update' WHEN n.status = 'paused' THEN 'identity.pause'
              WHEN n.status = 'revoked' THEN 'identity.revoke' ELSE 'identity.resume' END,
         n."publicId", n.slug,
         jsonb_strip_nulls(jsonb_build_object(
           'from', CASE WHEN n.status <> o.status THEN o.status END,
           'idle', CASE WHEN n.status = 'paused' AND o.status = 'active' AND midctl_is_idle(o, n."pausedAt") THEN true END,
           'displayName', CASE WHEN n."displayName" <> o."displayName" THEN jsonb_build_array(o."displayName", n."displayName") END,
           'owner', CASE WHEN n.owner <> o.owner THEN jsonb_build_array(o.owner, n.owner) END,
           'labels', CASE WHEN n.labels <> o.labels THEN jsonb_build_array(o.labels, n.labels) END,
           'expiresAt', CASE WHEN n."expiresAt" IS DISTINCT FROM o."expiresAt" THEN jsonb_build_array(midctl_instant(o."expiresAt"), midctl_instant(n."expiresAt")) END,
           'idleTtl', CASE WHEN n."idleTtl" IS DISTINCT FROM o."idleTtl" THEN jsonb_build_array(o."idleTtl", n."idleTtl") END,
           'workspace', CASE WHEN n."workspaceId" IS DISTINCT FROM o."workspaceId" THEN 'gone' END))
    FROM new_rows n JOIN old_rows o USING (id)
   WHERE n.version <> o.version
   ORDER BY n.id;
  RETURN NULL;
END $$;

CREATE FUNCTION midctl_log_credential_births() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN
  INSERT INTO midctl_log_queue (first, at, context, action, identity, slug, credential, details)
  SELECT row_number() OVER (ORDER BY n.id) = 1, n."issuedAt", midctl_context(), CASE WHEN n.adopted THEN 'credential.adopt' ELSE 'credential.issue' END,
         i."publicId", i.slug, n."publicId",
         jsonb_build_object('name', n.name, 'scopes', n.scopes::jsonb, 'expiresAt', midctl_instant(n."expiresAt"),
           'activationDeadline', midctl_instant(n."activationDeadline"), 'graceSeconds', n."graceSeconds",
           'replaces', (SELECT 'mc_' || p."publicId" FROM machine_identity_credential p WHERE p.id = n."replacesId"))
    FROM new_rows n JOIN machine_identity i ON i.id = n."machineIdentityId" ORDER BY n.id;
  RETURN NULL;
END $$;

CREATE FUNCTION midctl_log_credential_changes() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN
  IF NOT EXISTS (SELECT FROM new_rows) THEN RETURN NULL; END IF;
  INSERT INTO midctl_log_queue (first, at, context, action, identity, slug, credential, details)
  SELECT row_number() OVER (ORDER BY n.id) = 1, midctl_now(), midctl_context(),
         CASE WHEN n.status = o.status THEN 'credential.update'
              WHEN n.status = 'active' THEN CASE o.status WHEN 'pending' THEN 'credential.activate' ELSE 'credential.resume' END
              WHEN n.status = 'paused' THEN 'credential.pause' WHEN n.status = 'superseded' THEN 'credential.supersede'
              WHEN n.status = 'revoked' THEN 'credential.revoke' ELSE 'credential.abandon' END,
         i."publicId", i.slug, n."publicId",
         jsonb_strip_nulls(jsonb_build_object(
           'name', n.name,
           'from', CASE WHEN n.status <> o.status THEN o.status END,
           'graceUntil', CASE WHEN n."graceUntil" IS DISTINCT FROM o."graceUntil" THEN midctl_instant(n."graceUntil") END,
           'replacedBy', CASE WHEN n."replacedBy" IS DISTINCT FROM o."replacedBy" THEN 'mc_' || n."replacedBy" END,
           'expiresAt', CASE WHEN n."expiresAt" IS DISTINCT FROM o."expiresAt" THEN jsonb_build_array(midctl_instant(o."expiresAt"), midctl_instant(n."expiresAt")) END))
    FROM new_rows n JOIN old_rows o USING (id) JOIN machine_identity i ON i.id = n."machineIdentityId"
   WHERE n.status <> o.status OR n."expiresAt" IS DISTINCT FROM o."expiresAt"
   ORDER BY n.id;
  RETURN NULL;
END $$;

-- Legacy tokens: only their end is ours to tell, and when it is to be.
CREATE FUNCTION midctl_log_token_changes() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN
  INSERT INTO midctl_log_queue (first, at, context, action, token, details)
  SELECT row_number() OVER (ORDER BY n.id) = 1, midctl_now(), midctl_context(),
         CASE WHEN o."revokedAt" IS NULL AND n."revokedAt" IS NOT NULL THEN 'token.revoke' ELSE 'token.update' END, n."publicId",
         jsonb_strip_nulls(jsonb_build_object('name', n.name,
           'expiresAt', CASE WHEN n."expiresAt" IS DISTINCT FROM o."expiresAt" THEN jsonb_build_array(midctl_instant(o."expiresAt"), midctl_instant(n."expiresAt")) END))
    FROM new_rows n JOIN old_rows o USING (id)
   WHERE n."machineIdentityId" IS NULL
     AND ((o."revokedAt" IS NULL AND n."revokedAt" IS NOT NULL) OR n."expiresAt" IS DISTINCT FROM o."expiresAt")
   ORDER BY n.id;
  RETURN NULL;
END $$;

-- An UPDATE that changes nothing names what a host had before there was a log, as it is now: once, and so many at a time that
-- nobody waits long for the head. Looked for one by one along the log's indexes, whatever PostgreSQL believes of its size.
CREATE FUNCTION midctl_log_environment() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan TO off
AS $$ BEGIN
  IF TG_OP = 'INSERT' OR NEW IS DISTINCT FROM OLD THEN
    INSERT INTO midctl_log_queue (first, at, context, action, details)
    VALUES (true, midctl_now(), midctl_context(),
            CASE WHEN TG_OP = 'INSERT' THEN 'environment.create' WHEN NEW.protected AND NOT OLD.protected THEN 'environment.protect' ELSE 'environment.init' END,
            jsonb_build_object('databaseId', NEW."databaseId", 'name', NEW.name, 'live', NEW.live, 'protected', NEW.protected));
    RETURN NULL;
  END IF;
  INSERT INTO midctl_log_queue (first, at, context, action, identity, slug, credential, details)
  SELECT row_number() OVER (ORDER BY f.credential IS NOT NULL, f.id) = 1, midctl_now(), midctl_context(),
         CASE WHEN f.credential IS NULL THEN 'identity.adopt' ELSE 'credential.adopt' END, f.identity, f.slug, f.credential, f.details
    FROM (
      (SELECT i.id, i."publicId" AS identity, i.slug, NULL::varchar AS credential,
              jsonb_build_object('status', i.status, 'kind', i.kind, 'provider', i.provider, 'threadId', i."threadId", 'displayName', i."displayName",
                'owner', i.owner, 'labels', i.labels, 'parent', (SELECT p.slug FROM machine_identity p WHERE p.id = i."parentId"),
                'expiresAt', midctl_instant(i."expiresAt"), 'idleTtl', i."idleTtl") AS details
         FROM machine_identity i
        WHERE (SELECT true FROM midctl_log l WHERE l."identity" = i."publicId" AND l."action" IN ('identity.create', 'identity.adopt') LIMIT 1) IS NULL
        ORDER BY i.id LIMIT 500)
      UNION ALL
      (SELECT c.id, i."publicId", i.slug, c."publicId",
              jsonb_build_object('status', c.status, 'name', c.name, 'scopes', c.scopes::jsonb, 'expiresAt', midctl_instant(c."expiresAt"),
                'activationDeadline', midctl_instant(c."activationDeadline"), 'graceUntil', midctl_instant(c."graceUntil"))
         FROM machine_identity_credential c JOIN machine_identity i ON i.id = c."machineIdentityId"
        WHERE (SELECT true FROM midctl_log l WHERE l."credential" = c."publicId" AND l."action" IN ('credential.issue', 'credential.adopt') LIMIT 1) IS NULL
        ORDER BY c.id LIMIT 500)
    ) f ORDER BY f.credential IS NOT NULL, f.id;
  RETURN NULL;
END $$;

-- Appending ----------------------------------------------------------------------------------------------------------

-- The queue is walked by its key from this transaction's first row on: what earlier transactions left dead there, up to
-- the next vacuum, made each issue of a busy minute read the whole table several times.
CREATE FUNCTION midctl_log_append() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan TO off
AS $$
DECLARE
  queued bigint;
  base bigint;
  half text;
BEGIN
  -- Other transactions' rows are never visible: each empties its own before it commits.
  SELECT count(*) INTO queued FROM midctl_log_queue WHERE id >= NEW.id;
  IF queued = 0 THEN RETURN NULL; END IF;

  -- Half-made things do not commit: a credential has its one token, a replaced one its successor.
  SELECT q.credential INTO half FROM midctl_log_queue q
    JOIN machine_identity_credential c ON c."publicId" = q.credential
   WHERE q.id >= NEW.id AND q.action IN ('credential.issue', 'credential.adopt')
     AND NOT EXISTS (SELECT FROM agent_token t
                      WHERE t."publicId" = c."publicId" AND t."tokenHash" = c."tokenHash" AND t."machineIdentityId" = c."machineIdentityId");
  IF FOUND THEN
    PERFORM midctl_refuse('MC003', format('mc_%s has no agent token of its own; nothing was changed', half),
      'write credential and token in one transaction');
  END IF;
  SELECT q.credential INTO half FROM midctl_log_queue q
    JOIN machine_identity_credential c ON c."publicId" = q.credential
   WHERE q.id >= NEW.id AND q.action = 'credential.abandon' AND c."replacedBy" IS NOT NULL
     AND NOT EXISTS (SELECT FROM machine_identity_credential s
                       JOIN midctl_log_queue b ON b.id >= NEW.id AND b.credential = s."publicId" AND b.action IN ('credential.issue', 'credential.adopt')
                      WHERE s."publicId" = c."replacedBy" AND s."machineIdentityId" = c."machineIdentityId" AND s.name = c.name);
  IF FOUND THEN
    PERFORM midctl_refuse('MC001', format('what replaces mc_%s was not issued; nothing was changed', half));
  END IF;

  -- The head last: from here to the end of the commit writers take turns.
  -- By its key: a scan that is switched off is priced so high that PostgreSQL before 18 would compile it each time.
  UPDATE midctl_log_head SET size = size + queued WHERE "only" RETURNING size - queued INTO base;
  IF NOT FOUND THEN
    PERFORM midctl_refuse('MC003', 'the log has no head, so nothing can be recorded; nothing was changed', 'run midctl db migrate');
  END IF;
  WITH mine AS (DELETE FROM midctl_log_queue WHERE id >= NEW.id RETURNING *)
  INSERT INTO midctl_log ("index", entry, "leafHash")
  SELECT e.at_index, e.entry, sha256(decode('00', 'hex') || convert_to(e.entry, 'UTF8'))
    FROM (
      SELECT q.at_index, jsonb_build_object(
               'v', 1, 'index', q.at_index, 'at', midctl_instant(q.at), 'action', q.action,
               'actor', coalesce(q.context::jsonb -> 'actor', jsonb_build_object('kind', 'sql', 'name', session_user)),
               'sessionUser', session_user, 'identity', q.identity, 'slug', q.slug, 'credential', q.credential, 'token', q.token,
               'reason', q.context::jsonb -> 'reason', 'approval', q.context::jsonb -> 'approval', 'details', q.details)::text AS entry
        FROM (SELECT *, base + row_number() OVER (ORDER BY id) - 1 AS at_index FROM mine) q
    ) e
   ORDER BY e.at_index;
  RETURN NULL;
END $$;

-- Head, queue and log are written by the triggers above and by nobody else.
CREATE FUNCTION midctl_log_guard() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN
  IF TG_TABLE_NAME = 'midctl_log_head' AND TG_OP = 'INSERT' THEN
    IF NEW.size <> 0 OR EXISTS (SELECT FROM midctl_log) THEN
      PERFORM midctl_refuse('MC003', 'a log begins empty; nothing was changed');
    END IF;
    RETURN NEW;
  END IF;
  IF pg_trigger_depth() < 2 OR (TG_TABLE_NAME = 'midctl_log' AND TG_OP <> 'INSERT') OR (TG_TABLE_NAME = 'midctl_log_head' AND TG_OP = 'DELETE') THEN
    PERFORM midctl_refuse('MC003', format('%s is written by changes themselves and never by hand; nothing was changed', TG_TABLE_NAME));
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;

-- A workspace goes with its tokens and events; its identities stay, revoked ---------------------------------------------

CREATE FUNCTION midctl_workspace_counted() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN
  -- Before the host's cascade: afterwards there is nothing left to count.
  INSERT INTO midctl_log_queue (first, at, context, action, details)
  VALUES (true, midctl_now(), midctl_context(), 'workspace.delete', jsonb_build_object(
    'workspace', OLD."publicId",
    'identities', (SELECT count(*) FROM machine_identity WHERE "workspaceId" = OLD.id),
    'tokens', (SELECT count(*) FROM agent_token WHERE "workspaceId" = OLD.id),
    'events', (SELECT count(*) FROM agent_audit_event WHERE "workspaceId" = OLD.id)));
  RETURN OLD;
END $$;

CREATE FUNCTION midctl_workspace_deleted() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN
  UPDATE machine_identity SET status = 'revoked', "workspaceId" = NULL WHERE "workspaceId" = OLD.id;
  RETURN NULL;
END $$;

-- Identities hold no foreign key to the workspace, so a TRUNCATE of it would leave them behind.
CREATE FUNCTION midctl_workspace_truncate() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' OR EXISTS (SELECT FROM machine_identity WHERE "workspaceId" IS NOT NULL) THEN
    PERFORM midctl_refuse('MC003', 'workspaces have machine identities and are not truncated; nothing was changed', 'delete them one by one');
  END IF;
  RETURN NULL;
END $$;

-- Triggers ---------------------------------------------------------------------------------------------------------------

CREATE TRIGGER midctl_50_log_births AFTER INSERT ON machine_identity REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION midctl_log_identity_births();
CREATE TRIGGER midctl_50_log_changes AFTER UPDATE ON machine_identity REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION midctl_log_identity_changes();
CREATE TRIGGER midctl_50_log_births AFTER INSERT ON machine_identity_credential REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION midctl_log_credential_births();
CREATE TRIGGER midctl_50_log_changes AFTER UPDATE ON machine_identity_credential REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION midctl_log_credential_changes();
CREATE TRIGGER midctl_50_log AFTER INSERT OR UPDATE ON midctl_environment FOR EACH ROW EXECUTE FUNCTION midctl_log_environment();

CREATE CONSTRAINT TRIGGER midctl_50_append AFTER INSERT ON midctl_log_queue DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.first) EXECUTE FUNCTION midctl_log_append();
CREATE TRIGGER midctl_10_guard BEFORE INSERT OR UPDATE OR DELETE ON midctl_log_queue FOR EACH ROW EXECUTE FUNCTION midctl_log_guard();
CREATE TRIGGER midctl_90_keep_all BEFORE TRUNCATE ON midctl_log_queue FOR EACH STATEMENT EXECUTE FUNCTION midctl_keep();
CREATE TRIGGER midctl_10_guard BEFORE INSERT OR UPDATE OR DELETE ON midctl_log_head FOR EACH ROW EXECUTE FUNCTION midctl_log_guard();
CREATE TRIGGER midctl_90_keep_all BEFORE TRUNCATE ON midctl_log_head FOR EACH STATEMENT EXECUTE FUNCTION midctl_keep();
CREATE TRIGGER midctl_10_guard BEFORE INSERT OR UPDATE OR DELETE ON midctl_log FOR EACH ROW EXECUTE FUNCTION midctl_log_guard();
CREATE TRIGGER midctl_90_keep_all BEFORE TRUNCATE ON midctl_log FOR EACH STATEMENT EXECUTE FUNCTION midctl_keep();

-- Whatever session_replication_role says; and as the owner, whoever writes. A right to write the log or its queue is
-- therefore nobody's, and since EXECUTE is asked for only where a trigger is made, nobody hangs one of these on a table
-- of his own.
DO $$
DECLARE
  here oid := quote_ident(current_schema())::regnamespace;
  t record;
BEGIN
  FOR t IN SELECT g.tgrelid::regclass AS tab, g.tgname FROM pg_trigger g JOIN pg_class r ON r.oid = g.tgrelid
            WHERE r.relnamespace = here AND NOT g.tgisinternal AND g.tgname LIKE 'midctl\_%' LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.tab, t.tgname);
  END LOOP;
  FOR t IN SELECT p.oid::regprocedure AS func FROM pg_proc p
            WHERE p.pronamespace = here AND p.proname LIKE 'midctl\_%' AND p.prorettype = 'trigger'::regtype LOOP
    EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER', t.func);
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', t.func);
  END LOOP;
END $$;
