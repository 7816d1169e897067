/** The other half of shell completion: candidates for the last of some words. Says nothing rather than fail. */
import { type Candidate, type Completer, type CompletionKind, completers } from "./completers.ts";
import type { VerbContext } from "./context.ts";
import { flagOf, globalOptions } from "./globals.ts";
import { findEntry, isNoun, registry, wordsAfter } from "./registry.ts";
import { flagTable } from "./route.ts";
import type { ArgumentSpec, OptionSpec, Verb } from "./verb.ts";

/** Tells the shell to complete file names itself. */
export const fileNames: Candidate = { value: ":files" };

const patience = 1_000;

/** Candidates for the last word, given those before it. `context` serves the completers that need the database. */
export async function complete(
  words: readonly string[],
  context: VerbContext,
): Promise<readonly Candidate[]> {
  const before = words.slice(0, -1);
  const current = words.at(-1) ?? "";
  const { path, verb, typed } = await readWords(before);
  const options: Readonly<Record<string, OptionSpec>> = { ...globalOptions, ...verb?.options };
  const flags = flagTable(options);

  const equals = current.startsWith("--") ? current.indexOf("=") : -1;
  if (equals > 0) {
    const flag = current.slice(0, equals);
    const values = await candidatesOf(flags.get(flag), current.slice(equals + 1), context);
    return values.map((candidate) => ({ ...candidate, value: `${flag}=${candidate.value}` }));
  }
  const expecting = flags.get(before.at(-1) ?? "");
  if (expecting?.value !== undefined) return candidatesOf(expecting, current, context);
  if (current.startsWith("-")) return matching(optionCandidates(options, before), current);
  if (verb === undefined) return matching(await commandCandidates(path), current);
  const spec = verb.args[Math.min(typed.length, verb.args.length - 1)];
  if (spec === undefined || (typed.length >= verb.args.length && spec.variadic !== true)) return [];
  return (await candidatesOf(spec, current, context)).filter((candidate) => !typed.includes(candidate.value));
}

interface ReadWords {
  readonly path: string;
  readonly verb: Verb | undefined;
  /** Arguments of the verb so far. */
  readonly typed: readonly string[];
}

async function readWords(words: readonly string[]): Promise<ReadWords> {
  let path = "";
  let verb: Verb | undefined;
  const typed: string[] = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? "";
    if (word.startsWith("-")) {
      const flags = flagTable({ ...globalOptions, ...verb?.options });
      if (flags.get(word)?.value !== undefined) index++;
    } else if (verb !== undefined) typed.push(word);
    else {
      path = path === "" ? word : `${path} ${word}`;
      const entry = findEntry(path);
      if (entry !== undefined) verb = await entry.load();
      else if (!isNoun(path)) return { path, verb: undefined, typed };
    }
  }
  return { path, verb, typed };
}

function optionCandidates(
  options: Readonly<Record<string, OptionSpec>>,
  before: readonly string[],
): Candidate[] {
  return Object.entries(options)
    .filter(([name, spec]) => spec.repeat === true || !before.includes(flagOf(name)))
    .map(([name, spec]) => ({ value: flagOf(name), summary: spec.summary }));
}

async function commandCandidates(path: string): Promise<Candidate[]> {
  return Promise.all(
    wordsAfter(path).map(async (value) => {
      const full = path === "" ? value : `${path} ${value}`;
      const entry =
        findEntry(full) ??
        registry.find((each) => each.isDefault === true && each.path.startsWith(`${full} `));
      return entry === undefined ? { value } : { value, summary: (await entry.load()).summary };
    }),
  );
}

async function candidatesOf(
  spec: ArgumentSpec | OptionSpec | undefined,
  current: string,
  context: VerbContext,
): Promise<readonly Candidate[]> {
  if (spec === undefined) return [];
  if (spec.choices !== undefined)
    return matching(
      spec.choices.map((value) => ({ value })),
      current,
    );
  if (spec.complete !== undefined)
    return matching(await askCompleter(spec.complete, current, context), current);
  return "value" in spec && /FILE|PATH|DIR|KEY/.test(spec.value ?? "") ? [fileNames] : [];
}

/** A completer's answer within a second, nothing after that or if it fails: the shell is waiting. */
async function askCompleter(
  kind: CompletionKind,
  current: string,
  context: VerbContext,
): Promise<readonly Candidate[]> {
  const completer: Completer = completers[kind];
  let timer: NodeJS.Timeout | undefined;
  const nothing = new Promise<readonly Candidate[]>((resolve) => {
    timer = setTimeout(() => resolve([]), patience);
  });
  try {
    return await Promise.race([completer(context, current), nothing]);
  } catch {
    return [];
  } finally {
    clearTimeout(timer);
  }
}

function matching(candidates: readonly Candidate[], current: string): readonly Candidate[] {
  return candidates.filter(({ value }) => value.startsWith(current));
}
