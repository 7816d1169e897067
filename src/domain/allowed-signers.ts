import { MidctlError } from "./errors.ts";
import { isKeyType, KEY_TYPES, type PublicKey, readPublicKey } from "./ssh-key.ts";
import { fromBase64, WireReader } from "./ssh-wire.ts";
import { quote } from "./visible.ts";

/** One line of `allowed_signers`: a person and one of their keys. */
export interface Signer {
  readonly principal: string;
  readonly key: PublicKey;
  /** The patterns of `namespaces="…"`, as written; null where the line has none: any. */
  readonly namespaces: string | null;
  /** ms since 1970; the key signs from then on. */
  readonly validAfter: number | null;
  /** ms since 1970; the key signs until then, that moment included, as ssh-keygen has it. */
  readonly validBefore: number | null;
  /** From 1, for messages. */
  readonly line: number;
}

/** ASCII, so that no two that look the same differ; without what ssh-keygen takes for a list, pattern, negation or quote. */
const PRINCIPAL = /^[^\s,*?!"\\]{1,255}$/;
const ASCII = /^[\x21-\x7e]+$/;
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f]/;
/** Beyond this ssh-keygen stops to match. */
const MAX_PATTERNS = 1000;
const TIME = /^(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})(\d{2})?)?Z$/;

/**
 * The file of ssh-keygen(1), ALLOWED SIGNERS. Since a quorum counts principals, a line names exactly one, in full, and a key
 * belongs to one principal; a principal may have several keys, and a key several lines. `cert-authority` is refused.
 * `valid-after` and `valid-before` are in UTC and say so by a `Z`: without it ssh-keygen takes the local time, and one file
 * would mean different moments on two machines. Throws `usage` with `file` and the line.
 */
export function parseAllowedSigners(text: string, file: string): readonly Signer[] {
  const signers: Signer[] = [];
  const ownerOf = new Map<string, Signer>();
  const spelling = new Map<string, Signer>();
  for (const { line, content } of contentLines(text, file)) {
    const signer = parseLine(content, line, file);
    const other = ownerOf.get(signer.key.blob);
    if (other !== undefined && other.principal !== signer.principal) {
      const names = `${quote(other.principal)} (line ${other.line}) and ${quote(signer.principal)}`;
      throw refused(file, line, `One key stands under two principals, ${names}`, {
        hint: "A quorum counts principals: one person must not count as two. Keep the key under one of them.",
      });
    }
    const alike = spelling.get(signer.principal.toLowerCase());
    if (alike !== undefined && alike.principal !== signer.principal) {
      const names = `${quote(signer.principal)} and ${quote(alike.principal)} (line ${alike.line})`;
      throw refused(file, line, `The principals ${names} differ in case alone`, {
        hint: "A quorum counts principals: spell each person's name in one way.",
      });
    }
    ownerOf.set(signer.key.blob, signer);
    spelling.set(signer.principal.toLowerCase(), signer);
    signers.push(signer);
  }
  return signers;
}

/**
 * `revoked_keys` as `ssh-keygen -Y verify -r` takes it in text form, one public key a line: their wire forms, base64. A line
 * that ssh-keygen would skip as no key is refused, since a key with a typing error in it would stay good. Throws `usage`.
 */
export function parseRevokedKeys(text: string, file: string): ReadonlySet<string> {
  if (text.startsWith("SSHKRL\n")) {
    throw new MidctlError("usage", `${file} is a binary revocation list (KRL); no key was read from it.`, {
      hint: "Write the revoked public keys as text, one a line, such as: cat stolen.pub >> revoked_keys",
    });
  }
  const revoked = new Set<string>();
  for (const { line, content } of contentLines(text, file)) {
    const [type = "", base64 = ""] = content.split(/[ \t]+/);
    if (!isAnyKey(type, base64)) {
      throw refused(file, line, "That is no public key", {
        hint: "Write one public key a line, as in a .pub file: type, key, comment.",
      });
    }
    revoked.add(base64);
  }
  return revoked;
}

/** Whether a line may be used for signatures in `namespace`: by ssh-keygen's pattern lists, `*`, `?` and `!`. */
export function permitsNamespace({ namespaces }: Pick<Signer, "namespaces">, namespace: string): boolean {
  if (namespaces === null) return true;
  let permitted = false;
  for (const entry of namespaces.split(",")) {
    const negated = entry.startsWith("!");
    if (!matches(negated ? entry.slice(1) : entry, namespace)) continue;
    if (negated) return false;
    permitted = true;
  }
  return permitted;
}

/** Row by row over the text, so that no pattern takes longer than its length times the text's. */
function matches(pattern: string, text: string): boolean {
  let reached = [true, ...Array<boolean>(text.length).fill(false)];
  for (const sign of pattern) {
    let earlier = false;
    reached = reached.map((here, at) => {
      earlier ||= here;
      if (sign === "*") return earlier;
      return at > 0 && reached[at - 1] === true && (sign === "?" || sign === text[at - 1]);
    });
  }
  return reached.at(-1) === true;
}

