/**
 * A command as data. One definition feeds the parser, help, completion, docs/commands.md and the published JSON
 * Schema; `run` turns typed input into a document and knows nothing of streams, flags or exit codes.
 */
import type { $ZodType, output as Output } from "zod/v4/core";
import type { MidctlError } from "../domain/errors.ts";
import type { CompletionKind } from "./completers.ts";
import type { VerbContext } from "./context.ts";
import type { View } from "./view.ts";

export interface ArgumentSpec {
  /** Key in the input; shown in capitals. */
  readonly name: string;
  readonly summary: string;
  /** Of one word. Without it: any text but the empty one, or one of `choices`. */
  readonly schema?: $ZodType;
  readonly choices?: readonly string[];
  readonly optional?: boolean;
  /** Takes all remaining words; only the last argument may. */
  readonly variadic?: boolean;
  readonly complete?: CompletionKind;
}

/** Its flag is its key in kebab case: `ifNotExists` → `--if-not-exists`. Without `value` it is a switch. */
export interface OptionSpec {
  /** Placeholder of the value in help, in capitals. */
  readonly value?: string;
  readonly summary: string;
  readonly schema?: $ZodType;
  readonly choices?: readonly string[];
  /** May be given several times; the input is an array, empty when absent. */
  readonly repeat?: boolean;
  readonly required?: boolean;
  /** As it would be typed. */
  readonly default?: string;
  readonly complete?: CompletionKind;
}

type ValueOf<Spec> = Spec extends { readonly schema: infer Schema extends $ZodType }
  ? Output<Schema>
  : Spec extends { readonly choices: readonly (infer Choice)[] }
    ? Choice
    : string;

type ArgumentValue<Spec> = Spec extends { readonly variadic: true }
  ? readonly ValueOf<Spec>[]
  : Spec extends { readonly optional: true }
    ? ValueOf<Spec> | undefined
    : ValueOf<Spec>;

type OptionValue<Spec> = Spec extends { readonly value: string }
  ? Spec extends { readonly repeat: true }
    ? readonly ValueOf<Spec>[]
    : Spec extends { readonly required: true } | { readonly default: string }
      ? ValueOf<Spec>
      : ValueOf<Spec> | undefined
  : boolean;

/** The input that a verb with these arguments and options receives. */
export type InputOf<
  Arguments extends readonly ArgumentSpec[],
  Options extends Readonly<Record<string, OptionSpec>>,
> = {
  readonly [Spec in Arguments[number] as Spec["name"]]: ArgumentValue<Spec>;
} & { readonly [Name in keyof Options]: OptionValue<Options[Name]> };

/**
 * What a run comes to. Exits 4 (`verify`), 8 (some of many failed), 9 (a check found something), and what `approval wait` says
 * by its 4, 5 and 6, are results.
 */
export interface Outcome<Document> {
  readonly document: Document;
  readonly exit?: 0 | 4 | 5 | 6 | 8 | 9;
  /** What failed behind what the document tells, and leaves that done: told like any error after it, and its exit is the command's. */
  readonly failed?: MidctlError;
  /** In the place of what `view` makes of the document, where that does not tell what was done. Not beside a secret. */
  readonly shown?: View;
  /**
   * Written alone on stdout, or as `token` of the JSON document, whose own `token` is null until then: the document
   * itself never holds it.
   */
  readonly secret?: string;
  /**
   * Called when the secret could not be written: makes it inert, and returns the sentence that says so
   * ("mc_… was revoked", or its deadline).
   */
  readonly undelivered?: () => Promise<string>;
}

/** Many documents, one after the other: `list --all`, `audit follow`. Their lists are one list to the reader. */
export interface PagedOutcome<Document> {
  readonly pages: AsyncIterable<Document>;
  /** Asked after the last page. */
  readonly exit?: () => 0 | 8 | 9;
}

/** What runs until it is told to end: `serve`, `mcp`. */
export interface LastingOutcome<Document> {
  /** Written at once; null where stdout belongs to a protocol. */
  readonly begun: Document | null;
  /** Resolves at the end, when everything is closed. */
  until(): Promise<void>;
}

export type AnyOutcome<Document> = Outcome<Document> | PagedOutcome<Document> | LastingOutcome<Document>;

export interface VerbDefinition<
  Arguments extends readonly ArgumentSpec[],
  Options extends Readonly<Record<string, OptionSpec>>,
  Schema extends $ZodType,
> {
  readonly path: readonly string[];
  /** One line, imperative, no full stop. */
  readonly summary: string;
  readonly description?: string;
  readonly examples: readonly Example[];
  readonly args?: Arguments;
  readonly options?: Options;
  /** Of its JSON document, without `schemaVersion`, which the frame adds. */
  readonly output: Schema;
  /** Keys of the document that may hold its list, for NDJSON and `--fields`; the first present is taken. */
  readonly list?: readonly string[];
  /** Whether it changes anything: what an interruption has to say depends on it. */
  readonly changes?: boolean;
  /** Read at leisure: what is longer than the screen goes through the user's pager. */
  readonly paged?: boolean;
  /** Its pages have no end: written as they come, in JSON an element a line, and so off a terminal where no format is asked for. */
  readonly endless?: boolean;
  run(input: InputOf<Arguments, Options>, context: VerbContext): Promise<AnyOutcome<Output<Schema>>>;
  view(document: Output<Schema>): View;
}

export interface Example {
  readonly command: string;
  readonly does: string;
}

export type Document = Readonly<Record<string, unknown>>;

/** A verb as the frame handles it, its own types forgotten. */
export interface Verb {
  readonly path: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly examples: readonly Example[];
  readonly args: readonly ArgumentSpec[];
  readonly options: Readonly<Record<string, OptionSpec>>;
  readonly output: $ZodType;
  readonly list: readonly string[];
  readonly changes: boolean;
  readonly paged: boolean;
  readonly endless: boolean;
  run(input: Readonly<Record<string, unknown>>, context: VerbContext): Promise<AnyOutcome<Document>>;
  view(document: Document): View;
}

export function defineVerb<
  const Arguments extends readonly ArgumentSpec[] = readonly [],
  const Options extends Readonly<Record<string, OptionSpec>> = Readonly<Record<never, OptionSpec>>,
  Schema extends $ZodType = $ZodType,
>(definition: VerbDefinition<Arguments, Options, Schema>): Verb {
  // The parser builds exactly InputOf<…> from args and options, and `output` is what tests hold documents against:
  // this is the one place where a verb's own types are traded for the frame's.
  const usual = { args: [], options: {}, list: [], changes: false, paged: false, endless: false };
  return { ...usual, ...definition } as unknown as Verb;
}
