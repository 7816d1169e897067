/** A runbook's file: YAML that says one thing only, judged line by line. */
import { createHash } from "node:crypto";
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, visit } from "yaml";
import { editDistance } from "../domain/distance.ts";
import { MidctlError } from "../domain/errors.ts";
import { quote } from "../domain/visible.ts";
import { readRegularFile } from "./regular-file.ts";
import { type Runbook, runbookSchema } from "./runbook-schema.ts";

/** Bytes. The three that are shipped have some 2,000. */
const LONGEST = 64 * 1024;
/** So many faults are told. */
const TOLD = 100;
const TOO_DEEP = "it is nested too deeply";

export interface RunbookFile {
  readonly path: string;
  /** Hex, of the file's bytes. */
  readonly sha256: string;
  readonly runbook: Runbook;
  /** The line on which something stands, or its nearest parent that does. */
  lineOf(path: readonly PropertyKey[]): number;
}

/** What is wrong on which line. */
export interface Fault {
  readonly line: number;
  readonly message: string;
}

/**
 * Reads a runbook. Aliases, anchors, tags, merge keys, duplicate keys and several documents are refused: each lets one file mean
 * two things to two readers.
 * @throws MidctlError `usage` that names every line that is wrong
 */
export function readRunbookFile(path: string): RunbookFile {
  const text = readRegularFile(path, LONGEST, "nothing was changed");
  const lines = new LineCounter();
  const at = (offset: number): number => lines.linePos(offset).line;
  const broken = text.indexOf("\ufffd");
  if (broken !== -1) {
    const line = text.slice(0, broken).split("\n").length;
    throw isWrong(path, [{ line, message: "it is no UTF-8" }]);
  }
  const document = parse(path, text, lines);
  const faults: Fault[] = [...document.errors, ...document.warnings].map(({ pos, message }) => ({
    line: at(pos[0]),
    message: wordingOf(message),
  }));
  visit(document, {
    Alias: (_, node) => {
      faults.push({ line: at(node.range?.[0] ?? 0), message: "aliases are not taken: say it out" });
    },
    // No reader of ours sees such a key, so what it says would be left out in silence.
    Pair: (_, { key }) => {
      if (isScalar(key) && key.value === "__proto__")
        faults.push({ line: at(key.range?.[0] ?? 0), message: '"__proto__" is not known' });
    },
    Node: (_, node) => {
      if ("anchor" in node && node.anchor !== undefined)
        faults.push({ line: at(node.range?.[0] ?? 0), message: "anchors are not taken" });
      if (node.tag !== undefined && node.tag !== null)
        faults.push({ line: at(node.range?.[0] ?? 0), message: "tags are not taken" });
    },
  });
  if (faults.length > 0) throw isWrong(path, faults);
  const lineOf = (keys: readonly PropertyKey[]): number => findLine(document.contents, keys, at);
  const parsed = runbookSchema.safeParse(document.toJS({ maxAliasCount: 0 }) ?? {}, { reportInput: true });
  if (!parsed.success)
    throw isWrong(
      path,
      parsed.error.issues.flatMap((issue) => explain(issue, lineOf)),
    );
  const sha256 = createHash("sha256").update(text).digest("hex");
  return { path, sha256, runbook: parsed.data, lineOf };
}

function parse(path: string, text: string, lineCounter: LineCounter) {
  try {
    return parseDocument(text, {
      lineCounter,
      version: "1.2",
      schema: "core",
      merge: false,
      uniqueKeys: true,
    });
  } catch (error) {
    // Thousands of brackets inside one another end in the parser's stack.
    if (!(error instanceof RangeError)) throw error;
    throw isWrong(path, [{ line: 1, message: TOO_DEEP }]);
  }
}

/** What the parser says, without where, and without words that are for programmers. */
function wordingOf(message: string): string {
  if (message.includes("call stack")) return TOO_DEEP;
  if (message.includes("multiple documents")) return "several documents are not taken";
  return message.split("\n")[0]?.replace(/ at line .*$/, "") ?? "this is no YAML";
}

