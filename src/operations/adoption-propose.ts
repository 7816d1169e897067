import type { Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { parseDisplayName, parseOwner } from "../domain/names.ts";
import { formatToken } from "../domain/reference.ts";
import { slugFrom } from "../domain/slug.ts";
import { readTakenNames } from "../repository/credential.ts";
import { type Identity, readIdentities, readTakenSlugs, readWorkspace } from "../repository/identity.ts";
import { readUnadopted, type UnadoptedToken } from "../repository/token.ts";
import { unfitFor } from "./adoption.ts";

/** A proposal for one token, for a person to judge and change. */
export interface Proposal {
  /** `at_…` */
  readonly token: string;
  readonly name: string;
  readonly workspace: string | null;
  readonly lastUsedAt: string | null;
  /** Unique in the database and among the proposals; the identity's own where a host gave the token one. */
  readonly slug: string;
  readonly displayName: string;
  /** Empty where nobody is known: then a person has to say. */
  readonly owner: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Of the credential; left out for `default`. */
  readonly credential?: string;
}

export interface Proposed {
  readonly proposals: readonly Proposal[];
  /** Tokens in force that cannot be adopted as they are, each with the reason. */
  readonly skipped: readonly { readonly token: string; readonly reason: string }[];
}

/**
 * Proposes an identity for every token in force that has no credential. Changes nothing.
 * @param owner of those whose maker is not known
 * @param workspace a slug, or null for all. Throws `not_found` for one that is not there
 */
export async function proposeAdoption(
  db: Tx,
  owner: string | null,
  workspace: string | null,
): Promise<Proposed> {
  if (workspace !== null && !(await readWorkspace(db, workspace)).exists) {
    throw new MidctlError(
      "not_found",
      `There is no workspace ${workspace} in this database; nothing was proposed.`,
    );
  }
  const tokens = await readUnadopted(db, workspace);
  const fit = tokens.filter((token) => unfitFor(token) === null);
  const bases = fit.map(
    (token) => slugFrom(token.name) ?? slugFrom(`token-${token.publicId}`) ?? "legacy-token",
  );
  const slugs = new Names(await readTakenSlugs(db, [...new Set(bases)]));
  const owned = [...new Set(fit.flatMap(({ identity }) => identity ?? []))];
  const identities = new Map((await readIdentities(db, owned)).map((one) => [one.slug, one]));
  const names = new Names(
    (await readTakenNames(db, owned)).map(({ identity, name }) => `${identity}/${name}`),
  );
  return {
    proposals: fit.map((token, index) => {
      const own = token.identity === null ? undefined : identities.get(token.identity);
      if (own === undefined) return proposalFor(token, slugs.take(bases[index] as string), owner);
      return proposalInto(token, own, names.take(`${own.slug}/default`).slice(own.slug.length + 1));
    }),
    skipped: tokens.flatMap((token) => {
      const reason = unfitFor(token);
      return reason === null ? [] : [{ token: formatToken(token.publicId), reason }];
    }),
  };
}

/** Hands out each name once: `bot`, `bot-2`, `bot-3`. */
class Names {
  readonly #taken: Set<string>;
  readonly #next = new Map<string, number>();
  constructor(taken: Iterable<string>) {
    this.#taken = new Set(taken);
  }
  take(base: string): string {
    let number = this.#next.get(base) ?? 1;
    let name: string;
    do {
      name = number === 1 ? base : `${base}-${number}`;
      number++;
    } while (this.#taken.has(name));
    this.#next.set(base, number);
    this.#taken.add(name);
    return name;
  }
}

function proposalFor(token: UnadoptedToken, slug: string, owner: string | null): Proposal {
  return {
    token: formatToken(token.publicId),
    name: token.name,
    workspace: token.workspace,
    lastUsedAt: token.lastUsedAt,
    slug,
    displayName: fitting(parseDisplayName, token.name) ?? slug,
    owner: fitting(parseOwner, token.creator) ?? owner ?? "",
    labels: {},
  };
}

/** A host's own identity stays as it is, and a further token of it is a credential of another name. */
function proposalInto(token: UnadoptedToken, identity: Identity, credential: string): Proposal {
  const { slug, displayName, owner, labels } = identity;
  const proposal = { ...proposalFor(token, slug, null), displayName, owner, labels };
  return credential === "default" ? proposal : { ...proposal, credential };
}

function fitting(parse: (text: string) => string, text: string | null): string | null {
  if (text === null) return null;
  try {
    return parse(text);
  } catch {
    return null;
  }
}
