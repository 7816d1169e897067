-- Approvals, held closer to what people read and sign. Functions of 0010 and one of its triggers' are replaced whole; what differs
-- is said above each.

-- Whether this very transaction has done that to an identity: what waits for the log is of nobody else.
CREATE FUNCTION midctl_has_done(what text, on_identity text) RETURNS boolean LANGUAGE sql STABLE SET search_path FROM CURRENT
AS $$ SELECT EXISTS (SELECT FROM midctl_log_queue q WHERE q.action = what AND q.identity = on_identity) $$;

-- Whether an identity is as it was when a plan was made; or paused since by the clock, in this very transaction.
CREATE FUNCTION midctl_is_version(i machine_identity, planned integer) RETURNS boolean LANGUAGE sql STABLE SET search_path FROM CURRENT
AS $$ SELECT i.version = planned OR (i.version = planned + 1 AND i.status = 'paused' AND midctl_has_done('identity.pause', i."publicId")) $$;

-- New: which of identity and credential a line names, and that only what issues or covers names a token.
CREATE OR REPLACE FUNCTION midctl_approval_born() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
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
  -- One line is about one thing: what people read of an identity would else be done to a credential of another.
  IF EXISTS (SELECT FROM midctl_approval_line l WHERE l."approvalId" = NEW.id
               AND (CASE WHEN l."do" IN ('pause', 'resume', 'revoke') THEN (l.terms -> 'identity' = 'null') <> (l.terms -> 'credential' = 'null')
                         WHEN l."do" IN ('credential.issue', 'credential.rotate', 'identity.adopt') THEN l.identity IS NOT NULL AND l.credential IS NOT NULL
                         ELSE true END) IS NOT TRUE) THEN
    PERFORM midctl_refuse('MC003', 'a line names an identity or a credential, where it needs one, and never one of each to halt or end; nothing was requested');
  END IF;
  -- As people read it: what says at_ is a legacy token.
  IF EXISTS (SELECT FROM midctl_approval_line l WHERE l."approvalId" = NEW.id
               AND CASE WHEN l."do" IN ('credential.issue', 'credential.rotate') THEN l.terms #>> '{credential,id}' NOT LIKE 'mc\_%'
                        WHEN l."do" IN ('pause', 'resume', 'revoke') AND l.credential IS NOT NULL THEN (l.terms #>> '{credential,id}' LIKE 'mc\_%') <>
                          EXISTS (SELECT FROM machine_identity_credential c WHERE c."publicId" = l.credential)
                        ELSE false END) THEN
    PERFORM midctl_refuse('MC003', 'a line calls a credential a legacy token, or the other way round; nothing was requested');
  END IF;
  -- Verifiers look for plans by the token that a line issues or covers, and look at no others.
  IF EXISTS (SELECT FROM midctl_approval_line l WHERE l."approvalId" = NEW.id AND coalesce(l.terms -> 'token', 'null') <> 'null'
               AND l."do" NOT IN ('credential.issue', 'credential.rotate', 'identity.adopt', 'environment.protect')) THEN
    PERFORM midctl_refuse('MC003', 'a line that issues and covers nothing names a token; nothing was requested');
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

-- New: a status is what votes and lines make it, by whatever trigger of anybody's the update comes.
CREATE OR REPLACE FUNCTION midctl_approval_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
  ref text := 'ap_' || OLD."publicId";
  agreed boolean;
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
  agreed := OLD.quorum <= (SELECT count(DISTINCT v.principal) FROM midctl_approval_vote v WHERE v."approvalId" = OLD.id AND v.kind = 'approval');
  IF NOT (CASE NEW.status
      WHEN 'cancelled' THEN true
      WHEN 'approved' THEN agreed AND NOT OLD."breakGlass"
      WHEN 'countersigned' THEN agreed AND OLD."breakGlass"
      WHEN 'rejected' THEN EXISTS (SELECT FROM midctl_approval_vote v WHERE v."approvalId" = OLD.id AND v.kind = 'rejection')
      WHEN 'executed' THEN NOT OLD."breakGlass" AND NOT EXISTS (SELECT FROM midctl_approval_line l WHERE l."approvalId" = OLD.id AND l.outcome IS NULL)
        AND EXISTS (SELECT FROM midctl_approval_line l WHERE l."approvalId" = OLD.id AND l.outcome = 'done')
      WHEN 'superseded' THEN NOT OLD."breakGlass" AND NOT EXISTS (SELECT FROM midctl_approval_line l WHERE l."approvalId" = OLD.id AND l.outcome IS DISTINCT FROM 'superseded')
      ELSE false END) THEN
    PERFORM midctl_refuse('MC003', format('%s is not %s by its votes and lines; nothing was changed', ref, NEW.status));
  END IF;
  IF NEW.status <> 'approved' THEN NEW."endedAt" := midctl_now(); END IF;
  IF NEW.status = 'cancelled' THEN
    INSERT INTO midctl_log_queue (first, at, context, action, details)
    VALUES (true, midctl_now(), midctl_context(), 'approval.cancel', jsonb_build_object('approval', ref, 'digest', OLD.digest, 'from', OLD.status));
  END IF;
  RETURN NEW;
END $$;

-- New: a request is signed once, and made-up countersignatures keep no real one out.
CREATE OR REPLACE FUNCTION midctl_vote_birth() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
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
  -- Verifiers look at every signature under a plan: nobody makes them look at more. At break-glass they never look.
  IF NOT a."breakGlass" AND (SELECT count(*) FROM midctl_approval_vote v WHERE v."approvalId" = a.id) >= 64 THEN
    PERFORM midctl_refuse('MC002', format('%s has 64 votes, and takes no more; the vote was not taken', ref), 'find out who cast them; request it anew');
  END IF;
  CASE NEW.kind
    WHEN 'request' THEN
      IF NEW.principal <> a.requester OR a.status <> 'open' THEN
        PERFORM midctl_refuse('MC003', format('%s is requested by %s; the signature was not taken', ref, a.requester));
      END IF;
      IF EXISTS (SELECT FROM midctl_approval_vote v WHERE v."approvalId" = a.id AND v.kind = 'request') THEN
        PERFORM midctl_refuse('MC002', format('%s is signed by its requester already; the signature was not taken', ref));
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

-- New: one approval to a transaction, so that an entry of the log names the one that its change was made by.
CREATE OR REPLACE FUNCTION midctl_approval_line_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
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
  IF NEW.outcome = 'done' AND EXISTS (SELECT FROM midctl_approval_line l WHERE l.transaction = pg_current_xact_id() AND l."approvalId" <> OLD."approvalId" AND midctl_is_now(l)) THEN
    PERFORM midctl_refuse('MC003', format('ap_%s and another approval cannot be carried out in one transaction: the log names one; nothing was changed', a."publicId"));
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

-- New: a rotation after a leak is done when nothing is alive of what it says it revokes.
CREATE OR REPLACE FUNCTION midctl_approval_line_used() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE alive text;
BEGIN
  IF NOT (SELECT l.used FROM midctl_approval_line l WHERE l."approvalId" = NEW."approvalId" AND l.line = NEW.line) THEN
    PERFORM midctl_refuse('MC004', format('nothing of what line %s says was done, as it is so already; it was not used up', NEW.line));
  END IF;
  IF NEW."do" = 'credential.rotate' THEN
    SELECT r.ref INTO alive FROM jsonb_array_elements_text(NEW.terms -> 'revokes') r(ref)
     WHERE EXISTS (SELECT FROM machine_identity_credential c WHERE c."publicId" = substr(r.ref, 4) AND midctl_is_live(c, midctl_now())) LIMIT 1;
    IF FOUND THEN
      PERFORM midctl_refuse('MC004', format('line %s revokes %s too, which was not done; it was not used up', NEW.line, alive));
    END IF;
  END IF;
  RETURN NULL;
END $$;

-- New: no change between plan and line but what the clock brought first, in this very transaction.
CREATE OR REPLACE FUNCTION midctl_identity_gate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
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
  PERFORM midctl_gate(l.line IS NOT NULL AND midctl_is_version(OLD, (l.terms #>> '{identity,version}')::int)
    AND CASE does WHEN 'identity.update' THEN midctl_is_updated(OLD, NEW, l.terms)
        ELSE (NEW."displayName", NEW.owner, NEW.labels, NEW."expiresAt", NEW."idleTtl") IS NOT DISTINCT FROM (OLD."displayName", OLD.owner, OLD.labels, OLD."expiresAt", OLD."idleTtl") END,
    format('a change of %s', NEW.slug));
  PERFORM midctl_mark(l);
  RETURN NEW;
END $$;

-- New: identity and predecessor as they were when the plan was made, or made by this very line; the pending one that gives way is
-- the one that the line names; and what is adopted is adopted by a line that says so.
CREATE OR REPLACE FUNCTION midctl_credential_gate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
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
      AND (NEW."replacesId" IS NULL OR (SELECT r.version - CASE WHEN l.terms -> 'revokes' ? ('mc_' || r."publicId") THEN 1 ELSE 0 END
             FROM machine_identity_credential r WHERE r.id = NEW."replacesId") = (l.terms #>> '{replaces,version}')::int)
      AND NOT EXISTS (SELECT FROM machine_identity_credential p WHERE p."machineIdentityId" = NEW."machineIdentityId" AND p.name = NEW.name
             AND p."replacedBy" = NEW."publicId" AND 'mc_' || p."publicId" IS DISTINCT FROM l.terms ->> 'replacesPending')
      AND CASE WHEN jsonb_typeof(l.terms -> 'create') = 'object' THEN midctl_has_done('identity.create', i."publicId")
               ELSE midctl_is_version(i, (l.terms #>> '{identity,version}')::int) END
      AND NEW.adopted = (l."do" = 'identity.adopt')
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

-- Whether a line that this transaction has carried out is about that; one that is about no identity and no token is about all.
CREATE FUNCTION midctl_by_leave(on_identity text, on_credential text, on_token text) RETURNS boolean LANGUAGE sql STABLE SET search_path FROM CURRENT
AS $$
  SELECT num_nonnulls(on_identity, on_credential, on_token) = 0
      OR EXISTS (SELECT FROM midctl_approval_line l WHERE l.transaction = pg_current_xact_id() AND l.credential IN (on_credential, on_token) AND midctl_is_now(l))
      OR EXISTS (SELECT FROM midctl_approval_line l WHERE l.transaction = pg_current_xact_id() AND midctl_is_now(l)
                    AND (l.identity = on_identity AND (on_credential IS NULL AND l.credential IS NULL
                           OR l."do" IN ('revoke', 'credential.issue', 'credential.rotate', 'identity.adopt'))
                         OR num_nonnulls(l.identity, l.credential) = 0))
$$;

-- New: an entry names the approval where its line is about what changed, and else none.
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
               'reason', q.context::jsonb -> 'reason', 'approval', CASE WHEN q.action LIKE 'approval.%' THEN q.context::jsonb -> 'approval'
                                                            WHEN midctl_by_leave(q.identity, q.credential, q.token) THEN to_jsonb(leave) END, 'details', q.details)::text AS entry
        FROM (SELECT *, base + row_number() OVER (ORDER BY id) - 1 AS at_index FROM mine) q
    ) e
   ORDER BY e.at_index;
  RETURN NULL;
END $$;
