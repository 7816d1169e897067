/** Brings a verb's outcome to its reader: the secret first, then the rest, in the format asked for. */
import { MidctlError } from "../domain/errors.ts";
import type { VerbContext } from "./context.ts";
import type { OutputFormat } from "./globals.ts";
import {
  elementsOf,
  joinJsonList,
  listKeyOf,
  type Rendering,
  renderDocument,
  renderJson,
  renderView,
  toJsonLine,
} from "./output.ts";
import { colorLevel, createPaint } from "./paint.ts";
import { OutputFailure } from "./terminal.ts";
import type { AnyOutcome, Document, Outcome, PagedOutcome, Verb } from "./verb.ts";
import type { View } from "./view.ts";
import { wrapMessage } from "./wrap.ts";

/** Writes the outcome and returns the exit code. Throws `undeliverable` when a secret did not get out, and what failed beside it. */
export async function deliver(
  verb: Verb,
  outcome: AnyOutcome<Document>,
  context: VerbContext,
): Promise<number> {
  if ("until" in outcome) {
    const { begun } = outcome;
    if (begun !== null) await ignoreClosedPipe(() => writeDocument(verb, begun, context));
    await outcome.until();
    return 0;
  }
  if ("pages" in outcome) {
    await ignoreClosedPipe(() => writePages(verb, outcome, context));
    return outcome.exit?.() ?? 0;
  }
  const { document, shown } = outcome;
  if (outcome.secret !== undefined) await deliverSecret(verb, outcome, outcome.secret, context);
  else {
    const told = shown === undefined ? verb : { ...verb, view: () => shown };
    await ignoreClosedPipe(() => writeDocument(told, document, context));
  }
  if (outcome.failed !== undefined) throw outcome.failed;
  return outcome.exit ?? 0;
}

/** Whoever closes our pipe has seen what they wanted (`| head -1`): that is the end of writing, not a failure. */
export async function ignoreClosedPipe(write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!(error instanceof OutputFailure) || error.errno !== "EPIPE") throw error;
  }
}

async function writeDocument(verb: Verb, document: Document, context: VerbContext): Promise<void> {
  const rendering = await renderingFor(context, "stdout");
  const { result, notices } = await renderDocument(verb, document, rendering);
  if (result !== "" && !(await showPaged(verb, result, context))) await context.terminal.writeResult(result);
  const messages = verb.changes && context.dryRun && isForPeople(rendering.format) ? rehearsed : notices;
  if (messages !== "" && !context.flags.quiet) say(messages, context);
}

function say(notices: string, { terminal }: VerbContext): void {
  terminal.writeMessage(wrapMessage(notices, terminal));
}

/** Whether a pager has shown it. Where there is none, or it fails, nothing is lost: the result is written as it is. */
async function showPaged(verb: Verb, result: string, context: VerbContext): Promise<boolean> {
  if (!verb.paged || !context.terminal.stdoutIsTerminal) return false;
  const { isLonger, pagerOf, showByPager } = await import("./pager.ts");
  const pager = pagerOf(context);
  return pager !== null && isLonger(result, context.terminal.rows()) && showByPager(pager, result);
}

/** Shows a person on stderr what they are about to decide on. */
export async function showView(view: View, context: VerbContext): Promise<void> {
  const rendering = await renderingFor(context, "stderr");
  const { result, notices } = await renderView(view, rendering);
  context.terminal.writeMessage(`${result}${wrapMessage(notices, context.terminal)}\n`);
}

/** In the place of a view's own notices, which speak of what was done and what to do next. */
const rehearsed = "Dry run: nothing was changed; this is what would have been.\n";

const SHOWN = "The secret is shown this once and kept nowhere.\n";

function isForPeople(format: OutputFormat): boolean {
  return format === "table" || format === "plain";
}

