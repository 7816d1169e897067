import { randomBytes } from "node:crypto";
import type { Database } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import { expandPlace, type PlaceTemplate } from "../../domain/place-template.ts";
import { createPublicId } from "../../domain/token.ts";
import {
  type Campaign,
  findCampaign,
  insertCampaign,
  type NewTarget,
  readCandidates,
} from "../../repository/campaign.ts";
import { change, type Request } from "../change.ts";
import { notFound } from "../lookup.ts";
import { MOST_TARGETS, type Selection, selectSlugs } from "../selection.ts";
import { type CampaignTerms, writeTerms } from "./terms.ts";

/** Who is to be rotated, each with where its secret goes. */
export interface ChosenTargets {
  readonly targets: readonly Chosen[];
  /** Slugs that were selected and hold nothing of that name that could be rotated. */
  readonly without: readonly string[];
}

export type Chosen = Omit<NewTarget, "successor">;

/** What is chosen by, beside the selection. */
export interface Choosing {
  /** Of the credentials. */
  readonly name: string;
  /** Whether a pending credential gives way. */
  readonly replacePending: boolean;
  /** Whether all that lives of that name ends at once: then what is pending or in grace is chosen too. */
  readonly compromised: boolean;
  /** null where a command takes the secrets, and none is kept meanwhile. */
  readonly places: PlaceTemplate | null;
}

/** Writes down who is to be rotated, and where each secret goes; nobody is rotated yet. */
export async function beginCampaign(
  db: Database,
  request: Request,
  terms: CampaignTerms,
  { targets }: ChosenTargets,
): Promise<Campaign> {
  const id = createCampaignId();
  const fresh = { id, terms: writeTerms(terms), startedBy: request.actor.name, approval: null };
  const campaign = await change(db, request, async (tx) => {
    await insertCampaign(
      tx,
      fresh,
      targets.map((target) => ({ ...target, successor: null })),
    );
    return findCampaign(tx, id);
  });
  if (campaign === null) throw new MidctlError("internal", `${id} cannot be read after it was written.`);
  return campaign;
}

export function createCampaignId(): string {
  return `rb_${createPublicId(randomBytes)}`;
}

/**
 * Looks up whom a selection comes to, and makes the path for each, before anything is written.
 * @throws MidctlError `not_found` for a name that there is not; `usage` where nobody is left to rotate, and for paths that leave the
 * directory or are those of two
 */
export async function chooseTargets(
  db: Database,
  selection: Selection,
  choosing: Choosing,
): Promise<ChosenTargets> {
  const chosen = await lookUp(db, selection, choosing);
  if (chosen.targets.length > 0) return chosen;
  throw new MidctlError(
    "usage",
    `Nobody of this selection holds a current credential named ${choosing.name}; nothing was changed.`,
    { hint: "midctl list credentials --status active shows who does." },
  );
}

async function lookUp(
  db: Database,
  selection: Selection,
  { name, replacePending, compromised, places: template }: Choosing,
): Promise<ChosenTargets> {
  const targets: Chosen[] = [];
  const without: string[] = [];
  const places = new Map<string, string>();
  for await (const slugs of selectSlugs(db, selection)) {
    const candidates = await readCandidates(db, slugs, name);
    if ("slugs" in selection && candidates.length < slugs.length) {
      const known = new Set(candidates.map(({ slug }) => slug));
      const slug = slugs.find((each) => !known.has(each)) ?? "";
      throw await notFound(db, { kind: "identity", slug });
    }
    for (const { slug, current, newest, pending, ...values } of candidates) {
      const replaces = current ?? (compromised ? newest : null);
      if (replaces === null) {
        without.push(slug);
        continue;
      }
      const place = template === null ? null : expandPlace(template, { slug, name, ...values });
      if (place !== null) {
        const other = places.get(place);
        if (other !== undefined) throw sameFile(other, slug, place);
        places.set(place, slug);
      }
      targets.push({ slug, replaces, replacesPending: replacePending ? pending : null, place });
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
