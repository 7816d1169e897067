import type { ErrorCode } from "../domain/errors.ts";
import { formatCredential, formatToken } from "../domain/reference.ts";
import { isScopeList } from "../domain/scope.ts";
import type { Identity } from "../repository/identity.ts";
import type { TokenToAdopt } from "../repository/token.ts";

/** What adopting one token and adopting many share: why a token cannot be, or an identity takes none. */

/** Without capital and full stop, so that it stands in a message of its own or behind a line's number. */
export interface Obstacle {
  readonly code: ErrorCode;
  readonly what: string;
  readonly hint: string;
}

/** What keeps a token that is no credential yet from becoming one; null for nothing. */
export function tokenObstacle(token: TokenToAdopt): Obstacle | null {
  const ref = formatToken(token.publicId);
  if (token.effectiveStatus === "revoked") {
    return {
      code: "conflict",
      what: `${ref} is revoked, which is final`,
      hint: "Create an identity and issue a credential: midctl credential issue SLUG --create --owner WHO",
    };
  }
  if (token.effectiveStatus === "expired") {
    return {
      code: "conflict",
      what: `${ref} has expired`,
      hint: "Create an identity and issue a credential: midctl credential issue SLUG --create --owner WHO",
    };
  }
  const unfit = unfitFor(token);
  return unfit === null
    ? null
    : {
        code: "conflict",
        what: `${ref} ${unfit}`,
        hint: "Mend it in the application, or issue a credential in its place and revoke it.",
      };
}

/** Why no credential could repeat this token, however alive it is; null where one can. */
export function unfitFor(token: TokenToAdopt): string | null {
  if (!isScopeList(token.scopes)) return "has scopes that are no JSON array of strings";
  if (!/^[0-9A-Za-z]{12}$/.test(token.publicId))
    return "has a public id that is not 12 letters or digits, as a credential's is";
  return null;
}

/** What keeps an identity that is there from taking in a token; null for nothing. */
export function identityObstacle(identity: Identity, token: TokenToAdopt): Obstacle | null {
  const ref = formatToken(token.publicId);
  const { slug, effectiveStatus } = identity;
  if (token.identity !== null && token.identity !== slug) {
    return {
      code: "conflict",
      what: `${ref} is of the machine identity ${token.identity} already, and a token keeps its identity`,
      hint: `midctl identity adopt ${ref} --identity ${token.identity}`,
    };
  }
  if (
    effectiveStatus === "revoked" ||
    effectiveStatus === "identity_revoked" ||
    effectiveStatus === "expired"
  ) {
    return {
      code: "conflict",
      what: `${slug} ${effectiveStatus === "expired" ? "has expired" : "is revoked"}, or an ancestor of it, and takes no credentials`,
      hint: "An ended identity gets no new credentials. Create a new identity.",
    };
  }
  if (identity.workspace !== token.workspace) {
    return {
      code: "conflict",
      what: `${ref} is of the workspace ${token.workspace ?? "(none)"} and ${slug} of ${identity.workspace ?? "(none)"}`,
      hint: "A token is adopted within its workspace: choose another identity.",
    };
  }
  return null;
}

/** That a token is a credential already, and whose. */
export function adoptedAlready(
  token: TokenToAdopt,
  credential: { readonly name: string; readonly identity: string },
): Obstacle {
  const id = formatCredential(token.publicId);
  return {
    code: "conflict",
    what: `${formatToken(token.publicId)} is ${id} of ${credential.identity} already, named ${credential.name}`,
    hint: `midctl credential show ${id}`,
  };
}
