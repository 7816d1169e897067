-- The journal of rotation campaigns: who is rotated, how far each has come, and what is to be done with the rest. It goes on where it
-- was interrupted. It decides nothing: a rotation is refused or made by the rules of credentials, whatever stands here.

CREATE TABLE "midctl_campaign" (
  "id" bigserial PRIMARY KEY NOT NULL,
  "publicId" varchar(12) NOT NULL,
  "terms" text NOT NULL,
  "status" varchar(16) DEFAULT 'running' NOT NULL,
  "problem" text,
  "startedAt" timestamp DEFAULT (now() AT TIME ZONE 'UTC') NOT NULL,
  "startedBy" varchar(255) NOT NULL,
  "changedAt" timestamp DEFAULT (now() AT TIME ZONE 'UTC') NOT NULL,
  CONSTRAINT "midctl_campaign_publicId_unique" UNIQUE("publicId"),
  CONSTRAINT "midctl_campaign_public_id_check" CHECK ("publicId" ~ '^[0-9A-Za-z]{12}$'),
  CONSTRAINT "midctl_campaign_terms_check" CHECK (jsonb_typeof("terms"::jsonb) = 'object'),
  CONSTRAINT "midctl_campaign_status_check" CHECK ("status" IN ('running', 'stopped', 'done'))
);
COMMENT ON COLUMN midctl_campaign."terms" IS 'JSON: what each successor is to be, how it is delivered, and when to stop';

CREATE TABLE "midctl_campaign_target" (
  "campaignId" bigint NOT NULL,
  "position" integer NOT NULL,
  "slug" varchar(63) NOT NULL,
  "replaces" varchar(12) NOT NULL,
  "place" text,
  "state" varchar(16) DEFAULT 'open' NOT NULL,
  "successor" varchar(12),
  "problem" text,
  "changedAt" timestamp,
  CONSTRAINT "midctl_campaign_target_campaignId_position_pk" PRIMARY KEY("campaignId","position"),
  CONSTRAINT "midctl_campaign_target_state_check" CHECK ("state" IN ('open', 'issued', 'delivered', 'failed')),
  CONSTRAINT "midctl_campaign_target_successor_check" CHECK ("state" IN ('open', 'failed') OR "successor" IS NOT NULL)
);
ALTER TABLE "midctl_campaign_target" ADD CONSTRAINT "midctl_campaign_target_campaignId_midctl_campaign_id_fk" FOREIGN KEY ("campaignId") REFERENCES "midctl_campaign"("id") ON DELETE no action ON UPDATE no action;
CREATE UNIQUE INDEX "midctl_campaign_target_slug_idx" ON "midctl_campaign_target" USING btree ("campaignId","slug");
CREATE UNIQUE INDEX "midctl_campaign_target_place_idx" ON "midctl_campaign_target" USING btree ("campaignId",md5("place")) WHERE "place" IS NOT NULL;
COMMENT ON COLUMN midctl_campaign_target."replaces" IS 'Public id of the credential that was current when the campaign began';
COMMENT ON COLUMN midctl_campaign_target."place" IS 'The file that its secret goes to; NULL where a command takes it';

CREATE FUNCTION midctl_campaign_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  IF (NEW.id, NEW."publicId", NEW.terms, NEW."startedAt", NEW."startedBy") IS DISTINCT FROM (OLD.id, OLD."publicId", OLD.terms, OLD."startedAt", OLD."startedBy") THEN
    PERFORM midctl_refuse('MC003', format('what the campaign rb_%s is for never changes; nothing was changed', OLD."publicId"));
  END IF;
  IF OLD.status = 'done' AND NEW.status <> 'done' THEN
    PERFORM midctl_refuse('MC001', format('the campaign rb_%s is done; nothing was changed', OLD."publicId"), 'begin another one');
  END IF;
  NEW."changedAt" := midctl_now();
  RETURN NEW;
END $$;

CREATE FUNCTION midctl_campaign_target_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  IF (NEW."campaignId", NEW.position, NEW.slug, NEW.replaces, NEW.place) IS DISTINCT FROM (OLD."campaignId", OLD.position, OLD.slug, OLD.replaces, OLD.place) THEN
    PERFORM midctl_refuse('MC003', format('what a campaign does with %s never changes; nothing was changed', OLD.slug));
  END IF;
  IF OLD.state = 'delivered' AND (NEW.state, NEW.successor) IS DISTINCT FROM (OLD.state, OLD.successor) THEN
    PERFORM midctl_refuse('MC001', format('%s has its new secret by this campaign; nothing was changed', OLD.slug));
  END IF;
  NEW."changedAt" := midctl_now();
  RETURN NEW;
END $$;

CREATE TRIGGER midctl_10_change BEFORE UPDATE ON midctl_campaign FOR EACH ROW EXECUTE FUNCTION midctl_campaign_change();
CREATE TRIGGER midctl_90_keep BEFORE DELETE ON midctl_campaign FOR EACH ROW EXECUTE FUNCTION midctl_keep();
CREATE TRIGGER midctl_90_keep_all BEFORE TRUNCATE ON midctl_campaign FOR EACH STATEMENT EXECUTE FUNCTION midctl_keep();
CREATE TRIGGER midctl_10_change BEFORE UPDATE ON midctl_campaign_target FOR EACH ROW EXECUTE FUNCTION midctl_campaign_target_change();
CREATE TRIGGER midctl_90_keep BEFORE DELETE ON midctl_campaign_target FOR EACH ROW EXECUTE FUNCTION midctl_keep();
CREATE TRIGGER midctl_90_keep_all BEFORE TRUNCATE ON midctl_campaign_target FOR EACH STATEMENT EXECUTE FUNCTION midctl_keep();

DO $$
DECLARE t record;
BEGIN
  FOR t IN SELECT g.tgrelid::regclass AS tab, g.tgname FROM pg_trigger g JOIN pg_class r ON r.oid = g.tgrelid
            WHERE r.relnamespace = quote_ident(current_schema())::regnamespace AND NOT g.tgisinternal AND r.relname LIKE 'midctl\_campaign%' LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.tab, t.tgname);
  END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION midctl_campaign_change() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION midctl_campaign_target_change() FROM PUBLIC;
