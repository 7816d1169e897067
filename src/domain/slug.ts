import { editDistance } from "./distance.ts";
import { MidctlError } from "./errors.ts";
import { parseProvider, parseThreadId } from "./names.ts";
import { containsSecret } from "./token.ts";
import { quote } from "./visible.ts";

/** SPEC §2. Unique and immutable, so a wrong one cannot be mended: refused with advice, never folded. */
export const SLUG_PATTERN: RegExp = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const MAX_SLUG = 63;
const SLUG_FORM = "A slug is 1 to 63 small letters, digits and inner hyphens, such as codex-019a6f2e.";

/** The slug itself. Throws `usage` that names the slug that was probably meant. */
export function parseSlug(text: string): string {
  if (SLUG_PATTERN.test(text)) return text;
  throw slugError(text);
}

/**
 * The slug of a thread identity, `<provider>-<threadId>`. Different pairs have different slugs, since a provider has
 * no hyphen. Throws `usage` where the thread id is no slug: then one must be given beside it.
 */
export function threadSlug(provider: string, threadId: string): string {
  parseProvider(provider);
  parseThreadId(threadId);
  const slug = `${provider}-${threadId}`;
  if (SLUG_PATTERN.test(threadId) && SLUG_PATTERN.test(slug)) return slug;
  const suggestion = foldToSlug(slug);
  const example = suggestion ?? `${provider}-…`.slice(0, MAX_SLUG);
  throw new MidctlError(
    "usage",
    `The thread id ${quote(threadId)} makes no slug with provider ${quote(provider)}; nothing was changed.`,
    {
      hint: `Give a slug beside --thread and --provider, such as ${example}. The thread id is kept as it is.`,
      details: { suggestion },
    },
  );
}

/** Why `text` is no slug, as a `usage` error. Text that may be a secret is not echoed. */
export function slugError(text: string): MidctlError {
  const suggestion = foldToSlug(text);
  return new MidctlError("usage", describeProblem(text), {
    hint: suggestion === null ? SLUG_FORM : `Did you mean ${suggestion}?`,
    details: { suggestion },
  });
}

/**
 * The candidate that was probably meant: the only one that begins with the input, else the nearest by a few edits
 * (a third of the input's length, at most 3). Null where nothing is near.
 */
export function suggest(input: string, candidates: Iterable<string>): string | null {
  const wanted = input.toLowerCase();
  const allowed = Math.min(3, Math.max(1, Math.floor(wanted.length / 3)));
  let nearest: string | null = null;
  let least = allowed + 1;
  const completions = new Set<string>();
  for (const candidate of candidates) {
    const other = candidate.toLowerCase();
    if (wanted.length >= 3 && other.startsWith(wanted)) completions.add(candidate);
    if (Math.abs(other.length - wanted.length) >= least) continue;
    const distance = editDistance(wanted, other);
    if (distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  if (nearest !== null) return nearest;
  const [only, another] = completions;
  return only !== undefined && another === undefined ? only : null;
}

function describeProblem(text: string): string {
  if (text === "") return "The slug is empty.";
  const length = [...text].length;
  if (length > MAX_SLUG) return `The slug has ${length} characters; at most ${MAX_SLUG} are allowed.`;
  if (looksSecret(text)) return "That is not a slug, and is not shown here since it looks like a secret.";
  const foreign = [...text].find((character) => character > "~" || character < " ");
  if (foreign !== undefined) {
    const code = (foreign.codePointAt(0) as number).toString(16).toUpperCase().padStart(4, "0");
    const twin = toAscii(foreign);
    const likeness = twin.length === 1 && twin !== foreign ? `, which looks like ${quote(twin)}` : "";
    return `${quote(text)} is not a slug: it holds U+${code}${likeness}.`;
  }
  if (/[A-Z]/.test(text)) return `${quote(text)} is not a slug: capital letters are not allowed.`;
  return `${quote(text)} is not a slug.`;
}

/** A token of ours, or twenty characters in a row that mix cases and digits, as another system's token does. */
function looksSecret(text: string): boolean {
  if (containsSecret(text) || /^mid_/i.test(text)) return true;
  const runs = text.match(/[A-Za-z0-9_+/=]{20,}/g) ?? [];
  return runs.some((run) => /[a-z]/.test(run) && /[A-Z]/.test(run) && /\d/.test(run));
}

/** Room for a number behind a proposed slug: `-99999`. */
const MAX_PROPOSED = MAX_SLUG - 6;

/**
 * A slug that a free text suggests, of at most 57 characters, so that a number fits behind it. A proposal for a person to
 * judge, never taken by itself. Null where nothing legible is left, or the text may be a secret.
 */
export function slugFrom(text: string): string | null {
  if (looksSecret(text)) return null;
  const folded = toAscii(text)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, MAX_PROPOSED + 1)
    .replace(/^-+/, "")
    .slice(0, MAX_PROPOSED)
    .replace(/-+$/, "");
  return SLUG_PATTERN.test(folded) ? folded : null;
}

/** The slug that a reader would take the text for; null where there is none, or it must not be shown. */
function foldToSlug(text: string): string | null {
  if ([...text].length > MAX_SLUG || looksSecret(text)) return null;
  const folded = toAscii(text)
    .trim()
    .toLowerCase()
    .replace(/[\s_.:/]+/g, "-")
    .replace(/^-+|-+$/g, "");
  return SLUG_PATTERN.test(folded) ? folded : null;
}

/** Compatibility forms, accents and the commonest Cyrillic and Greek look-alikes, as the ASCII they resemble. */
function toAscii(text: string): string {
  return [...text.normalize("NFKD")]
    .filter((character) => !/[\p{M}\p{Cf}]/u.test(character))
    .map((character) => LOOK_ALIKES.get(character) ?? character)
    .join("");
}

/** Each ASCII character, then those that look like it. */
const LOOK_ALIKES: ReadonlyMap<string, string> = new Map(
  (
    "aаα bвβ cсϲ dԁ eеєε gɡ hһ iіıι jјϳ kкκ lӏ mм nոη oоοσօ pрρ qԛ rг sѕ tтτ uυս vνѵ wԝω xхχ yуγ zᴢ " +
    "AАΑ BВΒ CСϹ EЕΕ HНΗ IІΙ KКΚ MМΜ NΝ OОΟ PРΡ SЅ TТΤ XХΧ YУΥ ZΖ -‐‑‒–—―−﹣"
  )
    .split(" ")
    .flatMap(([ascii = "", ...twins]) => twins.map((twin) => [twin, ascii] as const)),
);
