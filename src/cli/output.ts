/** The one place that renders: a document becomes JSON, NDJSON, tab-separated text or a table. */
import { visible, visibleJson } from "../domain/visible.ts";
import { selectFields } from "./fields.ts";
import type { OutputFormat } from "./globals.ts";
import type { Paint } from "./paint.ts";
import { formatRelative } from "./relative-time.ts";
import type { TableCell } from "./table.ts";
import type { Document, Verb } from "./verb.ts";
import type { Block, Cell, Column, View } from "./view.ts";
import { wrapText } from "./wrap.ts";

export const schemaVersion = 1;

export interface Rendering {
  readonly format: OutputFormat;
  readonly fields: readonly string[] | undefined;
  /** Whether the text goes to a terminal: relative times, tables that fit, pretty JSON. */
  readonly onTerminal: boolean;
  readonly columns: number;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly paint: Paint;
}

/** Text for the result's stream, and messages for stderr. */
export interface Rendered {
  readonly result: string;
  readonly notices: string;
}

/** Renders one document in the format asked for. */
export async function renderDocument(
  verb: Verb,
  document: Document,
  rendering: Rendering,
): Promise<Rendered> {
  const { format, fields } = rendering;
  const shown = fields === undefined ? document : selectFields(document, listKeyOf(verb, document), fields);
  if (format === "json") return { result: renderJson(shown, rendering.onTerminal), notices: "" };
  if (format === "ndjson") return { result: elementsOf(verb, shown).map(toJsonLine).join(""), notices: "" };
  const view = fields === undefined ? verb.view(document) : viewFields(elementsOf(verb, document), fields);
  return renderView(view, rendering);
}

/** A whole JSON document with its schema version in front. */
export function renderJson(document: Document, pretty: boolean): string {
  return `${visibleJson(JSON.stringify({ schemaVersion, ...document }, null, pretty ? 2 : undefined))}\n`;
}

/** A document whose list is `elements`, already JSON lines: for lists too long to be held twice. */
export function joinJsonList(key: string, lines: readonly string[]): string[] {
  const head = `{"schemaVersion":${schemaVersion},${JSON.stringify(key)}:[`;
  return [
    head,
    ...lines.map((line, index) => (index === 0 ? "" : ",") + line.trimEnd()),
    '],"nextCursor":null}\n',
  ];
}

export function toJsonLine(element: unknown): string {
  return `${visibleJson(JSON.stringify(element))}\n`;
}

/** The key under which the document has its list, if it has one. */
export function listKeyOf(verb: Verb, document: Document): string | undefined {
  return verb.list.find((key) => Array.isArray(document[key]));
}

/** The elements of a document's list; a document without one is its own only element. */
export function elementsOf(verb: Verb, document: Document): readonly unknown[] {
  const key = listKeyOf(verb, document);
  return key === undefined ? [{ schemaVersion, ...document }] : (document[key] as readonly unknown[]);
}

/** A view as text: aligned and coloured for a terminal, tab-separated otherwise. */
export async function renderView(view: View, rendering: Rendering): Promise<Rendered> {
  const results: string[] = [];
  const notices: string[] = [];
  for (const block of chosen(view, rendering.format)) {
    if (block.kind === "notice") notices.push(`${visible(block.text)}\n`);
    else if (block.kind === "table" && block.rows.length === 0) {
      if (block.empty !== undefined) notices.push(`${visible(block.empty)}\n`);
    } else {
      const text = await renderBlock(block, rendering);
      results.push(
        results.length > 0 && rendering.format === "table" && block.kind !== "line" ? `\n${text}` : text,
      );
    }
  }
  return { result: results.join(""), notices: notices.join("") };
}

type Shown = Exclude<Block, { kind: "either" }>;

/** Of what is one thing to people and another to programs, the one. */
function chosen(view: View, format: OutputFormat): Shown[] {
  return view.flatMap((block): Shown[] => {
    if (block.kind !== "either") return [block];
    return format === "table" ? chosen(block.people, format) : [{ kind: "text", text: block.programs }];
  });
}

