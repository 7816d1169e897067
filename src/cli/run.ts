/** One run of the program: argv to exit code. Everything it touches comes in by `world`. */
import { MidctlError } from "../domain/errors.ts";
import { createContext, type Progress, type VerbContext, type World } from "./context.ts";
import { deliver, ignoreClosedPipe } from "./deliver.ts";
import { exitCodeOf } from "./exit.ts";
import { parseWords, readInput } from "./parse.ts";
import { errorAsJson, errorAsText, errorAsTrace } from "./report.ts";
import { type Route, routeArgv } from "./route.ts";
import { resolveSettings, wantsJsonErrors } from "./settings.ts";
import { OutputFailure } from "./terminal.ts";
import type { Verb } from "./verb.ts";
import { wrapMessage } from "./wrap.ts";

/** Called once the verb is known, before it runs. */
export type OnVerb = (verb: Verb) => void;

/** Runs argv (without node and script) to the end and returns its exit code; never throws. */
export async function runProgram(
  argv: readonly string[],
  world: World,
  progress: Progress,
  onVerb: OnVerb = () => {},
): Promise<number> {
  try {
    if (argv[0] === "__complete") return await answerCompletion(argv.slice(1), world, progress);
    const route = routeArgv(argv);
    return route.kind === "help"
      ? await printHelp(route.path, world)
      : await runVerb(route, world, progress, onVerb);
  } catch (error) {
    return reportError(error, argv, world);
  }
}

/** Says on stderr what went wrong, as the command line wants it, and returns the exit code. */
export function reportError(error: unknown, argv: readonly string[], world: World): number {
  const { terminal, env } = world;
  const told = outOfOutput(error);
  if (argv.includes("--debug")) terminal.writeMessage(errorAsTrace(error));
  terminal.writeMessage(
    wantsJsonErrors(argv, env) ? errorAsJson(told) : wrapMessage(errorAsText(told), terminal),
  );
  return exitCodeOf(told);
}

async function runVerb(
  route: Extract<Route, { kind: "verb" }>,
  world: World,
  progress: Progress,
  onVerb: OnVerb,
): Promise<number> {
  const verb = await route.entry.load();
  onVerb(verb);
  const { flags, raw } = parseWords(verb, route.words, route.leading);
  const context = await contextFor(flags, world, progress);
  if (flags.fields !== undefined) {
    const { checkFields } = await import("./fields.ts");
    checkFields(verb, flags.fields);
  }
  const input = await readInput(verb, raw, context.ask);
  // Both are judged when they are first asked for: here, before anything is done under them.
  context.debug(
    `run ${verb.path.join(" ")} as ${context.actor}${context.reason === null ? "" : ", with a reason"}`,
  );
  const outcome = await verb.run(input, context);
  context.debug("deliver the result");
  return deliver(verb, outcome, context);
}

async function contextFor(
  flags: Parameters<typeof createContext>[2],
  world: World,
  progress: Progress,
): Promise<VerbContext> {
  const { readContextFile } = await import("./contexts.ts");
  const settings = resolveSettings(flags, world.env, world.terminal.stdoutIsTerminal, () =>
    readContextFile(world.env),
  );
  return createContext(world, settings, flags, progress);
}

async function printHelp(path: string, world: World): Promise<number> {
  const { renderHelp } = await import("./help.ts");
  const text = await renderHelp(path);
  await ignoreClosedPipe(() => world.terminal.writeResult(text));
  return 0;
}

async function answerCompletion(words: readonly string[], world: World, progress: Progress): Promise<number> {
  const { complete } = await import("./complete.ts");
  const silent = { ...noFlags, quiet: true, noInput: true, ...settingsAmong(words) };
  const candidates = await complete(words, await contextFor(silent, world, progress));
  const lines = candidates.map(({ value, summary }) =>
    summary === undefined ? value : `${value}\t${summary}`,
  );
  await world.terminal.writeResult(lines.map((line) => `${line}\n`).join(""));
  return 0;
}

/** What the words being completed say about the database whose slugs are wanted. */
function settingsAmong(words: readonly string[]): { context?: string; databaseUrl?: string } {
  const given = (flag: string): string | undefined => {
    const inline = words.find((word) => word.startsWith(`${flag}=`));
    return (
      inline?.slice(flag.length + 1) ?? (words.includes(flag) ? words[words.indexOf(flag) + 1] : undefined)
    );
  };
  const context = given("--context");
  const databaseUrl = given("--database-url");
  return {
    ...(context === undefined || context === "" ? {} : { context }),
    ...(databaseUrl === undefined || databaseUrl === "" ? {} : { databaseUrl }),
  };
}

const noFlags = {
  json: false,
  output: undefined,
  fields: undefined,
  quiet: false,
  noInput: false,
  yes: false,
  dryRun: false,
  reason: undefined,
  context: undefined,
  databaseUrl: undefined,
  trustDir: undefined,
  actor: undefined,
  noColor: false,
  debug: false,
};

/** A result that stdout did not take, as what it means to the user. */
function outOfOutput(error: unknown): unknown {
  if (!(error instanceof OutputFailure)) return error;
  return new MidctlError(
    "internal",
    `the result could not be written to stdout (${error.errno}); what the command did stands`,
    {
      cause: error,
    },
  );
}
