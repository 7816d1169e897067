-- What reading needs beyond the rules: a host's workspaces by name, where it has any.

CREATE FUNCTION midctl_workspace_slug(workspace bigint) RETURNS text LANGUAGE plpgsql STABLE SET search_path FROM CURRENT
AS $$
DECLARE found_slug text;
BEGIN
  IF workspace IS NULL OR to_regclass('workspace') IS NULL THEN RETURN NULL; END IF;
  EXECUTE 'SELECT slug FROM workspace WHERE id = $1' INTO found_slug USING workspace;
  RETURN found_slug;
END $$;

CREATE FUNCTION midctl_workspace_id(workspace text) RETURNS bigint LANGUAGE plpgsql STABLE SET search_path FROM CURRENT
AS $$
DECLARE found_id bigint;
BEGIN
  IF workspace IS NULL OR to_regclass('workspace') IS NULL THEN RETURN NULL; END IF;
  EXECUTE 'SELECT id FROM workspace WHERE slug = $1' INTO found_id USING workspace;
  RETURN found_id;
END $$;

-- The audit reads log and agent events as one line of time, newest first, each side along its own index.
CREATE INDEX midctl_log_at_idx ON midctl_log ("at", "index");
