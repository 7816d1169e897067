-- The tree over the log, by RFC 9162: the log's head and any proof cost a row or two for each of its levels, however long the
-- log is. A tile holds the four children of a subtree of height two, once all four are complete: on level 0 the leaves of entries
-- 4p to 4p+3, on level k the roots of tiles 4p to 4p+3 of level k-1. What is complete and in no tile yet is the edge, zero to three
-- hashes for each level, in the head's row, which every append writes anyway; so an append writes a third of a tile on average.

CREATE TABLE "midctl_log_tile" (
  "level" smallint NOT NULL,
  "position" bigint NOT NULL,
  "hashes" bytea NOT NULL,
  CONSTRAINT "midctl_log_tile_level_position_pk" PRIMARY KEY("level","position"),
  CONSTRAINT "midctl_log_tile_hashes_check" CHECK (octet_length("hashes") = 128)
);
COMMENT ON TABLE midctl_log_tile IS 'The tree over the log: four hashes of 32 bytes each, of the children of one subtree of height two';
ALTER TABLE midctl_log_head ADD COLUMN "edge" bytea[] DEFAULT '{}' NOT NULL;
COMMENT ON COLUMN midctl_log_head."edge" IS 'For each level of the tree, the hashes that are in no tile yet';

-- The root of the subtree that a tile is of.
CREATE FUNCTION midctl_tile_root(hashes bytea) RETURNS bytea LANGUAGE sql IMMUTABLE
AS $$ SELECT sha256(decode('01', 'hex') || sha256(decode('01', 'hex') || substring(hashes FROM 1 FOR 64)) || sha256(decode('01', 'hex') || substring(hashes FROM 65))) $$;

-- A log that there is gets its tree. Nobody appends meanwhile: the head has just been altered.
DO $$
DECLARE
  grown bigint := (SELECT size FROM midctl_log_head);
  rim bytea[] := '{}';
  height int := 0;
  width bigint := 1;
BEGIN
  IF grown IS NULL THEN RETURN; END IF;
  WHILE grown >= width LOOP
    IF height = 0 THEN
      INSERT INTO midctl_log_tile (level, position, hashes)
      SELECT 0, "index" / 4, string_agg("leafHash", ''::bytea ORDER BY "index") FROM midctl_log WHERE "index" < grown / 4 * 4 GROUP BY "index" / 4;
      rim[1] := coalesce((SELECT string_agg("leafHash", ''::bytea ORDER BY "index") FROM midctl_log WHERE "index" >= grown / 4 * 4), '');
    ELSE
      INSERT INTO midctl_log_tile (level, position, hashes)
      SELECT height, t.position / 4, string_agg(midctl_tile_root(t.hashes), ''::bytea ORDER BY t.position)
        FROM midctl_log_tile t WHERE t.level = height - 1 AND t.position < grown / width / 4 * 4 GROUP BY t.position / 4;
      rim[height + 1] := coalesce((SELECT string_agg(midctl_tile_root(t.hashes), ''::bytea ORDER BY t.position)
        FROM midctl_log_tile t WHERE t.level = height - 1 AND t.position >= grown / width / 4 * 4), '');
    END IF;
    height := height + 1;
    width := width * 4;
  END LOOP;
  ALTER TABLE midctl_log_head DISABLE TRIGGER midctl_10_guard;
  UPDATE midctl_log_head SET edge = rim;
  ALTER TABLE midctl_log_head ENABLE ALWAYS TRIGGER midctl_10_guard;
END $$;

