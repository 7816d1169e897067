import * as z from "zod/mini";
import { parseEnd } from "../../domain/instant.ts";
import { previewSunset, sunsetTokens } from "../../operations/token-sunset.ts";
import { gated, gateOptions } from "../gate.ts";
import { readWith } from "../parse.ts";
import { defineVerb } from "../verb.ts";
import { viewTokenSunset } from "../views/token-sunset.ts";

export const tokenSunsetOutput = z.object({
  changed: z.boolean(),
  endsAt: z.string(),
  ended: z.number(),
  sooner: z.number(),
  refused: z.number(),
});
export type TokenSunsetDocument = z.infer<typeof tokenSunsetOutput>;

export const tokenSunset = defineVerb({
  path: ["token", "sunset"],
  summary: "End every legacy token that was not adopted, at a date to come",
  description:
    "Every legacy token in force that has no end, or a later one, ends then; what ends sooner stays as it is. Tokens that the application makes afterwards are not touched: `doctor` names them. It is confirmed by typing, or by --yes off a terminal. Adopted tokens are credentials, and no concern of this.",
  examples: [
    { command: "midctl token sunset --after 2027-01-31 --dry-run", does: "how many would end" },
    { command: "midctl token sunset --after 30d --yes", does: "thirty days from now" },
  ],
  options: {
    after: {
      value: "DATE",
      summary: "a date (00:00 UTC), an RFC 3339 time, or a duration from now; in the future",
      schema: readWith(parseEnd),
      required: true,
    },
    ...gateOptions,
  },
  output: tokenSunsetOutput,
  changes: true,
  async run({ after, ...words }, context) {
    const db = await context.database();
    const { endsAt, later } = await previewSunset(db, after);
    if (later > 0) {
      await context.confirm({
        action: `end ${later} legacy token${later === 1 ? "" : "s"} at ${endsAt}`,
        name: `sunset ${later}`,
      });
    }
    const document = await gated(context, db, words, {
      action: "token.sunset",
      draft: async () => [(await import("../../operations/approval/draft.ts")).draftSunset(endsAt)],
      run: (request) => sunsetTokens(db, request, { at: endsAt }),
    });
    return { document };
  },
  view: viewTokenSunset,
});
