/** What narrows the audit down, for the commands that read it. */
import { parseDuration } from "../domain/duration.ts";
import { MidctlError } from "../domain/errors.ts";
import { parseEnd } from "../domain/instant.ts";
import { parseReference } from "../domain/reference.ts";
import type { EventFilter } from "../repository/event-filter.ts";
import { parseIdentityReference } from "./options.ts";
import { readWith } from "./parse.ts";

const moment = readWith(parseMoment);

export const auditOptions = {
  identity: {
    value: "REF",
    summary: "of this identity",
    schema: readWith(parseIdentityReference),
    complete: "identity",
  },
  descendants: { summary: "with --identity: and of everything below it" },
  credential: {
    value: "MC",
    summary: "of this credential, mc_…, or this token, at_…",
    schema: readWith(parseCredentialId),
    complete: "credential",
  },
  actor: { value: "WHO", summary: "by whom, exactly; agents by slug, or at_… without identity" },
  action: {
    value: "ACTION",
    summary: "e.g. identity.pause or credential.*",
    schema: readWith(parseAction),
  },
  since: { value: "2h", summary: "not older than this, or than an RFC 3339 time", schema: moment },
  until: { value: "1h", summary: "older than this, or than an RFC 3339 time", schema: moment },
  grep: {
    value: "TEXT",
    summary:
      "whose reason, details or metadata hold this text, in whatever case; reads on until a page is full",
  },
} as const;

interface AuditWords {
  readonly identity: string | undefined;
  readonly descendants: boolean;
  readonly credential: string | undefined;
  readonly actor: string | undefined;
  readonly action: string | undefined;
  readonly since: number | string | undefined;
  readonly until: number | string | undefined;
  readonly grep: string | undefined;
}

/**
 * What the words narrow the audit to.
 * @param now milliseconds since 1970, from which durations count back
 * @throws MidctlError `usage` for words that do not go together
 */
export function auditFilterOf(words: AuditWords, now: number): EventFilter {
  const { identity, descendants, credential, actor, action, grep } = words;
  if (descendants && identity === undefined) {
    throw new MidctlError("usage", "--descendants goes with --identity; nothing was read", {
      hint: "--identity REF --descendants",
    });
  }
  const [since, until] = [instantOf(words.since, now), instantOf(words.until, now)];
  if (since !== undefined && until !== undefined && until <= since) {
    throw new MidctlError("usage", `--until ${until} is not after --since ${since}; nothing was read`, {
      hint: "the older of the two goes to --since: --since 2h --until 1h is the hour before the last",
    });
  }
  return {
    ...(identity === undefined ? {} : { identity, descendants }),
    ...(credential === undefined ? {} : { credential }),
    ...(actor === undefined ? {} : { actor }),
    ...(action === undefined ? {} : { action }),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
    ...(grep === undefined ? {} : { grep }),
  };
}

function instantOf(said: number | string | undefined, now: number): string | undefined {
  return typeof said === "number" ? new Date(now - said * 1000).toISOString() : said;
}

function parseCredentialId(text: string): string {
  const reference = parseReference(text);
  if (reference.kind === "credential" || reference.kind === "token") return reference.publicId;
  throw new MidctlError("usage", "this takes a credential, mc_…, or a token, at_…", {
    hint: "for an identity: --identity",
  });
}

function parseAction(text: string): string {
  if (!text.slice(0, -1).includes("*")) return text;
  throw new MidctlError("usage", "a * stands at the end, for whatever begins so", { hint: "credential.*" });
}

/** Seconds back from now, or an instant. */
function parseMoment(text: string): number | string {
  if (!/^\d{4}-/.test(text)) return parseDuration(text);
  const end = parseEnd(text);
  return "at" in end ? end.at : end.seconds;
}
