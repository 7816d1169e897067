import { randomBytes } from "node:crypto";
import type { Database } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import { expandPlace, type PlaceTemplate } from "../../domain/place-template.ts";
import { createPublicId } from "../../domain/token.ts";
import { type Campaign, findCampaign, insertCampaign, readCandidates } from "../../repository/campaign.ts";
import { change, type Request } from "../change.ts";
import { notFound, requireEnvironment } from "../lookup.ts";
import { type Selection, selectSlugs } from "../selection.ts";
import { type CampaignTerms, writeTerms } from "./terms.ts";

/** More than this is several campaigns. */
export const MOST_TARGETS = 100_000;

/** Who is to be rotated, each with where its secret goes. */
export interface ChosenTargets {
  readonly targets: readonly {
    readonly slug: string;
    /** `mc_…` that is current. */
    readonly replaces: string;
    /** null where a command takes the secret. */
    readonly place: string | null;
  }[];
  /** Slugs that were selected and hold no current credential of that name: there is nothing to rotate. */
  readonly without: readonly string[];
}

/** Writes down who is to be rotated, and where each secret goes; nobody is rotated yet. */
export async function beginCampaign(
  db: Database,
  request: Request,
  terms: CampaignTerms,
  { targets }: ChosenTargets,
): Promise<Campaign> {
  const id = `rb_${createPublicId(randomBytes)}`;
  const campaign = await change(db, request, async (tx) => {
    await insertCampaign(tx, { id, terms: writeTerms(terms), startedBy: request.actor.name }, targets);
    return findCampaign(tx, id);
  });
  if (campaign === null) throw new MidctlError("internal", `${id} cannot be read after it was written.`);
  return campaign;
}

/**
 * Looks up whom a selection comes to, and makes the path for each, before anything is written.
 * @param template null where a command takes the secrets
 * @throws MidctlError `not_found` for a name that there is not; `usage` where nobody is left to rotate, for paths that leave the
 * directory or are those of two, and where the environment is protected
 */
export async function chooseTargets(
  db: Database,
  name: string,
  selection: Selection,
  template: PlaceTemplate | null,
): Promise<ChosenTargets> {
  const environment = await requireEnvironment(db);
  if (environment.protected) {
    throw new MidctlError(
      "usage",
      `${environment.name} is protected, and there a rotation is requested one identity at a time; nothing was changed.`,
      { hint: "midctl credential rotate SLUG --token-file FILE --key KEY, for each" },
    );
  }
  const chosen = await lookUp(db, name, selection, template);
  if (chosen.targets.length > 0) return chosen;
  throw new MidctlError(
    "usage",
    `Nobody of this selection holds a current credential named ${name}; nothing was changed.`,
    { hint: "midctl list credentials --status active shows who does." },
  );
}

async function lookUp(
  db: Database,
  name: string,
  selection: Selection,
  template: PlaceTemplate | null,
): Promise<ChosenTargets> {
  const targets: { slug: string; replaces: string; place: string | null }[] = [];
  const without: string[] = [];
  const places = new Map<string, string>();
  for await (const slugs of selectSlugs(db, selection)) {
    const candidates = await readCandidates(db, slugs, name);
    if ("slugs" in selection && candidates.length < slugs.length) {
      const known = new Set(candidates.map(({ slug }) => slug));
      const slug = slugs.find((each) => !known.has(each)) ?? "";
      throw await notFound(db, { kind: "identity", slug });
    }
    for (const { slug, current, ...values } of candidates) {
      if (current === null) {
        without.push(slug);
        continue;
      }
      const place = template === null ? null : expandPlace(template, { slug, name, ...values });
      if (place !== null) {
        const other = places.get(place);
        if (other !== undefined) throw sameFile(other, slug, place);
        places.set(place, slug);
      }
      targets.push({ slug, replaces: current, place });
      if (targets.length > MOST_TARGETS) throw tooMany();
    }
  }
  return { targets, without };
}

function sameFile(one: string, other: string, place: string): MidctlError {
  return new MidctlError(
    "usage",
    `${one} and ${other} would have the same file, ${place}; nothing was changed.`,
    {
      hint: "Let the template say {slug}.",
      details: { identities: [one, other], file: place },
    },
  );
}

function tooMany(): MidctlError {
  return new MidctlError(
    "usage",
    `The selection is of more than ${MOST_TARGETS} identities; nothing was changed.`,
    { hint: "Make it several campaigns, by label or owner." },
  );
}