function parseLine(content: string, line: number, file: string): Signer {
  const [principal, afterPrincipal] = cut(content, /^[^ \t]*/);
  if (!PRINCIPAL.test(principal) || !ASCII.test(principal)) {
    throw refused(file, line, `${quote(principal)} does not name exactly one principal`, {
      hint: "Begin the line with one name, such as alice@example.com: ASCII, no list, pattern, negation or quotes.",
    });
  }
  const [first] = cut(afterPrincipal, /^[^ \t]*/);
  const hasOptions = !isKeyName(first);
  const [optionText, keyText] = hasOptions
    ? cut(afterPrincipal, /^(?:"[^"]*"|[^" \t])*/)
    : ["", afterPrincipal];
  const options = parseOptions(optionText, line, file);
  const [type = "", base64 = ""] = keyText.split(/[ \t]+/);
  const key = readPublicKey(type, base64);
  if (key === null) {
    throw refused(file, line, "There is no key that signatures can be verified by", {
      hint: `After the principal and its options write type and key, as in a .pub file. Types: ${KEY_TYPES.join(", ")}; RSA from 2048 bits; no certificates.`,
    });
  }
  return { principal, key, ...options, line };
}

/** What a pattern matches at the beginning, and what follows after the blanks behind it. */
function cut(text: string, pattern: RegExp): [head: string, rest: string] {
  const head = pattern.exec(text)?.[0] ?? "";
  return [head, text.slice(head.length).replace(/^[ \t]+/, "")];
}

/** Options have `=` or are flags without `-`; every name of a key type that SSH has begins like one of these. */
function isKeyName(word: string): boolean {
  return isKeyType(word) || /^(?:sk-|ssh-|ecdsa-|rsa-|webauthn-)[^="]*$/.test(word);
}

type Options = Pick<Signer, "namespaces" | "validAfter" | "validBefore">;

function parseOptions(text: string, line: number, file: string): Options {
  const given = new Map<string, string>();
  for (let rest = text; rest !== ""; ) {
    const match = /^([A-Za-z-]+)(?:="([^"\\]*)")?(?:,(?=.)|$)/.exec(rest);
    const [whole = "", spelt = "", value] = match ?? [];
    const name = spelt.toLowerCase();
    if (name === "cert-authority") {
      throw refused(file, line, "Certificate authorities are not taken for signers", {
        hint: "A quorum counts people by their keys: write each signer's own public key on a line.",
      });
    }
    if (value === undefined || !["namespaces", "valid-after", "valid-before"].includes(name)) {
      throw refused(file, line, `${quote(rest)} is no option that is known here`, {
        hint: 'Options are namespaces="…", valid-after="…" and valid-before="…", with commas and no blanks between.',
      });
    }
    if (given.has(name)) {
      throw refused(file, line, `The option ${name} is given twice`, { hint: "Give each option once." });
    }
    given.set(name, value);
    rest = rest.slice(whole.length);
  }
  const namespaces = given.get("namespaces") ?? null;
  if (namespaces !== null && (namespaces === "" || namespaces.length > MAX_PATTERNS)) {
    throw refused(file, line, "The option namespaces is empty or too long", {
      hint: `Name the namespaces, such as namespaces="midctl-approval@v1", in at most ${MAX_PATTERNS} characters.`,
    });
  }
  const validAfter = parseTime(given.get("valid-after"), line, file);
  const validBefore = parseTime(given.get("valid-before"), line, file);
  if (validAfter !== null && validBefore !== null && validBefore <= validAfter) {
    throw refused(file, line, "valid-before is not later than valid-after", { hint: "Mend one of the two." });
  }
  return { namespaces, validAfter, validBefore };
}

/** `YYYYMMDDZ`, `YYYYMMDDHHMMZ` or `YYYYMMDDHHMMSSZ`, in ms since 1970. */
function parseTime(text: string | undefined, line: number, file: string): number | null {
  if (text === undefined) return null;
  const [, year, month, day, hour = "00", minute = "00", second = "00"] = TIME.exec(text) ?? [];
  const written = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const at = Date.parse(written);
  // JavaScript reads February the 30th as the 2nd of March.
  if (Number.isNaN(at) || at <= 0 || new Date(at).toISOString() !== written) {
    const local = TIME.test(`${text}Z`) ? ", for without Z it is the local time of whoever reads it" : "";
    throw refused(file, line, `${quote(text)} is no moment in UTC${local}`, {
      hint: "Write YYYYMMDDZ, YYYYMMDDHHMMZ or YYYYMMDDHHMMSSZ, such as 20270131Z.",
    });
  }
  return at;
}

/** A revoked key may be of a type that could not sign anyway; one that could must be whole. */
function isAnyKey(type: string, base64: string): boolean {
  if (isKeyType(type)) return readPublicKey(type, base64) !== null;
  const bytes = fromBase64(base64);
  return bytes !== null && type !== "" && new WireReader(bytes).text() === type;
}

/** Lines that are neither empty nor comments, without blanks at either end. */
function* contentLines(text: string, file: string): Generator<{ line: number; content: string }> {
  let line = 0;
  for (const raw of text.split("\n")) {
    line++;
    const content = raw.replace(/^[ \t]+|[ \t\r]+$/g, "");
    if (content === "" || content.startsWith("#")) continue;
    if (CONTROL.test(content)) {
      throw refused(file, line, "There are control characters in it", {
        hint: "Write the line anew, as plain text.",
      });
    }
    yield { line, content };
  }
}

function refused(file: string, line: number, what: string, { hint }: { hint: string }): MidctlError {
  return new MidctlError("usage", `${file}:${line}: ${what}; no signer was taken from the file.`, { hint });
}
