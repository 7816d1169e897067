-- Verifiers cache under leases and let go of what changes (SPEC §8). Everything that shortens a life is told to them as it
-- commits; the log's head keeps how far they have been told, so that whoever made a change can wait until all have heard.

ALTER TABLE midctl_log_head ADD COLUMN "told" bigint DEFAULT 0 NOT NULL;
COMMENT ON COLUMN midctl_log_head."told" IS 'Size of the log after the last change that verifiers were told of';

-- One row for each verifier that caches. Clocks are not compared: whoever waits for a verifier sees `renewals` stand still for
-- the length of the lease, by his own clock.
CREATE TABLE "midctl_verifier" (
  "id" uuid PRIMARY KEY NOT NULL,
  "name" varchar(255) NOT NULL,
  "leaseMs" integer NOT NULL,
  "renewals" bigint DEFAULT 0 NOT NULL,
  "renewedAt" timestamp DEFAULT (now() AT TIME ZONE 'UTC') NOT NULL,
  "letGo" bigint NOT NULL,
  "heldBy" varchar(63) DEFAULT session_user NOT NULL,
  CONSTRAINT "midctl_verifier_lease_check" CHECK ("leaseMs" BETWEEN 100 AND 60000)
);
COMMENT ON COLUMN midctl_verifier."heldBy" IS 'The database role that renews it';
COMMENT ON COLUMN midctl_verifier."letGo" IS 'It has let go of whatever log entries below this index changed';

-- A lease is its holder's until it has run out: whoever else took it away would have a change return too soon.
CREATE FUNCTION midctl_lease_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  IF TG_OP = 'INSERT' THEN
    NEW."heldBy" := session_user;
    RETURN NEW;
  END IF;
  IF OLD."heldBy" <> session_user AND (TG_OP = 'UPDATE' OR OLD."renewedAt" + make_interval(secs => OLD."leaseMs" / 1000.0) > midctl_now()) THEN
    PERFORM midctl_refuse('MC003', format('the lease of %s is of %s until it has run out; nothing was changed', OLD.name, OLD."heldBy"));
  END IF;
  IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
  NEW."heldBy" := OLD."heldBy";
  RETURN NEW;
END $$;
REVOKE EXECUTE ON FUNCTION midctl_lease_guard() FROM PUBLIC;
CREATE TRIGGER midctl_10_lease BEFORE INSERT OR UPDATE OR DELETE ON midctl_verifier FOR EACH ROW EXECUTE FUNCTION midctl_lease_guard();
ALTER TABLE midctl_verifier ENABLE ALWAYS TRIGGER midctl_10_lease;

-- Who still tries with what has ended: the secret was right, the answer was no.
CREATE TABLE "midctl_refused_use" (
  "publicId" varchar(12) PRIMARY KEY NOT NULL,
  "code" varchar(32) NOT NULL,
  "uses" bigint NOT NULL,
  "firstAt" timestamp NOT NULL,
  "lastAt" timestamp NOT NULL
);
CREATE INDEX "midctl_refused_use_last_idx" ON "midctl_refused_use" USING btree ("lastAt");

-- What verifiers hear: how far the log goes, then the public ids whose cached answers are over; `*` for all.
CREATE FUNCTION midctl_tell(upto bigint, ids text[]) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
DECLARE said text := array_to_string(ids, ' ');
BEGIN
  PERFORM pg_notify('midctl_change', upto || ' ' || CASE WHEN octet_length(said) > 7000 THEN '*' ELSE said END);
END $$;

-- In the order of the log, since NOTIFYs come in the order of commits and the log's head is held until then. What only
-- begins or lengthens a life is not told: nothing of it is cached.
CREATE FUNCTION midctl_log_told() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
  ids text[];
  upto bigint;
BEGIN
  SELECT array_agg(DISTINCT coalesce(n.credential, n.identity, n.entry::jsonb ->> 'token', '*')), max(n."index") + 1 INTO ids, upto
    FROM new_rows n
   WHERE n.action NOT IN ('identity.create', 'identity.adopt', 'credential.issue', 'credential.adopt', 'credential.activate', 'credential.abandon',
                          'environment.create', 'environment.init', 'environment.grant', 'workspace.delete');
  IF upto IS NULL THEN RETURN NULL; END IF;
  UPDATE midctl_log_head SET told = upto WHERE "only";
  PERFORM midctl_tell(upto, CASE WHEN '*' = ANY(ids) THEN ARRAY['*'] ELSE ids END);
  RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION midctl_log_told() FROM PUBLIC;

-- The host's own rows change without an entry.
CREATE FUNCTION midctl_token_told() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  PERFORM midctl_tell(0, CASE WHEN TG_OP = 'TRUNCATE' THEN ARRAY['*'] ELSE ARRAY[OLD."publicId"] END);
  RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION midctl_token_told() FROM PUBLIC;

-- The line upward of an identity, parent first: what its own end and standing also depend on.
CREATE FUNCTION midctl_line(parent bigint) RETURNS jsonb LANGUAGE sql STABLE SET search_path FROM CURRENT
AS $$
  WITH RECURSIVE line AS (
    SELECT p.*, 1 AS depth FROM machine_identity p WHERE p.id = parent
    UNION ALL
    SELECT p.*, line.depth + 1 FROM line JOIN machine_identity p ON p.id = line."parentId"
  )
  SELECT jsonb_agg(jsonb_build_object('slug', slug, 'publicId', "publicId", 'status', status, 'expiresAt', "expiresAt") ORDER BY depth) FROM line
$$;

CREATE TRIGGER midctl_60_told AFTER INSERT ON midctl_log REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION midctl_log_told();
ALTER TABLE midctl_log ENABLE ALWAYS TRIGGER midctl_60_told;
