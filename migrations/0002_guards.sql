-- The state rules of SPEC §3, for every writer. Four error codes, each with what did not happen:
--   MC001 illegal transition · MC002 conflict with what is there · MC003 forbidden change · MC004 refused by state
-- Every trigger is ENABLE ALWAYS (end of 0003), so session_replication_role does not pass it. Decisions are made
-- from data, never from who asks: a nested statement of ours and a hand-written one obey the same clause. Every
-- trigger function runs as its owner and with the schema's own search_path, pg_temp last: no row security, missing
-- right or shadowing table makes it see anything but the truth.

CREATE FUNCTION midctl_now() RETURNS timestamp LANGUAGE sql VOLATILE
AS $$ SELECT date_trunc('milliseconds', clock_timestamp() AT TIME ZONE 'UTC') $$;
COMMENT ON FUNCTION midctl_now() IS 'The wall clock in UTC, to the millisecond; now() is stale after a lock wait';

CREATE FUNCTION midctl_refuse(code text, what text, hint text DEFAULT '', detail text DEFAULT '') RETURNS void LANGUAGE plpgsql
AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = code, MESSAGE = what, HINT = hint, DETAIL = detail; END $$;

-- Effective status ------------------------------------------------------------------------------------------------

CREATE FUNCTION midctl_is_idle(i machine_identity, at timestamp) RETURNS boolean LANGUAGE sql IMMUTABLE
AS $$ SELECT i."idleTtl" IS NOT NULL
         AND at >= GREATEST(i."createdAt", i."lastUsedAt", i."resumedAt") + make_interval(secs => i."idleTtl") $$;

-- What an identity amounts to at a moment: revoked, identity_revoked (an ancestor), expired (itself or an ancestor),
-- paused (itself, or idle), identity_paused (an ancestor), active. NULL where there is no such identity.
CREATE FUNCTION midctl_identity_state(identity bigint, at timestamp) RETURNS text LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
  i machine_identity;
  own text;
  expired boolean := false;
  above_paused boolean := false;
BEGIN
  SELECT * INTO i FROM machine_identity WHERE id = identity;
  IF NOT FOUND THEN RETURN NULL; END IF;
  IF i.status = 'revoked' THEN RETURN 'revoked'; END IF;
  own := CASE WHEN i.status = 'paused' OR midctl_is_idle(i, at) THEN 'paused' ELSE 'active' END;
  expired := coalesce(i."expiresAt" <= at, false);
  WHILE i."parentId" IS NOT NULL LOOP
    SELECT * INTO i FROM machine_identity WHERE id = i."parentId";
    IF NOT FOUND OR i.status = 'revoked' THEN RETURN 'identity_revoked'; END IF;
    expired := expired OR coalesce(i."expiresAt" <= at, false);
    above_paused := above_paused OR i.status = 'paused';
  END LOOP;
  IF expired THEN RETURN 'expired'; END IF;
  IF own = 'paused' THEN RETURN 'paused'; END IF;
  IF above_paused THEN RETURN 'identity_paused'; END IF;
  RETURN 'active';
END $$;

-- What a credential amounts to at a moment, strictest first. Given by column, so that whoever may not read hashes may ask.
CREATE FUNCTION midctl_credential_state(identity bigint, status text, deadline timestamp, ends timestamp, grace timestamp, at timestamp)
RETURNS text LANGUAGE plpgsql STABLE SET search_path FROM CURRENT
AS $$
DECLARE
  above text := midctl_identity_state(identity, at);
BEGIN
  IF above IS NULL OR above IN ('revoked', 'identity_revoked') THEN RETURN 'identity_revoked'; END IF;
  IF status = 'revoked' THEN RETURN 'revoked'; END IF;
  IF status = 'abandoned' OR (status = 'pending' AND deadline <= at) THEN RETURN 'abandoned'; END IF;
  IF above = 'expired' OR ends <= at THEN RETURN 'expired'; END IF;
  IF status = 'superseded' AND coalesce(grace <= at, true) THEN RETURN 'superseded'; END IF;
  IF above IN ('paused', 'identity_paused') THEN RETURN 'identity_paused'; END IF;
  IF status = 'superseded' THEN RETURN 'grace'; END IF;
  RETURN status;
END $$;

-- When an identity's line ends: the soonest end of itself and its ancestors; NULL for never.
CREATE FUNCTION midctl_identity_end(identity bigint) RETURNS timestamp LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
  WITH RECURSIVE line AS (
    SELECT "parentId", "expiresAt" FROM machine_identity WHERE id = identity
    UNION ALL
    SELECT p."parentId", p."expiresAt" FROM line JOIN machine_identity p ON p.id = line."parentId"
  )
  SELECT min("expiresAt") FROM line
$$;

CREATE FUNCTION midctl_is_current(c machine_identity_credential, at timestamp) RETURNS boolean LANGUAGE sql IMMUTABLE
AS $$ SELECT c.status IN ('active', 'paused') AND coalesce(c."expiresAt" > at, true) $$;

-- Live: pending, current, or in grace.
CREATE FUNCTION midctl_lives(status text, deadline timestamp, ends timestamp, grace timestamp, at timestamp) RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$ SELECT coalesce(ends > at, true) AND (
        status IN ('active', 'paused')
     OR (status = 'pending' AND deadline > at)
     OR (status = 'superseded' AND grace > at)) $$;

