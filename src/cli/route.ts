/** From argv to one command: which verb, and which words are left for its parser. Loads nothing. */
import { MidctlError } from "../domain/errors.ts";
import { flagOf, globalOptions } from "./globals.ts";
import { holdsToken } from "./redact.ts";
import { findEntry, isNoun, otherWords, type RegistryEntry, registry, wordsAfter } from "./registry.ts";
import { nearest } from "./suggest.ts";
import type { OptionSpec } from "./verb.ts";

export type Route =
  | {
      readonly kind: "verb";
      readonly entry: RegistryEntry;
      readonly words: readonly string[];
      /** How many of the words stood before the command: these are global options, whatever the command has of the same name. */
      readonly leading: number;
    }
  | { readonly kind: "help"; readonly path: string };

/** Options of `specs` by flag. */
export function flagTable(specs: Readonly<Record<string, OptionSpec>>): ReadonlyMap<string, OptionSpec> {
  return new Map(Object.entries(specs).map(([name, spec]) => [flagOf(name), spec]));
}

const globalFlags = flagTable(globalOptions);

/** Finds the command in argv (without node and script). Usage errors name the right command where one is meant. */
export function routeArgv(argv: readonly string[]): Route {
  refuseTokens(argv);
  const words: string[] = [];
  let path = "";
  let entry: RegistryEntry | undefined;
  let help = false;
  let leading = 0;

  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? "";
    if (entry !== undefined || word === "--") {
      words.push(...argv.slice(index));
      break;
    }
    if (word.startsWith("-")) {
      const flag = word.split("=", 1)[0] ?? "";
      const global = globalFlags.get(flag);
      if (flag === "--help" || flag === "-h") help = true;
      else if (flag === "--version" && path === "") entry = findEntry("version");
      else if (global !== undefined) {
        words.push(word);
        const value = argv[index + 1];
        if ("value" in global && word === flag && value !== undefined) {
          words.push(value);
          index++;
        }
        if (path === "") leading = words.length;
      } else {
        entry = defaultOf(path);
        if (entry === undefined) throw unknownOptionBeforeCommand(flag);
        words.push(...argv.slice(index));
        break;
      }
      continue;
    }
    const next = path === "" ? word : `${path} ${word}`;
    entry = findEntry(next);
    if (entry === undefined && !isNoun(next)) throw unknownCommand(path, word);
    path = next;
  }

  if (help || asksForHelp(words)) return { kind: "help", path };
  entry ??= defaultOf(path);
  if (
    entry === undefined &&
    words.every((word) => globalFlags.has(word.split("=", 1)[0] ?? "")) &&
    path === ""
  ) {
    return { kind: "help", path: "" };
  }
  if (entry === undefined) throw missingCommand(path);
  return { kind: "verb", entry, words, leading };
}

function asksForHelp(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  return (end < 0 ? words : words.slice(0, end)).some((word) => word === "--help" || word === "-h");
}

function defaultOf(path: string): RegistryEntry | undefined {
  if (path === "") return undefined;
  return registry.find((entry) => entry.isDefault === true && entry.path.startsWith(`${path} `));
}

/** A token in argv is in the shell's history and the process table already: stop before it is used, and never repeat it. */
function refuseTokens(argv: readonly string[]): void {
  if (!argv.some(holdsToken)) return;
  throw new MidctlError(
    "usage",
    "a token was given as an argument, where every user of this machine can read it; nothing was done",
    {
      hint: "pass tokens on stdin (midctl verify < FILE); to revoke the exposed one: midctl revoke --token-stdin < FILE",
    },
  );
}

function unknownOptionBeforeCommand(flag: string): MidctlError {
  const meant = nearest(flag, globalFlags.keys());
  return new MidctlError("usage", `unknown option ${flag} before the command`, {
    hint:
      meant === undefined
        ? "a command's own options follow its name; `midctl --help` lists the global ones"
        : `did you mean ${meant}?`,
  });
}

function missingCommand(path: string): MidctlError {
  return path === ""
    ? new MidctlError("usage", "no command given", { hint: "midctl --help" })
    : new MidctlError("usage", `\`midctl ${path}\` needs one of: ${wordsAfter(path).join(", ")}`, {
        hint: `midctl ${path} --help`,
      });
}

function unknownCommand(path: string, word: string): MidctlError {
  const shown = path === "" ? word : `${path} ${word}`;
  const meant = commandMeant(path, word);
  return new MidctlError("usage", `there is no command \`midctl ${shown}\``, {
    hint:
      meant === undefined
        ? `midctl ${path === "" ? "" : `${path} `}--help`
        : `did you mean \`midctl ${meant}\`?`,
  });
}

function commandMeant(path: string, word: string): string | undefined {
  const full = path === "" ? word : `${path} ${word}`;
  const translated = otherWords[full];
  if (translated !== undefined && (findEntry(translated) ?? findEntry(translated.split(" ")[0] ?? ""))) {
    return translated;
  }
  if (path !== "" && (findEntry(word) !== undefined || isNoun(word))) return word;
  const elsewhere = registry.filter((entry) => entry.path.endsWith(` ${word}`));
  if (elsewhere.length === 1) return elsewhere[0]?.path;
  const near = nearest(word, wordsAfter(path));
  if (near !== undefined) return path === "" ? near : `${path} ${near}`;
  return path === ""
    ? undefined
    : nearest(
        full,
        registry.map((entry) => entry.path),
      );
}