-- New: the tree grows with the log, in the same transaction and under the same lock.
CREATE OR REPLACE FUNCTION midctl_log_append() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET enable_seqscan TO off
AS $$
DECLARE
  queued bigint;
  base bigint;
  half text;
  leave text;
  until bigint;
  upto bigint;
  ids text[];
  entries text[];
  leaves bytea;
  fresh bytea;
  rim bytea[];
  tiles int;
  height int;
  who text := to_json(session_user::text);
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

  -- By whose leave: what was used up says so, and nobody need be believed.
  SELECT 'ap_' || a."publicId" INTO leave FROM midctl_approval_line l JOIN midctl_approval a ON a.id = l."approvalId"
   WHERE l.transaction = pg_current_xact_id() AND midctl_is_now(l) LIMIT 1;

  -- The head last: from here to the end of the commit writers take turns.
  -- By its key: a scan that is switched off is priced so high that PostgreSQL before 18 would compile it each time.
  SELECT size, edge INTO base, rim FROM midctl_log_head WHERE "only" FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    PERFORM midctl_refuse('MC003', 'the log has no head, so nothing can be recorded; nothing was changed', 'run midctl db migrate');
  END IF;
  -- So many at a time: they are held in memory.
  FOR part IN 0 .. (queued - 1) / 10000 LOOP
    until := NULL;
    IF queued > 10000 THEN
      SELECT id INTO until FROM midctl_log_queue WHERE id >= NEW.id ORDER BY id OFFSET 10000 LIMIT 1;
    END IF;
    WITH mine AS (DELETE FROM midctl_log_queue WHERE id >= NEW.id AND (until IS NULL OR id < until) RETURNING *)
    SELECT array_agg(e.entry), string_agg(sha256(decode('00', 'hex') || convert_to(e.entry, 'UTF8')), ''::bytea),
           coalesce(ids, '{}') || array_agg(e.about) FILTER (WHERE e.about IS NOT NULL), coalesce(max(e.at_index) FILTER (WHERE e.about IS NOT NULL) + 1, upto)
      INTO entries, leaves, ids, upto
      FROM (
        -- As `jsonb_build_object(…)::text` would have it, in a third of its time. Slugs, ids of ours and actions hold nothing that JSON would escape.
        SELECT q.at_index,
               -- What needs no verifier to let go of anything is told to none.
               CASE WHEN q.action NOT LIKE 'approval.%'
                     AND q.action NOT IN ('identity.create', 'identity.adopt', 'credential.issue', 'credential.adopt', 'credential.activate', 'credential.abandon',
                                          'environment.create', 'environment.init', 'environment.grant', 'environment.protect', 'workspace.delete')
                    THEN coalesce(q.credential, q.identity, q.token, '*') END AS about,
               concat('{"v": 1, "at": "', to_char(q.at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), '", "slug": ', coalesce('"' || q.slug || '"', 'null'),
                 ', "actor": ', coalesce(q.said -> 'actor', jsonb_build_object('kind', 'sql', 'name', session_user)),
                 ', "index": ', q.at_index, ', "token": ', coalesce(to_json(q.token)::text, 'null'), ', "action": "', q.action,
                 '", "reason": ', coalesce(q.said -> 'reason', 'null'), ', "details": ', q.details,
                 ', "approval": ', coalesce(CASE WHEN q.action LIKE 'approval.%' THEN q.said -> 'approval'
                                                 WHEN leave IS NOT NULL AND midctl_by_leave(q.identity, q.credential, q.token) THEN to_jsonb(leave) END, 'null'),
                 ', "identity": ', coalesce('"' || q.identity || '"', 'null'), ', "credential": ', coalesce('"' || q.credential || '"', 'null'),
                 ', "sessionUser": ', who, '}') AS entry
          FROM (SELECT *, context::jsonb AS said, base + row_number() OVER (ORDER BY id) - 1 AS at_index FROM mine) q ORDER BY q.at_index
      ) e;

    height := 0;
    fresh := leaves;
    LOOP
      fresh := coalesce(rim[height + 1], '') || fresh;
      tiles := octet_length(fresh) / 128;
      rim[height + 1] := substring(fresh FROM tiles * 128 + 1);
      EXIT WHEN tiles = 0;
      INSERT INTO midctl_log_tile (level, position, hashes)
      SELECT height, (base >> 2 * (height + 1)) + n, substring(fresh FROM n * 128 + 1 FOR 128) FROM generate_series(0, tiles - 1) n;
      SELECT string_agg(midctl_tile_root(substring(fresh FROM n * 128 + 1 FOR 128)), ''::bytea ORDER BY n) INTO fresh FROM generate_series(0, tiles - 1) n;
      height := height + 1;
    END LOOP;

    UPDATE midctl_log_head SET size = base + cardinality(entries), edge = rim, told = coalesce(upto, told) WHERE "only";
    INSERT INTO midctl_log ("index", entry, "leafHash")
    SELECT base + e.n - 1, e.entry, substring(leaves FROM (e.n::int - 1) * 32 + 1 FOR 32)
      FROM unnest(entries) WITH ORDINALITY e(entry, n);
    base := base + cardinality(entries);
  END LOOP;

  -- In the order of the log, since NOTIFYs come in the order of commits and the log's head is held until then.
  IF upto IS NOT NULL THEN
    PERFORM midctl_tell(upto, CASE WHEN '*' = ANY(ids) THEN ARRAY['*'] ELSE ARRAY (SELECT DISTINCT unnest(ids)) END);
  END IF;
  RETURN NULL;
