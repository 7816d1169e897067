import { resolve } from "node:path";
import * as z from "zod/mini";
import { MidctlError } from "../../domain/errors.ts";
import { contextSchema, summarizeContext } from "../context-document.ts";
import {
  type ContextKey,
  type ContextSettings,
  contextNamePattern,
  readContextFile,
  writeContextFile,
} from "../contexts.ts";
import { splitCommand } from "../password-command.ts";
import { hasPassword } from "../redact.ts";
import { defineVerb } from "../verb.ts";

const longestUrl = 8_192;
const unsettable = [
  "database-url",
  "password-command",
  "data-dir",
  "trust-dir",
  "head-file",
  "actor",
] as const;
const keyOf = {
  "database-url": "databaseUrl",
  "password-command": "passwordCommand",
  "data-dir": "dataDir",
  "trust-dir": "trustDir",
  "head-file": "headFile",
  actor: "actor",
} as const satisfies Readonly<Record<(typeof unsettable)[number], ContextKey>>;

export const contextSet = defineVerb({
  path: ["context", "set"],
  summary: "Make a context, or change what it sets",
  description:
    "Stores --database-url, --password-command, --data-dir, --trust-dir, --head-file and --actor as given; what is not given stays as it is. A URL with a password comes by stdin, since arguments are public; the context file is private.",
  examples: [
    {
      command: "midctl context set prod --database-url postgres://midctl@db.example/midctl",
      does: "a server",
    },
    { command: "midctl context set prod --database-url-stdin < url.txt", does: "a URL with a password" },
    {
      command: "midctl context set prod --password-command 'op read op://team/midctl/password'",
      does: "a password that a password manager keeps",
    },
    {
      command: "midctl context set lab --data-dir ~/lab --use",
      does: "another embedded store, used from now on",
    },
  ],
  args: [
    {
      name: "name",
      summary: "the context",
      schema: z
        .string()
        .check(z.regex(contextNamePattern, "must be lower-case letters, digits and hyphens, at most 63")),
      complete: "context",
    },
  ],
  options: {
    databaseUrlStdin: { summary: "read the URL from stdin" },
    passwordCommand: {
      value: "COMMAND",
      summary: "prints the database's password; run without a shell, when a command connects",
    },
    dataDir: { value: "DIR", summary: "store of the embedded PostgreSQL" },
    headFile: { value: "PATH", summary: "where serve, mcp and verify keep the highest head of this log" },
    unset: {
      value: "KEY",
      summary: "forget what the context sets for it",
      choices: unsettable,
      repeat: true,
    },
    use: { summary: "make it the current context" },
  },
  output: z.object({ created: z.boolean(), context: contextSchema }),
  changes: true,
  async run(input, context) {
    const { flags, env } = context;
    const given: ContextSettings = {};
    const url = input.databaseUrlStdin
      ? (await context.terminal.readInput(longestUrl)).trim()
      : flags.databaseUrl;
    if (url !== undefined) given.databaseUrl = checkUrl(url);
    if (input.passwordCommand !== undefined) {
      splitCommand(input.passwordCommand);
      given.passwordCommand = input.passwordCommand;
    }
    if (input.dataDir !== undefined) given.dataDir = resolve(input.dataDir);
    if (input.headFile !== undefined) given.headFile = resolve(input.headFile);
    if (flags.trustDir !== undefined) given.trustDir = resolve(flags.trustDir);
    if (flags.actor !== undefined) given.actor = flags.actor;

    const file = readContextFile(env);
    const before = Object.hasOwn(file.contexts, input.name) ? file.contexts[input.name] : undefined;
    const after: ContextSettings = { ...before, ...given };
    for (const name of input.unset) delete after[keyOf[name]];
    const current = input.use ? input.name : file.current;
    if (!context.dryRun) {
      writeContextFile(env, { current, contexts: { ...file.contexts, [input.name]: after } });
    }
    if (current !== input.name) context.notice(`use it: midctl context use ${input.name}`);
    return {
      document: {
        created: before === undefined,
        context: summarizeContext(input.name, after, current === input.name),
      },
    };
  },
  view: ({ created, context }) => [
    { kind: "line", cells: [`context ${context.name} ${created ? "created" : "updated"}`] },
  ],
});

function checkUrl(url: string): string {
  if (/^postgres(?:ql)?:\/\/\S+$/.test(url)) return url;
  const shown = hasPassword(url) ? "" : "; it should look like postgres://user@host/database";
  throw new MidctlError("usage", `that is no PostgreSQL URL${shown}; nothing was changed`);
}
