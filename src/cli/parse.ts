/** From the words of one verb to its typed input: commander takes the words apart, zod judges each value. */
import { Command, CommanderError, Option } from "commander";
import * as z from "zod/mini";
import type { $ZodType } from "zod/v4/core";
import { MidctlError } from "../domain/errors.ts";
import { flagOf, type GlobalFlags, globalOptions, type OutputFormat } from "./globals.ts";
import { nearest } from "./suggest.ts";
import type { ArgumentSpec, OptionSpec, Verb } from "./verb.ts";

type RawValue = string | boolean | readonly string[] | undefined;

/** Words taken apart, nothing judged but the global options. */
export interface ParsedWords {
  readonly flags: GlobalFlags;
  readonly raw: Readonly<Record<string, RawValue>>;
}

/** How to get an argument that was not given; throws the usage error that names it where nobody can be asked. */
export type AskMissing = (missing: Missing) => Promise<string>;

export interface Missing {
  /** `REF` or `--owner`: how the command line would have named it. */
  readonly name: string;
  readonly summary: string;
  readonly choices?: readonly string[];
  /** The answer of whoever only presses Enter. */
  readonly offered?: string;
  /** What the usage error advises where nobody can be asked. */
  readonly hint?: string;
  /** What is wrong with an answer, or undefined. */
  readonly problem?: (answer: string) => string | undefined;
}

/**
 * Takes a verb's words apart. Unknown options, missing values and words too many are usage errors.
 * @param leading how many words stood before the command
 */
export function parseWords(verb: Verb, given: readonly string[], leading = 0): ParsedWords {
  const words = [...dropOverridden(verb, given.slice(0, leading)), ...given.slice(leading)];
  const specs: Readonly<Record<string, OptionSpec>> = { ...globalOptions, ...verb.options };
  refuseSwallowedFlags(words, specs);
  const command = buildCommand(verb, specs);
  try {
    command.parse([...words], { from: "user" });
  } catch (error) {
    throw error instanceof CommanderError ? usageErrorOf(error, verb, specs) : error;
  }
  const values = command.opts<Record<string, RawValue>>();
  const raw: Record<string, RawValue> = {};
  for (const name of Object.keys(specs)) raw[name] = rawValue(values, name);
  verb.args.forEach((spec, index) => {
    raw[spec.name] = command.processedArgs[index] as RawValue;
  });
  const globals = Object.entries(raw).filter(([name]) => !Object.hasOwn(verb.options, name));
  return { flags: readGlobalFlags(Object.fromEntries(globals)), raw };
}

/** Words before the command are global options; where the command has one of that name, it is told apart by its place. */
function dropOverridden(verb: Verb, leading: readonly string[]): readonly string[] {
  const own = Object.keys(verb.options)
    .filter((name) => Object.hasOwn(globalOptions, name))
    .map(flagOf);
  return leading.filter((word, index) => {
    const before = leading[index - 1] ?? "";
    return !own.includes(word.split("=", 1)[0] ?? "") && !own.includes(before);
  });
}

/** Judges the raw values and asks for what is missing. */
export async function readInput(
  verb: Verb,
  raw: Readonly<Record<string, RawValue>>,
  askMissing: AskMissing,
): Promise<Readonly<Record<string, unknown>>> {
  const input: Record<string, unknown> = {};
  for (const spec of verb.args) {
    const name = argumentName(spec);
    const schema = schemaOf(spec);
    const given = raw[spec.name];
    if (spec.variadic === true) {
      let texts = Array.isArray(given) ? (given as readonly string[]) : [];
      if (texts.length === 0 && spec.optional !== true)
        texts = [await askFor(name, spec, schema, askMissing)];
      input[spec.name] = texts.map((text) => judge(name, schema, text));
    } else if (typeof given === "string") input[spec.name] = judge(name, schema, given);
    else if (spec.optional === true) input[spec.name] = undefined;
    else input[spec.name] = judge(name, schema, await askFor(name, spec, schema, askMissing));
  }
  for (const [key, spec] of Object.entries(verb.options)) {
    const name = flagOf(key);
    const given = raw[key];
    if (spec.value === undefined) {
      input[key] = given === true;
      continue;
    }
    const schema = schemaOf(spec);
    if (spec.repeat === true) {
      const texts = Array.isArray(given) ? (given as readonly string[]) : [];
      input[key] = texts.map((text) => judge(name, schema, text));
    } else {
      let text = typeof given === "string" ? given : spec.default;
      if (text === undefined && spec.required === true) text = await askFor(name, spec, schema, askMissing);
      input[key] = text === undefined ? undefined : judge(name, schema, text);
    }
  }
  return input;
}

