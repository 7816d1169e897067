import * as z from "zod/mini";
import type { Database } from "../../db/database.ts";
import { MidctlError } from "../../domain/errors.ts";
import { parseLabel } from "../../domain/labels.ts";
import { parseOwner, parseProvider } from "../../domain/names.ts";
import { listCredentials, listIdentities, listTokens, type PageRequest } from "../../operations/list.ts";
import type { ListFilter } from "../../repository/listing.ts";
import { credentialSchema, effectiveStatusSchema, identitySchema } from "../documents.ts";
import { duration, parseIdentityReference } from "../options.ts";
import { readWith } from "../parse.ts";
import { describePlace } from "../place.ts";
import { filterOf } from "../selection.ts";
import { defineVerb } from "../verb.ts";
import { viewList } from "../views/list.ts";

/** A token with a machine identity and no credential authenticates nobody. */
const tokenStatusSchema = z.enum([...effectiveStatusSchema.options, "refused"]);

const tokenSchema = z.object({
  id: z.string(),
  legacy: z.boolean(),
  identity: z.nullable(z.string()),
  credential: z.nullable(z.string()),
  name: z.string(),
  effectiveStatus: tokenStatusSchema,
  scopes: z.readonly(z.array(z.string())),
  workspace: z.nullable(z.string()),
  createdAt: z.string(),
  expiresAt: z.nullable(z.string()),
  lastUsedAt: z.nullable(z.string()),
  revokedAt: z.nullable(z.string()),
});

const nextCursor = z.nullable(z.string());

export const listOutput = z.union([
  z.object({ identities: z.array(identitySchema), nextCursor }),
  z.object({ credentials: z.array(credentialSchema), nextCursor }),
  z.object({ tokens: z.array(tokenSchema), nextCursor }),
]);
export type ListDocument = z.infer<typeof listOutput>;

const NOUNS = ["identities", "credentials", "tokens"] as const;
type Noun = (typeof NOUNS)[number];

const SORTS: Readonly<Record<Noun, readonly string[]>> = {
  identities: ["slug", "created", "expires"],
  credentials: ["issued", "expires"],
  tokens: ["issued"],
};

const MAX_LIMIT = 1_000;

export const list = defineVerb({
  path: ["list"],
  summary: "List identities, credentials or tokens",
  examples: [
    { command: "midctl list", does: "identities, by slug" },
    {
      command: "midctl list credentials --expiring-within 7d --exit-code",
      does: "for monitoring: exit 9 when there are any",
    },
    { command: "midctl list --label team=payments --status paused --json", does: "for scripts" },
  ],
  args: [{ name: "what", summary: "what to list, identities by default", choices: NOUNS, optional: true }],
  options: {
    status: {
      value: "STATUS",
      summary: "effective status; refused: tokens with an identity and no credential",
      repeat: true,
      choices: tokenStatusSchema.options,
    },
    label: {
      value: "K=V",
      summary: "of the identity; several must all fit",
      repeat: true,
      schema: readWith(parseLabel),
    },
    owner: { value: "WHO", summary: "of the identity", schema: readWith(parseOwner) },
    provider: { value: "NAME", summary: "of the thread", schema: readWith(parseProvider) },
    identity: {
      value: "REF",
      summary: "credentials or tokens of this one",
      schema: readWith(parseIdentityReference),
      complete: "identity",
    },
    expiringWithin: { value: "7d", summary: "what ends so soon", schema: duration },
    unusedFor: { value: "30d", summary: "not used for so long", schema: duration },
    legacy: { summary: "tokens that nobody adopted" },
    limit: {
      value: "N",
      summary: `rows of a page, 1 to ${MAX_LIMIT}; default: 50`,
      default: "50",
      schema: readWith(parseLimit),
    },
    cursor: { value: "CURSOR", summary: "where the next page begins: nextCursor of the one before" },
    all: { summary: "every page, one after the other" },
    sort: { value: "KEY", summary: "slug, created or expires; credentials: issued or expires" },
    desc: { summary: "the other way round" },
    exitCode: { summary: "exit 9 when there is anything" },
  },
  output: listOutput,
  list: NOUNS,
  async run(input, context) {
    const noun: Noun = input.what ?? (input.legacy ? "tokens" : "identities");
    const sort = input.sort ?? SORTS[noun][0] ?? "";
    if (!SORTS[noun].includes(sort)) {
      throw new MidctlError("usage", `--sort: ${noun} are sorted by ${SORTS[noun].join(" or ")}`);
    }
    if (input.legacy && noun !== "tokens")
      throw new MidctlError("usage", "--legacy is for tokens", { hint: "midctl list tokens --legacy" });
    if (input.status.includes("refused") && noun !== "tokens") {
      throw new MidctlError("usage", "--status refused is for tokens", {
        hint: "midctl list tokens --status refused",
      });
    }
    if (input.identity !== undefined && noun === "identities") {
      throw new MidctlError("usage", "--identity is for credentials and tokens", {
        hint: `midctl identity show ${input.identity}`,
      });
    }
    if (input.all && input.cursor !== undefined)
      throw new MidctlError("usage", "--all begins at the beginning: --cursor does not go with it");
    const filter: ListFilter = { ...filterOf(input), identity: input.identity ?? null };
    const db = await context.database();
    const read = (cursor: string | null): Promise<ListDocument> =>
      readPage(db, noun, filter, sort, input.legacy, {
        limit: input.all ? MAX_LIMIT : input.limit,
        cursor,
        descending: input.desc,
      });
    let found = 0;
    const count = (page: ListDocument): ListDocument => {
      found += rowsOf(page).length;
      return page;
    };
    const exit = () => (input.exitCode && found > 0 ? 9 : 0);
    if (input.all) return { pages: eachPage(read, count), exit };
    const document = count(await read(input.cursor ?? null));
    if (found === 0) context.notice(`No such ${noun} in ${describePlace(context).location}.`);
    return { document, exit: exit() };
  },
  view: viewList,
});

async function* eachPage(
  read: (cursor: string | null) => Promise<ListDocument>,
  count: (page: ListDocument) => ListDocument,
): AsyncGenerator<ListDocument> {
  let cursor: string | null = null;
  do {
    const page = count(await read(cursor));
    cursor = page.nextCursor;
    yield { ...page, nextCursor: null };
  } while (cursor !== null);
}

async function readPage(
  db: Database,
  noun: Noun,
  filter: ListFilter,
  sort: string,
  legacyOnly: boolean,
  page: PageRequest,
): Promise<ListDocument> {
  switch (noun) {
    case "identities":
      return listIdentities(db, filter, sort as "slug" | "created" | "expires", page);
    case "credentials":
      return listCredentials(db, filter, sort as "issued" | "expires", page);
    case "tokens":
      return listTokens(db, { ...filter, legacyOnly }, page);
  }
}

function rowsOf(page: ListDocument): readonly unknown[] {
  return "identities" in page ? page.identities : "credentials" in page ? page.credentials : page.tokens;
}

function parseLimit(text: string): number {
  const limit = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= MAX_LIMIT) return limit;
  throw new MidctlError("usage", `a page has 1 to ${MAX_LIMIT} rows`, { hint: "--all reads every page" });
}
