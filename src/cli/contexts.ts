/** The context file: named settings, `$XDG_CONFIG_HOME/midctl/config.json`, private, written whole or not at all. */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import * as z from "zod/mini";
import { makeDirectory } from "../db/directory.ts";
import { MidctlError } from "../domain/errors.ts";
import { errnoOf } from "./terminal.ts";

const contextSchema = z.strictObject({
  databaseUrl: z.optional(z.string()),
  passwordCommand: z.optional(z.string()),
  dataDir: z.optional(z.string()),
  trustDir: z.optional(z.string()),
  headFile: z.optional(z.string()),
  actor: z.optional(z.string()),
});

const contextFileSchema = z.strictObject({
  current: z.nullable(z.string()),
  contexts: z.record(z.string(), contextSchema),
});

/** What one context sets; what it leaves out comes from the defaults. */
export type ContextSettings = z.infer<typeof contextSchema>;
export type ContextKey = keyof ContextSettings;
export const contextKeys = Object.keys(contextSchema.shape) as readonly ContextKey[];
export type ContextFile = z.infer<typeof contextFileSchema>;

type Environment = Readonly<Record<string, string | undefined>>;

const noContexts: ContextFile = { current: null, contexts: {} };

/** A context's name: as a slug, for it is typed in shells and shown in prompts. */
export const contextNamePattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Where the context file lies; undefined without a home directory. Relative XDG paths are ignored, as XDG has it. */
export function contextFilePath(env: Environment): string | undefined {
  const configHome = env.XDG_CONFIG_HOME;
  if (configHome !== undefined && isAbsolute(configHome)) return join(configHome, "midctl", "config.json");
  const home = env.HOME;
  return home !== undefined && isAbsolute(home) ? join(home, ".config", "midctl", "config.json") : undefined;
}

/** Reads the context file; a missing one is empty. Anything odd about it is a usage error: it decides where we write. */
export function readContextFile(env: Environment): ContextFile {
  const path = contextFilePath(env);
  if (path === undefined) return noContexts;
  let text: string;
  try {
    text = readGuarded(path);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return noContexts;
    if (errno === undefined) throw error;
    throw new MidctlError("usage", `the context file ${path} cannot be read (${errno})`, { cause: error });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new MidctlError("usage", `the context file ${path} is not JSON; nothing was done`, {
      hint: "mend it, or remove it and use `midctl context set`",
    });
  }
  const result = z.safeParse(contextFileSchema, json);
  if (result.success) return result.data;
  throw new MidctlError(
    "usage",
    `the context file ${path} is not valid: ${describeIssue(result.error.issues[0])}; nothing was done`,
    {
      hint: `keys of a context: ${contextKeys.join(", ")}`,
    },
  );
}

/** Replaces the context file, 0600 in a directory of 0700, by writing beside it and renaming. */
export function writeContextFile(env: Environment, file: ContextFile): void {
  const path = contextFilePath(env);
  if (path === undefined) {
    throw new MidctlError("usage", "there is no home directory to keep contexts in", {
      hint: "set XDG_CONFIG_HOME",
    });
  }
  const temporary = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    makeDirectory(dirname(path), (each) => mkdirSync(each, 0o700));
    const descriptor = openSync(temporary, "wx", 0o600);
    try {
      writeSync(descriptor, `${JSON.stringify(file, null, 2)}\n`);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new MidctlError(
      "usage",
      `the context file ${path} cannot be written (${errnoOf(error)}); nothing was changed`,
      {
        cause: error,
      },
    );
  }
}

/** The settings of a context by name; not_found with the known names otherwise. */
export function findContext(file: ContextFile, name: string): ContextSettings {
  const found = Object.hasOwn(file.contexts, name) ? file.contexts[name] : undefined;
  if (found !== undefined) return found;
  const known = Object.keys(file.contexts);
  throw new MidctlError("not_found", `there is no context ${name}`, {
    hint:
      known.length === 0
        ? `make it: midctl context set ${name} --database-url URL`
        : `there are: ${known.join(", ")}`,
  });
}

/** Checks owner and mode on the open file, so that what was checked is what is read. */
function readGuarded(path: string): string {
  const descriptor = openSync(path, "r");
  try {
    const stat = fstatSync(descriptor);
    const uid = process.getuid?.();
    if (uid !== undefined && stat.uid !== uid && stat.uid !== 0) {
      throw new MidctlError("usage", `the context file ${path} belongs to another user; nothing was done`, {
        hint: "it decides which database is written to: make it yours, or set XDG_CONFIG_HOME",
      });
    }
    if ((stat.mode & 0o022) !== 0) {
      throw new MidctlError("usage", `the context file ${path} can be written by others; nothing was done`, {
        hint: `look at what it says, then: chmod 600 ${path}`,
      });
    }
    return readFileSync(descriptor, "utf8");
  } finally {
    closeSync(descriptor);
  }
}

function describeIssue(issue: z.core.$ZodIssue | undefined): string {
  if (issue === undefined) return "unknown reason";
  const at = issue.path.map(String).join(".");
  if (issue.code === "unrecognized_keys") {
    return `unknown key ${issue.keys.map((key) => (at === "" ? key : `${at}.${key}`)).join(", ")}`;
  }
  return `${at === "" ? "the whole" : at} is not what belongs there`;
}
