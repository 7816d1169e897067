-- Campaigns that wait for an approval, and what each target's pending credential was when it began. Both are facts of the beginning,
-- and never change.

ALTER TABLE "midctl_campaign" ADD COLUMN "approval" varchar(12);
ALTER TABLE "midctl_campaign_target" ADD COLUMN "replacesPending" varchar(12);
CREATE UNIQUE INDEX "midctl_campaign_approval_idx" ON "midctl_campaign" USING btree ("approval") WHERE "approval" IS NOT NULL;
COMMENT ON COLUMN midctl_campaign."approval" IS 'Public id of the approval under which it rotates, line by line; NULL where none was needed';
COMMENT ON COLUMN midctl_campaign_target."replacesPending" IS 'Public id of the pending credential that gives way to the new one';

CREATE OR REPLACE FUNCTION midctl_campaign_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  IF (NEW.id, NEW."publicId", NEW.terms, NEW.approval, NEW."startedAt", NEW."startedBy")
     IS DISTINCT FROM (OLD.id, OLD."publicId", OLD.terms, OLD.approval, OLD."startedAt", OLD."startedBy") THEN
    PERFORM midctl_refuse('MC003', format('what the campaign rb_%s is for never changes; nothing was changed', OLD."publicId"));
  END IF;
  IF OLD.status = 'done' AND NEW.status <> 'done' THEN
    PERFORM midctl_refuse('MC001', format('the campaign rb_%s is done; nothing was changed', OLD."publicId"), 'begin another one');
  END IF;
  NEW."changedAt" := midctl_now();
  RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION midctl_campaign_target_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$ BEGIN
  IF (NEW."campaignId", NEW.position, NEW.slug, NEW.replaces, NEW."replacesPending", NEW.place)
     IS DISTINCT FROM (OLD."campaignId", OLD.position, OLD.slug, OLD.replaces, OLD."replacesPending", OLD.place) THEN
    PERFORM midctl_refuse('MC003', format('what a campaign does with %s never changes; nothing was changed', OLD.slug));
  END IF;
  IF OLD.state = 'delivered' AND (NEW.state, NEW.successor) IS DISTINCT FROM (OLD.state, OLD.successor) THEN
    PERFORM midctl_refuse('MC001', format('%s has its new secret by this campaign; nothing was changed', OLD.slug));
  END IF;
  NEW."changedAt" := midctl_now();
  RETURN NEW;
END $$;
