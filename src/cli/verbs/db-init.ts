import * as z from "zod/mini";
import { parseSlug } from "../../domain/slug.ts";
import { initDatabase } from "../../operations/db-init.ts";
import { environmentSchema } from "../documents.ts";
import { readWith } from "../parse.ts";
import { describePlace } from "../place.ts";
import { requestFrom } from "../request.ts";
import { defineVerb } from "../verb.ts";
import { viewDbInit } from "../views/db-init.ts";
import { placeSchema } from "./status.ts";

export const dbInitOutput = z.object({
  place: placeSchema,
  applied: z.readonly(z.array(z.string())),
  changed: z.boolean(),
  environment: environmentSchema,
});
export type DbInitDocument = z.infer<typeof dbInitOutput>;

export const dbInit = defineVerb({
  path: ["db", "init"],
  summary: "Migrate, and name the environment",
  description:
    "The environment is a property of the database: its name, whether its tokens are live or test ones, whether it is protected. Named once; --live only while no credential exists; --protected where no token is in force yet, else midctl db protect.",
  examples: [
    { command: "midctl db init --environment staging", does: "a test environment with a name" },
    {
      command: "midctl db init --environment production --live --protected",
      does: "from the beginning nothing changes there without an approval",
    },
  ],
  options: {
    environment: { value: "NAME", summary: "its name for good", required: true, schema: readWith(parseSlug) },
    live: { summary: "its tokens are live ones: mid_live_…" },
    protected: { summary: "changes need an owner's approval" },
  },
  output: dbInitOutput,
  changes: true,
  async run(input, context) {
    const place = describePlace(context);
    if (input.protected) {
      const { refuseEmbedded } = await import("../trust.ts");
      refuseEmbedded(place);
    }
    const db = await context.database({ schema: "any" });
    const wish = { name: input.environment, live: input.live, protected: input.protected };
    const { applied, changed, environment } = await initDatabase(db, requestFrom(context), wish);
    return { document: { place, applied, changed, environment } };
  },
  view: viewDbInit,
});
