import type { Tx } from "../db/database.ts";
import { WAIT_OR_MIGRATE } from "../db/sql-states.ts";
import { MidctlError } from "../domain/errors.ts";
import { formatReference, type Reference } from "../domain/reference.ts";
import { suggest } from "../domain/slug.ts";
import { hashLegacyToken, hashToken, parseToken } from "../domain/token.ts";
import { findCredentialByHash, suggestCredentials } from "../repository/credential.ts";
import { type Environment, readEnvironment } from "../repository/environment.ts";
import { suggestSlugs } from "../repository/identity.ts";
import { findTokenIdByHash, suggestTokens } from "../repository/token.ts";
import { findMatching, readLookupStanding } from "../repository/token-match.ts";

/** The environment, or `schema_version` where the database was never made ready. */
export async function requireEnvironment(tx: Tx): Promise<Environment> {
  const environment = await readEnvironment(tx);
  if (environment === null) {
    throw new MidctlError(
      "schema_version",
      "This database has midctl's tables but no environment; nothing was done.",
      { hint: WAIT_OR_MIGRATE },
    );
  }
  return environment;
}

/** What a token belongs to: a credential or, for a legacy one, the token; null where nobody knows it. Looking is not a use. */
export async function findHolder(
  tx: Tx,
  token: string,
): Promise<Extract<Reference, { readonly publicId: string }> | null> {
  const own = parseToken(token);
  const hash = own === null ? hashLegacyToken(token) : hashToken(token);
  const standing = await readLookupStanding(tx);
  if (!standing.readsHashes) {
    if (!standing.mayMatch) throw mayNotLookUp(standing.name);
    return findMatching(tx, own?.publicId ?? null, hash);
  }
  const credential = await findCredentialByHash(tx, hash);
  if (credential !== null) return { kind: "credential", publicId: credential.id.slice(3) };
  const legacy = await findTokenIdByHash(tx, hash);
  return legacy === null ? null : { kind: "token", publicId: legacy };
}

function mayNotLookUp(name: string): MidctlError {
  return new MidctlError(
    "denied",
    `The database user ${name} may not ask whether a token is known; nothing was read.`,
    {
      hint: `As the owner of the schema: midctl db grant --role auditor ${name}, once more where it was given before.`,
    },
  );
}

/** `not_found` for a reference that names nothing, with what was probably meant. @param undone what did not happen */
export async function notFound(
  tx: Tx,
  reference: Reference,
  undone = "nothing was changed",
): Promise<MidctlError> {
  const near = await nearest(tx, reference);
  const what =
    reference.kind === "identity"
      ? "machine identity"
      : reference.kind === "token"
        ? "agent token"
        : reference.kind;
  return new MidctlError(
    "not_found",
    `There is no ${what} ${formatReference(reference)} in this database; ${undone}.`,
    {
      hint: near === null ? "midctl list shows what there is." : `Did you mean ${near}?`,
      details: { reference: formatReference(reference), suggestion: near },
    },
  );
}

async function nearest(tx: Tx, reference: Reference): Promise<string | null> {
  if (reference.kind === "identity") {
    const near = await suggestSlugs(
      tx,
      reference.slug.slice(0, Math.max(1, Math.ceil(reference.slug.length / 2))),
      500,
    );
    const started = near.filter((slug) => slug.startsWith(reference.slug));
    return suggest(reference.slug, near) ?? (started.length === 1 ? (started[0] ?? null) : null);
  }
  if (reference.kind === "credential" || reference.kind === "token") {
    const near = reference.kind === "token" ? suggestTokens : suggestCredentials;
    const [first, ...rest] = await near(tx, reference.publicId.slice(0, 8), 2);
    return first !== undefined && rest.length === 0 ? first : null;
  }
  return null;
}
