import { MidctlError } from "./errors.ts";
import { SLUG_PATTERN, slugError } from "./slug.ts";
import { containsSecret } from "./token.ts";
import { quote } from "./visible.ts";

/** What an operator may name on a command line (SPEC §2). `_` cannot occur in a slug, so nothing is ambiguous. */
export type Reference =
  | { readonly kind: "identity"; readonly slug: string }
  | { readonly kind: "credential" | "token" | "approval"; readonly publicId: string };

const KINDS = { mc: "credential", at: "token", ap: "approval" } as const;
type Prefix = keyof typeof KINDS;

/** Our own ids are 12 base62 characters; a legacy token's was chosen by the host, in a varchar(12). */
const IDS: Readonly<Record<Prefix, RegExp>> = {
  mc: /^[0-9A-Za-z]{12}$/,
  at: /^[0-9A-Za-z_-]{1,12}$/,
  ap: /^[0-9A-Za-z]{12}$/,
};

const FORMS = "Give a slug, a credential mc_…, a token at_… or an approval ap_….";

/**
 * Reads a reference. Throws `usage` that says what was probably meant; a token given as a reference is refused
 * without echoing it.
 */
export function parseReference(text: string): Reference {
  if (SLUG_PATTERN.test(text)) return { kind: "identity", slug: text };
  if (text === "") throw new MidctlError("usage", "The reference is empty.", { hint: FORMS });
  refuseSecret(text);
  const match = /^\s*([A-Za-z]{2})_(\S*)\s*$/.exec(text);
  const prefix = match?.[1]?.toLowerCase();
  if (match === null || prefix === undefined || !isPrefix(prefix)) {
    if (match === null) throw slugError(text);
    throw new MidctlError("usage", `${quote(text)} is not a reference.`, { hint: FORMS });
  }
  const publicId = match[2] as string;
  if (!IDS[prefix].test(publicId)) {
    throw new MidctlError("usage", `${quote(text)} is not ${article(KINDS[prefix])} ${KINDS[prefix]}'s id.`, {
      hint: `It is ${prefix}_ and 12 letters or digits, in the case in which it was printed.`,
    });
  }
  const exact = `${prefix}_${publicId}`;
  if (exact !== text) {
    throw new MidctlError("usage", `${quote(text)} is not a reference.`, {
      hint: `Did you mean ${exact}?`,
      details: { suggestion: exact },
    });
  }
  return { kind: KINDS[prefix], publicId };
}

/** `mc_<publicId>`. */
export function formatCredential(publicId: string): string {
  return `mc_${publicId}`;
}

/** `at_<publicId>`. */
export function formatToken(publicId: string): string {
  return `at_${publicId}`;
}

/** `ap_<publicId>`. */
export function formatApproval(publicId: string): string {
  return `ap_${publicId}`;
}

/** The reference as it is typed. */
export function formatReference(reference: Reference): string {
  switch (reference.kind) {
    case "identity":
      return reference.slug;
    case "credential":
      return formatCredential(reference.publicId);
    case "token":
      return formatToken(reference.publicId);
    case "approval":
      return formatApproval(reference.publicId);
  }
}

function article(kind: string): "a" | "an" {
  return /^[aeiou]/.test(kind) ? "an" : "a";
}

function isPrefix(text: string): text is Prefix {
  return Object.hasOwn(KINDS, text);
}

function refuseSecret(text: string): void {
  if (/^\s*mcc_/i.test(text)) {
    throw new MidctlError("usage", "A commitment is not a reference; nothing was done.", {
      hint: "Commitments go to credential issue or rotate, as --commitment.",
    });
  }
  if (/^\s*mid_/i.test(text) || containsSecret(text)) {
    throw new MidctlError("usage", "A token is no reference; nothing was done.", {
      hint: "Name the credential by its id, mc_…. Where others may have read the token, revoke it: midctl revoke --token-stdin < FILE",
    });
  }
}
