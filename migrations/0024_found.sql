-- What a verification found to be wrong stands, beside the last verification of its kind, until one that is as good finds nothing:
-- against the same or better, from the first entry on, of as many entries, and compared as far. And where a head that was kept elsewhere
-- did not agree, with that very head, which does: who rewrites a log can make others that fit it.
ALTER TABLE midctl_log_evidence ADD COLUMN "compared" bigint DEFAULT 0 NOT NULL, ADD COLUMN "disputed" bytea;
ALTER TABLE midctl_log_evidence DROP CONSTRAINT midctl_log_evidence_kind_check, DROP CONSTRAINT midctl_log_evidence_size_check;
ALTER TABLE midctl_log_evidence
  ADD CONSTRAINT "midctl_log_evidence_kind_check" CHECK (("what" IN ('verified', 'found') AND "against" IN ('itself', 'export', 'checkpoint', 'signed_checkpoint')) OR ("what" = 'anchored' AND "against" IN ('export', 'checkpoint'))),
  ADD CONSTRAINT "midctl_log_evidence_size_check" CHECK ("from" >= 0 AND "size" >= "from" AND "found" >= 0 AND "compared" >= 0 AND octet_length("root") = 32 AND octet_length("disputed") = 32);
INSERT INTO midctl_log_evidence (what, against, at, "from", size, root, found, "by", compared)
SELECT 'found', against, at, "from", size, root, found, "by", CASE against WHEN 'itself' THEN 0 ELSE size END
  FROM midctl_log_evidence WHERE what = 'verified' AND found > 0;

-- Who reads no entry has nothing to say of them, so there are two: a verifier anchors, and does not verify.
DROP FUNCTION midctl_note_evidence(text, text, bigint, bigint, bytea, bigint);

-- False for what saw more than the log has: that is of another one.
CREATE FUNCTION midctl_note_verified(held_against text, begun bigint, seen bigint, reached bigint, head bytea, wrong bigint, disputes bytea, agreed bytea[]) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT
AS $$ DECLARE
  better text[] := CASE held_against WHEN 'signed_checkpoint' THEN ARRAY['itself', 'export', 'checkpoint', 'signed_checkpoint']
                                     WHEN 'itself' THEN ARRAY['itself'] ELSE ARRAY['itself', 'export', 'checkpoint'] END;
BEGIN
  IF seen > (SELECT h.size FROM midctl_log_head h) THEN RETURN false; END IF;
  INSERT INTO midctl_log_evidence AS e (what, against, at, "from", size, root, found, "by", compared)
  VALUES ('verified', held_against, midctl_now(), begun, seen, head, wrong, session_user, reached)
  ON CONFLICT (what, against) DO UPDATE SET at = excluded.at, "from" = excluded."from", size = excluded.size, root = excluded.root,
    found = excluded.found, "by" = excluded."by", compared = excluded.compared;
  IF wrong > 0 THEN
    -- What reached less far does not make less of what was found before.
    INSERT INTO midctl_log_evidence AS e (what, against, at, "from", size, root, found, "by", compared, disputed)
    VALUES ('found', held_against, midctl_now(), begun, seen, head, wrong, session_user, reached, disputes)
    ON CONFLICT (what, against) DO UPDATE SET at = excluded.at, "from" = excluded."from", size = greatest(e.size, excluded.size), root = excluded.root,
      found = excluded.found, "by" = excluded."by", compared = greatest(e.compared, excluded.compared), disputed = coalesce(e.disputed, excluded.disputed);
  ELSIF begun = 0 THEN
    DELETE FROM midctl_log_evidence e WHERE e.what = 'found' AND e.against = ANY(better) AND e.size <= seen AND e.compared <= reached
       AND (e.disputed IS NULL OR e.disputed = ANY(agreed));
  END IF;
  RETURN true;
END $$;
REVOKE EXECUTE ON FUNCTION midctl_note_verified(text, bigint, bigint, bigint, bytea, bigint, bytea, bytea[]) FROM PUBLIC;

CREATE FUNCTION midctl_note_anchored(kept_in text, begun bigint, seen bigint, head bytea) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  IF seen > (SELECT h.size FROM midctl_log_head h) THEN RETURN false; END IF;
  INSERT INTO midctl_log_evidence AS e (what, against, at, "from", size, root, found, "by", compared)
  VALUES ('anchored', kept_in, midctl_now(), begun, seen, head, 0, session_user, 0)
  ON CONFLICT (what, against) DO UPDATE SET at = excluded.at, "from" = excluded."from", size = excluded.size, root = excluded.root, "by" = excluded."by";
  RETURN true;
END $$;
REVOKE EXECUTE ON FUNCTION midctl_note_anchored(text, bigint, bigint, bytea) FROM PUBLIC;

-- An entry is read whole, and by many. Those that are longer already stay.
ALTER TABLE midctl_log ADD CONSTRAINT "midctl_log_entry_size_check" CHECK (octet_length("entry") <= 1048576) NOT VALID;
