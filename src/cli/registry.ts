/**
 * Every command and where it lives. Light on purpose: a process loads this table and the one verb that it runs.
 * A new command is one line here.
 */
import type { Verb } from "./verb.ts";

export interface RegistryEntry {
  readonly path: string;
  readonly load: () => Promise<Verb>;
  /** Runs when its noun is given alone: bare `audit` is `audit list`. */
  readonly isDefault?: boolean;
}

export const registry: readonly RegistryEntry[] = [
  { path: "context list", load: async () => (await import("./verbs/context-list.ts")).contextList },
  { path: "context show", load: async () => (await import("./verbs/context-show.ts")).contextShow },
  { path: "context use", load: async () => (await import("./verbs/context-use.ts")).contextUse },
  { path: "context set", load: async () => (await import("./verbs/context-set.ts")).contextSet },
  { path: "context remove", load: async () => (await import("./verbs/context-remove.ts")).contextRemove },
  { path: "completion", load: async () => (await import("./verbs/completion.ts")).completion },
  { path: "help", load: async () => (await import("./verbs/help.ts")).help },
  { path: "version", load: async () => (await import("./verbs/version.ts")).version },
];

/** What people type in another system's words, and what it is here. */
export const otherWords: Readonly<Record<string, string>> = {
  "identity list": "list identities",
  "credential list": "list credentials",
  "token list": "list tokens",
  "identity delete": "revoke",
  "credential delete": "revoke",
  delete: "revoke",
  remove: "revoke",
  disable: "pause",
  enable: "resume",
  suspend: "pause",
  get: "identity show",
  ls: "list",
  log: "audit",
  logs: "audit",
};

export function findEntry(path: string): RegistryEntry | undefined {
  return registry.find((entry) => entry.path === path);
}

/** Whether some command lies under this word. */
export function isNoun(word: string): boolean {
  return registry.some((entry) => entry.path.startsWith(`${word} `));
}

/** What may follow `path` (empty: the root): subcommands and nouns, each once. */
export function wordsAfter(path: string): readonly string[] {
  const prefix = path === "" ? "" : `${path} `;
  const words = registry
    .filter((entry) => entry.path.startsWith(prefix))
    .map((entry) => entry.path.slice(prefix.length).split(" ")[0] ?? "");
  return [...new Set(words)];
}
