/** Tables that fit a terminal. Loaded only there: cli-table3 costs some 20 ms cold. */
import Table from "cli-table3";
import type { Column } from "./view.ts";
import { displayWidth } from "./wrap.ts";

const gap = 2;
const narrowest = 6;
/** Of a sentence: narrower than that it is no longer read. */
const narrowestWords = 16;

/** Already visible, unpainted text of each cell, and how to paint it once it is cut to size. */
export interface TableCell {
  readonly text: string;
  paint(text: string): string;
}

/** Lays out a table within `width` columns: flexible columns shrink first (sentences wrap), then optional ones go, then cells wrap. */
export function layOutTable(
  columns: readonly Column[],
  rows: readonly (readonly TableCell[])[],
  width: number,
  paintTitle: (text: string) => string,
): string {
  const { kept, widths } = fitColumns(columns, rows, width);
  const table = new Table({
    head: kept.map((index) => paintTitle(columns[index]?.title ?? "")),
    colWidths: kept.map((index) => (widths[index] ?? 0) + gap),
    colAligns: kept.map((index) => columns[index]?.align ?? "left"),
    chars: Object.fromEntries(borders.map((name) => [name, ""])),
    style: { head: [], border: [], "padding-left": 0, "padding-right": gap, compact: true },
  });
  for (const row of rows) {
    table.push(
      kept.map((index) => {
        const cell = row[index];
        if (cell === undefined) return "";
        const cellWidth = widths[index] ?? 0;
        // Cut before it is painted: cli-table3 would count the colour's own bytes.
        const column = columns[index];
        if (column?.words === true) return wrapWords(cell.text, cellWidth).map(cell.paint).join("\n");
        return column?.fixed === true
          ? wrap(cell.text, cellWidth).map(cell.paint).join("\n")
          : cell.paint(shorten(cell.text, cellWidth));
      }),
    );
  }
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

const borders = [
  "top",
  "top-mid",
  "top-left",
  "top-right",
  "bottom",
  "bottom-mid",
  "bottom-left",
  "bottom-right",
  "left",
  "left-mid",
  "mid",
  "mid-mid",
  "right",
  "right-mid",
  "middle",
]; // prettier-ignore

function fitColumns(columns: readonly Column[], rows: readonly (readonly TableCell[])[], width: number) {
  const natural = columns.map((column, index) =>
    rows.reduce(
      (widest, row) => Math.max(widest, displayWidth(row[index]?.text ?? "")),
      displayWidth(column.title),
    ),
  );
  let kept = columns.map((_, index) => index);
  let widths = shrink(kept, natural, columns, width);
  while (totalOf(kept, widths) > width) {
    const last = kept.findLast((index) => columns[index]?.optional === true);
    if (last === undefined) break;
    kept = kept.filter((index) => index !== last);
    widths = shrink(kept, natural, columns, width);
  }
  return { kept, widths: wrapToFit(kept, widths, width) };
}

/** Takes from the widest flexible column, one by one, until the row fits or all are at their narrowest. */
function shrink(
  kept: readonly number[],
  natural: readonly number[],
  columns: readonly Column[],
  width: number,
): number[] {
  const widths = [...natural];
  const flexible = kept.filter((index) => columns[index]?.fixed !== true);
  for (let excess = totalOf(kept, widths) - width; excess > 0; excess--) {
    const widest = flexible.reduce<number | undefined>(
      (best, index) => (best === undefined || (widths[index] ?? 0) > (widths[best] ?? 0) ? index : best),
      undefined,
    );
    const current = widest === undefined ? 0 : (widths[widest] ?? 0);
    const least = widest !== undefined && columns[widest]?.words === true ? narrowestWords : narrowest;
    if (widest === undefined || current <= Math.max(least, displayWidth(columns[widest]?.title ?? ""))) break;
    widths[widest] = current - 1;
  }
  return widths;
}

/** What still does not fit is wrapped, so that nothing that people copy is lost. */
function wrapToFit(kept: readonly number[], widths: readonly number[], width: number): number[] {
  const fitted = [...widths];
  for (let excess = totalOf(kept, fitted) - width; excess > 0; excess--) {
    const widest = kept.reduce(
      (best, index) => ((fitted[index] ?? 0) > (fitted[best] ?? 0) ? index : best),
      kept[0] ?? 0,
    );
    if ((fitted[widest] ?? 0) <= narrowest) break;
    fitted[widest] = (fitted[widest] ?? 0) - 1;
  }
  return fitted;
}

function totalOf(kept: readonly number[], widths: readonly number[]): number {
  return kept.reduce((sum, index) => sum + (widths[index] ?? 0), 0) + gap * Math.max(0, kept.length - 1);
}

/** In lines of at most `width` columns, cut anywhere: what people copy has no word boundaries. */
function wrap(text: string, width: number): string[] {
  const lines = [""];
  let used = 0;
  for (const character of text) {
    const size = displayWidth(character);
    if (used + size > width && used > 0) {
      lines.push("");
      used = 0;
    }
    lines.push(`${lines.pop() ?? ""}${character}`);
    used += size;
  }
  return lines;
}

/** In lines of at most `width` columns, between words where there is room for them. */
function wrapWords(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (displayWidth(longer) <= width) {
      line = longer;
      continue;
    }
    if (line !== "") lines.push(line);
    const parts = wrap(word, width);
    line = parts.pop() ?? "";
    lines.push(...parts);
  }
  return [...lines, line];
}

function shorten(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let shortened = "";
  let used = 1;
  for (const character of text) {
    used += displayWidth(character);
    if (used > width) break;
    shortened += character;
  }
  return `${shortened}…`;
}
