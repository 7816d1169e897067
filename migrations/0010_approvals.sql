-- Approvals (SPEC §9). A plan is kept as the bytes that people sign; its lines and clocks are read from those bytes here, never
-- given beside them. What a signature proves is for verifiers and the program to check: they know whom to trust, and a
-- database does not. Here the structure holds, for hand-written SQL too: in a protected environment no control change
-- without a line of an approved plan that is used up, once, by the very transaction that makes the change.

CREATE TABLE "midctl_plan" (
  "digest" varchar(64) PRIMARY KEY NOT NULL,
  "plan" text NOT NULL,
  "hashes" text DEFAULT '[]' NOT NULL,
  CONSTRAINT "midctl_plan_size_check" CHECK (octet_length("plan") <= 16777216 AND octet_length("hashes") <= 16777216),
  CONSTRAINT "midctl_plan_digest_check" CHECK ("digest" = encode(sha256(convert_to("plan", 'UTF8')), 'hex'))
);
COMMENT ON COLUMN midctl_plan."hashes" IS 'What tokens are kept as, by line, or null: the plan itself has only commitments to them, so that whoever reads it can activate nothing';

-- Apart from the plan, which may have thousands of lines, since this row changes with each of them.
CREATE TABLE "midctl_approval" (
  "id" bigserial PRIMARY KEY NOT NULL,
  "publicId" varchar(12) NOT NULL,
  "digest" varchar(64) NOT NULL,
  "action" varchar(64) NOT NULL,
  "requester" varchar(255) NOT NULL,
  "quorum" integer NOT NULL,
  "breakGlass" boolean DEFAULT false NOT NULL,
  "status" varchar(16) DEFAULT 'open' NOT NULL,
  "lines" integer NOT NULL,
  "remaining" integer NOT NULL,
  "requestedAt" timestamp NOT NULL,
  "approveBy" timestamp NOT NULL,
  "executeBy" timestamp NOT NULL,
  "endedAt" timestamp,
  CONSTRAINT "midctl_approval_publicId_unique" UNIQUE("publicId"),
  CONSTRAINT "midctl_approval_digest_unique" UNIQUE("digest"),
  CONSTRAINT "midctl_approval_status_check" CHECK ("status" IN ('open', 'approved', 'rejected', 'cancelled', 'executed', 'superseded', 'countersigned')),
  CONSTRAINT "midctl_approval_quorum_check" CHECK ("quorum" BETWEEN 1 AND 100)
);
ALTER TABLE "midctl_approval" ADD CONSTRAINT "midctl_approval_digest_midctl_plan_digest_fk" FOREIGN KEY ("digest") REFERENCES "midctl_plan"("digest") ON DELETE no action ON UPDATE no action;
CREATE INDEX "midctl_approval_open_idx" ON "midctl_approval" USING btree ("id") WHERE "status" IN ('open', 'approved');

CREATE TABLE "midctl_approval_line" (
  "approvalId" bigint NOT NULL,
  "line" integer NOT NULL,
  "do" varchar(64) NOT NULL,
  "identity" varchar(12),
  "credential" varchar(12),
  "secret" varchar(64),
  "terms" jsonb NOT NULL,
  "outcome" varchar(16),
  "used" boolean DEFAULT false NOT NULL,
  "endedAt" timestamp,
  "transaction" xid8,
  CONSTRAINT "midctl_approval_line_approvalId_line_pk" PRIMARY KEY("approvalId","line"),
  CONSTRAINT "midctl_approval_line_outcome_check" CHECK ("outcome" IN ('done', 'superseded'))
);
ALTER TABLE "midctl_approval_line" ADD CONSTRAINT "midctl_approval_line_approvalId_midctl_approval_id_fk" FOREIGN KEY ("approvalId") REFERENCES "midctl_approval"("id") ON DELETE no action ON UPDATE no action;
CREATE INDEX "midctl_approval_line_secret_idx" ON "midctl_approval_line" USING btree ("secret") WHERE "secret" IS NOT NULL;
CREATE INDEX "midctl_approval_line_transaction_idx" ON "midctl_approval_line" USING btree ("transaction") WHERE "transaction" IS NOT NULL;
CREATE INDEX "midctl_approval_line_credential_idx" ON "midctl_approval_line" USING btree ("credential","transaction") WHERE "transaction" IS NOT NULL;
COMMENT ON COLUMN midctl_approval_line."secret" IS 'The plan''s commitment to the hash of a token';
COMMENT ON COLUMN midctl_approval_line."terms" IS 'The whole line: the guards compare what is changed with it';
COMMENT ON COLUMN midctl_approval_line."used" IS 'What it says was done: written by the guards of what was changed, and by nobody else';
COMMENT ON COLUMN midctl_approval_line."transaction" IS 'The one that carried the line out: the guards allow what it says to that one alone';

