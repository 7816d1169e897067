/** What the frame gives to a verb: settings, the database, the terminal, and the ways to ask. */
import type { Database, OwnTx } from "../db/database.ts";
import type { PoolOptions } from "../db/postgres.ts";
import { MidctlError } from "../domain/errors.ts";
import { visible } from "../domain/visible.ts";
import type { GlobalFlags, OutputFormat } from "./globals.ts";
import type { Missing } from "./parse.ts";
import { type ProgressStep, progressAsBar, progressAsJson } from "./progress-line.ts";
import { redact } from "./redact.ts";
import type { Environment, Settings } from "./settings.ts";
import type { Terminal } from "./terminal.ts";
import { wrapMessage } from "./wrap.ts";

/** The world outside of one run of the program; tests give their own. */
export interface World {
  readonly env: Environment;
  readonly terminal: Terminal;
  /** Milliseconds since 1970. For showing times only: every decision takes the database's clock. */
  now(): number;
  openDatabase(settings: Settings, opening: Opening): Promise<Database>;
}

/** How to open the database. */
export interface Opening {
  readonly env: Environment;
  /** Says something on stderr while opening: that a store was created, a server started. */
  notice(text: string): void;
  debug(text: string): void;
  readonly wish: DatabaseWish;
}

export interface DatabaseWish {
  /** False for whoever must not start a server, such as completion. Default true. */
  readonly mayStart?: boolean;
  /** False for whoever must not have a password asked for, such as completion. Default true. */
  readonly asks?: boolean;
  /** `any` for what works on the schema itself: `db migrate`, `db status`, `doctor`. Default `current`. */
  readonly schema?: "current" | "any";
  /** Two connections at most, unless told. */
  readonly pool?: PoolOptions;
}

export interface Confirmation {
  /** What will be done, for the question: `revoke codex-1`. */
  readonly action: string;
  /** What has to be typed. */
  readonly name: string;
}

export interface VerbContext {
  readonly settings: Settings;
  readonly flags: GlobalFlags;
  readonly env: Environment;
  readonly terminal: Terminal;
  /** Who the log shows: a claim, not a proof. */
  readonly actor: string;
  readonly reason: string | null;
  readonly dryRun: boolean;
  readonly noInput: boolean;
  readonly yes: boolean;
  now(): number;
  /** The database that the settings name, opened at the first call. Closed by the end of the process. */
  database(wish?: DatabaseWish): Promise<Database>;
  /** Another one, for what works on two. */
  otherDatabase(settings: Settings, wish?: DatabaseWish): Promise<Database>;
  /** Whether a person can be asked: stdin and stderr are terminals, and nobody said --no-input. */
  canAsk(): boolean;
  /** The answer of a person, judged; off a terminal a usage error that names `missing.name`. */
  ask(missing: Missing): Promise<string>;
  /**
   * Returns when the name was typed, or at once under --yes or --dry-run; else a usage error, and nothing was done.
   */
  confirm(confirmation: Confirmation): Promise<void>;
  /** A message on stderr, unless --quiet. */
  notice(text: string): void;
  /** How far something long has come, on stderr unless --quiet: a line that is drawn anew on a terminal; off one JSON lines for whoever wants JSON, and nothing for anybody else. */
  progress(step: ProgressStep): void;
  /** A trace on stderr under --debug, without secrets. */
  debug(text: string): void;
  /** What an interruption has to say from here on, e.g. "the change stands". */
  standBy(message: string): void;
}

/** What the run has come to so far, for whoever has to explain its end. */
export interface Progress {
  databaseOpened: boolean;
  openTransactions: number;
  transactionsDone: number;
  standing: string | undefined;
}

export function createProgress(): Progress {
  return { databaseOpened: false, openTransactions: 0, transactionsDone: 0, standing: undefined };
}

/** Formats whose readers take progress apart; who reads text, such as cron's mail, is told of what went wrong alone. */
const FOR_PROGRAMS: ReadonlySet<OutputFormat> = new Set(["json", "ndjson"]);

export function createContext(
  world: World,
  settings: Settings,
  flags: GlobalFlags,
  progress: Progress,
): VerbContext {
  const { terminal, env } = world;
  // Node loads its clock of that precision at the first call.
  const started = flags.debug ? performance.now() : 0;
  const notice = (text: string): void => {
    if (!flags.quiet) terminal.writeMessage(wrapMessage(`${visible(redact(text))}\n`, terminal));
  };
  const debug = (text: string): void => {
    if (!flags.debug) return;
    terminal.writeMessage(
      `debug: ${(performance.now() - started).toFixed(1)} ms: ${visible(redact(text))}\n`,
    );
  };
  const canAsk = (): boolean => terminal.stdinIsTerminal && terminal.stderrIsTerminal && !settings.noInput;
  const open = async (of: Settings, wish: DatabaseWish): Promise<Database> => {
    const database = await world.openDatabase(of, { env, notice, debug, wish });
    progress.databaseOpened = true;
    return watchTransactions(database, progress);
  };
  let opened: Promise<Database> | undefined;

  return {
    settings,
    flags,
    env,
    terminal,
    get actor() {
      return settings.actor.value;
    },
    get reason() {
      return settings.reason.value;
    },
    dryRun: flags.dryRun,
    noInput: settings.noInput,
    yes: flags.yes,
    now: () => world.now(),
    database: (wish = {}) => {
      opened ??= open(settings, wish);
      return opened;
    },
    otherDatabase: (of, wish = {}) => open(of, wish),
    canAsk,
    ask: async (missing) => {
      if (!canAsk()) throw missingArgument(missing);
      const { askText } = await import("./prompts.ts");
      return askText(missing);
    },
    confirm: async ({ action, name }) => {
      if (flags.yes || flags.dryRun) return;
      if (!canAsk()) {
        throw new MidctlError("usage", `to ${action} has to be confirmed; nothing was changed`, {
          hint: "--yes confirms it where nobody can be asked",
        });
      }
      const { askConfirmation } = await import("./prompts.ts");
      if (!(await askConfirmation(action, name))) {
        throw new MidctlError("usage", "not confirmed; nothing was changed");
      }
    },
    notice,
    progress: (step) => {
      if (flags.quiet) return;
      if (terminal.stderrIsTerminal) terminal.writeProgress(progressAsBar(step, terminal.columns()));
      else if (FOR_PROGRAMS.has(settings.output.value)) terminal.writeMessage(progressAsJson(step));
    },
    debug,
    standBy: (message) => {
      progress.standing = message;
    },
  };
}

function missingArgument(missing: Missing): MidctlError {
  const choices = missing.choices === undefined ? "" : ` (${missing.choices.join(", ")})`;
  return new MidctlError(
    "usage",
    `${missing.name} is missing: ${missing.summary}${choices}; nothing was done`,
    {
      ...(missing.hint === undefined ? {} : { hint: missing.hint }),
      details: { missing: missing.name },
    },
  );
}

function watchTransactions(database: Database, progress: Progress): Database {
  return {
    concurrent: database.concurrent,
    query: (text, params) => database.query(text, params),
    listen: (channels, ears) => database.listen(channels, ears),
    close: () => database.close(),
    transaction: async <T>(work: (tx: OwnTx) => Promise<T>): Promise<T> => {
      progress.openTransactions++;
      try {
        const result = await database.transaction(work);
        progress.transactionsDone++;
        return result;
      } finally {
        progress.openTransactions--;
      }
    },
  };
}
