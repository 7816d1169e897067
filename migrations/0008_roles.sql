-- What a verifier may do with hashes: compare one that it was given, never read one. These functions run as the owner, so a
-- verifier needs no right on hashes, on a host's tables, or to change anything but last uses (SPEC §8).

-- Which credentials these secrets are, by public id and hash, in their order. Where there is none of that id another row is
-- read, compared and thrown away: an unknown id costs the same work (SPEC §4). Hashed once more with what nobody can guess,
-- so that how long the comparison takes says nothing. `hidden`: row-level security shows the owner no token at all.
CREATE FUNCTION midctl_match(ids text[], hashes text[])
RETURNS TABLE (place bigint, good boolean, hidden boolean, credential bigint, used timestamp, revoked boolean)
LANGUAGE plpgsql STABLE ROWS 1 SECURITY DEFINER SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  blind boolean := row_security_active('agent_token') AND midctl_rows_hidden('agent_token');
  salt text := gen_random_uuid();
BEGIN
  RETURN QUERY
  SELECT a.n, coalesce(k."publicId" = a.id AND sha256(convert_to(salt || k."tokenHash", 'UTF8')) = sha256(convert_to(salt || a.hash, 'UTF8')), false),
         blind, k.id, k."lastUsedAt", k."revokedAt" IS NOT NULL
    FROM unnest(ids, hashes) WITH ORDINALITY AS a(id, hash, n)
    LEFT JOIN LATERAL (
      SELECT c.id, c."publicId", c."tokenHash", t."lastUsedAt", t."revokedAt"
        FROM machine_identity_credential c
        JOIN agent_token t ON t."publicId" = c."publicId" AND t."tokenHash" = c."tokenHash" AND t."machineIdentityId" = c."machineIdentityId"
       WHERE c.id = coalesce((SELECT own.id FROM machine_identity_credential own WHERE own."publicId" = a.id),
                             (SELECT min(other.id) FROM machine_identity_credential other))
       LIMIT 1) k ON true;
END $$;

-- Tokens that are kept by the plain hash of a secret, as a host makes them; the credential of one that was adopted.
CREATE FUNCTION midctl_match_legacy(hashes text[])
RETURNS TABLE (place bigint, good boolean, hidden boolean, credential bigint, used timestamp, revoked boolean, legacy boolean,
               "publicId" varchar, name varchar, scopes text, ends timestamp, workspace text)
LANGUAGE plpgsql STABLE ROWS 1 SECURITY DEFINER SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  blind boolean := row_security_active('agent_token') AND midctl_rows_hidden('agent_token');
BEGIN
  RETURN QUERY
  SELECT a.n, k.id IS NOT NULL, blind, k.credential, k."lastUsedAt", k."revokedAt" IS NOT NULL, k."machineIdentityId" IS NULL,
         k."publicId", k.name, k.scopes, k."expiresAt", midctl_workspace_slug(k."workspaceId")
    FROM unnest(hashes) WITH ORDINALITY AS a(hash, n)
    LEFT JOIN LATERAL (
      SELECT t.*, c.id AS credential
        FROM agent_token t
        LEFT JOIN machine_identity_credential c
          ON c."publicId" = t."publicId" AND c."tokenHash" = t."tokenHash" AND c."machineIdentityId" = t."machineIdentityId"
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
-- verifiers that note the same ones take turns.
CREATE FUNCTION midctl_note_uses(ids text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT
AS $$
BEGIN
  PERFORM FROM machine_identity i
    WHERE i.id IN (SELECT t."machineIdentityId" FROM agent_token t WHERE t."publicId" = ANY(ids)) ORDER BY i.id FOR NO KEY UPDATE;
  UPDATE machine_identity i SET "lastUsedAt" = midctl_now()
   WHERE i.id IN (SELECT t."machineIdentityId" FROM agent_token t WHERE t."publicId" = ANY(ids))
     AND i.status <> 'revoked' AND (i."lastUsedAt" IS NULL OR i."lastUsedAt" < midctl_now());
  WITH held AS (SELECT t.id FROM agent_token t WHERE t."publicId" = ANY(ids) ORDER BY t.id FOR NO KEY UPDATE)
  UPDATE agent_token t SET "lastUsedAt" = midctl_now() FROM held WHERE t.id = held.id;
END $$;

-- Which database roles were given which of our roles, and what that added to the rights they had: what is to be taken away
-- again. Rights themselves stand in the catalogue.
CREATE TABLE "midctl_grant" (
  "name" varchar(63) PRIMARY KEY NOT NULL,
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