/** `REF`, as usage lines and errors name it. */
export function argumentName(spec: ArgumentSpec): string {
  return spec.name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

/**
 * A schema that reads a text with a function of `domain`, whose usage errors then name the flag or argument.
 * `parse` throws MidctlError.
 */
export function readWith<T>(parse: (text: string) => T): z.ZodMiniType<T> {
  return z.pipe(z.string(), z.transform(parse)) as unknown as z.ZodMiniType<T>;
}

const someText = z.string().check(z.minLength(1, "must not be empty"));

function schemaOf(spec: ArgumentSpec | OptionSpec): $ZodType {
  if (spec.schema !== undefined) return spec.schema;
  if (spec.choices === undefined) return someText;
  return z.enum([...spec.choices] as [string, ...string[]], `must be one of ${spec.choices.join(", ")}`);
}

function judge(name: string, schema: $ZodType, text: string): unknown {
  let problem: string;
  let hint: string | null = null;
  try {
    const result = z.safeParse(schema, text);
    if (result.success) return result.data;
    problem = result.error.issues[0]?.message ?? "is not valid";
  } catch (error) {
    if (!(error instanceof MidctlError) || error.code !== "usage") throw error;
    problem = error.message;
    hint = error.hint;
  }
  throw new MidctlError("usage", `${name}: ${problem}`, hint === null ? {} : { hint });
}

async function askFor(
  name: string,
  spec: ArgumentSpec | OptionSpec,
  schema: $ZodType,
  askMissing: AskMissing,
): Promise<string> {
  const problem = (answer: string): string | undefined => {
    try {
      judge(name, schema, answer);
      return undefined;
    } catch (error) {
      return error instanceof MidctlError ? error.message : "is not valid";
    }
  };
  const { summary, choices } = spec;
  return askMissing(choices === undefined ? { name, summary, problem } : { name, summary, choices, problem });
}

function buildCommand(verb: Verb, specs: Readonly<Record<string, OptionSpec>>): Command {
  const command = new Command(verb.path.join(" "))
    .exitOverride()
    .configureOutput({ writeOut: () => {}, writeErr: () => {}, outputError: () => {} })
    .helpOption(false)
    .allowExcessArguments(false);
  for (const [name, spec] of Object.entries(specs)) {
    const option = new Option(spec.value === undefined ? flagOf(name) : `${flagOf(name)} <${spec.value}>`);
    if (spec.repeat === true) option.argParser((text: string, before: string[] = []) => [...before, text]);
    command.addOption(option);
  }
  for (const spec of verb.args)
    command.argument(spec.variadic === true ? `[${spec.name}...]` : `[${spec.name}]`);
  return command;
}

/** commander files `--no-color` under `color`, true until given. */
function rawValue(values: Readonly<Record<string, RawValue>>, name: string): RawValue {
  if (!/^no[A-Z]/.test(name)) return values[name];
  return values[name.charAt(2).toLowerCase() + name.slice(3)] === false;
}

function readGlobalFlags(raw: Readonly<Record<string, RawValue>>): GlobalFlags {
  const text = (name: string): string | undefined => {
    const value = raw[name];
    if (value === "") throw new MidctlError("usage", `${flagOf(name)}: must not be empty`);
    return typeof value === "string" ? value : undefined;
  };
  const output = text("output");
  if (output !== undefined) judge("--output", schemaOf(globalOptions.output), output);
  const json = raw.json === true;
  if (json && output !== undefined && output !== "json") {
    throw new MidctlError("usage", `--json and --output ${output} exclude each other`);
  }
  return {
    json,
    output: output as OutputFormat | undefined,
    fields: text("fields")
      ?.split(",")
      .map((field) => field.trim()),
    quiet: raw.quiet === true,
    noInput: raw.noInput === true,
    yes: raw.yes === true,
    dryRun: raw.dryRun === true,
    reason: text("reason"),
    context: text("context"),
    databaseUrl: text("databaseUrl"),
    trustDir: text("trustDir"),
    actor: text("actor"),
    noColor: raw.noColor === true,
    debug: raw.debug === true,
  };
}

/** commander lets `--owner --json` make an owner named `--json`. Nobody means that. */
function refuseSwallowedFlags(words: readonly string[], specs: Readonly<Record<string, OptionSpec>>): void {
  const flags = new Map(Object.entries(specs).map(([name, spec]) => [flagOf(name), spec]));
  for (let index = 0; index < words.length && words[index] !== "--"; index++) {
    const word = words[index] ?? "";
    if (flags.get(word)?.value === undefined) continue;
    const value = words[index + 1];
    if (value === undefined || value.startsWith("--")) {
      throw new MidctlError("usage", `${word} needs a value`, {
        hint:
          value === undefined
            ? `${word} ${flags.get(word)?.value}`
            : `for a value that begins so, write ${word}=VALUE`,
      });
    }
    index++;
  }
}

/** commander's error in our words: with a suggestion, and without the user's values, which may be secret. */
function usageErrorOf(
  error: CommanderError,
  verb: Verb,
  specs: Readonly<Record<string, OptionSpec>>,
): MidctlError {
  const name = `midctl ${verb.path.join(" ")}`;
  const hint = `${name} --help`;
  if (error.code === "commander.unknownOption") {
    const flag = /'([^'=]*)/.exec(error.message)?.[1] ?? "";
    // commander looks for `--yes=1` whole.
    if (Object.keys(specs).some((known) => flagOf(known) === flag))
      return new MidctlError("usage", `${flag} is a switch and takes no value`, { hint: `${flag} alone` });
    const meant = nearest(flag, Object.keys(specs).map(flagOf));
    return new MidctlError("usage", `\`${name}\` has no option ${flag}`, {
      hint: meant === undefined ? hint : `did you mean ${meant}?`,
    });
  }
  if (error.code === "commander.excessArguments") {
    const takes = verb.args.length === 0 ? "no arguments" : verb.args.map(argumentName).join(" ");
    return new MidctlError("usage", `too many arguments: \`${name}\` takes ${takes}`, { hint });
  }
  const flag = /'(--[a-z-]+)/.exec(error.message)?.[1] ?? "an option";
  return new MidctlError(
    "usage",
    `${flag} was given wrongly: a switch takes no value, and the others need one`,
    { hint },
  );
}
