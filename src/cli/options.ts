/** Options that several commands take, said once. */
import { randomBytes } from "node:crypto";
import { formatDuration, parseDuration } from "../domain/duration.ts";
import { MidctlError } from "../domain/errors.ts";
import { parseLabel, parseLabels } from "../domain/labels.ts";
import {
  parseCredentialName,
  parseDisplayName,
  parseOwner,
  parseProvider,
  parseThreadId,
  parseWorkspace,
} from "../domain/names.ts";
import { parseReference } from "../domain/reference.ts";
import { parseScope } from "../domain/scope.ts";
import { parseSlug, threadSlug } from "../domain/slug.ts";
import { createPublicId } from "../domain/token.ts";
import { MAX_GRACE } from "../operations/credential-rotate.ts";
import type { IdentitySpec } from "../operations/identity-create.ts";
import { DEFAULT_ACTIVATION, DEFAULT_LIFE } from "../operations/issuance.ts";
import { readWith } from "./parse.ts";

export const duration = readWith((text) => parseDuration(text));

/** Reads a reference that must be a machine identity. */
export function parseIdentityReference(text: string): string {
  const reference = parseReference(text);
  if (reference.kind === "identity") return reference.slug;
  throw new MidctlError("usage", `${text} is a ${reference.kind}, and this takes a machine identity's slug`, {
    hint:
      reference.kind === "credential"
        ? `midctl credential show ${text} names its identity`
        : "midctl list names them all",
  });
}

/** A label as it was typed, judged where its flag can be named; `parseLabels` reads several together. */
export const labelText = readWith((text) => {
  parseLabel(text);
  return text;
});

export const identityOptions = {
  thread: {
    value: "ID",
    summary: "the agent's thread: makes it a thread identity",
    schema: readWith(parseThreadId),
  },
  provider: { value: "NAME", summary: "whose thread it is, such as codex", schema: readWith(parseProvider) },
  displayName: {
    value: "TEXT",
    summary: "how people see it; default: the slug",
    schema: readWith(parseDisplayName),
  },
  label: { value: "K=V", summary: "a label; may be given several times", repeat: true, schema: labelText },
  parent: {
    value: "REF",
    summary: "the identity that spawned it; set at birth",
    schema: readWith(parseIdentityReference),
    complete: "identity",
  },
  idleTtl: { value: "24h", summary: "counts as paused after so long without use", schema: duration },
  workspace: {
    value: "SLUG",
    summary: "its workspace, in a database that has them",
    schema: readWith(parseWorkspace),
  },
} as const;

export const ownerOption = {
  value: "WHO",
  summary: "the person or team that answers for it",
  schema: readWith(parseOwner),
} as const;

export const issuanceOptions = {
  name: {
    value: "NAME",
    summary: "which of its credentials; default: default",
    default: "default",
    schema: readWith(parseCredentialName),
  },
  scope: {
    value: "SCOPE",
    summary: "what it may do, e.g. cards:*; may be given several times",
    repeat: true,
    schema: readWith(parseScope),
  },
  expires: {
    value: "90d",
    summary: `its life, or never; default: ${formatDuration(DEFAULT_LIFE)}`,
    schema: readWith((text): number | "never" => (text === "never" ? "never" : parseDuration(text))),
  },
  activateWithin: {
    value: "24h",
    summary: `first use must come within; default: ${formatDuration(DEFAULT_ACTIVATION)}`,
    schema: duration,
  },
  tokenFile: {
    value: "PATH",
    summary: "write the secret into this new file (0600) instead of stdout; safe to repeat",
  },
  commitment: {
    value: "MCC",
    summary: "issue against the commitment of `credential prepare`; the secret stays where it was made",
  },
  replacePending: { summary: "put it in the place of the pending one that nobody has used" },
} as const;

export const grace = readWith((text) => parseDuration(text, { atLeast: 0, atMost: MAX_GRACE }));

interface IdentityWords {
  readonly slug: string | undefined;
  readonly thread: string | undefined;
  readonly provider: string | undefined;
  readonly owner: string | undefined;
  readonly displayName: string | undefined;
  readonly label: readonly string[];
  readonly parent: string | undefined;
  readonly idleTtl: number | undefined;
  readonly workspace: string | undefined;
  readonly expires: number | undefined;
}

/** The slug that words name: given, or made of provider and thread. Undefined where neither was given. */
export function slugOf(words: Pick<IdentityWords, "slug" | "thread" | "provider">): string | undefined {
  const { slug, thread, provider } = words;
  if ((thread === undefined) !== (provider === undefined)) {
    throw new MidctlError(
      "usage",
      `${thread === undefined ? "--provider goes with --thread" : "--thread goes with --provider"}; nothing was done`,
      {
        hint: "e.g. --thread 019a6f2e --provider codex",
      },
    );
  }
  if (slug !== undefined) return parseSlug(slug);
  return thread === undefined || provider === undefined ? undefined : threadSlug(provider, thread);
}

/** What the words say that an identity is to be. */
export function identitySpecOf(slug: string, words: IdentityWords): IdentitySpec {
  return {
    slug,
    kind: words.thread === undefined ? "service" : "thread",
    provider: words.provider ?? null,
    threadId: words.thread ?? null,
    owner: words.owner ?? null,
    displayName: words.displayName ?? null,
    labels: words.label.length === 0 ? null : parseLabels(words.label),
    parent: words.parent ?? null,
    workspace: words.workspace ?? null,
    expiresIn: words.expires ?? null,
    idleTtl: words.idleTtl ?? null,
    // Chosen here, so that a plan, its rehearsal and its execution speak of the same one.
    publicId: createPublicId(randomBytes),
  };
}