CREATE TABLE "midctl_approval_vote" (
  "id" bigserial PRIMARY KEY NOT NULL,
  "approvalId" bigint NOT NULL,
  "kind" varchar(16) NOT NULL,
  "principal" varchar(255) NOT NULL,
  "keyFingerprint" varchar(64),
  "signature" text,
  "at" timestamp DEFAULT (now() AT TIME ZONE 'UTC') NOT NULL,
  CONSTRAINT "midctl_approval_vote_kind_check" CHECK ("kind" IN ('request', 'approval', 'rejection')),
  CONSTRAINT "midctl_approval_vote_signed_check" CHECK ("kind" = 'rejection' OR ("signature" IS NOT NULL AND "keyFingerprint" IS NOT NULL)),
  CONSTRAINT "midctl_approval_vote_size_check" CHECK (length("signature") <= 16384)
);
ALTER TABLE "midctl_approval_vote" ADD CONSTRAINT "midctl_approval_vote_approvalId_midctl_approval_id_fk" FOREIGN KEY ("approvalId") REFERENCES "midctl_approval"("id") ON DELETE no action ON UPDATE no action;
CREATE UNIQUE INDEX "midctl_approval_vote_once_idx" ON "midctl_approval_vote" USING btree ("approvalId","kind","principal","keyFingerprint",md5("signature"));

-- What a plan says of a token that it covers: enough to recognize its hash by, and no use to whoever would be one.
CREATE FUNCTION midctl_commitment(hash text) RETURNS text LANGUAGE sql IMMUTABLE
AS $$ SELECT encode(sha256(convert_to('midctl/plan/v1', 'UTF8') || '\x00'::bytea || convert_to(hash, 'UTF8')), 'hex') $$;

CREATE FUNCTION midctl_fixed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  PERFORM midctl_refuse('MC003', format('what %s holds stands as it was given; nothing was changed', TG_TABLE_NAME));
  RETURN NULL;
END $$;

-- Requests -------------------------------------------------------------------------------------------------------------

CREATE FUNCTION midctl_approval_birth() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
  at timestamp := midctl_now();
  plan jsonb;
BEGIN
  BEGIN
    plan := (SELECT p.plan::jsonb FROM midctl_plan p WHERE p.digest = NEW.digest);
    NEW."publicId" := substr(plan ->> 'id', 4);
    NEW.action := plan ->> 'action';
    NEW.requester := plan ->> 'requester';
    NEW."breakGlass" := jsonb_typeof(plan -> 'breakGlass') = 'object';
    NEW.lines := jsonb_array_length(plan -> 'lines');
    NEW."requestedAt" := (plan ->> 'requestedAt')::timestamptz AT TIME ZONE 'UTC';
    NEW."approveBy" := (plan ->> 'approveBy')::timestamptz AT TIME ZONE 'UTC';
    NEW."executeBy" := (plan ->> 'executeBy')::timestamptz AT TIME ZONE 'UTC';
  EXCEPTION WHEN OTHERS THEN
    NEW."publicId" := NULL;
  END;
  IF (NEW."publicId" ~ '^[0-9A-Za-z]{12}$' AND plan ->> 'id' = 'ap_' || NEW."publicId" AND NEW.requester <> '' AND NEW.lines > 0
      AND NEW.action IS NOT NULL AND isfinite(NEW."requestedAt") AND isfinite(NEW."approveBy") AND isfinite(NEW."executeBy")) IS NOT TRUE THEN
    PERFORM midctl_refuse('MC003', 'this is no plan; nothing was requested');
  END IF;
  IF plan #>> '{environment,databaseId}' IS DISTINCT FROM (SELECT "databaseId"::text FROM midctl_environment) THEN
    PERFORM midctl_refuse('MC003', 'the plan is of another database; nothing was requested');
  END IF;
  -- The clocks are those of this database: a plan made in advance or afterwards would be judged by keys of another day.
  IF NEW."requestedAt" NOT BETWEEN at - interval '10 minutes' AND at + interval '1 minute' OR NEW."approveBy" > NEW."executeBy"
     OR NEW."approveBy" <= NEW."requestedAt" OR NEW."executeBy" > NEW."requestedAt" + interval '24 hours' THEN
    PERFORM midctl_refuse('MC003', 'a plan is requested when it is made, and approved and carried out within 24 hours; nothing was requested');
  END IF;
  NEW.status := 'open';
  NEW.remaining := NEW.lines;
  NEW."endedAt" := NULL;
  RETURN NEW;
END $$;

CREATE FUNCTION midctl_approval_born() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
  plan jsonb;
  hashes jsonb;
