/** Live values for completion, by what is completed. Each is quick, silent, and never starts a server. */
import type { VerbContext } from "./context.ts";

export type CompletionKind = keyof typeof completers;

/** A candidate and, after it, what it is. */
export interface Candidate {
  readonly value: string;
  readonly summary?: string;
}

export type Completer = (context: VerbContext, prefix: string) => Promise<readonly Candidate[]>;

export const completers = {
  context: async (context) => {
    const { readContextFile } = await import("./contexts.ts");
    return Object.keys(readContextFile(context.env).contexts).map((value) => ({ value }));
  },
  identity: async (context, prefix) => {
    const { suggestSlugs } = await import("../repository/identity.ts");
    const slugs = await suggestSlugs(await context.database({ mayStart: false, asks: false }), prefix);
    return slugs.map((value) => ({ value }));
  },
  credential: async (context, prefix) => {
    const { suggestCredentials } = await import("../repository/credential.ts");
    const ids = await suggestCredentials(
      await context.database({ mayStart: false, asks: false }),
      prefix.replace(/^mc_/, ""),
    );
    return ids.map((value) => ({ value }));
  },
  token: async (context, prefix) => {
    const { suggestTokens } = await import("../repository/token.ts");
    const ids = await suggestTokens(await context.database({ mayStart: false }), prefix.replace(/^at_/, ""));
    return ids.map((value) => ({ value }));
  },
  topic: async () => {
    const { topics } = await import("./topics.ts");
    return Object.entries(topics).map(([value, topic]) => ({ value, summary: topic.summary }));
  },
} as const satisfies Readonly<Record<string, Completer>>;
