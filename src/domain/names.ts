import { MidctlError } from "./errors.ts";
import { containsSecret } from "./token.ts";
import { hasInvisible, quote } from "./visible.ts";

/** Limits of the free words that describe an identity and a change. Lengths are in characters, as PostgreSQL counts. */
const MAX_TEXT = 255;
const MAX_REASON = 1000;

const CREDENTIAL_NAME_PATTERN = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const PROVIDER_PATTERN = /^[a-z0-9]{1,63}$/;
/** Control characters and lone surrogates: the latter cannot be stored, and would quietly become U+FFFD. */
const CONTROL = /[\p{Cc}\p{Cs}]/u;
const CONTROL_BUT_BREAKS = /(?![\n\t])[\p{Cc}\p{Cs}]/u;
const ALL_CONTROL_BUT_BREAKS = new RegExp(CONTROL_BUT_BREAKS, "gu");

/** 1 to 255 characters, no control characters; format characters may stand in it and are shown escaped. */
export function parseDisplayName(text: string): string {
  return parseText("A display name", text, MAX_TEXT, CONTROL);
}

/** The accountable person or team: 1 to 255 characters, no control characters. */
export function parseOwner(text: string): string {
  return parseText("An owner", text, MAX_TEXT, CONTROL);
}

/** How a verifier shows itself: 1 to 255 characters, no control characters. */
export function parseVerifierName(text: unknown): string {
  return parseText("A verifier's name", typeof text === "string" ? text : "", MAX_TEXT, CONTROL);
}

/** A host's workspace by its slug, which the host chose: 1 to 255 characters, no control characters. */
export function parseWorkspace(text: string): string {
  return parseText("A workspace", text, MAX_TEXT, CONTROL);
}

/** Who acts, as the log will name them: 1 to 255 characters, no control characters. */
export function parseActor(text: string): string {
  return parseText("A name", text, MAX_TEXT, CONTROL);
}

/** Why a change was made: 1 to 1000 characters; line breaks and tabs are the only control characters. */
export function parseReason(text: string): string {
  return parseText("A reason", text, MAX_REASON, CONTROL_BUT_BREAKS);
}

/** As much of a text as may be a reason, without control characters. */
export function fitReason(text: string): string {
  const characters = [...text.replace(ALL_CONTROL_BUT_BREAKS, " ").trim()];
  if (characters.length <= MAX_REASON) return characters.join("");
  return `${characters
    .slice(0, MAX_REASON - 1)
    .join("")
    .trimEnd()}…`;
}

/** A label's value: up to 255 characters, may be empty, no control characters. */
export function parseLabelValue(text: string): string {
  return text === "" ? text : parseText("A label's value", text, MAX_TEXT, CONTROL);
}

/** A credential's name under its identity: `^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`. */
export function parseCredentialName(text: string): string {
  if (CREDENTIAL_NAME_PATTERN.test(text)) return text;
  throw new MidctlError("usage", `${quote(text)} is not a credential name.`, {
    hint: "Use 1 to 63 small letters, digits and inner hyphens, such as default or ci-runner.",
  });
}

/** Where a thread lives: `^[a-z0-9]+$`, at most 63 characters. */
export function parseProvider(text: string): string {
  if (PROVIDER_PATTERN.test(text)) return text;
  throw new MidctlError("usage", `${quote(text)} is not a provider.`, {
    hint: "Use 1 to 63 small letters and digits, such as codex.",
  });
}

/** A provider's own name for a thread, kept as it is: 1 to 255 printable characters. */
export function parseThreadId(text: string): string {
  const id = parseText("A thread id", text, MAX_TEXT, CONTROL);
  if (hasInvisible(id)) {
    throw new MidctlError("usage", `The thread id ${quote(id)} holds invisible characters.`, {
      hint: "Give it as the provider prints it; the invisible ones are shown here as \\u{…}.",
    });
  }
  return id;
}

function parseText(what: string, text: string, longest: number, forbidden: RegExp): string {
  const refuse = (problem: string, hint: string) => new MidctlError("usage", `${what} ${problem}.`, { hint });
  if (containsSecret(text)) {
    throw refuse(
      "must not hold a token; it was not stored",
      "If that token is real, revoke it: midctl revoke --token-stdin < FILE",
    );
  }
  if (text.trim() === "") throw refuse("is empty", `Give 1 to ${longest} characters.`);
  const length = [...text].length;
  if (length > longest)
    throw refuse(`has ${length} characters, too many`, `Give 1 to ${longest} characters.`);
  if (forbidden.test(text)) throw refuse(`holds control characters: ${quote(text)}`, "Leave them out.");
  if (text !== text.trim()) throw refuse(`begins or ends with a space: ${quote(text)}`, "Leave it out.");
  return text;
}
