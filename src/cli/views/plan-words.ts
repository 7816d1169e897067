/**
 * A plan's lines in words, with every term that is signed. Whoever wrote the plan chose the values, so no value can pass for two,
 * or for a word of ours.
 */
import type { Creation, IdentityTarget, PlanLine } from "../../operations/approval/plan.ts";

const PLAIN = /^[0-9A-Za-z_.:*@/+=-]+$/;
/** In front of the = that ends it. */
const PLAIN_KEY = /^[0-9A-Za-z_.:*@/+-]+$/;
/** No value looks so: one that did would be quoted. */
const NONE = "(none)";

/** A value as it is, or in quotes where it holds anything that could be taken for something else. */
export function word(value: string): string {
  return PLAIN.test(value) && value !== "-" ? value : quoted(value);
}

function quoted(value: string): string {
  return `"${value.replace(/["\\]/g, "\\$&")}"`;
}

/** Each word of a list by itself. */
export function wordList(values: readonly string[]): string {
  return values.length === 0 ? NONE : values.map(word).join(" ");
}

/** `key=value` for each, values and keys quoted apart. */
export function wordPairs(pairs: Readonly<Record<string, string>>): string {
  const entries = Object.entries(pairs);
  if (entries.length === 0) return NONE;
  return entries.map(([key, value]) => `${PLAIN_KEY.test(key) ? key : quoted(key)}=${word(value)}`).join(" ");
}

/** Says of a text that letters in it may not be the ones that they look like. */
export function noteForeign(text: string, values: string = text): string {
  return /[^\u0000-\u007f]/.test(values) ? `${text} (not ASCII)` : text;
}

/** One line of a plan in words. */
export function describeLine(line: PlanLine): string {
  return noteForeign(describe(line));
}

function describe(line: PlanLine): string {
  switch (line.do) {
    case "identity.create":
      return `create the identity ${who(line.identity)} of ${word(line.create.owner)}`;
    case "identity.update":
      return `change the identity ${who(line.identity)}`;
    case "credential.issue":
      return `issue ${line.credential.id} to ${who(line.identity)}${made(line.create)}`;
    case "credential.rotate":
      return `issue ${line.credential.id} to ${who(line.identity)} in place of ${line.replaces.id}${line.revokes.length > 0 ? `, revoking ${wordList(line.revokes)} at once` : `, which ends ${line.grace} s after the first use`}`;
    case "pause":
    case "resume":
    case "revoke": {
      const targets = [line.credential?.id ?? [], line.identity === null ? [] : who(line.identity)].flat();
      return `${line.do} ${targets.join(" of ")}`;
    }
    case "identity.adopt":
      return `adopt ${line.credential.id} into ${who(line.identity)}${made(line.create)}`;
    case "token.sunset":
      return `end every legacy token at ${line.endsAt}`;
    case "environment.protect":
      return `go on accepting ${line.credential.id}${line.identity === null ? " (legacy)" : ` of ${who(line.identity)}`}${line.shortened ? ", which had no end and gets one" : ""}`;
    case "environment.grant":
      return `${line.revoke ? "take from" : "give"} ${word(line.role)} ${line.roles.length === 1 ? "the role" : "the roles"} ${wordList(line.roles)}`;
    case "db.migrate":
      return `upgrade the schema: ${wordList(line.migrations.map(({ name }) => name))}`;
    case "db.rollback":
      return `take the schema away, with a log of ${line.entries} ${line.entries === 1 ? "entry" : "entries"}`;
  }
}

function who({ slug, publicId }: IdentityTarget): string {
  return `${word(slug)} (${publicId})`;
}

function made(create: Creation | null): string {
  return create === null ? "" : `, which is created, of ${word(create.owner)}`;
}

/** What else a line says, as it is signed, one term a text; what the database adds about effects is not. */
export function termsOf(line: PlanLine): readonly string[] {
  const terms: (readonly [string, string | null])[] = [
    ...("create" in line && line.create !== null ? creationTerms(line.create) : []),
    ...("set" in line ? creationTerms(line.set) : []),
    ["name", "name" in line ? word(line.name) : null],
    ["activateWithin", "activateWithin" in line ? seconds(line.activateWithin) : null],
    [
      "replacesPending",
      "replacesPending" in line && line.replacesPending !== null ? word(line.replacesPending) : null,
    ],
    ["grace", "grace" in line ? seconds(line.grace) : null],
    ["revokes", "revokes" in line ? wordList(line.revokes) : null],
    ["from", "from" in line ? word(line.from) : null],
    ...(line.token === null ? [] : tokenTerms(line.token)),
    ...("migrations" in line
      ? line.migrations.map(({ name, sha256 }) => [word(name), `sha256:${sha256}`] as const)
      : []),
  ];
  return terms.flatMap(([name, value]) => (value === null ? [] : [noteForeign(`${name} = ${value}`)]));
}

function tokenTerms(token: NonNullable<PlanLine["token"]>): readonly (readonly [string, string])[] {
  return [
    ["scopes", wordList(token.scopes)],
    ["notAfter", token.notAfter],
  ];
}

function creationTerms(
  said: Readonly<Record<string, string | number | Readonly<Record<string, string>> | null>>,
): readonly (readonly [string, string | null])[] {
  return Object.entries(said).map(([name, value]) => [
    name,
    value === null
      ? null
      : typeof value === "number"
        ? seconds(value)
        : typeof value === "string"
          ? word(value)
          : wordPairs(value),
  ]);
}

function seconds(count: number): string {
  return `${count} s`;
}

/** What many lines come to: how many of each kind, every list of scopes, and when the last of their tokens ends. */
export function sumUp(lines: readonly PlanLine[]): readonly (readonly [string, string])[] {
  const kinds = count(lines.map((line) => line.do));
  const tokens = lines.flatMap(({ token }) => token ?? []);
  const scopes = count(tokens.map((token) => noteForeign(wordList(token.scopes))));
  const latest = tokens
    .map(({ notAfter }) => notAfter)
    .sort()
    .at(-1);
  return [
    ["in all", kinds.map(([kind, times]) => `${times} ${kind}`).join(", ")],
    ...scopes.map(([list, times]) => ["scopes", `${list}, in ${countLines(times)}`] as const),
    ...(latest === undefined ? [] : [["latest end", latest] as const]),
  ];
}

export function countLines(times: number): string {
  return `${times} ${times === 1 ? "line" : "lines"}`;
}

/** The rarest first: what stands out among many is what one looks for. */
function count(values: readonly string[]): readonly (readonly [string, number])[] {
  const times = new Map<string, number>();
  for (const value of values) times.set(value, (times.get(value) ?? 0) + 1);
  return [...times].sort(([, a], [, b]) => a - b);
}
