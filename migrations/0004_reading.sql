-- What reading needs beyond the rules: a host's workspaces by name, where it has any.

CREATE FUNCTION midctl_workspace_slug(workspace bigint) RETURNS text LANGUAGE plpgsql STABLE SET search_path FROM CURRENT
AS $$
DECLARE found_slug text;
BEGIN
  IF workspace IS NULL OR midctl_workspaces() IS NULL THEN RETURN NULL; END IF;
  EXECUTE format('SELECT slug FROM %s WHERE id = $1', midctl_workspaces()) INTO found_slug USING workspace;
  RETURN found_slug;
END $$;

CREATE FUNCTION midctl_workspace_id(workspace text) RETURNS bigint LANGUAGE plpgsql STABLE SET search_path FROM CURRENT
AS $$
DECLARE found_id bigint;
BEGIN
  IF workspace IS NULL OR midctl_workspaces() IS NULL THEN RETURN NULL; END IF;
  EXECUTE format('SELECT id FROM %s WHERE slug = $1', midctl_workspaces()) INTO found_id USING workspace;
  RETURN found_id;
END $$;

-- The audit reads log and agent events as one line of time, newest first, each side along its own index.
CREATE INDEX midctl_log_at_idx ON midctl_log ("at", "index");

-- Whether row-level security keeps every row of a table from whoever asks: no policy lets him see any. Then no row means
-- nothing, least of all that a token is unknown.
CREATE FUNCTION midctl_rows_hidden(tab regclass) RETURNS boolean LANGUAGE sql STABLE
AS $$
  SELECT row_security_active(tab) AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_policy p
     WHERE p.polrelid = tab AND p.polpermissive AND p.polcmd IN ('*', 'r')
       AND (0 = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) r WHERE pg_has_role(r, 'member'))))
$$;
