/** Commands for many: identities by name, by what they have in common, or named on standard input. */
import { MidctlError } from "../domain/errors.ts";
import { parseLabel } from "../domain/labels.ts";
import { parseOwner, parseProvider } from "../domain/names.ts";
import type { ControlSelection } from "../operations/select-targets.ts";
import type { Selection } from "../operations/selection.ts";
import type { ListFilter } from "../repository/listing.ts";
import type { VerbContext } from "./context.ts";
import { duration, parseIdentityReference } from "./options.ts";
import { readWith } from "./parse.ts";

/** A slug, or `-` for those on standard input. */
export const referenceOrStdin = readWith((text) => (text === "-" ? text : parseIdentityReference(text)));

export const selectionOptions = {
  label: {
    value: "K=V",
    summary: "all that have this label; several must all fit",
    repeat: true,
    schema: readWith(parseLabel),
  },
  owner: { value: "WHO", summary: "all of this owner", schema: readWith(parseOwner) },
  provider: { value: "NAME", summary: "all threads of this provider", schema: readWith(parseProvider) },
  expiringWithin: { value: "7d", summary: "all that end so soon", schema: duration },
  unusedFor: { value: "30d", summary: "all that were not used for so long", schema: duration },
  all: { summary: "all there are" },
} as const;

export interface SelectionWords {
  readonly label: readonly { readonly key: string; readonly value: string }[];
  readonly owner: string | undefined;
  readonly provider: string | undefined;
  readonly expiringWithin: number | undefined;
  readonly unusedFor: number | undefined;
  readonly all: boolean;
}

/** Whether any of the words says who is meant. */
export function saysWho({ label, owner, provider, expiringWithin, unusedFor, all }: SelectionWords): boolean {
  const filters = [owner, provider, expiringWithin, unusedFor];
  return all || label.length > 0 || filters.some((value) => value !== undefined);
}

/** What words that narrow a list down say; of one identity alone they say nothing. */
export function filterOf(
  words: Omit<SelectionWords, "all"> & Pick<ListFilter, "status">,
): Omit<ListFilter, "identity"> {
  return {
    status: words.status,
    labels: words.label,
    owner: words.owner ?? null,
    provider: words.provider ?? null,
    expiringWithin: words.expiringWithin ?? null,
    unusedFor: words.unusedFor ?? null,
  };
}

/** Bytes of references on standard input: some 100,000 slugs. */
const LONGEST_INPUT = 8 * 1_048_576;

/**
 * What the words select: the references given, those on standard input, or what the flags say. Null where nothing of it was given.
 * @throws MidctlError `usage` where two of these were, and for a line that is no slug, by its number
 */
export async function readSelection(
  refs: readonly string[],
  words: SelectionWords,
  context: VerbContext,
): Promise<Selection | null> {
  const who = await readWho(refs, words, context, parseIdentityReference);
  return who !== null && "refs" in who ? { slugs: who.refs } : who;
}

/** The same of whatever can be named. @param parse judges each line of standard input; throws `usage` */
export async function readWho(
  refs: readonly string[],
  words: SelectionWords,
  context: VerbContext,
  parse: (text: string) => unknown,
): Promise<ControlSelection | null> {
  const { all } = words;
  const filtered = saysWho({ ...words, all: false });
  if ([refs.length > 0, filtered, all].filter(Boolean).length > 1) {
    throw new MidctlError(
      "usage",
      "who is meant was said in more than one way: by name, by flags, or by --all; nothing was changed",
      { hint: "give one of them" },
    );
  }
  if (refs.length > 0)
    return { refs: refs.includes("-") ? await readReferences(refs, context, parse) : refs };
  if (!filtered && !all) return null;
  return {
    filter: filterOf({ ...words, status: [] }),
  };
}

const ONE_A_LINE = "one reference to a line";

async function readReferences(
  refs: readonly string[],
  context: VerbContext,
  parse: (text: string) => unknown,
): Promise<string[]> {
  if (refs.length > 1) {
    throw new MidctlError(
      "usage",
      "- stands alone: references are read from standard input; nothing was changed",
    );
  }
  if (context.terminal.stdinIsTerminal) {
    throw new MidctlError(
      "usage",
      "references are read from standard input, which is a terminal; nothing was changed",
      {
        hint: "midctl list --json | jq -r '.identities[].slug' | midctl … -",
      },
    );
  }
  const text = (await context.terminal.readInput(LONGEST_INPUT)).replace(/^\ufeff/, "");
  const named = text.split(/\r?\n/).flatMap((line, index) => {
    const word = line.trim();
    if (word === "") return [];
    try {
      parse(word);
      return [word];
    } catch (error) {
      if (!(error instanceof MidctlError)) throw error;
      const said = error.message.replace(/[;,.]? ?(nothing was changed)?\.?$/, "");
      throw new MidctlError("usage", `line ${index + 1} of standard input: ${said}; nothing was changed`, {
        // Several on one line are not one that is misspelt.
        hint: /\s/.test(word) ? ONE_A_LINE : (error.hint ?? ONE_A_LINE),
      });
    }
  });
  if (named.length > 0) return named;
  throw new MidctlError("usage", "standard input names nobody; nothing was changed", {
    hint: "whoever was to write them failed, or found none: look at what stands before the |",
  });
}