CREATE FUNCTION midctl_is_live(c machine_identity_credential, at timestamp) RETURNS boolean LANGUAGE sql IMMUTABLE
AS $$ SELECT midctl_lives(c.status, c."activationDeadline", c."expiresAt", c."graceUntil", at) $$;

-- An end of life as it is kept: to the millisecond, as midctl_now() and the program count. 'infinity' is no end.
CREATE FUNCTION midctl_end(wanted timestamp) RETURNS timestamp LANGUAGE plpgsql IMMUTABLE SET search_path FROM CURRENT
AS $$ BEGIN
  IF NOT isfinite(wanted) THEN
    PERFORM midctl_refuse('MC003', 'an end is a moment in time; nothing was changed', 'leave it null for no end');
  END IF;
  RETURN date_trunc('milliseconds', wanted);
END $$;

-- A host's table of workspaces, by a name that means nothing else: what is not there would be looked for in pg_temp too, where
-- whoever is connected makes what he likes. NULL where there is none.
CREATE FUNCTION midctl_workspaces() RETURNS text LANGUAGE sql STABLE SET search_path FROM CURRENT
AS $$ SELECT format('%I.workspace', current_schema()) WHERE to_regclass(format('%I.workspace', current_schema())) IS NOT NULL $$;

-- True once the workspace row is gone, as it is while the host's cascade runs. Without such a table: never. A workspace
-- that is there stays until the end of the transaction, as under a foreign key.
CREATE FUNCTION midctl_workspace_gone(workspace bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE here boolean;
BEGIN
  IF workspace IS NULL OR midctl_workspaces() IS NULL THEN RETURN false; END IF;
  EXECUTE format('SELECT true FROM %s WHERE id = $1 FOR KEY SHARE', midctl_workspaces()) INTO here USING workspace;
  RETURN here IS NULL;
END $$;

-- Nothing of ours is deleted or truncated ---------------------------------------------------------------------------

CREATE FUNCTION midctl_keep() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN
  PERFORM midctl_refuse('MC003', format('rows of %s are never deleted or truncated; nothing was changed', TG_TABLE_NAME),
    'revoke what must not act any more');
  RETURN NULL;
END $$;

-- Machine identity --------------------------------------------------------------------------------------------------

CREATE FUNCTION midctl_identity_birth() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
DECLARE
  at timestamp := midctl_now();
  parent text;
BEGIN
  IF NEW.status <> 'active' OR NEW."pausedAt" IS NOT NULL OR NEW."resumedAt" IS NOT NULL
     OR NEW."revokedAt" IS NOT NULL OR NEW."lastUsedAt" IS NOT NULL THEN
    PERFORM midctl_refuse('MC001', 'a machine identity is born active, without a past; it was not created');
  END IF;
  NEW."createdAt" := at;
  NEW."expiresAt" := midctl_end(NEW."expiresAt");
  NEW.version := 1;
  IF NEW."expiresAt" <= at THEN
    PERFORM midctl_refuse('MC003', 'the end of a machine identity must lie in the future; it was not created');
  END IF;
  IF NEW."idleTtl" > 3155760000 THEN
    PERFORM midctl_refuse('MC003', 'an idle life is at most a hundred years; the machine identity was not created');
  END IF;
  IF jsonb_path_exists(NEW.labels, '$.* ? (@.type() <> "string")') THEN
    PERFORM midctl_refuse('MC003', 'labels are text; the machine identity was not created');
  END IF;
  IF midctl_workspace_gone(NEW."workspaceId") THEN
    PERFORM midctl_refuse('MC003', 'there is no such workspace; the machine identity was not created');
  END IF;
  IF NEW."parentId" IS NOT NULL THEN
    parent := midctl_identity_state(NEW."parentId", at);
    IF parent IS NULL THEN
      PERFORM midctl_refuse('MC003', 'a parent must exist before its child; the machine identity was not created');
    ELSIF parent IN ('revoked', 'identity_revoked', 'expired') THEN
      PERFORM midctl_refuse('MC004', 'the parent has ended; the machine identity was not created');
    END IF;
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION midctl_identity_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
DECLARE
  at timestamp := midctl_now();
  orphaned boolean := NEW.status = 'revoked' AND NEW."workspaceId" IS NULL AND midctl_workspace_gone(OLD."workspaceId");
BEGIN
  IF NEW."expiresAt" IS DISTINCT FROM OLD."expiresAt" THEN NEW."expiresAt" := midctl_end(NEW."expiresAt"); END IF;
  IF (NEW.id, NEW."publicId", NEW.slug, NEW.kind, NEW.provider, NEW."threadId", NEW."parentId", NEW."createdAt", NEW."registeredBy")
     IS DISTINCT FROM
     (OLD.id, OLD."publicId", OLD.slug, OLD.kind, OLD.provider, OLD."threadId", OLD."parentId", OLD."createdAt", OLD."registeredBy") THEN
    PERFORM midctl_refuse('MC003', format('slug, kind, thread, parent, birth and ids of %s never change; nothing was changed', OLD.slug));
  END IF;
  IF NEW."workspaceId" IS DISTINCT FROM OLD."workspaceId" AND NOT orphaned THEN
    PERFORM midctl_refuse('MC003', format('the workspace of %s never changes; nothing was changed', OLD.slug));
  END IF;
  IF OLD.status = 'revoked' AND (NEW.status, NEW."displayName", NEW.owner, NEW.labels, NEW."expiresAt", NEW."idleTtl", NEW."lastUsedAt")
     IS DISTINCT FROM (OLD.status, OLD."displayName", OLD.owner, OLD.labels, OLD."expiresAt", OLD."idleTtl", OLD."lastUsedAt") THEN
    PERFORM midctl_refuse('MC001', format('%s is revoked, which is final; nothing was changed', OLD.slug), 'create a new identity');
  END IF;
  IF (NEW."pausedAt", NEW."resumedAt", NEW."revokedAt", NEW.version)
     IS DISTINCT FROM (OLD."pausedAt", OLD."resumedAt", OLD."revokedAt", OLD.version) THEN
    PERFORM midctl_refuse('MC003', format('timestamps and version of %s follow its status and are never written; nothing was changed', OLD.slug),
      'set status alone');
  END IF;
  IF NEW."lastUsedAt" IS DISTINCT FROM OLD."lastUsedAt"
     AND (NEW."lastUsedAt" IS NULL OR NEW."lastUsedAt" < OLD."lastUsedAt" OR NEW."lastUsedAt" > at + interval '1 minute') THEN
    PERFORM midctl_refuse('MC003', format('the last use of %s only moves forward, and not into the future; nothing was changed', OLD.slug));
  END IF;
  IF NEW."expiresAt" IS DISTINCT FROM OLD."expiresAt" AND (NEW."expiresAt" IS NULL OR NEW."expiresAt" > OLD."expiresAt") THEN
    PERFORM midctl_refuse('MC003', format('the life of %s only shrinks; nothing was changed', OLD.slug));
  END IF;
  IF NEW."idleTtl" IS DISTINCT FROM OLD."idleTtl"
     AND (NEW."idleTtl" IS NULL OR NEW."idleTtl" > coalesce(OLD."idleTtl", 3155760000)) THEN
    PERFORM midctl_refuse('MC003', format('the idle life of %s only shrinks; nothing was changed', OLD.slug));
  END IF;
  IF NEW.labels IS DISTINCT FROM OLD.labels AND jsonb_path_exists(NEW.labels, '$.* ? (@.type() <> "string")') THEN
    PERFORM midctl_refuse('MC003', format('labels are text; nothing of %s was changed', OLD.slug));
  END IF;

  IF NEW.status <> OLD.status THEN
    CASE NEW.status
      WHEN 'paused' THEN NEW."pausedAt" := at;
      WHEN 'active' THEN NEW."pausedAt" := NULL; NEW."resumedAt" := at;
      WHEN 'revoked' THEN NEW."revokedAt" := at;
      ELSE NULL; -- the CHECK names it
    END CASE;
  END IF;
  IF (NEW.status, NEW."displayName", NEW.owner, NEW.labels, NEW."expiresAt", NEW."idleTtl", NEW."workspaceId")
     IS DISTINCT FROM (OLD.status, OLD."displayName", OLD.owner, OLD.labels, OLD."expiresAt", OLD."idleTtl", OLD."workspaceId") THEN
    NEW.version := OLD.version + 1;
  END IF;
  RETURN NEW;
END $$;

-- Revoking an identity revokes each live credential; a pending one whose deadline has passed is stored as abandoned.
CREATE FUNCTION midctl_identity_revoked() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
DECLARE at timestamp := midctl_now();
BEGIN
  UPDATE machine_identity_credential SET status = 'abandoned'
   WHERE "machineIdentityId" = NEW.id AND status = 'pending' AND "activationDeadline" <= at;
  UPDATE machine_identity_credential c SET status = 'revoked'
   WHERE "machineIdentityId" = NEW.id AND midctl_is_live(c, at);
  RETURN NULL;
END $$;

CREATE FUNCTION midctl_identity_labels() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    DELETE FROM midctl_identity_label WHERE "machineIdentityId" = NEW.id;
  END IF;
  INSERT INTO midctl_identity_label (key, value, slug, "machineIdentityId")
  SELECT key, value, NEW.slug, NEW.id FROM jsonb_each_text(NEW.labels);
  RETURN NULL;
END $$;

-- The label rows follow the labels column and nothing else.
CREATE FUNCTION midctl_label_row() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN
  IF pg_trigger_depth() < 2 THEN
    PERFORM midctl_refuse('MC003', 'label rows follow machine_identity.labels and are never written; nothing was changed');
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;

-- Credential --------------------------------------------------------------------------------------------------------

CREATE FUNCTION midctl_credential_birth() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
DECLARE
  at timestamp;
  identity machine_identity;
  above text;
  holder machine_identity_credential;
  other machine_identity_credential;
BEGIN
  -- Taking turns per identity is what makes "at most one" true.
  SELECT * INTO identity FROM machine_identity WHERE id = NEW."machineIdentityId" FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    PERFORM midctl_refuse('MC003', 'a credential belongs to a machine identity that exists; it was not issued');
  END IF;
  at := midctl_now();
  NEW."issuedAt" := at;
  NEW."expiresAt" := midctl_end(NEW."expiresAt");
  NEW."activationDeadline" := midctl_end(NEW."activationDeadline");
  NEW.version := 1;
  IF NEW.status <> (CASE WHEN NEW.adopted THEN 'active' ELSE 'pending' END) THEN
    PERFORM midctl_refuse('MC001', 'a credential is born pending, an adopted one active; it was not issued');
  END IF;
  IF num_nonnulls(NEW."supersededAt", NEW."graceUntil", NEW."pausedAt", NEW."resumedAt", NEW."revokedAt", NEW."abandonedAt",
                  NEW."activatedAt", NEW."replacedBy") > 0 THEN
    PERFORM midctl_refuse('MC003', 'a credential is born without a past; it was not issued');
  END IF;
  IF NEW."expiresAt" <= at OR NEW."activationDeadline" <= at THEN
    PERFORM midctl_refuse('MC003', 'end and activation deadline of a credential must lie in the future; it was not issued');
  END IF;
  IF NEW."expiresAt" IS NULL AND EXISTS (SELECT FROM midctl_environment WHERE protected) AND NOT NEW.adopted THEN
    PERFORM midctl_refuse('MC003', 'in a protected environment every credential has an end; it was not issued', 'give --expires');
  END IF;
  above := midctl_identity_state(identity.id, at);
  IF above IN ('revoked', 'identity_revoked') THEN
    PERFORM midctl_refuse('MC004', format('%s or an ancestor of it is revoked; no credential was issued', identity.slug));
  ELSIF above = 'expired' THEN
    PERFORM midctl_refuse('MC004', format('%s or an ancestor of it has expired; no credential was issued', identity.slug));
  END IF;

  -- A pending one that has expired stays as it is, and is in nobody's way.
  UPDATE machine_identity_credential SET status = 'abandoned'
   WHERE "machineIdentityId" = identity.id AND name = NEW.name AND status = 'pending' AND "activationDeadline" <= at;
  SELECT c.* INTO other FROM machine_identity_credential c
   WHERE c."machineIdentityId" = identity.id AND c.name = NEW.name AND c.status = 'pending' AND midctl_is_live(c, at);
  IF FOUND THEN
    PERFORM midctl_refuse('MC002', format('%s already has a pending credential mc_%s named %s; no credential was issued', identity.slug, other."publicId", NEW.name),
      'use it, or give --replace-pending', json_build_object('pending', 'mc_' || other."publicId")::text);
  END IF;

  SELECT c.* INTO holder FROM machine_identity_credential c
   WHERE c."machineIdentityId" = identity.id AND c.name = NEW.name AND midctl_is_current(c, at);
  IF holder.id IS NOT NULL THEN
    IF NEW."replacesId" IS NULL OR NEW.adopted THEN
      PERFORM midctl_refuse('MC002', format('%s already has the current credential mc_%s named %s; no credential was issued', identity.slug, holder."publicId", NEW.name),
        'rotate it instead', json_build_object('current', 'mc_' || holder."publicId")::text);
    ELSIF NEW."replacesId" <> holder.id THEN
      PERFORM midctl_refuse('MC002', format('mc_%s is the current credential of %s by now; no credential was issued', holder."publicId", identity.slug),
        'look again and rotate that one', json_build_object('current', 'mc_' || holder."publicId")::text);
    END IF;
  ELSIF NEW."replacesId" IS NOT NULL AND NOT EXISTS (
      SELECT FROM machine_identity_credential c
       WHERE c.id = NEW."replacesId" AND c."machineIdentityId" = identity.id AND c.name = NEW.name) THEN
    PERFORM midctl_refuse('MC003', 'a credential replaces one of the same identity and name; it was not issued');
  END IF;

  IF NEW.adopted THEN
    IF NOT EXISTS (SELECT FROM agent_token t
                    WHERE t."publicId" = NEW."publicId" AND t."tokenHash" = NEW."tokenHash" AND t.scopes = NEW.scopes
                      -- Without an identity; or with this one, which the host gave it.
                      AND coalesce(t."machineIdentityId", identity.id) = identity.id AND t."revokedAt" IS NULL
                      AND t."workspaceId" IS NOT DISTINCT FROM identity."workspaceId"
                      AND date_trunc('milliseconds', nullif(t."expiresAt", 'infinity')) IS NOT DISTINCT FROM NEW."expiresAt")
       OR NEW."replacesId" IS NOT NULL THEN
      PERFORM midctl_refuse('MC003', 'an adopted credential repeats a legacy token of its workspace that is in force, and replaces none; it was not adopted');
    END IF;
    NEW."activatedAt" := at;
  ELSIF EXISTS (SELECT FROM agent_token t WHERE t."publicId" = NEW."publicId" OR t."tokenHash" = NEW."tokenHash") THEN
    PERFORM midctl_refuse('MC002', 'an agent token with this public id or hash exists; no credential was issued');
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION midctl_credential_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
DECLARE
  at timestamp := midctl_now();
  ref text := 'mc_' || OLD."publicId";
  above text;
  successor machine_identity_credential;
  other text;
BEGIN
  IF (NEW.id, NEW."publicId", NEW."machineIdentityId", NEW.name, NEW."tokenHash", NEW.scopes, NEW.adopted, NEW."replacesId",
      NEW."graceSeconds", NEW."issuedAt", NEW."issuedBy", NEW."activationDeadline")
     IS DISTINCT FROM
     (OLD.id, OLD."publicId", OLD."machineIdentityId", OLD.name, OLD."tokenHash", OLD.scopes, OLD.adopted, OLD."replacesId",
      OLD."graceSeconds", OLD."issuedAt", OLD."issuedBy", OLD."activationDeadline") THEN
    PERFORM midctl_refuse('MC003', format('identity, name, secret, scopes, lineage and birth of %s never change; nothing was changed', ref));
  END IF;
  IF (NEW."activatedAt", NEW."supersededAt", NEW."graceUntil", NEW."pausedAt", NEW."resumedAt", NEW."revokedAt", NEW."abandonedAt", NEW.version)
     IS DISTINCT FROM
     (OLD."activatedAt", OLD."supersededAt", OLD."graceUntil", OLD."pausedAt", OLD."resumedAt", OLD."revokedAt", OLD."abandonedAt", OLD.version) THEN
    PERFORM midctl_refuse('MC003', format('timestamps and version of %s follow its status and are never written; nothing was changed', ref),
      'set status alone');
  END IF;
  IF NEW."replacedBy" IS DISTINCT FROM OLD."replacedBy" AND NOT (OLD.status = 'pending' AND NEW.status = 'abandoned') THEN
    PERFORM midctl_refuse('MC003', format('only a pending credential is replaced, by being abandoned; %s was not changed', ref));
  END IF;
  IF NEW."expiresAt" IS DISTINCT FROM OLD."expiresAt" THEN
    NEW."expiresAt" := midctl_end(NEW."expiresAt");
    IF NEW."expiresAt" IS NULL OR NEW."expiresAt" > OLD."expiresAt" THEN
      PERFORM midctl_refuse('MC003', format('the life of %s only shrinks; nothing was changed', ref));
    ELSIF OLD.status IN ('revoked', 'abandoned') THEN
      PERFORM midctl_refuse('MC001', format('%s is %s, which is final; nothing was changed', ref, OLD.status));
    END IF;
  END IF;

  IF NEW.status <> OLD.status THEN
    IF OLD.status IN ('revoked', 'abandoned') THEN
      PERFORM midctl_refuse('MC001', format('%s is %s, which is final; nothing was changed', ref, OLD.status), 'issue a new credential');
    END IF;
    CASE NEW.status
      WHEN 'active' THEN
        IF OLD.status = 'pending' THEN
          PERFORM FROM machine_identity WHERE id = OLD."machineIdentityId" FOR NO KEY UPDATE;
          at := midctl_now();
          IF OLD."activationDeadline" <= at THEN
            PERFORM midctl_refuse('MC004', format('the deadline of %s has passed; it was not activated', ref));
          END IF;
          IF OLD."expiresAt" <= at THEN
            PERFORM midctl_refuse('MC004', format('%s has expired; it was not activated', ref));
          END IF;
          above := midctl_identity_state(OLD."machineIdentityId", at);
          IF above <> 'active' THEN
            PERFORM midctl_refuse('MC004', format('the identity of %s is %s; it was not activated', ref, replace(above, 'identity_', 'under one that is ')));
          END IF;
          SELECT c."publicId" INTO other FROM machine_identity_credential c
           WHERE c."machineIdentityId" = OLD."machineIdentityId" AND c.name = OLD.name
             AND c.id IS DISTINCT FROM OLD."replacesId" AND midctl_is_current(c, at);
          IF FOUND THEN
            PERFORM midctl_refuse('MC002', format('mc_%s is current; %s was not activated', other, ref));
          END IF;
          NEW."activatedAt" := at;
        ELSIF OLD.status = 'paused' THEN
          NEW."pausedAt" := NULL;
          NEW."resumedAt" := at;
        ELSE
          PERFORM midctl_refuse('MC001', format('%s is %s and cannot become active again; nothing was changed', ref, OLD.status));
        END IF;
      WHEN 'paused' THEN
        IF OLD.status <> 'active' THEN
          PERFORM midctl_refuse('MC001', format('%s is %s; only an active credential can be paused; nothing was changed', ref, OLD.status),
            CASE OLD.status WHEN 'pending' THEN 'pause its identity, or revoke it' ELSE 'revoke it' END);
        END IF;
        NEW."pausedAt" := at;
      WHEN 'superseded' THEN
        SELECT c.* INTO successor FROM machine_identity_credential c
         WHERE c."replacesId" = OLD.id AND c.status = 'active' ORDER BY c.id DESC LIMIT 1;
        IF NOT FOUND OR OLD.status NOT IN ('active', 'paused') THEN
          PERFORM midctl_refuse('MC001', format('%s is superseded only by the first use of its successor; nothing was changed', ref));
        END IF;
        NEW."supersededAt" := at;
        -- Paused or expired at that moment: no grace.
        NEW."graceUntil" := CASE WHEN OLD.status = 'active' AND coalesce(OLD."expiresAt" > at, true)
          THEN LEAST(OLD."expiresAt", at + make_interval(secs => successor."graceSeconds")) ELSE LEAST(OLD."expiresAt", at) END;
      WHEN 'revoked' THEN
        NEW."revokedAt" := at;
      WHEN 'abandoned' THEN
        IF OLD.status <> 'pending' THEN
          PERFORM midctl_refuse('MC001', format('%s is %s; only a pending credential is abandoned; nothing was changed', ref, OLD.status));
        END IF;
        IF OLD."activationDeadline" > at AND NEW."replacedBy" IS NULL THEN
          PERFORM midctl_refuse('MC001', format('%s is abandoned only when its deadline passes or another takes its place; nothing was changed', ref),
            'revoke it');
        END IF;
        NEW."abandonedAt" := at;
      ELSE
        PERFORM midctl_refuse('MC001', format('%s cannot become %s; nothing was changed', ref, NEW.status));
    END CASE;
  END IF;
  -- Activation, supersession and abandonment come from use and time, not from control (SPEC §9).
  IF NEW."expiresAt" IS DISTINCT FROM OLD."expiresAt"
     OR (NEW.status <> OLD.status AND (NEW.status IN ('paused', 'revoked') OR OLD.status = 'paused' AND NEW.status = 'active')) THEN
    NEW.version := OLD.version + 1;
  END IF;
  RETURN NEW;
END $$;

-- First use supersedes the predecessor, unless that has ended meanwhile.
CREATE FUNCTION midctl_credential_activated() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN
  UPDATE machine_identity_credential SET status = 'superseded'
   WHERE id = NEW."replacesId" AND status IN ('active', 'paused');
  RETURN NULL;
END $$;

-- When the host's row of this credential must end: what a resource server without our library goes by.
CREATE FUNCTION midctl_credential_end(c machine_identity_credential) RETURNS timestamp LANGUAGE sql IMMUTABLE
AS $$ SELECT LEAST(c."expiresAt", c."graceUntil") $$;

CREATE FUNCTION midctl_credential_mirror() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN
  UPDATE agent_token t
     SET "expiresAt" = midctl_credential_end(NEW),
         "revokedAt" = coalesce(t."revokedAt", NEW."revokedAt", NEW."abandonedAt")
   WHERE t."publicId" = NEW."publicId"
     AND (t."expiresAt", t."revokedAt") IS DISTINCT FROM
         (midctl_credential_end(NEW), coalesce(t."revokedAt", NEW."revokedAt", NEW."abandonedAt"));
  RETURN NULL;
END $$;

-- Agent token: ours where it has an identity, the host's own where not ------------------------------------------------

CREATE FUNCTION midctl_token_birth() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
DECLARE c machine_identity_credential;
BEGIN
  IF NEW."machineIdentityId" IS NULL THEN
    IF EXISTS (SELECT FROM machine_identity_credential o WHERE o."publicId" = NEW."publicId" OR o."tokenHash" = NEW."tokenHash") THEN
      PERFORM midctl_refuse('MC002', 'a credential with this public id or hash exists; the token was not created');
    END IF;
    RETURN NEW;
  END IF;
  SELECT * INTO c FROM machine_identity_credential WHERE "publicId" = NEW."publicId";
  IF NOT FOUND OR (c."machineIdentityId", c."tokenHash", c.scopes) IS DISTINCT FROM (NEW."machineIdentityId", NEW."tokenHash", NEW.scopes)
     OR c.status <> 'pending' OR NEW."revokedAt" IS NOT NULL OR NEW."lastUsedAt" IS NOT NULL
     OR NEW."expiresAt" IS DISTINCT FROM midctl_credential_end(c) THEN
    PERFORM midctl_refuse('MC003', 'a token with a machine identity repeats its credential: public id, identity, hash, scopes and end; it was not created',
      'issue a credential');
  END IF;
  IF NEW."workspaceId" IS DISTINCT FROM (SELECT i."workspaceId" FROM machine_identity i WHERE i.id = c."machineIdentityId") THEN
    PERFORM midctl_refuse('MC003', 'a token is of the workspace of its machine identity; it was not created');
  END IF;
  -- An issuance that waited while the environment became live was made for the other one.
  IF EXISTS (SELECT FROM midctl_environment e WHERE starts_with(NEW."tokenPrefix", CASE WHEN e.live THEN 'mid_test' ELSE 'mid_live' END)) THEN
    PERFORM midctl_refuse('MC002', 'the token names another environment than this database; it was not created', 'look again and issue anew');
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION midctl_token_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
DECLARE
  c machine_identity_credential;
  ref text := 'at_' || OLD."publicId";
BEGIN
  IF OLD."machineIdentityId" IS NULL AND NEW."machineIdentityId" IS NULL THEN
    IF (NEW."publicId", NEW."tokenHash") IS DISTINCT FROM (OLD."publicId", OLD."tokenHash") AND EXISTS (
        SELECT FROM machine_identity_credential o WHERE o."publicId" = NEW."publicId" OR o."tokenHash" = NEW."tokenHash") THEN
      PERFORM midctl_refuse('MC002', format('a credential with this public id or hash exists; %s was not changed', ref));
    END IF;
    RETURN NEW;
  END IF;

  SELECT * INTO c FROM machine_identity_credential WHERE "publicId" = OLD."publicId";
  IF NEW."machineIdentityId" IS DISTINCT FROM OLD."machineIdentityId"
     AND (OLD."machineIdentityId" IS NULL AND c.adopted AND c."machineIdentityId" = NEW."machineIdentityId" AND c."tokenHash" = OLD."tokenHash") IS NOT TRUE THEN
    PERFORM midctl_refuse('MC003', format('%s keeps its machine identity; nothing was changed', ref), 'identity adopt attaches a legacy token');
  END IF;
  IF (NEW.id, NEW."publicId", NEW."tokenHash", NEW."tokenPrefix", NEW.name, NEW.scopes, NEW."createdAt")
     IS DISTINCT FROM (OLD.id, OLD."publicId", OLD."tokenHash", OLD."tokenPrefix", OLD.name, OLD.scopes, OLD."createdAt") THEN
    PERFORM midctl_refuse('MC003', format('id, secret, scopes and name of %s never change; nothing was changed', ref));
  END IF;
  IF NEW."workspaceId" IS DISTINCT FROM OLD."workspaceId" THEN
    PERFORM midctl_refuse('MC003', format('the workspace of %s never changes; nothing was changed', ref));
  END IF;
  IF NEW."createdBy" IS DISTINCT FROM OLD."createdBy" AND NEW."createdBy" IS NOT NULL THEN
    PERFORM midctl_refuse('MC003', format('the creator of %s never changes; nothing was changed', ref));
  END IF;
  IF NEW."lastUsedAt" IS DISTINCT FROM OLD."lastUsedAt" AND NEW."lastUsedAt" IS NULL THEN
    PERFORM midctl_refuse('MC003', format('the last use of %s is not taken back; nothing was changed', ref));
  END IF;
  IF NEW."revokedAt" IS DISTINCT FROM OLD."revokedAt" AND OLD."revokedAt" IS NOT NULL THEN
    PERFORM midctl_refuse('MC001', format('%s is revoked, which is final; nothing was changed', ref));
  END IF;
  IF NEW."expiresAt" IS DISTINCT FROM OLD."expiresAt"
     AND (c.id IS NULL OR NEW."expiresAt" IS DISTINCT FROM midctl_credential_end(c)) THEN
    PERFORM midctl_refuse('MC003', format('the end of %s follows its credential; nothing was changed', ref), 'revoke it to end it now');
  END IF;
  RETURN NEW;
END $$;

-- The host revokes a token of ours: the credential goes with it.
CREATE FUNCTION midctl_token_revoked() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN
  UPDATE machine_identity_credential SET status = 'revoked'
   WHERE "publicId" = NEW."publicId" AND status NOT IN ('revoked', 'abandoned');
  RETURN NULL;
END $$;

CREATE FUNCTION midctl_token_delete() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN
  IF OLD."machineIdentityId" IS NULL AND NOT EXISTS (
      SELECT FROM machine_identity_credential WHERE "publicId" = OLD."publicId") THEN
    RETURN OLD;
  END IF;
  IF midctl_workspace_gone(OLD."workspaceId") THEN RETURN OLD; END IF;
  PERFORM midctl_refuse('MC003', format('at_%s belongs to a machine identity and is never deleted; nothing was changed', OLD."publicId"),
    'revoke it');
  RETURN NULL;
END $$;

-- TRUNCATE takes rows that an older snapshot cannot see: above READ COMMITTED nobody can tell.
CREATE FUNCTION midctl_token_truncate() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' OR EXISTS (SELECT FROM agent_token WHERE "machineIdentityId" IS NOT NULL) THEN
    PERFORM midctl_refuse('MC003', 'agent_token holds tokens of machine identities and is not truncated; nothing was changed');
  END IF;
  RETURN NULL;
END $$;

-- Agent audit event: attributed to token and identity ------------------------------------------------------------------

CREATE FUNCTION midctl_event_attribute() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
DECLARE identity bigint;
BEGIN
  IF NEW."agentTokenId" IS NULL THEN RETURN NEW; END IF;
  SELECT "machineIdentityId" INTO identity FROM agent_token WHERE id = NEW."agentTokenId";
  IF NEW."machineIdentityId" IS NULL THEN
    NEW."machineIdentityId" := identity;
  ELSIF NEW."machineIdentityId" IS DISTINCT FROM identity THEN
    PERFORM midctl_refuse('MC003', 'an event is attributed to the machine identity of its token; it was not written',
      'leave "machineIdentityId" out');
  END IF;
  RETURN NEW;
END $$;

-- Blame does not move: what a token did before its adoption may be attributed later, and a token that a host deletes is named
-- no more; nothing else changes.
CREATE FUNCTION midctl_event_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN
  IF OLD."machineIdentityId" IS DISTINCT FROM NEW."machineIdentityId" AND OLD."machineIdentityId" IS NOT NULL OR NOT EXISTS (
      SELECT FROM agent_token t WHERE t.id = NEW."agentTokenId" AND t."machineIdentityId" = NEW."machineIdentityId") THEN
    PERFORM midctl_refuse('MC003', 'an event keeps the machine identity of its token; nothing was changed');
  END IF;
  RETURN NEW;
END $$;

-- Environment ----------------------------------------------------------------------------------------------------------

CREATE FUNCTION midctl_environment_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$ BEGIN
  IF (NEW.only, NEW."databaseId", NEW."createdAt") IS DISTINCT FROM (OLD.only, OLD."databaseId", OLD."createdAt") THEN
    PERFORM midctl_refuse('MC003', 'the database id never changes; nothing was changed');
  END IF;
  IF OLD.named AND (NEW.name, NEW.named, NEW.live) IS DISTINCT FROM (OLD.name, OLD.named, OLD.live) THEN
    PERFORM midctl_refuse('MC002', format('this database is the %s environment %s already; nothing was changed',
      CASE WHEN OLD.live THEN 'live' ELSE 'test' END, OLD.name));
  END IF;
  IF NEW.name <> OLD.name AND NOT NEW.named THEN
    PERFORM midctl_refuse('MC003', 'a name that is given is marked as given; nothing was changed');
  END IF;
  IF NEW.live <> OLD.live THEN
    -- A credential's token says live or test: its word must stay true. The lock waits for issuances under way.
    LOCK TABLE machine_identity_credential IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM machine_identity_credential WHERE NOT adopted) THEN
      PERFORM midctl_refuse('MC002', 'credentials exist, so the environment stays what it is; nothing was changed',
        'use a fresh database for a live environment');
    END IF;
  END IF;
  IF OLD.protected AND NOT NEW.protected THEN
    PERFORM midctl_refuse('MC003', 'a protected environment stays protected; nothing was changed');
  END IF;
  RETURN NEW;
