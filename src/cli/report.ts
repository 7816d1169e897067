/** How an error reaches its reader: two lines for a person, one JSON line for a program, always on stderr. */
import { MidctlError } from "../domain/errors.ts";
import { visible, visibleJson } from "../domain/visible.ts";
import { redact } from "./redact.ts";

/** One line `{"error":{code,message,hint,details}}`. */
export function errorAsJson(error: unknown): string {
  const { code, message, hint, details } = asMidctlError(error);
  const document = { error: { code, message: redact(asSentence(message)), hint, details } };
  return `${visibleJson(redact(JSON.stringify(document)))}\n`;
}

/** Lines of a file that are told one by one to a person; a program gets them all in the details. */
const TOLD = 20;

/** `error: …` and `hint: …`; in between what is wrong with which line, where the details say so. */
export function errorAsText(error: unknown): string {
  const { message, hint, details } = asMidctlError(error);
  const lines = [`error: ${visible(redact(asSentence(message)))}`];
  for (const [line, what] of failedLines(details)) lines.push(`  line ${line}: ${visible(redact(what))}`);
  const more = Number(details.failedTotal ?? 0) - TOLD;
  if (more > 0) lines.push(`  and ${more} more`);
  if (hint !== null) lines.push(`hint: ${visible(redact(hint))}`);
  return `${lines.join("\n")}\n`;
}

function failedLines({ failed }: MidctlError["details"]): (readonly [line: number, what: string])[] {
  return Array.isArray(failed) ? failed.slice(0, TOLD).map(({ line, message }) => [line, message]) : [];
}

/** The stack of an error and its causes, for --debug. */
export function errorAsTrace(error: unknown): string {
  const stacks: string[] = [];
  for (let current = error; current instanceof Error && stacks.length < 5; current = current.cause) {
    stacks.push(current.stack ?? current.message);
  }
  const lines = redact(stacks.join("\ncaused by: ")).split("\n");
  return `${lines.map(visible).join("\n")}\n`;
}

/** With a capital and a full stop, wherever the message came from; a flag or a quoted word in front stays as it is. */
function asSentence(message: string): string {
  const capitalized = message.replace(/^[a-z](?=[a-z']*(?:[ ,;.]|$))/, (letter) => letter.toUpperCase());
  return /[.?!]$/.test(capitalized) ? capitalized : `${capitalized}.`;
}

function asMidctlError(error: unknown): MidctlError {
  if (error instanceof MidctlError) return error;
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new MidctlError("internal", `this is an error that midctl does not know: ${what}`, {
    hint: "run it again with --debug and report what it says; look with `midctl status` whether anything was changed",
    cause: error,
  });
}
