import { COVERING, digestOf } from "../../domain/plan.ts";
import { judgePlan } from "../../domain/receipt.ts";
import { grants, sameScopes } from "../../domain/scope.ts";
import type { TrustRoot } from "../../domain/trust.ts";
import type { SignedPlan } from "../../repository/approval.ts";
import { type Plan, readPlan } from "../approval/plan.ts";
import { type Accepted, type Looked, refuseInstead } from "../decide.ts";

/** What a signed line lets a token be. */
export interface Terms {
  /** `ap_…` */
  readonly approval: string;
  /** Public id of the credential or legacy token. */
  readonly publicId: string;
  /** null for a legacy token. */
  readonly identity: { readonly slug: string; readonly publicId: string } | null;
  readonly scopes: readonly string[];
  /** ms since 1970. */
  readonly notAfter: number;
  /** The same, RFC 3339, as an answer has it. */
  readonly notAfterText: string;
  readonly executeBy: number;
}

/** A plan in force: enough is signed under it. */
export interface Kept {
  readonly terms: ReadonlyMap<string, Terms>;
  /** Of the plan's text. */
  readonly bytes: number;
  /** Since room was last made: what nobody asks for goes first. */
  used: boolean;
}

/** ms after `executeBy` in which a row may be born: the line was used up in time, and its transaction then waited for locks. */
const LATE = 60_000;
const COVERS: ReadonlySet<string> = new Set(COVERING);

/** `void`: whatever is signed under it, it covers nothing under this root. `short`: that may still change, as by votes. */
export type Insufficient = "void" | "short";

/** What a plan covers under a trust root. Nothing of it is believed until it is what was signed. */
export function judgeSigned(
  root: TrustRoot,
  digest: string,
  { plan: text, votes }: SignedPlan,
): Kept | Insufficient {
  if (digestOf(text) !== digest) return "short";
  const plan = readStrictly(text);
  // What breaks the glass pauses and revokes.
  if (plan === null || plan.breakGlass !== null) return "void";
  const { requester, requestedAt, environment } = plan;
  const { short } = judgePlan(
    root,
    { text, requester, requestedAt, databaseId: environment.databaseId },
    votes,
  );
  if (short !== null) return short === "database" ? "void" : "short";
  return { terms: termsOf(plan), bytes: Buffer.byteLength(text), used: false };
}

function readStrictly(text: string): Plan | null {
  try {
    return readPlan(text);
  } catch {
    return null;
  }
}

function termsOf({ id, executeBy, lines }: Plan): ReadonlyMap<string, Terms> {
  const terms = new Map<string, Terms>();
  for (const line of lines) {
    if (line.token === null || line.credential === null || !COVERS.has(line.do)) continue;
    // The first of two that name the same token: a plan that people mean has one.
    if (terms.has(line.token.secret)) continue;
    terms.set(line.token.secret, {
      approval: id,
      publicId: line.credential.id.slice(3),
      identity:
        line.identity === null ? null : { slug: line.identity.slug, publicId: line.identity.publicId },
      scopes: line.token.scopes,
      notAfter: Date.parse(line.token.notAfter),
      notAfterText: line.token.notAfter,
      executeBy: Date.parse(executeBy),
    });
  }
  return terms;
}

/** As much of a token's rows as a line is compared with. */
export interface ComparedRow {
  readonly publicId: string;
  /** null for a legacy token. */
  readonly identity: { readonly slug: string; readonly publicId: string } | null;
  readonly scopes: readonly string[];
  /** RFC 3339; null for a legacy token. */
  readonly issuedAt: string | null;
}

/**
 * Whether the row is what was signed. All of that is immutable, so a row that differs was tampered with. When it was issued
 * is the row's own word: this finds rows written by hand after the plan's time, by whoever did not think of it, and proves
 * nothing.
 */
export function isSame(terms: Terms, { publicId, identity, scopes, issuedAt }: ComparedRow): boolean {
  return (
    terms.publicId === publicId &&
    terms.identity?.slug === identity?.slug &&
    terms.identity?.publicId === identity?.publicId &&
    sameScopes(terms.scopes, scopes) &&
    // Written so that what is no time is never in time.
    (issuedAt === null || Date.parse(issuedAt) <= terms.executeBy + LATE)
  );
}

/** The decision held to its terms; `unapproved` without any. @param at the later of the clocks, ms since 1970 */
export function held(
  looked: Looked,
  at: number,
  decision: Accepted,
  terms: Terms | null,
  scope: string | null,
): Looked {
  if (terms === null) return refuseInstead(looked, "unapproved");
  if (scope !== null && !grants(decision.scopes, scope)) return refuseInstead(looked, "scope_missing");
  const { publicId, pending, stale } = looked;
  // What is left until then is what counts, since it is kept by the clock of the reading.
  const notAfter = looked.at + (terms.notAfter - at);
  return { decision: underTerms(decision, terms), publicId, pending, stale, at: looked.at, notAfter };
}

/** The answer ends when row or line does, whichever is sooner. Each field by its name: a spread costs a microsecond. */
function underTerms(decision: Accepted, { approval, notAfter, notAfterText }: Terms): Accepted {
  const { actor, credential, identity, scopes, workspace, expiresAt } = decision;
  const sooner = expiresAt !== null && Date.parse(expiresAt) <= notAfter;
  if (!Object.isFrozen(decision)) {
    // Made for this answer alone, and given to nobody yet.
    const open = decision as { -readonly [Key in keyof Accepted]: Accepted[Key] };
    if (!sooner) open.expiresAt = notAfterText;
    open.approval = approval;
    return Object.freeze(open);
  }
  return Object.freeze({
    ok: true,
    actor,
    credential,
    identity,
    scopes,
    workspace,
    expiresAt: sooner ? expiresAt : notAfterText,
    approval,
  });
}