async function deliverSecret(
  verb: Verb,
  outcome: Outcome<Document>,
  secret: string,
  context: VerbContext,
): Promise<void> {
  const format = context.settings.output.value;
  const asJson = !isForPeople(format);
  try {
    await context.terminal.writeSecret(
      asJson ? secretDocument(verb, outcome.document, secret, format, context) : `${secret}\n`,
    );
  } catch (error) {
    throw await explainUndelivered(outcome, error);
  }
  if (asJson || context.flags.quiet) return;
  const rendering = await renderingFor(context, "stderr");
  const { result, notices } = await renderDocument(verb, outcome.document, rendering);
  context.terminal.writeMessage(result + wrapMessage(SHOWN + notices, context.terminal));
}

/** The document with its secret; --fields does not reach it, for a secret that is shown nowhere is lost. */
function secretDocument(
  verb: Verb,
  document: Document,
  secret: string,
  format: OutputFormat,
  context: VerbContext,
): string {
  const whole = { ...document, token: secret };
  if (format === "json") return renderJson(whole, context.terminal.stdoutIsTerminal);
  return elementsOf(verb, whole).map(toJsonLine).join("");
}

async function explainUndelivered(outcome: Outcome<Document>, cause: unknown): Promise<MidctlError> {
  const errno = cause instanceof OutputFailure ? cause.errno : "unknown reason";
  const why = errno === "ENULL" ? "stdout is closed or the null device" : errno;
  const after = await outcome.undelivered?.().catch(() => undefined);
  return new MidctlError(
    "undeliverable",
    `the secret could not be written to stdout (${why}); ${after ?? "it is inert unless it is used before its deadline"}`,
    { hint: "run the command again with somewhere to write to, or with --token-file PATH", cause },
  );
}

async function writePages(verb: Verb, outcome: PagedOutcome<Document>, context: VerbContext): Promise<void> {
  const usual = await renderingFor(context, "stdout");
  const rendering = verb.endless ? { ...usual, format: endlessFormat(context) } : usual;
  if (rendering.format === "json") return writeJsonPages(verb, outcome, rendering, context);
  for await (const page of outcome.pages) {
    const { result, notices } = await renderDocument(verb, page, rendering);
    if (result !== "") await context.terminal.writeResult(result);
    if (notices !== "" && !context.flags.quiet) say(notices, context);
  }
}

/** What has no end is no document: an element a line for programs. */
function endlessFormat({ settings: { output }, terminal }: VerbContext): OutputFormat {
  const unasked = output.source === "default" && !terminal.stdoutIsTerminal;
  return unasked || output.value === "json" ? "ndjson" : output.value;
}

/** Collects before it writes: where a page fails, stdout stays empty. */
async function writeJsonPages(
  verb: Verb,
  outcome: PagedOutcome<Document>,
  rendering: Rendering,
  context: VerbContext,
): Promise<void> {
  const lines: string[] = [];
  let key = verb.list[0] ?? "results";
  for await (const page of outcome.pages) {
    key = listKeyOf(verb, page) ?? key;
    const { result } = await renderDocument(verb, page, { ...rendering, format: "ndjson" });
    for (const line of result.split("\n")) if (line !== "") lines.push(line);
  }
  const parts = joinJsonList(key, lines);
  for (let index = 0; index < parts.length; index += 1_000) {
    await context.terminal.writeResult(parts.slice(index, index + 1_000).join(""));
  }
}

async function renderingFor(context: VerbContext, stream: "stdout" | "stderr"): Promise<Rendering> {
  const { settings, flags, terminal, env } = context;
  const onTerminal = stream === "stdout" ? terminal.stdoutIsTerminal : terminal.stderrIsTerminal;
  // The summary of a secret on stderr has its own reader: a table for a person there, whatever stdout is.
  const format = stream === "stderr" ? (onTerminal ? "table" : "plain") : settings.output.value;
  return {
    format,
    fields: flags.fields,
    onTerminal,
    columns: onTerminal ? terminal.columns() : 80,
    now: context.now(),
    paint: await createPaint(colorLevel(onTerminal, flags.noColor, env)),
  };
}
