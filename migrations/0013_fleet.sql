-- A fleet at once: ten thousand credentials in one transaction, on tables of which PostgreSQL has no statistics yet. There it took
-- "pending" for what few rows are, and read all of those for each new one. As in 0002 otherwise, clause by clause.
--
-- `IS TRUE` keeps a condition away from the index on status: these rows are looked for by their identity.

CREATE OR REPLACE FUNCTION midctl_credential_birth() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
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

  -- Most credentials are the first of their identity, and then nothing stands in the way.
  IF EXISTS (SELECT FROM machine_identity_credential c WHERE c."machineIdentityId" = identity.id) THEN
    -- A pending one that has expired stays as it is, and is in nobody's way.
    UPDATE machine_identity_credential SET status = 'abandoned'
     WHERE "machineIdentityId" = identity.id AND name = NEW.name AND (status = 'pending') IS TRUE AND "activationDeadline" <= at;
    SELECT c.* INTO other FROM machine_identity_credential c
     WHERE c."machineIdentityId" = identity.id AND c.name = NEW.name AND (c.status = 'pending') IS TRUE AND midctl_is_live(c, at);
    IF FOUND THEN
      PERFORM midctl_refuse('MC002', format('%s already has a pending credential mc_%s named %s; no credential was issued', identity.slug, other."publicId", NEW.name),
        'use it, or give --replace-pending', json_build_object('pending', 'mc_' || other."publicId")::text);
    END IF;
    SELECT c.* INTO holder FROM machine_identity_credential c
     WHERE c."machineIdentityId" = identity.id AND c.name = NEW.name AND midctl_is_current(c, at);
  END IF;
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
  ELSIF EXISTS (SELECT FROM agent_token t WHERE t."publicId" = NEW."publicId")
     OR EXISTS (SELECT FROM agent_token t WHERE t."tokenHash" = NEW."tokenHash") THEN
    PERFORM midctl_refuse('MC002', 'an agent token with this public id or hash exists; no credential was issued');
  END IF;
  RETURN NEW;
END $$;

-- As in 0003; who acts is read once for a statement, not once for each of its rows.
CREATE OR REPLACE FUNCTION midctl_log_identity_births() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  INSERT INTO midctl_log_queue (first, at, context, action, identity, slug, details)
  SELECT row_number() OVER (ORDER BY n.id) = 1, n."createdAt", (SELECT midctl_context()), 'identity.create', n."publicId", n.slug,
         jsonb_build_object('kind', n.kind, 'provider', n.provider, 'threadId', n."threadId", 'displayName', n."displayName",
           'owner', n.owner, 'labels', n.labels, 'parent', (SELECT p.slug FROM machine_identity p WHERE p.id = n."parentId"),
           'expiresAt', midctl_instant(n."expiresAt"), 'idleTtl', n."idleTtl")
    FROM new_rows n ORDER BY n.id;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION midctl_log_credential_births() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  INSERT INTO midctl_log_queue (first, at, context, action, identity, slug, credential, details)
  SELECT row_number() OVER (ORDER BY n.id) = 1, n."issuedAt", (SELECT midctl_context()), CASE WHEN n.adopted THEN 'credential.adopt' ELSE 'credential.issue' END,
         i."publicId", i.slug, n."publicId",
         jsonb_build_object('name', n.name, 'scopes', n.scopes::jsonb, 'expiresAt', midctl_instant(n."expiresAt"),
           'activationDeadline', midctl_instant(n."activationDeadline"), 'graceSeconds', n."graceSeconds",
           'replaces', (SELECT 'mc_' || p."publicId" FROM machine_identity_credential p WHERE p.id = n."replacesId"))
    FROM new_rows n JOIN machine_identity i ON i.id = n."machineIdentityId" ORDER BY n.id;
  RETURN NULL;
END $$;
