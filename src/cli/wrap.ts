/** Text in lines that fit a terminal, broken between words. */

import type { Terminal } from "./terminal.ts";

/** A message for stderr, as wide as the terminal there; as it is where there is none. */
export function wrapMessage(text: string, terminal: Pick<Terminal, "stderrIsTerminal" | "columns">): string {
  return terminal.stderrIsTerminal ? wrapText(text, terminal.columns()) : text;
}

/** What belongs together: a command in backquotes, so that it can be copied, or a word. */
const PIECES = / *(?:`[^`\n]*`[^ \n]*|[^ \n]+)/g;

/**
 * Each line of `text` in lines of at most `columns` columns, which begin as far to the right as it does, or behind `indent`. Longer words
 * stay whole: there the terminal goes on in the next line, and what is copied from it has no break.
 */
export function wrapText(text: string, columns: number, indent?: string): string {
  return text
    .split("\n")
    .map((line) => wrapLine(line, columns, indent))
    .join("\n");
}

function wrapLine(line: string, columns: number, indent = /^ */.exec(line)?.[0] ?? ""): string {
  if (displayWidth(line) <= columns) return line;
  const lines: string[] = [];
  let current: string | null = null;
  for (const piece of line.match(PIECES) ?? []) {
    const words = displayWidth(piece) + indent.length > columns ? (piece.match(/ *[^ ]+/g) ?? []) : [piece];
    for (const word of words) {
      if (current !== null && displayWidth(current + word) > columns) {
        lines.push(current);
        current = indent + word.trimStart();
      } else current = (current ?? "") + word;
    }
  }
  return [...lines, current ?? ""].join("\n");
}

const wide =
  /[\u1100-\u115F\u2E80-\u303E\u3041-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6\u{1F300}-\u{1FAFF}\u{20000}-\u{3FFFD}]/u;
const combining = /\p{M}/u;
const colours = /\u001b\[[\d;]*m/g;

/** Columns that a terminal gives to a text, painted or not. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text.replace(colours, ""))
    width += combining.test(character) ? 0 : wide.test(character) ? 2 : 1;
  return width;
}
