import * as z from "zod/mini";
import { parseScope } from "../../domain/scope.ts";
import { verifyToken } from "../../operations/verify.ts";
import { credentialSchema } from "../documents.ts";
import { openHeadFile } from "../head.ts";
import { readWith } from "../parse.ts";
import { readToken } from "../token-input.ts";
import { readTrustRoot } from "../trust.ts";
import { defineVerb } from "../verb.ts";
import { viewVerify } from "../views/verify.ts";

export const verifyOutput = z.union([
  z.object({
    ok: z.literal(true),
    actor: z.object({
      kind: z.enum(["machine_identity", "legacy_token"]),
      slug: z.string(),
      displayName: z.string(),
      owner: z.nullable(z.string()),
    }),
    credential: z.nullable(credentialSchema),
    expiresAt: z.nullable(z.string()),
    /** `ap_…`; null where approvals were not checked. */
    approval: z.nullable(z.string()),
  }),
  z.object({ ok: z.literal(false), code: z.string() }),
]);
export type VerifyDocument = z.infer<typeof verifyOutput>;

export const verify = defineVerb({
  path: ["verify"],
  summary: "Is the token on standard input good, whose is it, and why not",
  description:
    "Looks only: a pending token stays pending. Exit 0 for a good one, 4 for any other. With --trust-dir a token that no signed plan in force names is unapproved; with --head-file, which is read and not written, every token is behind_checkpoint while the database is.",
  examples: [{ command: "midctl verify < ./token", does: "good or not" }],
  options: {
    scope: { value: "SCOPE", summary: "must also be allowed this", schema: readWith(parseScope) },
    headFile: { value: "PATH", summary: "refuse a database that is behind the head that serve keeps here" },
    tokenFile: { value: "PATH", summary: "read the token from its file" },
  },
  output: verifyOutput,
  async run({ scope, headFile, tokenFile }, context) {
    const token = await readToken(context, tokenFile);
    const trust = readTrustRoot(context);
    const head = openHeadFile(headFile, context);
    const decision = await verifyToken(await context.database(), token, scope ?? null, { trust, head });
    const document: VerifyDocument = decision.ok
      ? {
          ok: true,
          actor: decision.actor,
          credential: decision.credential,
          expiresAt: decision.expiresAt,
          approval: decision.approval,
        }
      : { ok: false, code: decision.code };
    return { document, exit: decision.ok ? 0 : 4 };
  },
  view: viewVerify,
});
