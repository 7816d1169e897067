/** What `identity import` reads: NDJSON, one identity a line, judged as the flags of `identity create` are. */
import { isUtf8 } from "node:buffer";
import { createReadStream } from "node:fs";
import { parseDuration } from "../domain/duration.ts";
import { MidctlError } from "../domain/errors.ts";
import { findJsonError } from "../domain/json-error.ts";
import { checkLabels } from "../domain/labels.ts";
import {
  parseCredentialName,
  parseDisplayName,
  parseOwner,
  parseProvider,
  parseThreadId,
  parseWorkspace,
} from "../domain/names.ts";
import { parseScopes } from "../domain/scope.ts";
import { SLUG_PATTERN, suggest } from "../domain/slug.ts";
import { containsSecret, createPublicId, parseCommitment } from "../domain/token.ts";
import { quote } from "../domain/visible.ts";
import type { ImportCredential, ImportFile, ImportLine } from "../operations/import-file.ts";
import { DEFAULT_ACTIVATION, DEFAULT_LIFE } from "../operations/issuance.ts";
import type { VerbContext } from "./context.ts";
import { LineSplitter } from "./line-splitter.ts";
import { parseIdentityReference, slugOf } from "./options.ts";
import { bytesByTheBlock } from "./random-names.ts";
import { errnoOf } from "./terminal.ts";

/** In bytes. */
const MAX_LINE = 1024 * 1024;
/** What never ends, a device for one, ends here. */
const MAX_BYTES = 1024 * 1024 * 1024;
const MAX_LINES = 1_000_000;
const CARRIAGE_RETURN = 13;
const BOM = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * Reads every line into `file`, wrong ones as failures. Holds one line at a time, and of one that is too long nothing.
 * @param path of a file; undefined or `-` for standard input
 * @param owner of the lines that name none
 * @throws MidctlError `usage` for what cannot be read, is a terminal, or has no end
 */
export async function readImport(
  context: VerbContext,
  path: string | undefined,
  owner: string | null,
  file: ImportFile,
): Promise<void> {
  let bytes = 0;
  let number = 0;
  const take = (line: Buffer | null): void => {
    number++;
    if (number > MAX_LINES) throw tooMuch(`more than ${MAX_LINES} lines`);
    if (line === null) {
      const message = "it is longer than 1 MiB";
      file.refuse({ line: number, code: "usage", message }, null);
    } else takeLine(number === 1 ? withoutBom(line) : line, number, owner, file);
  };
  const parts = new LineSplitter(MAX_LINE, take);
  for await (const chunk of open(context, path)) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) throw tooMuch("more than 1 GiB");
    parts.push(chunk);
  }
  parts.end();
}

function tooMuch(what: string): MidctlError {
  return new MidctlError("usage", `the input holds ${what}; nothing was imported`, {
    hint: "import it in parts",
  });
}

function open(context: VerbContext, path: string | undefined): AsyncIterable<Buffer> {
  if (path !== undefined && path !== "-") return readFile(path);
  if (context.terminal.stdinIsTerminal) {
    throw new MidctlError(
      "usage",
      "FILE is missing, and standard input is a terminal: the lines are read from there; nothing was imported",
      { hint: "midctl identity import FILE, or midctl identity import < FILE" },
    );
  }
  return context.terminal.readChunks();
}

async function* readFile(path: string): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 })) yield chunk as Buffer;
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    throw new MidctlError("usage", `${quote(path)} cannot be read (${code}); nothing was imported`, {
      hint: "give the path of a file, or - for standard input",
    });
  }
}

function withoutBom(line: Buffer): Buffer {
  return line.subarray(0, BOM.length).equals(BOM) ? line.subarray(BOM.length) : line;
}

function takeLine(line: Buffer, number: number, owner: string | null, file: ImportFile): void {
  const bytes = line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line;
  if (bytes.length === 0) return;
  let json: unknown;
  try {
    if (!isUtf8(bytes)) throw new MidctlError("usage", "it is not UTF-8");
    const text = bytes.toString("utf8");
    if (text.trim() === "") return;
    json = parseJson(text);
    file.add({ line: number, ...readLine(json, owner) });
  } catch (error) {
    if (!(error instanceof MidctlError) || error.code === "unavailable") throw error;
    file.refuse({ line: number, code: error.code, message: told(error) }, slugIn(json));
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The engine's own words quote the line, which may hold anything.
    const at = findJsonError(text) ?? 0;
    const column = [...text.slice(0, at)].length + 1;
    throw new MidctlError(
      "usage",
      at >= text.length
        ? `its JSON ends too soon, at column ${column}`
        : `it is not JSON, at column ${column}`,
    );
  }
}

/** In one clause: what is wrong, and what would be right. */
function told({ message, hint }: MidctlError): string {
  const what = message.replace(/\.$/, "").replace(/; nothing was \w+$/, "");
  return hint === null ? what : `${what} (${hint.replace(/\.$/, "")})`;
}

/** The slug of a line that is wrong otherwise. */
function slugIn(json: unknown): string | null {
  if (typeof json !== "object" || json === null) return null;
  const { slug, provider, threadId } = json as Record<string, unknown>;
  const threaded = typeof provider === "string" && typeof threadId === "string";
  const text = slug ?? (threaded ? `${provider}-${threadId}` : null);
  return typeof text === "string" && SLUG_PATTERN.test(text) ? text : null;
}

const IDENTITY_FIELDS = {
  slug: "text",
  provider: "text",
  threadId: "text",
  owner: "text",
  displayName: "text",
  labels: "object",
  parent: "text",
  expires: "text",
  idleTtl: "text",
  workspace: "text",
  credential: "object",
} as const;
const CREDENTIAL_FIELDS = {
  commitment: "text",
  name: "text",
  scopes: "list",
  expires: "text",
  activateWithin: "text",
} as const;