BEGIN
  SELECT p.plan::jsonb, p.hashes::jsonb INTO plan, hashes FROM midctl_plan p WHERE p.digest = NEW.digest;
  INSERT INTO midctl_approval_line ("approvalId", line, "do", identity, credential, secret, terms)
  SELECT NEW.id, l.line, l.item ->> 'do', l.item #>> '{identity,publicId}', substr(l.item #>> '{credential,id}', 4), l.item #>> '{token,secret}', l.item
    FROM jsonb_array_elements(plan -> 'lines') WITH ORDINALITY AS l(item, line);
  IF EXISTS (SELECT FROM midctl_approval_line l WHERE l."approvalId" = NEW.id AND l."do" IS DISTINCT FROM NEW.action) THEN
    PERFORM midctl_refuse('MC003', 'the lines of a plan do what its action says, and nothing else; nothing was requested');
  END IF;
  -- What people read is the slug, what is changed has the public id.
  IF EXISTS (SELECT FROM midctl_approval_line l WHERE l."approvalId" = NEW.id AND jsonb_typeof(l.terms #> '{identity,version}') = 'number'
               AND NOT EXISTS (SELECT FROM machine_identity i WHERE i."publicId" = l.identity AND i.slug = l.terms #>> '{identity,slug}')) THEN
    PERFORM midctl_refuse('MC003', 'a line names an identity by a slug and a public id of which one is another''s; nothing was requested');
  END IF;
  IF NEW."breakGlass" AND EXISTS (SELECT FROM midctl_approval_line l WHERE l."approvalId" = NEW.id AND l."do" NOT IN ('pause', 'revoke')) THEN
    PERFORM midctl_refuse('MC003', 'break-glass pauses and revokes, and does nothing else; nothing was changed');
  END IF;
  IF EXISTS (SELECT FROM jsonb_array_elements_text(hashes) WITH ORDINALITY AS h(hash, line)
               LEFT JOIN midctl_approval_line l ON l."approvalId" = NEW.id AND l.line = h.line
              WHERE h.hash IS NOT NULL AND l.secret IS DISTINCT FROM midctl_commitment(h.hash)) THEN
    PERFORM midctl_refuse('MC003', 'a hash is not the one that the plan is committed to; nothing was requested');
  END IF;
  INSERT INTO midctl_log_queue (first, at, context, action, details)
  VALUES (true, midctl_now(), midctl_context(), CASE WHEN NEW."breakGlass" THEN 'approval.break_glass' ELSE 'approval.request' END,
    jsonb_build_object('approval', 'ap_' || NEW."publicId", 'digest', NEW.digest, 'action', NEW.action, 'lines', NEW.lines, 'requester', NEW.requester,
      'quorum', NEW.quorum, 'approveBy', midctl_instant(NEW."approveBy"), 'executeBy', midctl_instant(NEW."executeBy"), 'ticket', plan #> '{breakGlass,ticket}'));
  RETURN NULL;
END $$;

CREATE FUNCTION midctl_approval_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE ref text := 'ap_' || OLD."publicId";
BEGIN
  IF (NEW.id, NEW."publicId", NEW.digest, NEW.action, NEW.requester, NEW.quorum, NEW."breakGlass", NEW.lines, NEW."requestedAt", NEW."approveBy", NEW."executeBy", NEW."endedAt")
     IS DISTINCT FROM
     (OLD.id, OLD."publicId", OLD.digest, OLD.action, OLD.requester, OLD.quorum, OLD."breakGlass", OLD.lines, OLD."requestedAt", OLD."approveBy", OLD."executeBy", OLD."endedAt") THEN
    PERFORM midctl_refuse('MC003', format('what %s asks for never changes; nothing was changed', ref), 'request it anew');
  END IF;
  IF pg_trigger_depth() < 2 AND (NEW.remaining <> OLD.remaining OR NEW.status <> 'cancelled') THEN
    PERFORM midctl_refuse('MC003', format('%s is decided by votes and carried out by its lines, never by hand; nothing was changed', ref));
  END IF;
  IF NEW.status = OLD.status THEN RETURN NEW; END IF;
  IF OLD.status NOT IN ('open', 'approved') OR (OLD."breakGlass" AND NEW.status = 'cancelled') THEN
    PERFORM midctl_refuse('MC001', format('%s is %s; nothing was changed', ref, CASE WHEN OLD."breakGlass" THEN 'done already' ELSE OLD.status END));
  END IF;
  IF NEW.status <> 'approved' THEN NEW."endedAt" := midctl_now(); END IF;
  IF NEW.status = 'cancelled' THEN
    INSERT INTO midctl_log_queue (first, at, context, action, details)
    VALUES (true, midctl_now(), midctl_context(), 'approval.cancel', jsonb_build_object('approval', ref, 'digest', OLD.digest, 'from', OLD.status));
  END IF;
  RETURN NEW;
END $$;

-- Votes ----------------------------------------------------------------------------------------------------------------

CREATE FUNCTION midctl_vote_birth() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
  a midctl_approval;
  ref text;
BEGIN
  SELECT * INTO a FROM midctl_approval WHERE id = NEW."approvalId" FOR NO KEY UPDATE;
  ref := 'ap_' || a."publicId";
  NEW.at := midctl_now();
  -- Of break-glass the countersignatures that somebody made up keep no real one out.
  IF NOT FOUND OR NOT (a.status IN ('open', 'approved') OR a."breakGlass" AND a.status = 'countersigned' AND NEW.kind = 'approval') THEN
    PERFORM midctl_refuse('MC001', format('%s is %s; the vote was not taken', ref, coalesce(a.status, 'not there')), 'request it anew where it is still wanted');
  END IF;
  -- Verifiers look at every signature under a plan: nobody makes them look at more.
  IF (SELECT count(*) FROM midctl_approval_vote v WHERE v."approvalId" = a.id) >= 64 THEN
    PERFORM midctl_refuse('MC002', format('%s has 64 votes, and takes no more; the vote was not taken', ref), 'find out who cast them; request it anew');
  END IF;
  CASE NEW.kind
    WHEN 'request' THEN
      IF NEW.principal <> a.requester OR a.status <> 'open' THEN
        PERFORM midctl_refuse('MC003', format('%s is requested by %s; the signature was not taken', ref, a.requester));
      END IF;
    WHEN 'approval' THEN
      IF NEW.principal = a.requester THEN
        PERFORM midctl_refuse('MC003', format('%s was requested by %s, who cannot approve it too; the vote was not taken', ref, NEW.principal),
          'another owner must');
      END IF;
      IF a."approveBy" <= NEW.at AND NOT a."breakGlass" THEN
        PERFORM midctl_refuse('MC004', format('%s was to be approved by %s; the vote was not taken', ref, midctl_instant(a."approveBy")), 'request it anew');
      END IF;
    ELSE
      IF a."breakGlass" THEN
        PERFORM midctl_refuse('MC001', format('%s is done already, and cannot be rejected', ref), 'resume what should not have been paused');
      END IF;
  END CASE;
  RETURN NEW;
END $$;

CREATE FUNCTION midctl_vote_born() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE a midctl_approval;
BEGIN
  IF NEW.kind = 'request' THEN RETURN NULL; END IF;
  SELECT * INTO a FROM midctl_approval WHERE id = NEW."approvalId";
  INSERT INTO midctl_log_queue (first, at, context, action, details)
  VALUES (true, NEW.at, midctl_context(),
    CASE WHEN NEW.kind = 'rejection' THEN 'approval.reject' WHEN a."breakGlass" THEN 'approval.countersign' ELSE 'approval.approve' END,
    jsonb_build_object('approval', 'ap_' || a."publicId", 'digest', a.digest, 'principal', NEW.principal, 'key', NEW."keyFingerprint"));
  IF NEW.kind = 'rejection' THEN
    UPDATE midctl_approval SET status = 'rejected' WHERE id = a.id;
  ELSIF a.status = 'open' AND a.quorum <= (SELECT count(DISTINCT v.principal) FROM midctl_approval_vote v WHERE v."approvalId" = a.id AND v.kind = 'approval') THEN
    UPDATE midctl_approval SET status = CASE WHEN a."breakGlass" THEN 'countersigned' ELSE 'approved' END WHERE id = a.id;
  END IF;
  RETURN NULL;
END $$;

-- Carrying out ---------------------------------------------------------------------------------------------------------

CREATE FUNCTION midctl_approval_line_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
  at timestamp := midctl_now();
  a midctl_approval;
  ref text;
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF pg_trigger_depth() < 2 THEN
      PERFORM midctl_refuse('MC003', 'lines are read from their plan, and never written; nothing was changed');
    END IF;
    RETURN NEW;
  END IF;
  SELECT * INTO a FROM midctl_approval WHERE id = OLD."approvalId" FOR NO KEY UPDATE;
  ref := format('line %s of ap_%s', OLD.line, a."publicId");
  IF (NEW."approvalId", NEW.line, NEW."do", NEW.identity, NEW.credential, NEW.secret, NEW.terms, NEW."endedAt", NEW.transaction)
     IS DISTINCT FROM (OLD."approvalId", OLD.line, OLD."do", OLD.identity, OLD.credential, OLD.secret, OLD.terms, OLD."endedAt", OLD.transaction) THEN
    PERFORM midctl_refuse('MC003', format('what %s says never changes; nothing was changed', ref));
  END IF;
  -- By the guard of what was changed, in the transaction that used the line up; nobody but the owner has a right to the column.
  IF NEW.used <> OLD.used THEN
    IF NOT NEW.used OR NEW.outcome IS DISTINCT FROM OLD.outcome OR OLD.transaction IS DISTINCT FROM pg_current_xact_id() THEN
      PERFORM midctl_refuse('MC003', format('whether %s was done is for the guards to say; nothing was changed', ref));
    END IF;
    RETURN NEW;
  END IF;
  IF OLD.outcome IS NOT NULL OR NEW.outcome IS NULL THEN
    PERFORM midctl_refuse('MC002', format('%s is %s already, and each is carried out once; nothing was changed', ref, coalesce(OLD.outcome, 'open')));
  END IF;
  IF NOT a."breakGlass" AND a.status <> 'approved' THEN
    PERFORM midctl_refuse('MC005', format('ap_%s is %s, not approved; nothing was changed', a."publicId", a.status));
  END IF;
  IF a."executeBy" <= at THEN
    PERFORM midctl_refuse('MC004', format('ap_%s was to be carried out by %s; nothing was changed', a."publicId", midctl_instant(a."executeBy")), 'request it anew');
  END IF;
  IF a."breakGlass" AND NOT EXISTS (SELECT FROM midctl_approval_vote v WHERE v."approvalId" = a.id AND v.kind = 'request') THEN
    PERFORM midctl_refuse('MC005', format('ap_%s is not signed; nothing was changed', a."publicId"));
  END IF;
  NEW."endedAt" := at;
  NEW.transaction := pg_current_xact_id();
  RETURN NEW;
END $$;

CREATE FUNCTION midctl_approval_lines_ended() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  INSERT INTO midctl_log_queue (first, at, context, action, details)
  SELECT row_number() OVER (ORDER BY n."approvalId", n.line) = 1, n."endedAt", midctl_context(), 'approval.supersede',
         jsonb_build_object('approval', 'ap_' || a."publicId", 'line', n.line)
    FROM new_rows n JOIN old_rows o USING ("approvalId", line) JOIN midctl_approval a ON a.id = n."approvalId"
   WHERE n.outcome = 'superseded' AND o.outcome IS NULL ORDER BY n."approvalId", n.line;
  UPDATE midctl_approval a
     SET remaining = a.remaining - n.ended,
         status = CASE WHEN a.remaining > n.ended OR a."breakGlass" THEN a.status
                       WHEN EXISTS (SELECT FROM midctl_approval_line l WHERE l."approvalId" = a.id AND l.outcome = 'done') THEN 'executed'
                       ELSE 'superseded' END
    FROM (SELECT n."approvalId", count(*)::int AS ended FROM new_rows n JOIN old_rows o USING ("approvalId", line)
           WHERE o.outcome IS NULL AND n.outcome IS NOT NULL GROUP BY n."approvalId") n
   WHERE a.id = n."approvalId";
  RETURN NULL;
END $$;

-- Whether this very transaction has carried out a line that does this. By time as well: numbers of transactions begin anew where
-- a database is restored.
CREATE FUNCTION midctl_is_now(l midctl_approval_line) RETURNS boolean LANGUAGE sql STABLE SET search_path FROM CURRENT
AS $$ SELECT l.outcome = 'done' AND l."endedAt" >= date_trunc('milliseconds', transaction_timestamp() AT TIME ZONE 'UTC') $$;

-- What the line says that this transaction used up for this, or NULL. On an identity as a whole, where no credential is asked
-- for: a line on one of its credentials is none on it, but for those that issue it one.
CREATE FUNCTION midctl_line_of(does text[], on_identity text, on_credential text) RETURNS midctl_approval_line LANGUAGE sql STABLE SET search_path FROM CURRENT
AS $$
  SELECT l.* FROM midctl_approval_line l
   WHERE l.transaction = pg_current_xact_id() AND l."do" = ANY (does) AND midctl_is_now(l)
     AND (on_identity IS NULL OR l.identity = on_identity)
     AND (on_credential IS NULL OR l.credential = on_credential)
     AND (on_credential IS NOT NULL OR l.credential IS NULL OR l."do" IN ('credential.issue', 'credential.rotate', 'identity.adopt'))
   LIMIT 1
$$;

-- That what it says was done.
CREATE FUNCTION midctl_mark(l midctl_approval_line) RETURNS void LANGUAGE sql VOLATILE SET search_path FROM CURRENT
AS $$ UPDATE midctl_approval_line SET used = true WHERE "approvalId" = l."approvalId" AND line = l.line AND NOT used $$;

-- A line that is used up and does nothing would be an approval that was carried out in name alone.
CREATE FUNCTION midctl_approval_line_used() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  IF NOT (SELECT l.used FROM midctl_approval_line l WHERE l."approvalId" = NEW."approvalId" AND l.line = NEW.line) THEN
    PERFORM midctl_refuse('MC004', format('nothing of what line %s says was done, as it is so already; it was not used up', NEW.line));
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION midctl_gate(allowed boolean, what text) RETURNS void LANGUAGE plpgsql STABLE SET search_path FROM CURRENT
AS $$ BEGIN
  IF allowed IS NOT TRUE THEN
    PERFORM midctl_refuse('MC005', format('the environment %s is protected, and %s needs an approval; nothing was changed', (SELECT name FROM midctl_environment), what),
      'run the midctl command: it makes the request');
  END IF;
END $$;

-- Whether an identity is the one that a line makes.
CREATE FUNCTION midctl_is_created(i machine_identity, terms jsonb) RETURNS boolean LANGUAGE sql STABLE SET search_path FROM CURRENT
AS $$
  SELECT i.slug = terms #>> '{identity,slug}' AND i."displayName" = c ->> 'displayName' AND i.owner = c ->> 'owner' AND i.kind = c ->> 'kind'
     AND i.labels = c -> 'labels'
     AND (i.provider, i."threadId", (SELECT p.slug FROM machine_identity p WHERE p.id = i."parentId"), midctl_workspace_slug(i."workspaceId"),
          midctl_instant(i."expiresAt"), i."idleTtl"::text)
         IS NOT DISTINCT FROM (c ->> 'provider', c ->> 'threadId', c ->> 'parent', c ->> 'workspace', c ->> 'expiresAt', c ->> 'idleTtl')
    FROM (SELECT terms -> 'create' AS c) of
$$;

-- Whether what changes on an identity is what a line sets; null leaves a field as it is.
CREATE FUNCTION midctl_is_updated(old machine_identity, new machine_identity, terms jsonb) RETURNS boolean LANGUAGE sql STABLE SET search_path FROM CURRENT
AS $$
  SELECT new."displayName" = coalesce(s ->> 'displayName', old."displayName") AND new.owner = coalesce(s ->> 'owner', old.owner)
     AND new.labels = coalesce(nullif(s -> 'labels', 'null'), old.labels)
     AND midctl_instant(new."expiresAt") IS NOT DISTINCT FROM coalesce(s ->> 'expiresAt', midctl_instant(old."expiresAt"))
     AND new."idleTtl" IS NOT DISTINCT FROM coalesce((s ->> 'idleTtl')::bigint, old."idleTtl")
    FROM (SELECT terms -> 'set' AS s) of
$$;

CREATE FUNCTION midctl_identity_gate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
  l midctl_approval_line;
  does text;
BEGIN
  IF NOT EXISTS (SELECT FROM midctl_environment WHERE protected) THEN RETURN NEW; END IF;
  IF TG_OP = 'INSERT' THEN
    l := midctl_line_of(ARRAY['identity.create', 'credential.issue', 'identity.adopt'], NEW."publicId", NULL);
    PERFORM midctl_gate(midctl_is_created(NEW, l.terms), 'creating ' || NEW.slug);
    -- Where a credential comes with it, that one is what the line is for.
    IF l."do" = 'identity.create' THEN PERFORM midctl_mark(l); END IF;
    RETURN NEW;
  END IF;
  -- What the clock or the end of a workspace brings is nobody's decision.
  IF NEW."workspaceId" IS DISTINCT FROM OLD."workspaceId" THEN RETURN NEW; END IF;
  IF OLD.status = 'active' AND NEW.status = 'paused' AND midctl_is_idle(OLD, NEW."pausedAt") THEN RETURN NEW; END IF;
  does := CASE WHEN NEW.status = OLD.status THEN 'identity.update' WHEN NEW.status = 'paused' THEN 'pause' WHEN NEW.status = 'active' THEN 'resume' ELSE 'revoke' END;
  l := midctl_line_of(ARRAY[does], NEW."publicId", NULL);
  -- What the clock brought first, in this very transaction, may have raised the version.
  PERFORM midctl_gate(l.line IS NOT NULL AND OLD.version - (l.terms #>> '{identity,version}')::int IN (0, 1)
    AND CASE does WHEN 'identity.update' THEN midctl_is_updated(OLD, NEW, l.terms)
        ELSE (NEW."displayName", NEW.owner, NEW.labels, NEW."expiresAt", NEW."idleTtl") IS NOT DISTINCT FROM (OLD."displayName", OLD.owner, OLD.labels, OLD."expiresAt", OLD."idleTtl") END,
    format('a change of %s', NEW.slug));
  PERFORM midctl_mark(l);
  RETURN NEW;
END $$;

CREATE FUNCTION midctl_credential_gate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
  i machine_identity;
  l midctl_approval_line;
  ref text := 'mc_' || NEW."publicId";
BEGIN
  IF NOT EXISTS (SELECT FROM midctl_environment WHERE protected) THEN RETURN NEW; END IF;
  SELECT * INTO i FROM machine_identity WHERE id = NEW."machineIdentityId";
  IF TG_OP = 'INSERT' THEN
    l := midctl_line_of(ARRAY['credential.issue', 'credential.rotate', 'identity.adopt'], i."publicId", NEW."publicId");
    PERFORM midctl_gate(l.secret = midctl_commitment(NEW."tokenHash") AND i.slug = l.terms #>> '{identity,slug}' AND NEW.name = l.terms ->> 'name'
      AND NEW.scopes::jsonb = l.terms #> '{token,scopes}' AND midctl_instant(NEW."expiresAt") = l.terms #>> '{token,notAfter}'
      AND NEW."graceSeconds" = coalesce((l.terms ->> 'grace')::int, 0)
      AND (SELECT 'mc_' || r."publicId" FROM machine_identity_credential r WHERE r.id = NEW."replacesId") IS NOT DISTINCT FROM l.terms #>> '{replaces,id}'
      AND (NEW.adopted OR NEW."activationDeadline" <= midctl_now() + make_interval(secs => (l.terms ->> 'activateWithin')::float8 + 1)), 'issuing ' || ref);
    PERFORM midctl_mark(l);
  ELSIF NEW.status = OLD.status THEN
    l := midctl_line_of(ARRAY['environment.protect'], NULL, NEW."publicId");
    PERFORM midctl_gate(midctl_instant(NEW."expiresAt") = l.terms #>> '{token,notAfter}', 'ending ' || ref || ' sooner');
  ELSIF NEW.status = 'revoked' THEN
    -- With its identity; or by the host, which may always revoke a token.
    IF i.status = 'revoked' OR EXISTS (SELECT FROM agent_token t WHERE t."publicId" = NEW."publicId" AND t."revokedAt" IS NOT NULL) THEN RETURN NEW; END IF;
    l := midctl_line_of(ARRAY['credential.rotate'], i."publicId", NULL);
    IF l.terms -> 'revokes' ? ref THEN RETURN NEW; END IF;
    l := midctl_line_of(ARRAY['revoke'], NULL, NEW."publicId");
    PERFORM midctl_gate(OLD.version = (l.terms #>> '{credential,version}')::int, 'revoking ' || ref);
    PERFORM midctl_mark(l);
  ELSE
    l := midctl_line_of(ARRAY[CASE NEW.status WHEN 'paused' THEN 'pause' ELSE 'resume' END], NULL, NEW."publicId");
    PERFORM midctl_gate(OLD.version = (l.terms #>> '{credential,version}')::int, 'a change of ' || ref);
    PERFORM midctl_mark(l);
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION midctl_grant_gate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE l midctl_approval_line;
BEGIN
  IF NOT EXISTS (SELECT FROM midctl_environment WHERE protected) THEN RETURN NEW; END IF;
  l := midctl_line_of(ARRAY['environment.grant'], NULL, NULL);
  PERFORM midctl_gate(l.terms ->> 'role' = NEW.name, format('a change of what %s may do', NEW.name));
  PERFORM midctl_mark(l);
  RETURN NEW;
END $$;

-- Legacy tokens are the host's rows, which it ends as it likes. People end them here, by a line where that is needed.
CREATE FUNCTION midctl_revoke_legacy(token text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE l midctl_approval_line;
BEGIN
  IF EXISTS (SELECT FROM midctl_environment WHERE protected) THEN
    l := midctl_line_of(ARRAY['revoke'], NULL, token);
    PERFORM midctl_gate(l.line IS NOT NULL, 'revoking at_' || token);
  END IF;
  UPDATE agent_token SET "revokedAt" = midctl_now() WHERE "publicId" = token AND "machineIdentityId" IS NULL AND "revokedAt" IS NULL;
  IF FOUND AND l.line IS NOT NULL THEN PERFORM midctl_mark(l); END IF;
END $$;

-- Ends every legacy token in force that has no end, or a later one, at that moment; how many those were.
CREATE FUNCTION midctl_end_legacy(ends text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
  l midctl_approval_line;
  ended bigint;
BEGIN
  IF EXISTS (SELECT FROM midctl_environment WHERE protected) THEN
    l := midctl_line_of(ARRAY['token.sunset'], NULL, NULL);
    IF l.line IS NULL AND NOT EXISTS (SELECT FROM agent_token t WHERE t."machineIdentityId" IS NULL AND t."revokedAt" IS NULL
        AND coalesce(t."expiresAt" > ends::timestamptz AT TIME ZONE 'UTC', true)) THEN
      RETURN 0;
    END IF;
    PERFORM midctl_gate(l.terms ->> 'endsAt' = ends, 'a sunset');
  END IF;
  UPDATE agent_token t SET "expiresAt" = ends::timestamptz AT TIME ZONE 'UTC'
   WHERE t."machineIdentityId" IS NULL AND t."revokedAt" IS NULL AND coalesce(t."expiresAt" > ends::timestamptz AT TIME ZONE 'UTC', true);
  GET DIAGNOSTICS ended = ROW_COUNT;
  IF ended > 0 AND l.line IS NOT NULL THEN PERFORM midctl_mark(l); END IF;
  RETURN ended;
END $$;
REVOKE EXECUTE ON FUNCTION midctl_revoke_legacy(text) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION midctl_end_legacy(text) FROM PUBLIC;

-- Protection covers whatever is alive: a token that no plan names would be refused from then on.
CREATE FUNCTION midctl_environment_gate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
  at timestamp;
  left_out text;
BEGIN
  -- The locks wait for issuances under way.
  LOCK TABLE machine_identity_credential, agent_token IN SHARE ROW EXCLUSIVE MODE;
  at := midctl_now();
  SELECT 'mc_' || c."publicId" INTO left_out FROM machine_identity_credential c
   WHERE midctl_is_live(c, at) AND NOT EXISTS (
     SELECT FROM midctl_approval_line l WHERE l.transaction = pg_current_xact_id() AND l.credential = c."publicId" AND l."do" = 'environment.protect'
        AND midctl_is_now(l) AND l.secret = midctl_commitment(c."tokenHash")) LIMIT 1;
  IF left_out IS NULL THEN
    SELECT 'at_' || t."publicId" INTO left_out FROM agent_token t
     WHERE t."machineIdentityId" IS NULL AND t."revokedAt" IS NULL AND coalesce(t."expiresAt" > at, true)
       AND NOT EXISTS (
       SELECT FROM midctl_approval_line l WHERE l.transaction = pg_current_xact_id() AND l.credential = t."publicId" AND l."do" = 'environment.protect'
          AND midctl_is_now(l) AND l.secret = midctl_commitment(t."tokenHash")) LIMIT 1;
  END IF;
  IF left_out IS NOT NULL THEN
    PERFORM midctl_refuse('MC005', format('%s is alive, and no approved plan covers it; the environment was not protected', left_out), 'midctl db protect requests one');
  END IF;
  UPDATE midctl_approval_line l SET used = true
   WHERE l.transaction = pg_current_xact_id() AND l."do" = 'environment.protect' AND midctl_is_now(l) AND NOT used;
  RETURN NEW;
END $$;

-- As in 0003; an entry names the approval whose line its transaction used up.
CREATE OR REPLACE FUNCTION midctl_log_append() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET enable_seqscan TO off
AS $$
DECLARE
  queued bigint;
  base bigint;
  half text;
  leave text;
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
               'reason', q.context::jsonb -> 'reason', 'approval', CASE WHEN q.action LIKE 'approval.%' THEN q.context::jsonb -> 'approval' ELSE to_jsonb(leave) END, 'details', q.details)::text AS entry
        FROM (SELECT *, base + row_number() OVER (ORDER BY id) - 1 AS at_index FROM mine) q
    ) e
   ORDER BY e.at_index;
  RETURN NULL;
END $$;

-- What needs no verifier to let go of anything: as in 0005, and all that only concerns approvals.
CREATE OR REPLACE FUNCTION midctl_log_told() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
  ids text[];
  upto bigint;
BEGIN
  SELECT array_agg(DISTINCT coalesce(n.credential, n.identity, n.entry::jsonb ->> 'token', '*')), max(n."index") + 1 INTO ids, upto
    FROM new_rows n
   WHERE n.action NOT LIKE 'approval.%'
     AND n.action NOT IN ('identity.create', 'identity.adopt', 'credential.issue', 'credential.adopt', 'credential.activate', 'credential.abandon',
                          'environment.create', 'environment.init', 'environment.grant', 'environment.protect', 'workspace.delete');
  IF upto IS NULL THEN RETURN NULL; END IF;
  UPDATE midctl_log_head SET told = upto WHERE "only";
  PERFORM midctl_tell(upto, CASE WHEN '*' = ANY(ids) THEN ARRAY['*'] ELSE ids END);
  RETURN NULL;
END $$;

-- Triggers ---------------------------------------------------------------------------------------------------------------

CREATE TRIGGER midctl_10_fixed BEFORE UPDATE ON midctl_plan FOR EACH ROW EXECUTE FUNCTION midctl_fixed();
CREATE TRIGGER midctl_90_keep BEFORE DELETE ON midctl_plan FOR EACH ROW EXECUTE FUNCTION midctl_keep();
CREATE TRIGGER midctl_90_keep_all BEFORE TRUNCATE ON midctl_plan FOR EACH STATEMENT EXECUTE FUNCTION midctl_keep();
CREATE TRIGGER midctl_10_birth BEFORE INSERT ON midctl_approval FOR EACH ROW EXECUTE FUNCTION midctl_approval_birth();
CREATE TRIGGER midctl_20_born AFTER INSERT ON midctl_approval FOR EACH ROW EXECUTE FUNCTION midctl_approval_born();
CREATE TRIGGER midctl_10_change BEFORE UPDATE ON midctl_approval FOR EACH ROW EXECUTE FUNCTION midctl_approval_change();
CREATE TRIGGER midctl_90_keep BEFORE DELETE ON midctl_approval FOR EACH ROW EXECUTE FUNCTION midctl_keep();
CREATE TRIGGER midctl_90_keep_all BEFORE TRUNCATE ON midctl_approval FOR EACH STATEMENT EXECUTE FUNCTION midctl_keep();
CREATE TRIGGER midctl_10_guard BEFORE INSERT OR UPDATE ON midctl_approval_line FOR EACH ROW EXECUTE FUNCTION midctl_approval_line_guard();
CREATE TRIGGER midctl_20_ended AFTER UPDATE ON midctl_approval_line REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION midctl_approval_lines_ended();
CREATE CONSTRAINT TRIGGER midctl_30_used AFTER UPDATE ON midctl_approval_line DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (NEW.outcome = 'done' AND OLD.outcome IS NULL) EXECUTE FUNCTION midctl_approval_line_used();
CREATE TRIGGER midctl_90_keep BEFORE DELETE ON midctl_approval_line FOR EACH ROW EXECUTE FUNCTION midctl_keep();
CREATE TRIGGER midctl_90_keep_all BEFORE TRUNCATE ON midctl_approval_line FOR EACH STATEMENT EXECUTE FUNCTION midctl_keep();
CREATE TRIGGER midctl_10_birth BEFORE INSERT ON midctl_approval_vote FOR EACH ROW EXECUTE FUNCTION midctl_vote_birth();
CREATE TRIGGER midctl_20_born AFTER INSERT ON midctl_approval_vote FOR EACH ROW EXECUTE FUNCTION midctl_vote_born();
CREATE TRIGGER midctl_10_fixed BEFORE UPDATE ON midctl_approval_vote FOR EACH ROW EXECUTE FUNCTION midctl_fixed();
CREATE TRIGGER midctl_90_keep BEFORE DELETE ON midctl_approval_vote FOR EACH ROW EXECUTE FUNCTION midctl_keep();
CREATE TRIGGER midctl_90_keep_all BEFORE TRUNCATE ON midctl_approval_vote FOR EACH STATEMENT EXECUTE FUNCTION midctl_keep();

-- After the rules of 0002, which raise the version of what control changes.
CREATE TRIGGER midctl_15_gate_new BEFORE INSERT ON machine_identity FOR EACH ROW EXECUTE FUNCTION midctl_identity_gate();
CREATE TRIGGER midctl_15_gate BEFORE UPDATE ON machine_identity FOR EACH ROW
  WHEN (NEW.version <> OLD.version) EXECUTE FUNCTION midctl_identity_gate();
CREATE TRIGGER midctl_15_gate_new BEFORE INSERT ON machine_identity_credential FOR EACH ROW EXECUTE FUNCTION midctl_credential_gate();
CREATE TRIGGER midctl_15_gate BEFORE UPDATE ON machine_identity_credential FOR EACH ROW
  WHEN (NEW.version <> OLD.version) EXECUTE FUNCTION midctl_credential_gate();
CREATE TRIGGER midctl_15_gate_new BEFORE INSERT ON midctl_grant FOR EACH ROW EXECUTE FUNCTION midctl_grant_gate();
CREATE TRIGGER midctl_15_gate BEFORE UPDATE ON midctl_grant FOR EACH ROW
  WHEN (NEW.roles IS DISTINCT FROM OLD.roles) EXECUTE FUNCTION midctl_grant_gate();
CREATE TRIGGER midctl_15_gate BEFORE UPDATE ON midctl_environment FOR EACH ROW
  WHEN (NEW.protected AND NOT OLD.protected) EXECUTE FUNCTION midctl_environment_gate();

DO $$
DECLARE
  here oid := quote_ident(current_schema())::regnamespace;
  t record;
BEGIN
  FOR t IN SELECT g.tgrelid::regclass AS tab, g.tgname FROM pg_trigger g JOIN pg_class r ON r.oid = g.tgrelid
            WHERE r.relnamespace = here AND NOT g.tgisinternal AND (r.relname LIKE 'midctl\_approval%' OR r.relname = 'midctl_plan' OR g.tgname LIKE 'midctl\_15\_gate%') LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.tab, t.tgname);
  END LOOP;
  FOR t IN SELECT p.oid::regprocedure AS func FROM pg_proc p
            WHERE p.pronamespace = here AND (p.proname LIKE 'midctl\_approval%' OR p.proname LIKE 'midctl\_vote%' OR p.proname = 'midctl_fixed' OR p.proname LIKE 'midctl\_%\_gate')
              AND p.prorettype = 'trigger'::regtype LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', t.func);
  END LOOP;
END $$;
