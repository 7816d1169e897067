-- What a verifier may do with hashes: compare one that it was given, never read one. These functions run as the owner, so a
-- verifier needs no right on hashes, on a host's tables, or to change anything but last uses (SPEC §8).

-- What there is to these secrets, by public id and hash, in their order: credential, token and identity. Where there is none of
-- that id another row is read, compared and not meant: an unknown id costs the same work (SPEC §4). Hashed once more with what
-- nobody can guess, so that how long the comparison takes says nothing. LIMIT keeps a lookup a lookup, and the plan is made once:
-- to plan anew for each length of the arrays takes longer than all the rest. `hidden`: row-level security shows the owner no token.
CREATE FUNCTION midctl_match(ids text[], hashes text[])
RETURNS TABLE (place bigint, good boolean, hidden boolean, "publicId" varchar, name varchar, status varchar, scopes text, "issuedAt" timestamp,
  "expiresAt" timestamp, "graceUntil" timestamp, "activationDeadline" timestamp, replaces varchar, used timestamp, revoked boolean,
  "identityId" varchar, slug varchar, kind varchar, provider varchar, "threadId" varchar, "displayName" varchar, owner varchar,
  labels jsonb, standing varchar, "identityEnds" timestamp, "idleTtl" bigint, "createdAt" timestamp, "lastUsedAt" timestamp,
  "resumedAt" timestamp, workspace text, line jsonb)
LANGUAGE plpgsql STABLE ROWS 1 SECURITY DEFINER SET search_path FROM CURRENT SET plan_cache_mode TO force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  blind boolean := row_security_active('agent_token') AND midctl_rows_hidden('agent_token');
  salt text := gen_random_uuid();
BEGIN
  RETURN QUERY
  SELECT a.n, coalesce(k."publicId" = a.id AND sha256(convert_to(salt || k."tokenHash", 'UTF8')) = sha256(convert_to(salt || a.hash, 'UTF8')), false),
         blind, k."publicId", k.name, k.status, k.scopes, k."issuedAt", k."expiresAt", k."graceUntil", k."activationDeadline", k.replaces, k.used, k.revoked,
         k."identityId", k.slug, k.kind, k.provider, k."threadId", k."displayName", k.owner, k.labels, k.standing, k."identityEnds",
         k."idleTtl", k."createdAt", k."lastUsedAt", k."resumedAt", k.workspace, k.line
    FROM unnest(ids, hashes) WITH ORDINALITY AS a(id, hash, n)
    LEFT JOIN LATERAL (
      SELECT c."tokenHash", c."publicId", c.name, c.status, c.scopes, c."issuedAt", c."expiresAt", c."graceUntil", c."activationDeadline",
             CASE WHEN c.status = 'pending' THEN (SELECT r."publicId" FROM machine_identity_credential r WHERE r.id = c."replacesId") END AS replaces,
             t."lastUsedAt" AS used, t."revokedAt" IS NOT NULL AS revoked,
             i."publicId" AS "identityId", i.slug, i.kind, i.provider, i."threadId", i."displayName", i.owner, i.labels, i.status AS standing,
             i."expiresAt" AS "identityEnds", i."idleTtl", i."createdAt", i."lastUsedAt", i."resumedAt",
             CASE WHEN i."workspaceId" IS NOT NULL THEN midctl_workspace_slug(i."workspaceId") END AS workspace,
             CASE WHEN i."parentId" IS NOT NULL THEN midctl_line(i."parentId") END AS line
        FROM machine_identity_credential c
        JOIN machine_identity i ON i.id = c."machineIdentityId"
        JOIN agent_token t ON t."publicId" = c."publicId" AND t."tokenHash" = c."tokenHash" AND t."machineIdentityId" = i.id
       WHERE c.id = coalesce((SELECT own.id FROM machine_identity_credential own WHERE own."publicId" = a.id),
                             (SELECT min(other.id) FROM machine_identity_credential other))
       LIMIT 1) k ON true;
END $$;

