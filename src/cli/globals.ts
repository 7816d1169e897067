/** The options every command takes, before or after its name (SPEC §5), as data. */
import type { OptionSpec } from "./verb.ts";

export const globalOptions = {
  json: { summary: "print one JSON document" },
  output: {
    value: "FORMAT",
    summary: "table (on a terminal), plain (tab-separated), json or ndjson",
    choices: ["table", "json", "ndjson", "plain"],
  },
  fields: { value: "A,B", summary: "print only these fields of each result, e.g. slug,status" },
  quiet: { summary: "no messages on stderr but errors" },
  noInput: { summary: "never ask; a missing argument is an error" },
  yes: { summary: "confirm beforehand what would be asked" },
  dryRun: { summary: "run the real transaction, roll it back and print its effects" },
  reason: { value: "TEXT", summary: "why, for the log" },
  context: { value: "NAME", summary: "use this context instead of the current one", complete: "context" },
  databaseUrl: { value: "URL", summary: "the PostgreSQL to use; a password does not belong here" },
  trustDir: { value: "DIR", summary: "trust root: allowed_signers and policy.json" },
  actor: { value: "WHO", summary: "the name that the log shows for you" },
  noColor: { summary: "no colours" },
  debug: { summary: "say on stderr what is done and how long it takes" },
  help: { summary: "show help" },
} as const satisfies Readonly<Record<string, OptionSpec>>;

/** What the command line alone said; `settings.ts` adds environment, context and defaults. */
export interface GlobalFlags {
  readonly json: boolean;
  readonly output: OutputFormat | undefined;
  readonly fields: readonly string[] | undefined;
  readonly quiet: boolean;
  readonly noInput: boolean;
  readonly yes: boolean;
  readonly dryRun: boolean;
  readonly reason: string | undefined;
  readonly context: string | undefined;
  readonly databaseUrl: string | undefined;
  readonly trustDir: string | undefined;
  readonly actor: string | undefined;
  readonly noColor: boolean;
  readonly debug: boolean;
}

export type OutputFormat = "table" | "json" | "ndjson" | "plain";
export const outputFormats: readonly OutputFormat[] = ["table", "json", "ndjson", "plain"];

/** `dryRun` → `--dry-run`. */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