type Kind = "text" | "object" | "list";
type Values<Fields extends Readonly<Record<string, Kind>>> = {
  readonly [Name in keyof Fields]: Fields[Name] extends "text"
    ? string | undefined
    : Fields[Name] extends "list"
      ? readonly unknown[] | undefined
      : Readonly<Record<string, unknown>> | undefined;
};

const KINDS: Readonly<Record<Kind, string>> = { text: "text", object: "an object", list: "a list" };

/** The fields of an object, each of its kind. null says nothing, as everywhere in our JSON; an unknown field is refused. */
function readFields<Fields extends Readonly<Record<string, Kind>>>(
  json: unknown,
  fields: Fields,
  within: string,
): Values<Fields> {
  if (kindOf(json) !== "object") throw new MidctlError("usage", `${within || "it"} is not a JSON object`);
  const values: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(json as object)) {
    const kind = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (kind === undefined) throw unknownField(name, Object.keys(fields), within);
    if (value === null) continue;
    if (kindOf(value) !== kind) {
      throw new MidctlError("usage", `${within && `${within}.`}${name} is not ${KINDS[kind]}`);
    }
    values[name] = value;
  }
  return values as Values<Fields>;
}

function kindOf(value: unknown): Kind | "other" {
  if (typeof value === "string") return "text";
  if (Array.isArray(value)) return "list";
  return typeof value === "object" && value !== null ? "object" : "other";
}

function unknownField(name: string, known: readonly string[], within: string): MidctlError {
  const near = suggest(name, known);
  return new MidctlError("usage", `there is no field ${quote(name)}${within && ` in ${within}`}`, {
    hint: near === null ? `there are ${known.join(", ")}` : `did you mean ${near}?`,
  });
}

/** `read` of a value that is there; what is wrong with it names the field. */
function field<T>(name: string, value: string | undefined, read: (text: string) => T): T | null {
  if (value === undefined) return null;
  try {
    return read(value);
  } catch (error) {
    if (!(error instanceof MidctlError)) throw error;
    throw new MidctlError(
      "usage",
      `${name}: ${error.message}`,
      error.hint === null ? {} : { hint: error.hint },
    );
  }
}

function readLine(json: unknown, defaultOwner: string | null): Omit<ImportLine, "line"> {
  const said = readFields(json, IDENTITY_FIELDS, "");
  const provider = field("provider", said.provider, parseProvider);
  const threadId = field("threadId", said.threadId, parseThreadId);
  if ((provider === null) !== (threadId === null)) {
    throw new MidctlError("usage", "provider and threadId go together");
  }
  const slug = field("slug", said.slug, (text) =>
    slugOf({ slug: text, thread: undefined, provider: undefined }),
  );
  const made =
    slug ?? slugOf({ slug: undefined, thread: threadId ?? undefined, provider: provider ?? undefined });
  if (made === undefined) throw new MidctlError("usage", "slug is missing, or provider and threadId");
  const owner = field("owner", said.owner, parseOwner) ?? defaultOwner;
  if (owner === null)
    throw new MidctlError("usage", "owner is missing (--owner WHO is that of all lines without)");
  return {
    spec: {
      slug: made,
      kind: threadId === null ? "service" : "thread",
      provider,
      threadId,
      owner,
      displayName: field("displayName", said.displayName, parseDisplayName),
      labels: said.labels === undefined ? null : checkLabels(textsOf(said.labels)),
      parent: field("parent", said.parent, parseIdentityReference),
      workspace: field("workspace", said.workspace, parseWorkspace),
      expiresIn: field("expires", said.expires, parseDuration),
      idleTtl: field("idleTtl", said.idleTtl, parseDuration),
      publicId: createPublicId(bytesByTheBlock),
    },
    credential: said.credential === undefined ? null : readCredential(said.credential),
  };
}

function textsOf(labels: Readonly<Record<string, unknown>>): Record<string, string> {
  for (const [key, value] of Object.entries(labels)) {
    if (typeof value !== "string") {
      throw new MidctlError("usage", `labels: the value of ${quote(key)} is not text`);
    }
  }
  return labels as Record<string, string>;
}

function readCredential(json: Readonly<Record<string, unknown>>): ImportCredential {
  const said = readFields(json, CREDENTIAL_FIELDS, "credential");
  if (said.commitment === undefined) throw new MidctlError("usage", "credential.commitment is missing");
  const secret = parseCommitment(said.commitment);
  if (secret === null) {
    throw new MidctlError(
      "usage",
      "credential.commitment: this is not a commitment",
      containsSecret(said.commitment)
        ? {
            hint: "a token is none; if that one is real, treat it as leaked: midctl revoke --token-stdin < FILE",
          }
        : { hint: "it is the one word that `midctl credential prepare` prints, mcc_…" },
    );
  }
  return {
    secret,
    name: field("credential.name", said.name, parseCredentialName) ?? "default",
    scopes: readScopes(said.scopes ?? []),
    expiresIn:
      field("credential.expires", said.expires, (text): number | "never" =>
        text === "never" ? text : parseDuration(text),
      ) ?? DEFAULT_LIFE,
    activateWithin:
      field("credential.activateWithin", said.activateWithin, parseDuration) ?? DEFAULT_ACTIVATION,
  };
}

function readScopes(scopes: readonly unknown[]): readonly string[] {
  if (!scopes.every((scope) => typeof scope === "string")) {
    throw new MidctlError("usage", "credential.scopes is not a list of texts");
  }
  return parseScopes(scopes);
}