END $$;

-- As before, by whoever appends: what it told is in the queue, and the log's rows need not be held until its end.
DROP TRIGGER midctl_60_told ON midctl_log;
DROP FUNCTION midctl_log_told();

-- Head, tree, queue and log are written by the triggers above and by nobody else.
CREATE OR REPLACE FUNCTION midctl_log_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  IF TG_TABLE_NAME = 'midctl_log_head' AND TG_OP = 'INSERT' THEN
    IF NEW.size <> 0 OR NEW.edge <> '{}' OR EXISTS (SELECT FROM midctl_log) THEN
      PERFORM midctl_refuse('MC003', 'a log begins empty; nothing was changed');
    END IF;
    RETURN NEW;
  END IF;
  IF pg_trigger_depth() < 2 OR (TG_TABLE_NAME IN ('midctl_log', 'midctl_log_tile') AND TG_OP <> 'INSERT') OR (TG_TABLE_NAME = 'midctl_log_head' AND TG_OP = 'DELETE') THEN
    PERFORM midctl_refuse('MC003', format('%s is written by changes themselves and never by hand; nothing was changed', TG_TABLE_NAME));
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;

CREATE TRIGGER midctl_10_guard BEFORE UPDATE OR DELETE ON midctl_log_tile FOR EACH ROW EXECUTE FUNCTION midctl_log_guard();
CREATE TRIGGER midctl_10_guard_new BEFORE INSERT ON midctl_log_tile FOR EACH ROW WHEN (pg_trigger_depth() < 1) EXECUTE FUNCTION midctl_log_guard();
CREATE TRIGGER midctl_90_keep_all BEFORE TRUNCATE ON midctl_log_tile FOR EACH STATEMENT EXECUTE FUNCTION midctl_keep();

-- What triggers write need not be asked row by row whether a trigger writes it.
DROP TRIGGER midctl_10_guard ON midctl_log;
CREATE TRIGGER midctl_10_guard BEFORE UPDATE OR DELETE ON midctl_log FOR EACH ROW EXECUTE FUNCTION midctl_log_guard();
CREATE TRIGGER midctl_10_guard_new BEFORE INSERT ON midctl_log FOR EACH ROW WHEN (pg_trigger_depth() < 1) EXECUTE FUNCTION midctl_log_guard();
DROP TRIGGER midctl_10_guard ON midctl_log_queue;
CREATE TRIGGER midctl_10_guard BEFORE INSERT OR UPDATE OR DELETE ON midctl_log_queue FOR EACH ROW WHEN (pg_trigger_depth() < 1) EXECUTE FUNCTION midctl_log_guard();
DROP TRIGGER midctl_10_row ON midctl_identity_label;
CREATE TRIGGER midctl_10_row BEFORE INSERT OR UPDATE OR DELETE ON midctl_identity_label FOR EACH ROW WHEN (pg_trigger_depth() < 1) EXECUTE FUNCTION midctl_label_row();

ALTER TABLE midctl_log_tile ENABLE ALWAYS TRIGGER midctl_10_guard;
ALTER TABLE midctl_log_tile ENABLE ALWAYS TRIGGER midctl_10_guard_new;
ALTER TABLE midctl_log_tile ENABLE ALWAYS TRIGGER midctl_90_keep_all;
ALTER TABLE midctl_log ENABLE ALWAYS TRIGGER midctl_10_guard;
ALTER TABLE midctl_log ENABLE ALWAYS TRIGGER midctl_10_guard_new;
ALTER TABLE midctl_log_queue ENABLE ALWAYS TRIGGER midctl_10_guard;
ALTER TABLE midctl_identity_label ENABLE ALWAYS TRIGGER midctl_10_row;