-- Tokens that are kept by the plain hash of a secret, as a host makes them; one that was adopted with its credential.
CREATE FUNCTION midctl_match_legacy(hashes text[])
RETURNS TABLE (place bigint, good boolean, hidden boolean, "publicId" varchar, name varchar, status varchar, scopes text, "issuedAt" timestamp,
  "expiresAt" timestamp, "graceUntil" timestamp, "activationDeadline" timestamp, replaces varchar, used timestamp, revoked boolean,
  "identityId" varchar, slug varchar, kind varchar, provider varchar, "threadId" varchar, "displayName" varchar, owner varchar,
  labels jsonb, standing varchar, "identityEnds" timestamp, "idleTtl" bigint, "createdAt" timestamp, "lastUsedAt" timestamp,
  "resumedAt" timestamp, workspace text, line jsonb,
  legacy boolean, "tPublicId" varchar, "tName" varchar, "tScopes" text, "tExpiresAt" timestamp, "tWorkspace" text)
LANGUAGE plpgsql STABLE ROWS 1 SECURITY DEFINER SET search_path FROM CURRENT SET plan_cache_mode TO force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  blind boolean := row_security_active('agent_token') AND midctl_rows_hidden('agent_token');
BEGIN
  RETURN QUERY
  SELECT a.n, k."tPublicId" IS NOT NULL, blind, k."publicId", k.name, k.status, k.scopes, k."issuedAt", k."expiresAt", k."graceUntil", k."activationDeadline", k.replaces, k.used, k.revoked,
         k."identityId", k.slug, k.kind, k.provider, k."threadId", k."displayName", k.owner, k.labels, k.standing, k."identityEnds",
         k."idleTtl", k."createdAt", k."lastUsedAt", k."resumedAt", k.workspace, k.line,
         k.legacy, k."tPublicId", k."tName", k."tScopes", k."tExpiresAt", k."tWorkspace"
    FROM unnest(hashes) WITH ORDINALITY AS a(hash, n)
    LEFT JOIN LATERAL (
      SELECT c."publicId", c.name, c.status, c.scopes, c."issuedAt", c."expiresAt", c."graceUntil", c."activationDeadline",
             CASE WHEN c.status = 'pending' THEN (SELECT r."publicId" FROM machine_identity_credential r WHERE r.id = c."replacesId") END AS replaces,
             t."lastUsedAt" AS used, t."revokedAt" IS NOT NULL AS revoked,
             i."publicId" AS "identityId", i.slug, i.kind, i.provider, i."threadId", i."displayName", i.owner, i.labels, i.status AS standing,
             i."expiresAt" AS "identityEnds", i."idleTtl", i."createdAt", i."lastUsedAt", i."resumedAt",
             CASE WHEN i."workspaceId" IS NOT NULL THEN midctl_workspace_slug(i."workspaceId") END AS workspace,
             CASE WHEN i."parentId" IS NOT NULL THEN midctl_line(i."parentId") END AS line,
             t."machineIdentityId" IS NULL AS legacy, t."publicId"::varchar AS "tPublicId", t.name::varchar AS "tName", t.scopes::text AS "tScopes",
             t."expiresAt"::timestamp AS "tExpiresAt",
             CASE WHEN t."workspaceId" IS NOT NULL THEN midctl_workspace_slug(t."workspaceId") END AS "tWorkspace"
        FROM agent_token t
        LEFT JOIN machine_identity i ON i.id = t."machineIdentityId"
        LEFT JOIN machine_identity_credential c
          ON c."publicId" = t."publicId" AND c."tokenHash" = t."tokenHash" AND c."machineIdentityId" = i.id
       WHERE t."tokenHash" = a.hash LIMIT 1) k ON true;
END $$;