async function renderBlock(block: Exclude<Shown, { kind: "notice" }>, rendering: Rendering): Promise<string> {
  const asTable = rendering.format === "table";
  const cells = (row: readonly Cell[]): TableCell[] => row.map((cell) => showCell(cell, rendering));
  switch (block.kind) {
    case "text":
      return block.text.endsWith("\n") ? block.text : `${block.text}\n`;
    case "line":
      if (!asTable && block.plain !== undefined) return toTabbedLine(cells(block.plain));
      return `${fitLine(
        cells(block.cells)
          .map((cell) => cell.paint(cell.text))
          .join(""),
        block.words === true,
        rendering,
      )}\n`;
    case "table": {
      const shown = shownColumns(block, asTable);
      const rows = block.rows.map((row) => cells(shown.map((index) => row[index] ?? null)));
      return asTable
        ? await renderTable(
            shown.flatMap((index) => block.columns[index] ?? []),
            rows,
            rendering,
          )
        : rows.map(toTabbedLine).join("");
    }
    case "fields": {
      const rows = block.fields.map(([name, value]) => [name, showCell(value, rendering)] as const);
      if (!asTable) return rows.map(([name, value]) => `${name}\t${value.text}\n`).join("");
      const width = Math.max(...rows.map(([name]) => name.length));
      const lines = rows.map(
        ([name, value]) =>
          `${fitLine(
            `${rendering.paint(name.padEnd(width), "faint")}  ${value.paint(value.text)}`,
            true,
            rendering,
            " ".repeat(width + 2),
          )}\n`,
      );
      return (
        (block.title === undefined ? "" : `${rendering.paint(block.title, "strong")}\n`) + lines.join("")
      );
    }
  }
}

/** A sentence for a terminal goes on in the next line between words; anything else, such as an entry's exact text, is let be. */
function fitLine(text: string, isSentence: boolean, rendering: Rendering, indent?: string): string {
  const fits = !isSentence || !rendering.onTerminal || rendering.format !== "table";
  return fits ? text : wrapText(text, rendering.columns, indent);
}

function shownColumns(
  { columns, rows }: Pick<Extract<Block, { kind: "table" }>, "columns" | "rows">,
  asTable: boolean,
): number[] {
  return [...columns.keys()].filter((index) => {
    const { only, ifAny } = columns[index] ?? {};
    if (only !== undefined && (only === "table") !== asTable) return false;
    return !asTable || ifAny !== true || rows.some((row) => (row[index] ?? null) !== null);
  });
}

async function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly TableCell[])[],
  rendering: Rendering,
): Promise<string> {
  const { layOutTable } = await import("./table.ts");
  // Asked for in a pipe, a table is as wide as its text: nothing is cut where nobody can widen the window.
  const width = rendering.onTerminal ? rendering.columns : Number.MAX_SAFE_INTEGER;
  return `${layOutTable(columns, rows, width, (title) => rendering.paint(title, "strong"))}\n`;
}

function toTabbedLine(cells: readonly TableCell[]): string {
  return `${cells.map((cell) => cell.text).join("\t")}\n`;
}

function showCell(cell: Cell, rendering: Rendering): TableCell {
  const plainly = (text: string): TableCell => ({ text: visible(text), paint: (painted) => painted });
  if (cell === null) return plainly(rendering.format === "table" ? "-" : "");
  if (typeof cell !== "object")
    return plainly(typeof cell === "boolean" ? (cell ? "yes" : "no") : String(cell));
  if ("time" in cell)
    return plainly(
      (cell.before ?? "") +
        (rendering.onTerminal ? formatRelative(cell.time, rendering.now) : cell.time) +
        (cell.after ?? ""),
    );
  return { text: visible(cell.text), paint: (text) => rendering.paint(text, cell.tone) };
}

/** The fields themselves as a table: what `--fields` shows to people and to `cut`. */
function viewFields(elements: readonly unknown[], fields: readonly string[]): View {
  const rows = elements.map((element) => fields.map((field) => toCell(valueAt(element, field))));
  return [{ kind: "table", columns: fields.map((title) => ({ title })), rows }];
}

function valueAt(element: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>(
      (value, key) =>
        typeof value === "object" && value !== null && Object.hasOwn(value, key)
          ? (value as Record<string, unknown>)[key]
          : null,
      element,
    );
}

function toCell(value: unknown): Cell {
  if (value === null || value === undefined) return null;
  if (typeof value === "string" || typeof value === "number") return value;
  return JSON.stringify(value);
}
