-- When the log was last verified, and its head last kept elsewhere: for whoever asks how the house stands. It is no evidence itself,
-- since whoever can rewrite the log can rewrite this too.
CREATE TABLE "midctl_log_evidence" (
  "what" text NOT NULL,
  "against" text NOT NULL,
  "at" timestamp NOT NULL,
  "from" bigint NOT NULL,
  "size" bigint NOT NULL,
  "root" bytea NOT NULL,
  "found" bigint NOT NULL,
  "by" text NOT NULL,
  CONSTRAINT "midctl_log_evidence_what_against_pk" PRIMARY KEY("what","against"),
  CONSTRAINT "midctl_log_evidence_kind_check" CHECK (("what" = 'verified' AND "against" IN ('itself', 'export', 'checkpoint', 'signed_checkpoint')) OR ("what" = 'anchored' AND "against" IN ('export', 'checkpoint'))),
  CONSTRAINT "midctl_log_evidence_size_check" CHECK ("from" >= 0 AND "size" >= "from" AND "found" >= 0 AND octet_length("root") = 32)
);
COMMENT ON TABLE midctl_log_evidence IS 'When the log was last verified, against what, and its head last kept elsewhere';

-- False for what saw more than the log has: that is of another one.
CREATE FUNCTION midctl_note_evidence(noted text, held_against text, begun bigint, seen bigint, head bytea, wrong bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  IF seen > (SELECT h.size FROM midctl_log_head h) THEN RETURN false; END IF;
  INSERT INTO midctl_log_evidence AS e (what, against, at, "from", size, root, found, "by")
  VALUES (noted, held_against, midctl_now(), begun, seen, head, wrong, session_user)
  ON CONFLICT (what, against) DO UPDATE SET at = excluded.at, "from" = excluded."from", size = excluded.size, root = excluded.root,
    found = excluded.found, "by" = excluded."by";
  RETURN true;
END $$;
REVOKE EXECUTE ON FUNCTION midctl_note_evidence(text, text, bigint, bigint, bytea, bigint) FROM PUBLIC;