-- First use: whoever holds the secret activates it, and nobody else does. False where it is not pending (any more).
CREATE FUNCTION midctl_activate(id text, hash text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
  c machine_identity_credential;
BEGIN
  -- Identity before credential, as everywhere: control actions take turns on it.
  PERFORM FROM machine_identity i
    WHERE i.id = (SELECT o."machineIdentityId" FROM machine_identity_credential o WHERE o."publicId" = midctl_activate.id)
      FOR NO KEY UPDATE;
  IF NOT (SELECT m.good AND NOT m.revoked FROM midctl_match(ARRAY[id], ARRAY[hash]) m) THEN RETURN false; END IF;
  SELECT * INTO c FROM machine_identity_credential o WHERE o."publicId" = midctl_activate.id;
  IF midctl_credential_state(c."machineIdentityId", c.status, c."activationDeadline", c."expiresAt", c."graceUntil", midctl_now()) <> 'pending' THEN
    RETURN false;
  END IF;
  UPDATE machine_identity_credential o SET status = 'active' WHERE o."publicId" = midctl_activate.id AND o.status = 'pending';
  RETURN FOUND;
END $$;

-- Notes uses of good tokens: of token and identity. Locks go identity before token, each in the order of ids, so that
-- verifiers that note the same ones take turns. What has been idle for longer than a use waits to be noted stays idle: only
-- resume ends that, and nobody's word that there was a use.
CREATE FUNCTION midctl_note_uses(ids text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT
AS $$
BEGIN
  PERFORM FROM machine_identity i
    WHERE i.id IN (SELECT t."machineIdentityId" FROM agent_token t WHERE t."publicId" = ANY(ids)) ORDER BY i.id FOR NO KEY UPDATE;
  UPDATE machine_identity i SET "lastUsedAt" = midctl_now()
   WHERE i.id IN (SELECT t."machineIdentityId" FROM agent_token t WHERE t."publicId" = ANY(ids))
     AND i.status <> 'revoked' AND (i."lastUsedAt" IS NULL OR i."lastUsedAt" < midctl_now())
     AND NOT midctl_is_idle(i, midctl_now() - interval '2 seconds');
  WITH held AS (SELECT t.id FROM agent_token t WHERE t."publicId" = ANY(ids) ORDER BY t.id FOR NO KEY UPDATE)
  UPDATE agent_token t SET "lastUsedAt" = midctl_now() FROM held WHERE t.id = held.id;
END $$;

-- Which database roles were given which of our roles, and what that added to the rights they had: what is to be taken away
-- again. Rights themselves stand in the catalogue.
CREATE TABLE "midctl_grant" (
  "name" varchar(63) PRIMARY KEY NOT NULL,
  "role" oid NOT NULL,
  "roles" jsonb NOT NULL,
  "added" jsonb NOT NULL,
  CONSTRAINT "midctl_grant_roles_check" CHECK (jsonb_typeof("roles") = 'array'),
  CONSTRAINT "midctl_grant_added_check" CHECK (jsonb_typeof("added") = 'array')
);

CREATE FUNCTION midctl_log_grant() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  INSERT INTO midctl_log_queue (first, at, context, action, details)
  VALUES (true, midctl_now(), midctl_context(), 'environment.grant', jsonb_build_object('databaseRole', NEW.name,
    'roles', jsonb_build_array(CASE WHEN TG_OP = 'UPDATE' THEN OLD.roles ELSE '[]' END, NEW.roles)));
  RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION midctl_log_grant() FROM PUBLIC;

CREATE TRIGGER midctl_50_log AFTER INSERT OR UPDATE ON midctl_grant FOR EACH ROW EXECUTE FUNCTION midctl_log_grant();
CREATE TRIGGER midctl_90_keep BEFORE DELETE ON midctl_grant FOR EACH ROW EXECUTE FUNCTION midctl_keep();
CREATE TRIGGER midctl_90_keep_all BEFORE TRUNCATE ON midctl_grant FOR EACH STATEMENT EXECUTE FUNCTION midctl_keep();

-- A host's workspaces by name, for whoever was given it: none of our roles has a right on the host's table.
ALTER FUNCTION midctl_workspace_slug(bigint) SECURITY DEFINER;
ALTER FUNCTION midctl_workspace_id(text) SECURITY DEFINER;

REVOKE EXECUTE ON FUNCTION midctl_workspace_slug(bigint), midctl_workspace_id(text), midctl_match(text[], text[]),
  midctl_match_legacy(text[]), midctl_activate(text, text), midctl_note_uses(text[]) FROM PUBLIC;

DO $$
DECLARE t record;
BEGIN
  FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'midctl_grant'::regclass AND NOT tgisinternal LOOP
    EXECUTE format('ALTER TABLE midctl_grant ENABLE ALWAYS TRIGGER %I', t.tgname);
  END LOOP;
END $$;