END $$;

-- Triggers ---------------------------------------------------------------------------------------------------------------

CREATE TRIGGER midctl_10_birth BEFORE INSERT ON machine_identity FOR EACH ROW EXECUTE FUNCTION midctl_identity_birth();
CREATE TRIGGER midctl_10_change BEFORE UPDATE ON machine_identity FOR EACH ROW EXECUTE FUNCTION midctl_identity_change();
CREATE TRIGGER midctl_20_revoked AFTER UPDATE ON machine_identity FOR EACH ROW
  WHEN (NEW.status = 'revoked' AND OLD.status <> 'revoked') EXECUTE FUNCTION midctl_identity_revoked();
CREATE TRIGGER midctl_30_labels_new AFTER INSERT ON machine_identity FOR EACH ROW
  WHEN (NEW.labels <> '{}') EXECUTE FUNCTION midctl_identity_labels();
CREATE TRIGGER midctl_30_labels AFTER UPDATE ON machine_identity FOR EACH ROW
  WHEN (NEW.labels IS DISTINCT FROM OLD.labels) EXECUTE FUNCTION midctl_identity_labels();
CREATE TRIGGER midctl_90_keep BEFORE DELETE ON machine_identity FOR EACH ROW EXECUTE FUNCTION midctl_keep();
CREATE TRIGGER midctl_90_keep_all BEFORE TRUNCATE ON machine_identity FOR EACH STATEMENT EXECUTE FUNCTION midctl_keep();

