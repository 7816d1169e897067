/** Where each setting comes from: flag > environment > context file > default (SPEC §7). */
import { userInfo } from "node:os";
import { MidctlError } from "../domain/errors.ts";
import { parseActor, parseReason } from "../domain/names.ts";
import type { ContextFile, ContextSettings } from "./contexts.ts";
import { type GlobalFlags, type OutputFormat, outputFormats } from "./globals.ts";
import { hasPassword } from "./redact.ts";

export type Source = "flag" | "environment" | "context" | "default";

export interface Sourced<T> {
  readonly value: T;
  readonly source: Source;
}

export interface Settings {
  /** Name of the context in force, null for none. */
  readonly context: Sourced<string | null>;
  /** Null: the embedded engine. May hold a password: show it through `redactUrl` only. */
  readonly databaseUrl: Sourced<string | null>;
  /** Prints the password of the context's database URL; null where the URL comes from elsewhere. */
  readonly passwordCommand: string | null;
  /** Store of the embedded engine; null: its default place. */
  readonly dataDir: Sourced<string | null>;
  readonly trustDir: Sourced<string | null>;
  /** Where the highest head of the log that was seen is kept; null for nowhere. */
  readonly headFile: Sourced<string | null>;
  readonly actor: Sourced<string>;
  readonly reason: Sourced<string | null>;
  readonly output: Sourced<OutputFormat>;
  readonly noInput: boolean;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** The variables that are read, for `midctl help environment`. */
export const environmentVariables = {
  MIDCTL_DATABASE_URL: "the PostgreSQL to use: postgres://user@host/database",
  MIDCTL_CONTEXT: "the context to use",
  MIDCTL_DATA_DIR: "the store of the embedded PostgreSQL",
  MIDCTL_TRUST_DIR: "trust root for approvals",
  MIDCTL_HEAD_FILE: "the file that keeps the highest head of the log seen",
  MIDCTL_ACTOR: "the name that the log shows for you, else your user name",
  MIDCTL_REASON: "as --reason",
  MIDCTL_OUTPUT: "as --output",
  MIDCTL_TOKEN_FILE: "the token file of `mcp --stdio`",
  MIDCTL_PAGER: "the pager on a terminal, else PAGER, else less",
  MIDCTL_NO_INPUT: "any value but 0: as --no-input",
} as const;

/**
 * Settles the settings, each when it is first asked for: help and completion work beside a broken context file.
 * A password in `--database-url` is a usage error at once, since argv is public.
 */
export function resolveSettings(
  flags: GlobalFlags,
  env: Environment,
  stdoutIsTerminal: boolean,
  readFile: () => ContextFile,
): Settings {
  if (flags.databaseUrl !== undefined && hasPassword(flags.databaseUrl)) {
    throw new MidctlError(
      "usage",
      "--database-url holds a password, which every user of this machine can read; nothing was done",
      {
        hint: "change that password; then put the URL into MIDCTL_DATABASE_URL or a context (midctl context set NAME --database-url-stdin), or the password into PGPASSFILE",
      },
    );
  }
  const file = once(readFile);
  const context = once(() =>
    pick<string | null>(flags.context, variable(env, "MIDCTL_CONTEXT"), file().current ?? undefined, null),
  );
  const chosen = once(() => contextSettings(file(), context()));
  return {
    get context() {
      return context();
    },
    get databaseUrl() {
      // A context asked for by flag outranks the environment's URL: it is the more deliberate of the two.
      const fromEnvironment = flags.context === undefined ? variable(env, "MIDCTL_DATABASE_URL") : undefined;
      return refuseOtherUrls(
        pickLazily<string | null>(flags.databaseUrl, fromEnvironment, () => chosen().databaseUrl, null),
      );
    },
    get passwordCommand() {
      return this.databaseUrl.source === "context" ? (chosen().passwordCommand ?? null) : null;
    },
    get dataDir() {
      return pickLazily<string | null>(
        undefined,
        variable(env, "MIDCTL_DATA_DIR"),
        () => chosen().dataDir,
        null,
      );
    },
    get trustDir() {
      return pickLazily<string | null>(
        flags.trustDir,
        variable(env, "MIDCTL_TRUST_DIR"),
        () => chosen().trustDir,
        null,
      );
    },
    get headFile() {
      // Its flag is of the few commands that have use for it.
      return pickLazily<string | null>(
        undefined,
        variable(env, "MIDCTL_HEAD_FILE"),
        () => chosen().headFile,
        null,
      );
    },
    get actor() {
      const actor = pickLazily(
        flags.actor,
        variable(env, "MIDCTL_ACTOR"),
        () => chosen().actor,
        systemUser(),
      );
      return { ...actor, value: judgeWords("ACTOR", actor, parseActor) };
    },
    get reason() {
      const reason = pick<string | null>(flags.reason, variable(env, "MIDCTL_REASON"), undefined, null);
      return {
        ...reason,
        value: reason.value === null ? null : judgeWords("REASON", reason as Sourced<string>, parseReason),
      };
    },
    output: pick<OutputFormat>(
      flags.json ? "json" : flags.output,
      outputOf(variable(env, "MIDCTL_OUTPUT")),
      undefined,
      stdoutIsTerminal ? "table" : "plain",
    ),
    noInput: flags.noInput || !["0", undefined].includes(variable(env, "MIDCTL_NO_INPUT")),
  };
}

/** Whether errors shall be JSON, judged from raw argv, since what is wrong may be argv itself. */
export function wantsJsonErrors(argv: readonly string[], env: Environment): boolean {
  const end = argv.indexOf("--");
  const words = end < 0 ? argv : argv.slice(0, end);
  const output =
    words.findLast((word) => word.startsWith("--output="))?.slice("--output=".length) ??
    (words.includes("--output") ? words[words.lastIndexOf("--output") + 1] : undefined) ??
    variable(env, "MIDCTL_OUTPUT");
  return words.includes("--json") || output === "json" || output === "ndjson";
}

function contextSettings(file: ContextFile, context: Sourced<string | null>): ContextSettings {
  if (context.value === null) return {};
  const found = Object.hasOwn(file.contexts, context.value) ? file.contexts[context.value] : undefined;
  if (found !== undefined) return found;
  throw new MidctlError(
    "usage",
    `there is no context ${context.value} (named by the ${context.source}); nothing was done`,
    {
      hint: "midctl context list",
    },
  );
}

function pick<T>(
  flag: T | undefined,
  environment: T | undefined,
  context: T | undefined,
  fallback: T,
): Sourced<T> {
  if (flag !== undefined) return { value: flag, source: "flag" };
  if (environment !== undefined) return { value: environment, source: "environment" };
  return context === undefined
    ? { value: fallback, source: "default" }
    : { value: context, source: "context" };
}

/** As `pick`, reading the context file only where neither flag nor environment decides. */
function pickLazily<T>(
  flag: T | undefined,
  environment: T | undefined,
  context: () => T | undefined,
  fallback: T,
): Sourced<T> {
  return pick(
    flag,
    environment,
    flag === undefined && environment === undefined ? context() : undefined,
    fallback,
  );
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/** What the log will keep for ever is judged wherever it came from; the error names the place. */
function judgeWords(
  name: "ACTOR" | "REASON",
  words: Sourced<string>,
  parse: (text: string) => string,
): string {
  try {
    return parse(words.value);
  } catch (error) {
    if (!(error instanceof MidctlError)) throw error;
    const place = { flag: `--${name.toLowerCase()}`, environment: `MIDCTL_${name}` }[String(words.source)];
    throw new MidctlError(
      "usage",
      `${place ?? `the ${words.source}'s ${name.toLowerCase()}`}: ${error.message}`,
      {
        ...(error.hint === null ? {} : { hint: error.hint }),
      },
    );
  }
}

function refuseOtherUrls(url: Sourced<string | null>): Sourced<string | null> {
  if (url.value === null || /^postgres(?:ql)?:\/\//.test(url.value)) return url;
  throw new MidctlError("usage", `the database URL (from ${url.source}) does not begin with postgres://`);
}

/** An empty variable counts as unset, as in most shells' idiom `MIDCTL_CONTEXT= midctl …`. */
function variable(env: Environment, name: keyof typeof environmentVariables): string | undefined {
  const value = env[name];
  return value === "" ? undefined : value;
}

function outputOf(text: string | undefined): OutputFormat | undefined {
  if (text === undefined) return undefined;
  const format = outputFormats.find((known) => known === text);
  if (format !== undefined) return format;
  throw new MidctlError("usage", `MIDCTL_OUTPUT: must be one of ${outputFormats.join(", ")}`);
}

/** The system's user name; `uid:1234` for a user without a passwd entry, as in `docker run --user 1234`. */
function systemUser(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid:${process.getuid?.() ?? "unknown"}`;
  }
}
