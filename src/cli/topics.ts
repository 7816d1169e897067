/** The texts behind `midctl help TOPIC`; each is loaded when it is read. */
export interface Topic {
  readonly summary: string;
  readonly load: () => Promise<string>;
}

export const topics: Readonly<Record<string, Topic>> = {
  states: {
    summary: "the lives of identities and credentials",
    load: async () => (await import("./topics/states.ts")).states,
  },
  tokens: {
    summary: "what a token looks like, and where its secret goes",
    load: async () => (await import("./topics/tokens.ts")).tokens,
  },
  references: {
    summary: "how to name identities, credentials, tokens and approvals",
    load: async () => (await import("./topics/references.ts")).references,
  },
  output: {
    summary: "JSON, NDJSON, tab-separated text and tables",
    load: async () => (await import("./topics/output.ts")).output,
  },
  "exit-codes": {
    summary: "what each exit code means",
    load: async () => (await import("./topics/exit-codes.ts")).exitCodes,
  },
  environment: {
    summary: "variables, contexts, and what outranks what",
    load: async () => (await import("./topics/environment.ts")).environment,
  },
  approvals: {
    summary: "protected environments: requests, signatures, the trust root",
    load: async () => (await import("./topics/approvals.ts")).approvals,
  },
  embedded: {
    summary: "the PostgreSQL that midctl keeps where none is configured",
    load: async () => (await import("./topics/embedded.ts")).embedded,
  },
};
