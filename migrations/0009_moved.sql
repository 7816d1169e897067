-- A database that `db push` moved to another server stands still: what changed here would not reach the other. The move is the
-- log's last entry, and it closes the log; since every change of an identity, a credential, an adopted token or the
-- environment has an entry, or does not happen, none happens any more. Reads go on, and so do a host's notes of use.

ALTER TABLE midctl_environment ADD COLUMN "movedTo" text;
COMMENT ON COLUMN midctl_environment."movedTo" IS 'Where db push moved this database, as a URL without user or password';
ALTER TABLE midctl_log_head ADD COLUMN "closed" boolean DEFAULT false NOT NULL;
COMMENT ON COLUMN midctl_log_head."closed" IS 'The log has its last entry';

CREATE FUNCTION midctl_moved() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE place text := (SELECT "movedTo" FROM midctl_environment);
BEGIN
  PERFORM midctl_refuse('MC004', format('this database has moved to %s; nothing was changed', place),
    format('change it there: midctl context set NAME --use --database-url ''%s''', regexp_replace(place, '^postgres://', 'postgres://USER@')),
    jsonb_build_object('movedTo', place)::text);
  RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION midctl_moved() FROM PUBLIC;

CREATE FUNCTION midctl_log_close() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  UPDATE midctl_log_head SET closed = true WHERE "only";
  RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION midctl_log_close() FROM PUBLIC;

CREATE FUNCTION midctl_log_move() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  INSERT INTO midctl_log_queue (first, at, context, action, details)
  VALUES (true, midctl_now(), midctl_context(), 'environment.move',
          jsonb_build_object('databaseId', NEW."databaseId", 'name', NEW.name, 'live', NEW.live, 'movedTo', NEW."movedTo"));
  RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION midctl_log_move() FROM PUBLIC;

-- The move is logged as such, and not as another change of the environment.
DROP TRIGGER midctl_50_log ON midctl_environment;
CREATE TRIGGER midctl_50_log AFTER INSERT ON midctl_environment FOR EACH ROW EXECUTE FUNCTION midctl_log_environment();
CREATE TRIGGER midctl_50_log_changes AFTER UPDATE ON midctl_environment FOR EACH ROW
  WHEN (OLD."movedTo" IS NOT DISTINCT FROM NEW."movedTo") EXECUTE FUNCTION midctl_log_environment();
CREATE TRIGGER midctl_50_log_move AFTER UPDATE ON midctl_environment FOR EACH ROW
  WHEN (OLD."movedTo" IS DISTINCT FROM NEW."movedTo") EXECUTE FUNCTION midctl_log_move();

-- Where writers take turns: who waited there while the database moved is refused too.
CREATE TRIGGER midctl_20_moved BEFORE UPDATE ON midctl_log_head FOR EACH ROW
  WHEN (OLD.closed AND (NEW.size, NEW.closed) IS DISTINCT FROM (OLD.size, OLD.closed)) EXECUTE FUNCTION midctl_moved();
CREATE TRIGGER midctl_05_moved BEFORE UPDATE ON midctl_environment FOR EACH ROW
  WHEN (OLD."movedTo" IS NOT NULL) EXECUTE FUNCTION midctl_moved();
CREATE TRIGGER midctl_70_close AFTER INSERT ON midctl_log FOR EACH ROW
  WHEN (NEW.action = 'environment.move') EXECUTE FUNCTION midctl_log_close();

ALTER TABLE midctl_log_head ENABLE ALWAYS TRIGGER midctl_20_moved;
ALTER TABLE midctl_environment ENABLE ALWAYS TRIGGER midctl_05_moved;
ALTER TABLE midctl_environment ENABLE ALWAYS TRIGGER midctl_50_log;
ALTER TABLE midctl_environment ENABLE ALWAYS TRIGGER midctl_50_log_changes;
ALTER TABLE midctl_environment ENABLE ALWAYS TRIGGER midctl_50_log_move;
ALTER TABLE midctl_log ENABLE ALWAYS TRIGGER midctl_70_close;
