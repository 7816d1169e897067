-- The texts of entries are made before the head is locked, all but their index: under the lock others wait.
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
  opening text[];
  closing text[];
  about text[];
  last_told bigint;
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

  -- So many at a time: they are held in memory.
  FOR part IN 0 .. (queued - 1) / 10000 LOOP
    until := NULL;
    IF queued > 10000 THEN
      SELECT id INTO until FROM midctl_log_queue WHERE id >= NEW.id ORDER BY id OFFSET 10000 LIMIT 1;
    END IF;
    -- All but the index, which is known under the lock alone: others wait for as little as can be.
    -- As `jsonb_build_object(…)::text` would have it, in a third of its time. Slugs, ids of ours and actions hold nothing that JSON would escape.
    WITH mine AS (DELETE FROM midctl_log_queue WHERE id >= NEW.id AND (until IS NULL OR id < until) RETURNING *)
    SELECT array_agg(e.opening), array_agg(e.closing), array_agg(e.about) FILTER (WHERE e.about IS NOT NULL),
           max(e.nth) FILTER (WHERE e.about IS NOT NULL)
      INTO opening, closing, about, last_told
      FROM (
        SELECT q.nth,
               -- What needs no verifier to let go of anything is told to none.
               CASE WHEN q.action NOT LIKE 'approval.%'
                     AND q.action NOT IN ('identity.create', 'identity.adopt', 'credential.issue', 'credential.adopt', 'credential.activate', 'credential.abandon',
                                          'environment.create', 'environment.init', 'environment.grant', 'environment.protect', 'workspace.delete', 'events.seal')
                    THEN coalesce(q.credential, q.identity, q.token, '*') END AS about,
               concat('{"v": 1, "at": "', to_char(q.at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), '", "slug": ', coalesce('"' || q.slug || '"', 'null'),
                 ', "actor": ', coalesce(q.said -> 'actor', jsonb_build_object('kind', 'sql', 'name', session_user)), ', "index": ') AS opening,
               concat(', "token": ', coalesce(to_json(q.token)::text, 'null'), ', "action": "', q.action,
                 '", "reason": ', coalesce(q.said -> 'reason', 'null'), ', "details": ', q.details,
                 ', "approval": ', coalesce(CASE WHEN q.action LIKE 'approval.%' THEN q.said -> 'approval'
                                                 WHEN leave IS NOT NULL AND midctl_by_leave(q.identity, q.credential, q.token) THEN to_jsonb(leave) END, 'null'),
                 ', "identity": ', coalesce('"' || q.identity || '"', 'null'), ', "credential": ', coalesce('"' || q.credential || '"', 'null'),
                 ', "sessionUser": ', who, '}') AS closing
          FROM (SELECT *, context::jsonb AS said, row_number() OVER (ORDER BY id) AS nth FROM mine) q ORDER BY q.nth
      ) e;
    IF base IS NULL THEN
      -- The head last: from here to the end of the commit writers take turns.
      -- By its key: a scan that is switched off is priced so high that PostgreSQL before 18 would compile it each time.
      SELECT size, edge INTO base, rim FROM midctl_log_head WHERE "only" FOR NO KEY UPDATE;
      IF NOT FOUND THEN
        PERFORM midctl_refuse('MC003', 'the log has no head, so nothing can be recorded; nothing was changed', 'run midctl db migrate');
      END IF;
    END IF;
    ids := coalesce(ids, '{}') || about;
    upto := coalesce(base + last_told, upto);
    SELECT array_agg(e.entry), string_agg(sha256(decode('00', 'hex') || convert_to(e.entry, 'UTF8')), ''::bytea) INTO entries, leaves
      FROM (SELECT concat(u.opening, base + u.nth - 1, u.closing) AS entry FROM unnest(opening, closing) WITH ORDINALITY u(opening, closing, nth) ORDER BY u.nth) e;

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

    -- The log itself last: its last entry closes it, and with it the head.
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