/** The error that names every line that is wrong. */
export function isWrong(path: string, faults: readonly Fault[]): MidctlError {
  const sorted = [...faults].sort((a, b) => a.line - b.line);
  const many = faults.length === 1 ? "one thing is" : `${faults.length} things are`;
  return new MidctlError("usage", `${quote(path)} is no runbook: ${many} wrong; nothing was changed.`, {
    hint: "docs/runbooks/schema.json says what one may say; midctl runbook check FILE looks at it alone",
    details: { failed: sorted.slice(0, TOLD), failedTotal: faults.length },
  });
}

function findLine(root: Node | null, keys: readonly PropertyKey[], at: (offset: number) => number): number {
  let node: unknown = root;
  let line = root?.range == null ? 1 : at(root.range[0]);
  for (const key of keys) {
    if (isMap(node)) {
      const pair = node.items.find((item) => String((item.key as { value?: unknown }).value) === String(key));
      const range = (pair?.key as Node | undefined)?.range;
      if (pair === undefined || range == null) return line;
      line = at(range[0]);
      node = pair.value;
    } else if (isSeq(node)) {
      const item = node.items[Number(key)] as Node | undefined;
      if (item?.range == null) return line;
      line = at(item.range[0]);
      node = item;
    } else return line;
  }
  return line;
}

type Issue =
  ReturnType<typeof runbookSchema.safeParse> extends infer R
    ? R extends { success: false; error: { issues: (infer I)[] } }
      ? I
      : never
    : never;

function explain(issue: Issue, lineOf: RunbookFile["lineOf"]): Fault[] {
  const name = issue.path.map(String).join(".");
  const line = lineOf(issue.path);
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({
      line: lineOf([...issue.path, key]),
      message: `${quote(name === "" ? key : `${name}.${key}`)} is not known${meant(key, issue.path)}`,
    }));
  }
  if (issue.code === "invalid_type" && issue.input === undefined)
    return [{ line, message: `${name === "" ? "it" : name} is missing` }];
  return [{ line, message: `${name === "" ? "it" : name} ${reasonOf(issue)}` }];
}

function reasonOf(issue: Issue): string {
  switch (issue.code) {
    case "invalid_type":
      return `is to be ${KINDS[issue.expected] ?? issue.expected}`;
    case "invalid_value":
      return `is to be ${issue.values.map((value) => JSON.stringify(value)).join(" or ")}`;
    case "invalid_format":
      return issue.pattern?.includes("smhdw") === true
        ? "is to be a duration, such as 30m, 24h or 90d"
        : "has characters that it may not have";
    case "too_small":
      return issue.origin === "string" || issue.origin === "array"
        ? "is empty"
        : `is at least ${issue.minimum}`;
    case "too_big":
      return `is at most ${issue.maximum}`;
    default:
      return "is not as it should be";
  }
}

const KINDS: Readonly<Record<string, string>> = {
  string: "a text (in quotes where it looks like a number)",
  object: "a mapping",
  record: "a mapping",
  array: "a list",
  boolean: "true or false",
  int: "a whole number",
  number: "a whole number",
};

/** `; did you mean …?` where a key is nearly one that there is. */
function meant(key: string, path: readonly PropertyKey[]): string {
  let schema: unknown = runbookSchema;
  for (const step of path) schema = shapeOf(schema)?.[String(step)];
  const near = Object.keys(shapeOf(schema) ?? {}).find((known) => editDistance(known, key) <= 2);
  return near === undefined ? "" : `; did you mean ${near}?`;
}

function shapeOf(schema: unknown): Readonly<Record<string, unknown>> | undefined {
  const { def } = (schema as { _zod: { def: { shape?: Record<string, unknown>; innerType?: unknown } } })
    ._zod;
  return def.shape ?? (def.innerType === undefined ? undefined : shapeOf(def.innerType));
}
