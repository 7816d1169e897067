import type { Database, Tx } from "../db/database.ts";
import { MidctlError } from "../domain/errors.ts";
import { formatToken } from "../domain/reference.ts";
import { type Credential, findCredential, insertAdopted, readHolders } from "../repository/credential.ts";
import { findIdentity, type Identity, lockIdentity, settleIdentity } from "../repository/identity.ts";
import { findTokenToAdopt, lockTokens, type TokenToAdopt } from "../repository/token.ts";
import { adoptedAlready, identityObstacle, type Obstacle, tokenObstacle } from "./adoption.ts";
import { change, type Request } from "./change.ts";
import { ensureIdentity, type IdentitySpec, requireSame } from "./identity-create.ts";
import { notFound } from "./lookup.ts";

export interface Adoption {
  /** Public id of the token. */
  readonly token: string;
  /** The slug of an identity that is there, or what to create. A spec's workspace is the token's where it says none. */
  readonly identity: string | IdentitySpec;
  /** Of the credential; null for `default`, or whatever it is named where the token is adopted already. */
  readonly name: string | null;
}

export interface Adopted {
  /** False where the token was adopted so already. */
  readonly changed: boolean;
  /** Whether the identity was made. */
  readonly created: boolean;
  /** `at_…` */
  readonly token: string;
  readonly identity: Identity;
  readonly credential: Credential;
}

/** The token as it is before anybody decides what becomes of it. Throws `not_found`. */
export async function previewAdoption(db: Tx, publicId: string): Promise<TokenToAdopt> {
  const token = await findTokenToAdopt(db, publicId);
  if (token === null) throw await notFound(db, { kind: "token", publicId });
  return token;
}

/**
 * Gives a token that a host made an identity, without changing its secret: its credential is born active. Repeating it
 * changes nothing. Throws `not_found` for the token or the identity, `conflict` for a token that has ended, is a
 * credential already or of another workspace, for a slug that is taken, and for an identity that differs or has ended.
 */
export function adoptToken(db: Database, request: Request, adoption: Adoption): Promise<Adopted> {
  return change(db, request, async (tx) => {
    const { identity: wanted } = adoption;
    const slug = typeof wanted === "string" ? wanted : wanted.slug;
    const before = await lockIdentity(tx, slug);
    await lockTokens(tx, [adoption.token]);
    const token = await previewAdoption(tx, adoption.token);
    if (token.credential !== null) return repeat(tx, adoption, slug, token);
    refuse(tokenObstacle(token));

    const { identity, created } = await takeIn(tx, request, wanted, before, token);
    const name = adoption.name ?? "default";
    if (!created) await requireFreeName(tx, identity, name, token);
    await insertAdopted(tx, [{ token: token.publicId, identity: slug, name }], request.actor.name);
    return { changed: true, created, ...(await readAdopted(tx, slug, token)) };
  });
}

async function takeIn(
  tx: Tx,
  request: Request,
  wanted: string | IdentitySpec,
  before: Identity | null,
  token: TokenToAdopt,
): Promise<{ readonly identity: Identity; readonly created: boolean }> {
  const ref = formatToken(token.publicId);
  if (before === null) {
    if (typeof wanted === "string") throw await notFound(tx, { kind: "identity", slug: wanted });
    refuseWorkspace(wanted, token);
    if (token.identity !== null) {
      throw new MidctlError(
        "conflict",
        `${ref} is of the machine identity ${token.identity} already, and a token keeps its identity; it was not adopted.`,
        { hint: `midctl identity adopt ${ref} --identity ${token.identity}` },
      );
    }
    return ensureIdentity(tx, request.actor.name, {
      ...wanted,
      displayName: wanted.displayName ?? token.name,
      workspace: token.workspace,
    });
  }
  if (typeof wanted !== "string") {
    // A host's own identity may be described in passing; any other that is there was not meant.
    if (token.identity !== before.slug) {
      throw new MidctlError(
        "conflict",
        `The machine identity ${before.slug} exists already; ${ref} was not adopted.`,
        {
          hint: `To adopt it into that one: --identity ${before.slug}. Else choose another --slug.`,
          details: { slug: before.slug },
        },
      );
    }
    refuseWorkspace(wanted, token);
    requireSame(before, wanted);
  }
  refuse(identityObstacle(before, token));
  await settleIdentity(tx, before.slug);
  return { identity: before, created: false };
}

function refuseWorkspace(spec: IdentitySpec, token: TokenToAdopt): void {
  if (spec.workspace === null || spec.workspace === token.workspace) return;
  throw new MidctlError(
    "conflict",
    `${formatToken(token.publicId)} is of ${token.workspace === null ? "no workspace" : `the workspace ${token.workspace}`}, not ${spec.workspace}; it was not adopted.`,
    { hint: "Leave --workspace out: the identity is of the token's." },
  );
}

async function requireFreeName(tx: Tx, identity: Identity, name: string, token: TokenToAdopt): Promise<void> {
  const { current, pending } = await readHolders(tx, identity.slug, name);
  const holder = current ?? pending;
  if (holder === null) return;
  throw new MidctlError(
    "conflict",
    `${identity.slug} has the ${holder === current ? "current" : "pending"} credential ${holder.id} named ${name} already; ${formatToken(token.publicId)} was not adopted.`,
    { hint: "Give --name another name.", details: { credential: holder.id, name } },
  );
}

/** The same outcome is nothing new; another is a conflict that names what there is. */
async function repeat(tx: Tx, adoption: Adoption, slug: string, token: TokenToAdopt): Promise<Adopted> {
  const { credential } = token;
  if (credential === null) throw new Error("only an adopted token is adopted again");
  if (credential.identity !== slug || (adoption.name ?? credential.name) !== credential.name) {
    refuse(adoptedAlready(token, credential));
  }
  const adopted = await readAdopted(tx, slug, token);
  if (typeof adoption.identity !== "string") requireSame(adopted.identity, adoption.identity);
  return { changed: false, created: false, ...adopted };
}

async function readAdopted(
  tx: Tx,
  slug: string,
  token: TokenToAdopt,
): Promise<Pick<Adopted, "token" | "identity" | "credential">> {
  const [identity, credential] = await Promise.all([
    findIdentity(tx, slug),
    findCredential(tx, token.publicId),
  ]);
  if (identity === null || credential === null) {
    throw new MidctlError(
      "internal",
      `${formatToken(token.publicId)} cannot be read after its adoption; nothing was changed.`,
    );
  }
  return { token: formatToken(token.publicId), identity, credential };
}

function refuse(obstacle: Obstacle | null): void {
  if (obstacle === null) return;
  throw new MidctlError(obstacle.code, `${obstacle.what}; nothing was changed.`, { hint: obstacle.hint });
}