CREATE TRIGGER midctl_10_row BEFORE INSERT OR UPDATE OR DELETE ON midctl_identity_label FOR EACH ROW EXECUTE FUNCTION midctl_label_row();
CREATE TRIGGER midctl_90_keep_all BEFORE TRUNCATE ON midctl_identity_label FOR EACH STATEMENT EXECUTE FUNCTION midctl_keep();

CREATE TRIGGER midctl_10_birth BEFORE INSERT ON machine_identity_credential FOR EACH ROW EXECUTE FUNCTION midctl_credential_birth();
CREATE TRIGGER midctl_10_change BEFORE UPDATE ON machine_identity_credential FOR EACH ROW EXECUTE FUNCTION midctl_credential_change();
CREATE TRIGGER midctl_20_activated AFTER UPDATE ON machine_identity_credential FOR EACH ROW
  WHEN (OLD.status = 'pending' AND NEW.status = 'active' AND NEW."replacesId" IS NOT NULL) EXECUTE FUNCTION midctl_credential_activated();
CREATE TRIGGER midctl_30_mirror AFTER UPDATE ON machine_identity_credential FOR EACH ROW
  WHEN ((OLD."expiresAt", OLD."graceUntil", OLD."revokedAt", OLD."abandonedAt")
        IS DISTINCT FROM (NEW."expiresAt", NEW."graceUntil", NEW."revokedAt", NEW."abandonedAt")) EXECUTE FUNCTION midctl_credential_mirror();
CREATE TRIGGER midctl_90_keep BEFORE DELETE ON machine_identity_credential FOR EACH ROW EXECUTE FUNCTION midctl_keep();
CREATE TRIGGER midctl_90_keep_all BEFORE TRUNCATE ON machine_identity_credential FOR EACH STATEMENT EXECUTE FUNCTION midctl_keep();

CREATE TRIGGER midctl_10_change BEFORE UPDATE ON midctl_environment FOR EACH ROW EXECUTE FUNCTION midctl_environment_change();
CREATE TRIGGER midctl_90_keep BEFORE DELETE ON midctl_environment FOR EACH ROW EXECUTE FUNCTION midctl_keep();
CREATE TRIGGER midctl_90_keep_all BEFORE TRUNCATE ON midctl_environment FOR EACH STATEMENT EXECUTE FUNCTION midctl_keep();
