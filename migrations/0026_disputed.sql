-- What was found stands until every head that did not agree does: of each verification the largest, which vouches for all that
-- smaller ones saw. By one alone, half a mending would do.
ALTER TABLE midctl_log_evidence DROP CONSTRAINT midctl_log_evidence_size_check;
ALTER TABLE midctl_log_evidence ALTER COLUMN "disputed" TYPE bytea[] USING CASE WHEN "disputed" IS NULL THEN '{}' ELSE ARRAY["disputed"] END;
ALTER TABLE midctl_log_evidence ALTER COLUMN "disputed" SET DEFAULT '{}', ALTER COLUMN "disputed" SET NOT NULL;
ALTER TABLE midctl_log_evidence
  ADD CONSTRAINT "midctl_log_evidence_size_check" CHECK ("from" >= 0 AND "size" >= "from" AND "found" >= 0 AND "compared" >= 0 AND octet_length("root") = 32 AND cardinality("disputed") <= 1000);

-- New: as above.
CREATE OR REPLACE FUNCTION midctl_note_verified(held_against text, begun bigint, seen bigint, reached bigint, head bytea, wrong bigint, disputes bytea, agreed bytea[]) RETURNS boolean
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
    -- What reached less far does not make less of what was found before. A thousand heads are enough to stand by.
    INSERT INTO midctl_log_evidence AS e (what, against, at, "from", size, root, found, "by", compared, disputed)
    VALUES ('found', held_against, midctl_now(), begun, seen, head, wrong, session_user, reached, array_remove(ARRAY[disputes], NULL))
    ON CONFLICT (what, against) DO UPDATE SET at = excluded.at, "from" = excluded."from", size = greatest(e.size, excluded.size), root = excluded.root,
      found = excluded.found, "by" = excluded."by", compared = greatest(e.compared, excluded.compared),
      disputed = CASE WHEN excluded.disputed <@ e.disputed OR cardinality(e.disputed) >= 1000 THEN e.disputed ELSE e.disputed || excluded.disputed END;
  ELSIF begun = 0 THEN
    DELETE FROM midctl_log_evidence e WHERE e.what = 'found' AND e.against = ANY(better) AND e.size <= seen AND e.compared <= reached
       AND e.disputed <@ agreed;
  END IF;
  RETURN true;
END $$;
